package reaper

import (
	"fmt"
	"testing"
	"time"

	"github.com/redis/go-redis/v9"

	"github.com/gin-lifecycle/lifecycle/internal/ledger"
	"github.com/gin-lifecycle/lifecycle/internal/redistest"
)

// offline returns a reaper that asks nothing of Redis, whose clock shows about now. Its
// sink still works on the claim of the session "own".
func offline(t *testing.T, now int64) *Reaper {
	t.Helper()
	rdb := redis.NewClient(&redis.Options{})
	t.Cleanup(func() { _ = rdb.Close() })
	l := ledger.New(rdb, ledger.Config{Prefix: redistest.Prefix(), Buckets: buckets, Timeout: time.Second})
	l.Clock(0).Sample(now, time.Now())
	s := newSink(1000)
	s.own = "own"
	return newReaper(config(l, s, time.Minute), new(shared))
}

// entries returns n entries of a due-index that are due at a time.
func entries(n int, at int64) []ledger.Due {
	all := make([]ledger.Due, n)
	for i := range all {
		all[i] = ledger.Due{ID: fmt.Sprint("session ", i), At: at}
	}
	return all
}

// A look takes the sessions that are due, up to its bound, and the rest of the bucket
// waits until its own time.
func TestPick(t *testing.T) {
	t.Parallel()
	const hour = 3_600_000
	now := time.Now().UnixMilli()
	past, future := now-hour, now+hour
	own := ledger.Due{ID: "own", At: past}
	later := ledger.Due{ID: "later", At: future}
	for name, c := range map[string]struct {
		entries []ledger.Due
		taken   int
		rest    int64 // more or less a minute
	}{
		"nothing":             {nil, 0, never},
		"nothing due":         {[]ledger.Due{later}, 0, future},
		"all due":             {entries(5, past), 5, never},
		"some due":            {append(entries(5, past), later), 5, future},
		"more than the bound": {append(entries(12, past), later), 10, past},
		"own claim":           {[]ledger.Due{own, later}, 0, now + ownClaimPause},
		"own claim, and more": {append([]ledger.Due{own}, entries(3, past)...), 3, now + ownClaimPause},
	} {
		p := offline(t, now).pickFrom(0, ledger.Head{Entries: c.entries}, 10)
		if len(p.suspects) != c.taken || p.rest < c.rest-60_000 || p.rest > c.rest+60_000 {
			t.Errorf("%s: took %d sessions, the rest is due at %d; want %d and about %d", name, len(p.suspects), p.rest, c.taken, c.rest)
		}
	}
}

// After a look a bucket is looked at again when the first of its sessions is due, those
// that were looked at included.
func TestNextAfterALook(t *testing.T) {
	t.Parallel()
	now := time.Now().UnixMilli()
	const minute = 60_000
	for name, c := range map[string]struct {
		rest  int64
		found ledger.Looked
		want  int64 // more or less half a minute
	}{
		"the bucket is empty":                 {never, ledger.Looked{}, never},
		"the others are due first":            {now + minute, ledger.Looked{Next: now + 5*minute}, now + minute},
		"one that was looked at is due first": {now + 5*minute, ledger.Looked{Next: now + minute}, now + minute},
		"there are no others":                 {never, ledger.Looked{Next: now + minute}, now + minute},
		"the slot is being moved":             {now + 5*minute, ledger.Looked{Moving: true}, now + movingPause},
	} {
		if got := offline(t, now).nextAfter(pick{rest: c.rest}, c.found); got < c.want-minute/2 || got > c.want+minute/2 {
			t.Errorf("%s: next at %d, want about %d", name, got, c.want)
		}
	}
}

// The next look goes as deep as this one has found sessions, and no less deep than before
// where the bound may have hidden some.
func TestDepthOfTheNextLook(t *testing.T) {
	t.Parallel()
	now := time.Now().UnixMilli()
	for name, c := range map[string]struct {
		head ledger.Head
		want int
	}{
		"nothing due":      {ledger.Head{}, 0},
		"few due":          {ledger.Head{Entries: entries(3, 1)}, 3},
		"up to the bound":  {ledger.Head{Entries: entries(20, 1)}, 100},
		"impossible times": {ledger.Head{ImpossibleTimes: make([]string, 50)}, 50},
	} {
		r := offline(t, now)
		r.deepest = 100
		r.pickDue([]int{0}, []ledger.Head{c.head}, 10)
		if r.deepest != c.want {
			t.Errorf("%s: %d, want %d", name, r.deepest, c.want)
		}
	}
}
