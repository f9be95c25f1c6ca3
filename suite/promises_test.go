package suite_test

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/gin-contrib/sessions"

	"github.com/gin-lifecycle/lifecycle"
	"github.com/gin-lifecycle/lifecycle/internal/testonly"
)

// Promise 1: every session that began ends exactly once, whoever finds it.
func TestEndsExactlyOnceWhoeverFindsIt(t *testing.T) {
	t.Parallel()
	d, p := shared(t), prefix()
	a := newApp(t, d, p, lifecycle.WithIdleTimeout(3*time.Second)).start()
	b := newApp(t, d, p, lifecycle.WithIdleTimeout(3*time.Second)).start()

	const n = 200
	var wg sync.WaitGroup
	for range n {
		id, v := a.begin()
		live := a.key("live:" + id + ":*")
		for _, end := range []func(){
			func() { _ = a.m.Destroy(within(t), id, "") },
			func() { _ = b.m.Destroy(within(t), id, "") },
			func() { a.visit(&visitor{v.cookie}, "/destroy") },
			func() { b.visit(&visitor{v.cookie}, "/destroy") },
			func() { a.admin.Del(within(t), live) }, // whether it is still there or not
		} {
			wg.Go(end)
		}
	}
	wg.Wait()

	runs := make(map[string]int)
	for range n {
		var s *lifecycle.Session
		select {
		case s = <-a.destroyed:
		case s = <-b.destroyed:
		case <-time.After(patience):
			t.Fatalf("%d of %d ends came", len(runs), n)
		}
		if runs[s.ID]++; s.Attempt != 1 {
			t.Errorf("attempt %d", s.Attempt)
		}
	}
	// Visits with a destroyed session's cookie to /destroy began sessions of
	// their own and ended them; all others have ended by now.
	eventually(t, "all acked", func() bool { return len(a.keys("end:*"))+len(a.keys("due")) == 0 })
	for {
		select {
		case s := <-a.destroyed:
			runs[s.ID]++
			continue
		case s := <-b.destroyed:
			runs[s.ID]++
			continue
		default:
		}
		break
	}
	for id, times := range runs {
		if times != 1 {
			t.Errorf("session %s: hooks ran %d times", id, times)
		}
	}
}

// Promise 3: no destroyed hook for a live session, by forged, repeated or stale
// events, for every kind of event and every instance.
func TestForgedEventsEndNothing(t *testing.T) {
	needsNotifications(t)
	t.Parallel()
	d, p := shared(t), prefix()
	a, b := newApp(t, d, p).start(), newApp(t, d, p).start()
	eventually(t, "one instance listens", func() bool {
		return a.m.Stats().Notifications == lifecycle.NotificationsOn || b.m.Stats().Notifications == lifecycle.NotificationsOn
	})
	id, v := a.begin()
	live := a.key("live:" + id + ":*")
	for range 20 {
		for _, kind := range []string{"expired", "evicted", "del"} {
			if err := a.admin.Publish(within(t), "__keyevent@0__:"+kind, live).Err(); err != nil {
				t.Fatal(err)
			}
		}
		for _, c := range []*app{a, b} {
			a.admin.Publish(within(t), c.prefix+":instance:"+instance(c.m), "ended "+id)
		}
	}
	// An event of the old secret's live key is stale too.
	a.ok(v, "/rotate")
	a.admin.Publish(within(t), "__keyevent@0__:del", live)

	// A real end behind them, noticed by an event, shows that they were heard.
	other, _ := a.begin()
	a.del(a.liveKey(other))
	var s *lifecycle.Session
	select {
	case s = <-a.destroyed:
	case s = <-b.destroyed:
	case <-time.After(patience):
		t.Fatal("the real end was not noticed")
	}
	if s.ID != other || s.Reason != lifecycle.ReasonDeleted {
		t.Errorf("ended: %s, %q; want %s, deleted", s.ID, s.Reason, other)
	}
	if got := a.ok(v, "/"); got != id {
		t.Errorf("the session is %q now, was %q", got, id)
	}
	a.quiet()
	b.quiet()
}

// Promise 3: times are the server's; an instance's own clock does not matter.
func TestClockSkewOfAnInstance(t *testing.T) {
	t.Parallel()
	for _, skew := range []time.Duration{-5 * time.Minute, 5 * time.Minute} {
		t.Run(skew.String(), func(t *testing.T) {
			t.Parallel()
			a := newApp(t, shared(t), prefix(),
				lifecycle.WithIdleTimeout(400*time.Millisecond), lifecycle.WithAbsoluteTimeout(time.Hour),
				tuned(testonly.Tuning{Now: func() time.Time { return time.Now().Add(skew) }}))
			id, _ := a.begin()
			s := a.nextDestroyed()
			now, err := a.admin.Time(within(t)).Result()
			if err != nil {
				t.Fatal(err)
			}
			if s.ID != id || s.Reason != lifecycle.ReasonIdleTimeout {
				t.Errorf("ended: %s, %s", s.ID, s.Reason)
			}
			if s.EndedAt.After(now) {
				t.Errorf("ended at %v, the server's time is %v: early", s.EndedAt, now)
			}
			if got := s.EndedAt.Sub(s.CreatedAt); got < 0 || got > time.Minute {
				t.Errorf("lived for %v", got)
			}
		})
	}
}

