package reaper

import (
	"context"
	"fmt"
	"slices"
	"testing"
	"time"

	"github.com/redis/go-redis/v9"

	"github.com/gin-lifecycle/lifecycle/internal/ledger"
	"github.com/gin-lifecycle/lifecycle/internal/redistest"
	"github.com/gin-lifecycle/lifecycle/internal/token"
)

// Each kind of which there is something gets its turn, in the same order; hints of
// expired keys wait for what is due, but not for ever.
func TestTurns(t *testing.T) {
	t.Parallel()
	const d, g, x = dueTurn, goneTurn, expiredTurn
	for name, c := range map[string]struct {
		due, gone, expired bool
		want               []turn
	}{
		"nothing":          {want: []turn{noTurn, noTurn}},
		"due":              {due: true, want: []turn{d, d, d}},
		"gone":             {gone: true, want: []turn{g, g, g}},
		"expired":          {expired: true, want: []turn{x, x, x}},
		"due and gone":     {due: true, gone: true, want: []turn{d, g, d, g}},
		"gone and expired": {gone: true, expired: true, want: []turn{g, x, g, x}},
		"due and expired":  {due: true, expired: true, want: append(append(slices.Repeat([]turn{d}, expiredWait), x), d, d)},
		"everything":       {due: true, gone: true, expired: true, want: append(append(slices.Repeat([]turn{d, g}, expiredWait), x), d, g)},
	} {
		var all turns
		for i, want := range c.want {
			if got := all.next(c.due, c.gone, c.expired); got != want {
				t.Errorf("%s: turn %d is %d's, want %d's", name, i, got, want)
			}
		}
	}
}

// meanwhile is called whenever the ledger sends something.
type meanwhile func()

func (meanwhile) DialHook(next redis.DialHook) redis.DialHook          { return next }
func (meanwhile) ProcessHook(next redis.ProcessHook) redis.ProcessHook { return next }

func (m meanwhile) ProcessPipelineHook(next redis.ProcessPipelineHook) redis.ProcessPipelineHook {
	return func(ctx context.Context, cmds []redis.Cmder) error {
		m()
		return next(ctx, cmds)
	}
}

// during looks until ok holds, while without a pause there is more to look at. It
// has to be found in the same round: there is no end of it.
func (k *kit) during(more func(), what string, ok func(got map[string]int) bool) {
	k.t.Helper()
	ctx, cancel := context.WithCancel(context.Background())
	defer cancel()
	k.watch(meanwhile(func() {
		more()
		k.sink.mu.Lock()
		defer k.sink.mu.Unlock()
		if ok(k.sink.got) {
			cancel()
		}
	}))
	late := time.AfterFunc(30*time.Second, cancel)
	defer late.Stop()
	if _, err := k.look(ctx); err != nil && ctx.Err() == nil {
		k.t.Fatal(err)
	}
	k.sink.mu.Lock()
	defer k.sink.mu.Unlock()
	if !ok(k.sink.got) {
		k.t.Errorf("never: %s", what)
	}
}

// lost adds a session of which nothing is left but its due entry.
func (k *kit) lost() string {
	id := token.New(token.Mark{}, token.Timeouts{}).ID
	due := fmt.Sprintf("%s:{%d}:due", k.prefix, k.c.Ledger.Bucket(id))
	if err := k.rdb.ZAdd(context.Background(), due, redis.Z{Score: 1, Member: id}).Err(); err != nil {
		k.t.Error(err)
	}
	return id
}

// forge says of very many sessions, which there are not, that their live keys are
// gone.
func (k *kit) forge(hints ...string) {
	for range 2 * hintTurn {
		for _, hint := range hints {
			k.suspect(token.New(token.Mark{}, token.Timeouts{Idle: time.Hour}).ID, hint)
		}
	}
}

// As long as there are hints, what is due is found all the same, also in buckets of
// which nobody has told that there is something new.
func TestDueEndsDuringAFloodOfHints(t *testing.T) {
	t.Parallel()
	for name, hints := range map[string][]string{
		"deleted": {ledger.Deleted}, "expired": {ledger.Expired}, "both": {ledger.Expired, ledger.Evicted},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			k := newKit(t, redistest.Shared(t), 1000)
			k.keep([]int{0, 1, 2, 3})
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
					ids = append(ids, k.lost())
				}
			}, "all are claimed", func(got map[string]int) bool {
				return sent > 10 && !slices.ContainsFunc(ids, func(id string) bool { return got[id] != 1 })
			})
		})
	}
}

// As long as ends come due, hints are followed all the same: of a live key that was
// deleted, and of one that has expired before the due-index says so.
func TestHintsDuringAStreamOfDueEnds(t *testing.T) {
	t.Parallel()
	k := newKit(t, redistest.Shared(t), 1_000_000)
	k.keep([]int{0, 1, 2, 3})
	deleted, expired := k.end(), k.end()
	k.suspect(deleted, ledger.Deleted)
	k.suspect(expired, ledger.Expired)
	k.during(func() {
		k.lost()
		k.lookAtAll()
	}, "both are claimed", func(got map[string]int) bool { return got[deleted] == 1 && got[expired] == 1 })
}
