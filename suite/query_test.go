package suite_test

import (
	"context"
	"errors"
	"net/http"
	"slices"
	"strings"
	"testing"

	"github.com/gin-lifecycle/lifecycle"
	"github.com/gin-lifecycle/lifecycle/internal/redistest"
)

// Stats has the figures of one instance.
func TestStats(t *testing.T) {
	t.Parallel()
	a := newApp(t, shared(t), redistest.Prefix())
	if s := a.m.Stats(); s.Created != 0 || s.Notifications != lifecycle.NotificationsOff || s.Instances != 0 || s.Deliverers != 0 || s.Delivering {
		t.Errorf("before the first request: %+v", s)
	}
	for range 3 {
		id, v := a.begin()
		a.ok(v, "/")
		a.end(id, "")
		a.nextDestroyed()
	}
	redistest.Eventually(t, "Stats has all figures", func() bool {
		s := a.m.Stats()
		return s.Created == 3 && s.Ended[lifecycle.ReasonRevoked] == 3 && s.HooksRun == 6 && s.HooksFailed == 0 &&
			s.Instances == 1 && s.Deliverers == 1 && s.Delivering && s.Notifications == a.on.notifications && s.Dead == 0 && s.Overdue == 0
	})
}

// Get, All and Count show the live sessions of all instances.
func TestQueries(t *testing.T) {
	t.Parallel()
	d, p := shared(t), redistest.Prefix()
	a, b := newApp(t, d, p), newApp(t, d, p).start()
	var ids []string
	for range 20 {
		id, v := a.begin()
		a.ok(v, "/set?user="+id)
		ids = append(ids, id)
	}
	slices.Sort(ids)
	if got := b.list(); !slices.Equal(got, ids) {
		t.Errorf("all: %v, want %v", got, ids)
	}
	for _, err := range b.m.All(redistest.Within(t)) {
		if err != nil {
			t.Error(err)
		}
		break // the caller may leave the loop
	}
	if n, err := b.m.Count(redistest.Within(t)); n != 20 || err != nil {
		t.Errorf("count: %d, %v; want 20", n, err)
	}
	s, err := b.m.Get(redistest.Within(t), ids[0])
	if err != nil || s.ID != ids[0] || s.CreatedAt.IsZero() || s.Request.Method != http.MethodGet {
		t.Errorf("get: %+v, %v", s, err)
	}
	b.end(ids[0], "")
	b.nextDestroyed()
	redistest.Eventually(t, "19 sessions are left", func() bool {
		n, err := b.m.Count(redistest.Within(t))
		return err == nil && n == 19
	})
	if got := b.list(); !slices.Equal(got, ids[1:]) {
		t.Errorf("all: %v, want %v", got, ids[1:])
	}
	for _, id := range []string{ids[0], "", "x", strings.Repeat("A", 22), "../../../../etc/passwd", ids[1] + "*"} {
		if _, err := b.m.Get(redistest.Within(t), id); !errors.Is(err, lifecycle.ErrSessionEnded) {
			t.Errorf("get %q: %v", id, err)
		}
		if err := b.m.Destroy(redistest.Within(t), id, ""); !errors.Is(err, lifecycle.ErrSessionEnded) {
			t.Errorf("destroy %q: %v", id, err)
		}
	}
	for _, r := range []lifecycle.Reason{"expired", lifecycle.Reason(strings.Repeat("x", 257))} {
		if err := b.m.Destroy(redistest.Within(t), ids[1], r); err == nil {
			t.Errorf("destroyed with the reason %q", r)
		}
	}
	queriesFail(t, b, ids[1])
}

// list returns the IDs of all live sessions, whose value "user" must be their ID.
func (a *app) list() []string {
	a.t.Helper()
	var ids []string
	for s, err := range a.m.All(redistest.Within(a.t)) {
		if err != nil {
			a.t.Fatal(err)
		}
		if s.Get("user") != s.ID || s.Reason != "" || s.ExpiresAt.Before(s.LastSeenAt) {
			a.t.Errorf("session: %+v", s)
		}
		ids = append(ids, s.ID)
	}
	slices.Sort(ids)
	return ids
}

// queriesFail checks that calls with a cancelled context fail.
func queriesFail(t *testing.T, a *app, id string) {
	t.Helper()
	cancelled, cancel := context.WithCancel(context.Background())
	cancel()
	if err := a.m.Destroy(cancelled, id, ""); !errors.Is(err, lifecycle.ErrUnavailable) || !errors.Is(err, context.Canceled) {
		t.Errorf("destroy with a cancelled context: %v", err)
	}
	if _, err := a.m.Get(cancelled, id); !errors.Is(err, lifecycle.ErrUnavailable) || !errors.Is(err, context.Canceled) {
		t.Errorf("get with a cancelled context: %v", err)
	}
	for _, err := range a.m.All(cancelled) {
		if err == nil {
			t.Error("All returned a session with a cancelled context")
		}
	}
}