// Promise 4: created comes before destroyed, even if the session ends at once.
func TestCreatedComesBeforeDestroyed(t *testing.T) {
	t.Parallel()
	a := newAppWithoutHooks(t, shared(t), prefix())
	var j journal
	a.m.OnSessionCreated(func(ctx context.Context, s *lifecycle.Session) error {
		if err := a.m.Destroy(ctx, s.ID, ""); err != nil {
			return err
		}
		// The end is claimed and on its way; this hook is not done yet.
		eventually(t, "claimed", func() bool { return len(a.keys("end:"+s.ID)) == 1 })
		j.add("created")
		return nil
	})
	a.m.OnSessionDestroyed(func(_ context.Context, s *lifecycle.Session) error {
		j.add("destroyed")
		a.destroyed <- s
		return nil
	})
	a.visit(new(visitor), "/")
	a.nextDestroyed()
	if j.String() != "created destroyed" {
		t.Errorf("order: %s", &j)
	}
}

// Promise 4: a rotation is not an end.
func TestRotationIsNoEnd(t *testing.T) {
	t.Parallel()
	a := newApp(t, shared(t), prefix())
	id, v := a.begin()
	a.ok(v, "/set?user=alice")
	for range 5 {
		old := *v
		if got := a.ok(v, "/rotate"); got != id {
			t.Fatalf("rotated to ID %s", got)
		}
		if old.cookie == v.cookie {
			t.Fatal("the cookie is the same")
		}
		if got := a.ok(&old, "/"); got == id {
			t.Error("the old token is still good")
		}
	}
	if got := a.ok(v, "/get?key=user"); got != "alice" {
		t.Errorf("user is %q", got)
	}
	if err := a.m.Destroy(within(t), id, ""); err != nil {
		t.Fatal(err)
	}
	if s := a.nextDestroyed(); s.ID != id || s.Get("user") != "alice" {
		t.Errorf("ended: %s %v", s.ID, s.Values())
	}
	a.quiet()
}

// Promise 6: a save never revives an ended session.
func TestSaveDoesNotRevive(t *testing.T) {
	t.Parallel()
	d, p := shared(t), prefix()
	a := newApp(t, d, p)
	b := newApp(t, d, p).start()
	entered, resume := make(chan struct{}), make(chan struct{})
	a.get("/slow", func(c *lifecycle.Context) {
		s := sessions.Default(c.Context)
		s.Set("user", "mallory")
		close(entered)
		<-resume
		err := s.Save()
		if !errors.Is(err, lifecycle.ErrSessionEnded) {
			t.Errorf("save: %v", err)
		}
		if err := c.OnSessionDestroyed(func(context.Context, *lifecycle.Session) error {
			t.Error("ran")
			return nil
		}); !errors.Is(err, lifecycle.ErrSessionEnded) {
			t.Errorf("register: %v", err)
		}
		if err := c.RotateSession(); !errors.Is(err, lifecycle.ErrSessionEnded) {
			t.Errorf("rotate: %v", err)
		}
		if err := c.DestroySession(); !errors.Is(err, lifecycle.ErrSessionEnded) {
			t.Errorf("destroy: %v", err)
		}
		if c.Session() != nil {
			t.Error("there is still a session")
		}
	})
	id, v := a.begin()
	var wg sync.WaitGroup
	wg.Go(func() { a.visit(&visitor{v.cookie}, "/slow") })
	<-entered
	b.ok(&visitor{v.cookie}, "/destroy")
	b.nextDestroyed()
	close(resume)
	wg.Wait()
	if _, err := a.m.Get(within(t), id); !errors.Is(err, lifecycle.ErrSessionEnded) {
		t.Errorf("get: %v", err)
	}
	eventually(t, "the ack leaves nothing behind", func() bool { return len(a.keys("*"+id+"*")) == 0 })
	a.quiet()
	b.quiet()
}

// anyError says that it is whatever error it is compared with.
type anyError struct{}

func (anyError) Error() string { return "bad hook" }
func (anyError) Is(error) bool { return true }

