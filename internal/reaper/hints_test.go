package reaper

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"testing"
	"time"

	"github.com/redis/go-redis/v9"

	"github.com/gin-lifecycle/lifecycle/internal/ledger"
	"github.com/gin-lifecycle/lifecycle/internal/redistest"
)

// A hint makes the reaper look at a session of any bucket. A session that has ended is
// claimed once, however many hints there are; one that is live or unknown is left alone.
func TestHintsLeadToOneClaim(t *testing.T) {
	t.Parallel()
	k := newKit(t, redistest.Shared(t), 1000)
	ended, alive := k.deleted(), begin(t, k.c.Ledger, time.Hour).ID
	evicted, expired := k.deleted(), k.deleted()
	for range 3 {
		k.suspect(ended, ledger.Deleted)
		k.suspect(alive, ledger.Evicted)
		k.suspect(evicted, ledger.Evicted)
		k.suspect(expired, ledger.Expired)
		k.suspect(newID(), ledger.Deleted)
		if k.round() {
			t.Error("the sink is full")
		}
	}
	if len(k.sink.got) != 3 || k.sink.got[ended] != 1 || k.sink.got[evicted] != 1 || k.sink.got[expired] != 1 {
		t.Errorf("claims by session: %v", k.sink.got)
	}
	if n := k.hints(); n != 0 {
		t.Errorf("%d hints wait, want none", n)
	}
}

// The hint about an end that was found here is ignored, for a while.
func TestEchoOfAnEnd(t *testing.T) {
	t.Parallel()
	k := newKit(t, redistest.Shared(t), 1000)
	id := k.deleted()
	k.suspect(id, ledger.Deleted)
	k.round()
	k.suspect(id, ledger.Deleted)
	k.suspect(id, ledger.Expired)
	if n := k.hints(); n != 0 {
		t.Errorf("%d hints wait, want none", n)
	}
	// The end is remembered until the second time that the memory is renewed.
	for i, want := range []int{0, 1} {
		k.mu.Lock()
		k.recentAt = time.Time{}
		k.mu.Unlock()
		k.rememberEnds(nil)
		k.suspect(id, ledger.Deleted)
		if n := k.hints(); n != want {
			t.Errorf("renewed %d times: %d hints wait, want %d", i+1, n, want)
		}
	}
}

// A hint is dropped if the end was found before the hint got its turn.
func TestHintsOfWhatWasFoundMeanwhile(t *testing.T) {
	t.Parallel()
	k := newKit(t, redistest.Shared(t), 1000)
	for _, hint := range []string{ledger.Expired, ledger.Deleted} {
		k.suspect("found by a look at what is due "+hint, hint)
		k.suspect("news "+hint, hint)
		k.rememberEnds([]*ledger.Claim{{End: ledger.End{ID: "found by a look at what is due " + hint}}})
		k.mu.Lock()
		q := k.queueOf(hint)
		k.mu.Unlock()
		if got := k.takeHints(q, 10); len(got) != 1 || got[0].ID != "news "+hint {
			t.Errorf("hints of the kind %s: took %v, want the new one only", hint, got)
		}
	}
}

// No more is claimed than the sink has room for. The other hints wait.
func TestHintsWaitForTheSink(t *testing.T) {
	t.Parallel()
	k := newKit(t, redistest.Shared(t), 3)
	for range 10 {
		k.suspect(k.deleted(), ledger.Deleted)
	}
	if full := k.round(); !full || len(k.sink.got) != 3 || k.hints() != 7 {
		t.Errorf("full %v, %d claims, %d hints wait; want true, 3, 7", full, len(k.sink.got), k.hints())
	}
	k.sink.room = 1000
	if full := k.round(); full || len(k.sink.got) != 10 || k.hints() != 0 {
		t.Errorf("full %v, %d claims, %d hints wait; want false, 10, 0", full, len(k.sink.got), k.hints())
	}
}

// A hint is not lost when the look that it causes fails.
func TestHintsOutliveAFailure(t *testing.T) {
	t.Parallel()
	server := redistest.Start(t, "--appendonly", "yes", "--appendfsync", "always")
	k := newKit(t, server.Addr, 1000)
	id := k.deleted()
	k.suspect(id, ledger.Evicted)
	server.Kill()
	if _, err := k.look(context.Background()); err == nil || errors.Is(err, redis.Nil) {
		t.Errorf("look while Redis is away: %v, want an error", err)
	}
	if n := k.hints(); n != 1 {
		t.Fatalf("%d hints wait, want 1", n)
	}
	server.Restart(t)
	if k.round(); k.sink.got[id] != 1 {
		t.Errorf("claims by session: %v", k.sink.got)
	}
}

// Only so many hints of each kind wait. Too many of one kind drop none of the other.
func TestHintsAreBounded(t *testing.T) {
	t.Parallel()
	r := newReaper(Config{}, new(shared))
	for i := range maxHints + 10 {
		r.suspect(fmt.Sprint(i), ledger.Deleted)
	}
	r.suspect("a", ledger.Evicted)
	r.suspect("b", ledger.Expired)
	if removed, expired := r.removed.len(), r.expired.len(); removed != maxHints || expired != 1 {
		t.Errorf("%d and %d hints wait, want %d and 1", removed, expired, maxHints)
	}
}

// Hints are taken in the order in which they came, one for each session, with what the last
// one said. Where a bucket has more of them than fit into one call, all are looked at.
func TestHintsAreTakenInTheirOrder(t *testing.T) {
	t.Parallel()
	q := newQueue()
	for _, s := range []ledger.Suspect{{ID: "a", Hint: "1"}, {ID: "b", Hint: "2"}, {ID: "a", Hint: "3"}, {ID: "c", Hint: "4"}} {
		q.add(s)
	}
	if got := q.take(2); !slices.Equal(got, []ledger.Suspect{{ID: "a", Hint: "3"}, {ID: "b", Hint: "2"}}) {
		t.Errorf("took %v, want a with its last hint, and b", got)
	}
	if got := q.take(2); !slices.Equal(got, []ledger.Suspect{{ID: "c", Hint: "4"}}) || q.len() != 0 || len(q.hints) != 0 {
		t.Errorf("then took %v, want c; %d wait, want none", got, q.len())
	}

	k := newKit(t, redistest.Shared(t), 1000)
	const many = batch + 10
	for range many {
		id := k.deleted()
		for k.c.Ledger.Bucket(id) != 0 {
			id = k.deleted()
		}
		k.suspect(id, ledger.Deleted)
	}
	if k.round(); len(k.sink.got) != many {
		t.Errorf("%d claims, want %d", len(k.sink.got), many)
	}
}
