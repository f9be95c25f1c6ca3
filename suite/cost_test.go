package suite_test

import (
	"context"
	"fmt"
	"strings"
	"testing"

	"github.com/gin-lifecycle/lifecycle"
	"github.com/gin-lifecycle/lifecycle/internal/redistest"
)

// Guarantee 10: the cost of an end does not grow with the number of instances. Only one
// instance gets the notification of an end, and only one looks for it.
func TestCostDoesNotGrowWithInstances(t *testing.T) {
	t.Parallel()
	const ends = 40
	one, _ := costOfEnds(t, ends, 1)
	many, listeners := costOfEnds(t, ends, 8)
	// The library sends these commands once for each end, and the others once for a batch of
	// ends. Heartbeats and the regular checks send none of them.
	for _, name := range []string{"getrange", "hset", "hmget", "set"} {
		if one[name] == 0 || many[name] > one[name]*3/2 {
			t.Errorf("%s: %d calls for %d ends with one instance, %d with eight", name, one[name], ends, many[name])
		}
	}
	// The library sends these commands at most once for each end, or twice, however it batches
	// the ends.
	for name, most := range map[string]int64{"zmscore": 1, "mget": 2, "zrem": 1} {
		if many[name] == 0 || many[name] > most*ends*3/2 {
			t.Errorf("%s: %d calls for %d ends with eight instances", name, many[name], ends)
		}
	}
	if listeners != 1 {
		t.Errorf("%d instances receive the notifications, want one", listeners)
	}
	if many["publish"] > one["publish"]+ends/2 {
		t.Errorf("publish: %d calls, with one instance %d", many["publish"], one["publish"])
	}
}

// costOfEnds deletes the live keys of sessions, and waits until the instances have found
// and finished all ends. It returns how often Redis has run each command meanwhile, and
// how many instances are subscribed to notifications.
func costOfEnds(t *testing.T, ends, instances int) (calls map[string]int64, listeners int64) {
	t.Helper()
	d, p := onServer(t, startServer(t)), redistest.Prefix()
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
		redistest.Eventually(t, "every instance counts all of them", func() bool {
			s := x.m.Stats()
			return s.Instances == instances && s.Notifications != lifecycle.NotificationsDisconnected
		})
	}
	a := all[0]
	ids := make([]string, ends)
	for i := range ids {
		ids[i], _ = a.begin()
	}
	if err := a.admin.ConfigResetStat(redistest.Within(t)).Err(); err != nil {
		t.Fatal(err)
	}
	for _, id := range ids {
		a.del(a.liveKey(id))
	}
	for range ids {
		redistest.Receive(t, destroyed)
	}
	redistest.Eventually(t, "all ends are finished", func() bool { return len(a.keys("end:*")) == 0 })
	info, err := a.admin.Info(redistest.Within(t), "commandstats").Result()
	if err != nil {
		t.Fatal(err)
	}
	calls = make(map[string]int64)
	for line := range strings.Lines(info) {
		name, rest, ok := strings.Cut(strings.TrimPrefix(line, "cmdstat_"), ":calls=")
		if ok {
			var n int64
			_, _ = fmt.Sscanf(rest, "%d,", &n)
			calls[name] = n
		}
	}
	const channel = "__keyevent@0__:del"
	subscribers, err := a.admin.PubSubNumSub(redistest.Within(t), channel).Result()
	if err != nil {
		t.Fatal(err)
	}
	return calls, subscribers[channel]
}
