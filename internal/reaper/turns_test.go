package reaper

import (
	"context"
	"slices"
	"testing"
	"time"

	"github.com/redis/go-redis/v9"

	"github.com/gin-lifecycle/lifecycle/internal/ledger"
	"github.com/gin-lifecycle/lifecycle/internal/redistest"
)

// Each kind of work gets its turn, always in the same order. Hints of expired keys wait for
// what is due, but not for ever.
func TestTurns(t *testing.T) {
	t.Parallel()
	const d, r, x = dueTurn, removedTurn, expiredTurn
	for name, c := range map[string]struct {
		due, removed, expired bool
		want                  []turn
	}{
		"nothing":             {want: []turn{noTurn, noTurn}},
		"due":                 {due: true, want: []turn{d, d, d}},
		"removed":             {removed: true, want: []turn{r, r, r}},
		"expired":             {expired: true, want: []turn{x, x, x}},
		"due and removed":     {due: true, removed: true, want: []turn{d, r, d, r}},
		"removed and expired": {removed: true, expired: true, want: []turn{r, x, r, x}},
		"due and expired":     {due: true, expired: true, want: append(append(slices.Repeat([]turn{d}, expiredWait), x), d, d)},
		"everything":          {due: true, removed: true, expired: true, want: append(append(slices.Repeat([]turn{d, r}, expiredWait), x), d, r)},
	} {
		var all turns
		for i, want := range c.want {
			if got := all.next(c.due, c.removed, c.expired); got != want {
				t.Errorf("%s: turn %d is of the kind %d, want %d", name, i, got, want)
			}
		}
	}
}

// meanwhile is a go-redis hook that calls a function whenever the ledger sends something.
type meanwhile func()

func (meanwhile) DialHook(next redis.DialHook) redis.DialHook          { return next }
func (meanwhile) ProcessHook(next redis.ProcessHook) redis.ProcessHook { return next }

func (m meanwhile) ProcessPipelineHook(next redis.ProcessPipelineHook) redis.ProcessPipelineHook {
	return func(ctx context.Context, cmds []redis.Cmder) error {
		m()
		return next(ctx, cmds)
	}
}

// during looks once, while more, which is called again and again, makes more work without
// end. It fails the test unless ok returns true during this one look.
func (k *kit) during(more func(), what string, ok func(got map[string]int) bool) {
	k.t.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), redistest.Patience)
	defer cancel()
	k.watch(meanwhile(func() {
		more()
		k.sink.mu.Lock()
		defer k.sink.mu.Unlock()
		if ok(k.sink.got) {
			cancel()
		}
	}))
	if _, err := k.look(ctx); err != nil && ctx.Err() == nil {
		k.t.Fatal(err)
	}
	k.sink.mu.Lock()
	defer k.sink.mu.Unlock()
	if !ok(k.sink.got) {
		k.t.Errorf("never happened: %s", what)
	}
}

// forge makes hints about very many sessions that do not exist.
func (k *kit) forge(hints ...string) {
	for range 2 * hintTurn {
		for _, hint := range hints {
			k.suspect(newID(), hint)
		}
	}
}

// While hints come without end, sessions that are due are found, also where no message has
// said that a bucket has a new entry.
func TestDueEndsDuringAFloodOfHints(t *testing.T) {
	t.Parallel()
	for name, hints := range map[string][]string{
		"deleted": {ledger.Deleted}, "expired": {ledger.Expired}, "both": {ledger.Expired, ledger.Evicted},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			k := newKit(t, redistest.Shared(t), 1000)
			k.setBuckets([]int{0, 1, 2, 3})
			k.c.Interval = time.Millisecond
			var ids []string
			for range 30 {
				ids = append(ids, begin(t, k.c.Ledger, time.Millisecond).ID)
			}
			k.forge(hints...)
			var sent int
			k.during(func() {
				k.forge(hints...)
				if sent++; sent == 10 {
					ids = append(ids, newID())
					k.put(ids[len(ids)-1], 1)
				}
			}, "all sessions that are due are claimed", func(got map[string]int) bool {
				return sent > 10 && !slices.ContainsFunc(ids, func(id string) bool { return got[id] != 1 })
			})
		})
	}
}

// While ends come due without end, hints are followed: that a live key was deleted, and
// that one has expired before the due-index says so.
func TestHintsDuringAStreamOfDueEnds(t *testing.T) {
	t.Parallel()
	k := newKit(t, redistest.Shared(t), 1_000_000)
	k.setBuckets([]int{0, 1, 2, 3})
	deleted, expired := k.deleted(), k.deleted()
	k.suspect(deleted, ledger.Deleted)
	k.suspect(expired, ledger.Expired)
	k.during(func() {
		k.put(newID(), 1)
		k.lookAtAll()
	}, "both sessions that hints name are claimed", func(got map[string]int) bool { return got[deleted] == 1 && got[expired] == 1 })
}
