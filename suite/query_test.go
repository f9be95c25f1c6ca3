package suite_test

import (
	"context"
	"errors"
	"net/http"
	"slices"
	"strings"
	"testing"

	"github.com/gin-lifecycle/lifecycle"
)

func TestStats(t *testing.T) {
	t.Parallel()
	a := newApp(t, shared(t), prefix())
	if s := a.m.Stats(); s.Created != 0 || s.Notifications != lifecycle.NotificationsOff || s.Instances != 0 {
		t.Errorf("before serving: %+v", s)
	}
	for range 3 {
		id, v := a.begin()
		a.ok(v, "/")
		if err := a.m.Destroy(within(t), id, ""); err != nil {
			t.Fatal(err)
		}
		a.nextDestroyed()
	}
	eventually(t, "figures", func() bool {
		s := a.m.Stats()
		return s.Created == 3 && s.Ended[lifecycle.ReasonRevoked] == 3 && s.HooksRun == 6 && s.HooksFailed == 0 &&
			s.Instances == 1 && s.Notifications == a.on.notifications && s.Dead == 0 && s.Overdue == 0
	})
}

func TestQueries(t *testing.T) {
	t.Parallel()
	d, p := shared(t), prefix()
	a, b := newApp(t, d, p), newApp(t, d, p).start()
	var ids []string
	for range 20 {
		id, v := a.begin()
		a.ok(v, "/set?user="+id)
		ids = append(ids, id)
	}
	slices.Sort(ids)
	list := func() []string {
		var got []string
		for s, err := range b.m.All(within(t)) {
			if err != nil {
				t.Fatal(err)
			}
			if s.Get("user") != s.ID || s.Reason != "" || s.ExpiresAt.Before(s.LastSeenAt) {
				t.Errorf("session: %+v", s)
			}
			got = append(got, s.ID)
		}
		slices.Sort(got)
		return got
	}
	if got := list(); !slices.Equal(got, ids) {
		t.Errorf("all: %v", got)
	}
	for _, err := range b.m.All(within(t)) {
		if err != nil {
			t.Error(err)
		}
		break // an iteration may be left
	}
	if n, err := b.m.Count(within(t)); n != 20 || err != nil {
		t.Errorf("count: %d, %v", n, err)
	}
	s, err := b.m.Get(within(t), ids[0])
	if err != nil || s.ID != ids[0] || s.CreatedAt.IsZero() || s.Request.Method != http.MethodGet {
		t.Errorf("get: %+v, %v", s, err)
	}
	if err := b.m.Destroy(within(t), ids[0], ""); err != nil {
		t.Fatal(err)
	}
	b.nextDestroyed()
	eventually(t, "acked", func() bool { n, err := b.m.Count(within(t)); return err == nil && n == 19 })
	if got := list(); !slices.Equal(got, ids[1:]) {
		t.Errorf("all: %v", got)
	}
	for _, id := range []string{ids[0], "", "x", strings.Repeat("A", 22), "../../../../etc/passwd", ids[1] + "*"} {
		if _, err := b.m.Get(within(t), id); !errors.Is(err, lifecycle.ErrSessionEnded) {
			t.Errorf("get %q: %v", id, err)
		}
		if err := b.m.Destroy(within(t), id, ""); !errors.Is(err, lifecycle.ErrSessionEnded) {
			t.Errorf("destroy %q: %v", id, err)
		}
	}
	for _, r := range []lifecycle.Reason{"expired", lifecycle.Reason(strings.Repeat("x", 257))} {
		if err := b.m.Destroy(within(t), ids[1], r); err == nil {
			t.Errorf("destroyed with reason %q", r)
		}
	}
	cancelled, cancel := context.WithCancel(context.Background())
	cancel()
	if err := b.m.Destroy(cancelled, ids[1], ""); !errors.Is(err, lifecycle.ErrUnavailable) || !errors.Is(err, context.Canceled) {
		t.Errorf("destroy with a cancelled context: %v", err)
	}
	if _, err := b.m.Get(cancelled, ids[1]); !errors.Is(err, lifecycle.ErrUnavailable) || !errors.Is(err, context.Canceled) {
		t.Errorf("get with a cancelled context: %v", err)
	}
	for _, err := range b.m.All(cancelled) {
		if err == nil {
			t.Error("a session in spite of the context")
		}
	}
}