// Promise 7: hooks that fail, panic or hang harm no other hook, session or request.
func TestBadHooksHarmNothing(t *testing.T) {
	t.Parallel()
	a := newAppWithoutHooks(t, shared(t), prefix(),
		lifecycle.WithConcurrency(4), lifecycle.WithHookTimeout(20*time.Millisecond),
		lifecycle.WithRetry(2, time.Millisecond, time.Millisecond))
	hang := make(chan struct{})
	bad := func(_ context.Context, s *lifecycle.Session) error {
		switch {
		case strings.Contains(s.Request.URI, "error"):
			return errors.New("bad hook")
		case strings.Contains(s.Request.URI, "panic"):
			panic("bad hook")
		case strings.Contains(s.Request.URI, "nil"):
			return (*fs.PathError)(nil) // which panics when it is looked at
		case strings.Contains(s.Request.URI, "claims"):
			return anyError{}
		case strings.Contains(s.Request.URI, "hang"):
			<-hang // whatever its context says
		}
		return nil
	}
	var created, destroyed journal
	a.m.OnSessionCreated(bad)
	a.m.OnSessionCreated(func(_ context.Context, s *lifecycle.Session) error {
		created.add(s.Request.URI)
		return nil
	})
	a.m.OnSessionDestroyed(bad)
	a.m.OnSessionDestroyed(func(_ context.Context, s *lifecycle.Session) error {
		destroyed.add(s.Request.URI)
		return nil
	})
	uris := []string{"/?error", "/?panic", "/?nil", "/?claims", "/?hang", "/?fine"}
	for _, uri := range uris {
		id := a.ok(new(visitor), uri)
		if err := a.m.Destroy(within(t), id, ""); err != nil {
			t.Fatal(err)
		}
	}
	want := strings.Join(uris, " ")
	if created.String() != want {
		t.Errorf("created hooks behind the bad one: %s", &created)
	}
	eventually(t, "the other destroyed hook of all sessions, and dead ends", func() bool {
		for _, uri := range uris {
			if !strings.Contains(destroyed.String(), uri) {
				return false
			}
		}
		return a.m.Stats().Buried == 5
	})
	// The hook that has succeeded is not called again with those that have not.
	if n := len(strings.Fields(destroyed.String())); n != len(uris) {
		t.Errorf("calls: %s", &destroyed)
	}
	s := a.m.Stats()
	if s.HooksHung != 3 { // one created, two attempts of the destroyed one
		t.Errorf("hung: %d", s.HooksHung)
	}
	if s.HooksRetried != 5 {
		t.Errorf("retried: %d", s.HooksRetried)
	}
	close(hang)
	eventually(t, "the hung hooks return", func() bool { return a.m.Stats().HooksHung == 0 })
}

// Promise 8: with Redis away requests fail with a clear error, and everything
// goes on by itself when it is back, with the ends of the meantime.
func TestCostDoesNotGrowWithInstances(t *testing.T) {
	t.Parallel()
	const ends = 40
	cost := func(instances int) (perEnd map[string]int64, listeners int64) {
		d, p := onServer(t, startServer(t)), prefix()
		all := make([]*app, instances)
		destroyed := make(chan *lifecycle.Session, ends)
		for i := range all {
			all[i] = newAppWithoutHooks(t, d, p)
			all[i].m.OnSessionDestroyed(func(_ context.Context, s *lifecycle.Session) error {
				destroyed <- s
				return nil
			})
			all[i].start()
		}
		for _, x := range all {
			eventually(t, "the fleet knows itself", func() bool {
				s := x.m.Stats()
				return s.Instances == instances && s.Notifications != lifecycle.NotificationsDisconnected
			})
		}
		a := all[0]
		ids := make([]string, ends)
		for i := range ids {
			ids[i], _ = a.begin()
		}
		if err := a.admin.ConfigResetStat(within(t)).Err(); err != nil {
			t.Fatal(err)
		}
		for _, id := range ids { // nobody is told: it must be found
			a.del(a.liveKey(id))
		}
		for range ids {
			receive(t, destroyed)
		}
		eventually(t, "all acked", func() bool { return len(a.keys("session:*")) == 0 })
		info, err := a.admin.Info(within(t), "commandstats").Result()
		if err != nil {
			t.Fatal(err)
		}
		perEnd = make(map[string]int64)
		for line := range strings.Lines(info) {
			name, rest, ok := strings.Cut(strings.TrimPrefix(line, "cmdstat_"), ":calls=")
			if ok {
				var calls int64
				_, _ = fmt.Sscanf(rest, "%d,", &calls)
				perEnd[name] = calls
			}
		}
		subs, err := a.admin.PubSubNumSub(within(t), "__keyevent@0__:del").Result()
		if err != nil {
			t.Fatal(err)
		}
		return perEnd, subs["__keyevent@0__:del"]
	}
	one, _ := cost(1)
	many, listeners := cost(8)
	// These are sent once for an end, the others for a batch of them.
	// Heartbeats and the polls of buckets are not among these commands.
	for _, name := range []string{"getrange", "hset", "hget"} {
		if one[name] == 0 || many[name] > one[name]*3/2 {
			t.Errorf("%s: %d calls for %d ends with one instance, %d with eight", name, one[name], ends, many[name])
		}
	}
	// And these, at most once for an end, however the ends fall into batches.
	for _, name := range []string{"zmscore", "mget", "zrem"} {
		if many[name] == 0 || many[name] > ends*3/2 {
			t.Errorf("%s: %d calls for %d ends with eight instances", name, many[name], ends)
		}
	}
	if listeners != 1 {
		t.Errorf("every end is told to %d instances", listeners)
	}
	if many["publish"] > one["publish"]+ends/2 {
		t.Errorf("publish: %d calls, with one instance %d", many["publish"], one["publish"])
	}
}
