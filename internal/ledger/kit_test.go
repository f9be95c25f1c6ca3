package ledger

import (
	"context"
	"testing"
	"time"

	"github.com/redis/go-redis/v9"

	"github.com/gin-lifecycle/lifecycle/internal/ledger/ledgertest"
	"github.com/gin-lifecycle/lifecycle/internal/redistest"
	"github.com/gin-lifecycle/lifecycle/internal/token"
)

// newLedger returns a ledger with four buckets and a prefix of its own, and a client for
// reading and changing what it has written.
func newLedger(t *testing.T) (*Ledger, *redis.Client) {
	t.Helper()
	rdb := redistest.Client(t, redistest.Shared(t))
	return ledgertest.Open(t, New(rdb, Config{Prefix: redistest.Prefix(), Buckets: 4, Timeout: 10 * time.Second})), rdb
}

// watch makes instances watchers of a live session.
func watch(t *testing.T, l *Ledger, k token.Token, instances ...string) {
	t.Helper()
	for _, w := range instances {
		if ok, err := l.Watch(context.Background(), k.ID, k.Proof(), w); !ok || err != nil {
			t.Fatalf("Watch for instance %s = %v, %v", w, ok, err)
		}
	}
}

// end ends a live session with the reason "why" and claims the end, for lease.
func end(t *testing.T, l *Ledger, k token.Token, claim string, lease time.Duration) *Claim {
	t.Helper()
	c, ok, err := l.End(context.Background(), k.ID, k.Proof(), "why", ClaimTerms{claim, lease})
	if !ok || err != nil {
		t.Fatalf("End = %v, %v", ok, err)
	}
	return c
}

// look looks at one session, and claims its end for a minute.
func look(t *testing.T, l *Ledger, id, claim, hint string) Looked {
	t.Helper()
	results, err := l.Look(context.Background(), []int{l.Bucket(id)}, [][]Suspect{{{ID: id, Hint: hint}}}, ClaimTerms{claim, time.Minute})
	if err != nil {
		t.Fatalf("Look: %v", err)
	}
	return results[0]
}

// claimWhenDue looks at an ended session until its end is due and this claim has it.
func claimWhenDue(t *testing.T, l *Ledger, id, claim string) *Claim {
	t.Helper()
	var claims []*Claim
	redistest.Eventually(t, "the end is due and claimed", func() bool {
		claims = look(t, l, id, claim, "").Claims
		return len(claims) > 0
	})
	return claims[0]
}

// settle settles a claim as instance i. It reports whether the claim was still the holder's.
func settle(t *testing.T, l *Ledger, s Settlement) bool {
	t.Helper()
	r := l.Settle(context.Background(), "i", []Settlement{s}, time.Minute)[0]
	if r.Err != nil {
		t.Fatalf("Settle: %v", r.Err)
	}
	return r.OK
}

// beginIn begins a session in bucket b, and returns its ID.
func beginIn(t *testing.T, l *Ledger, b int) string {
	t.Helper()
	k, _ := ledgertest.BeginIn(t, l, b, token.Timeouts{Idle: time.Hour})
	return k.ID
}

// deleteLive deletes the live key of a session of bucket 0.
func deleteLive(t *testing.T, l *Ledger, id string) {
	t.Helper()
	ctx := context.Background()
	live, err := l.rdb.Keys(ctx, l.keys.buckets[0]+"live:"+id+":*").Result()
	if err != nil || len(live) != 1 {
		t.Fatalf("the live keys of %s are %v, %v, want one", id, live, err)
	}
	if err := l.rdb.Del(ctx, live[0]).Err(); err != nil {
		t.Fatalf("DEL of the live key: %v", err)
	}
}

// overdue begins a session in bucket 0 that is due and has no live key any more.
func overdue(t *testing.T, l *Ledger) string {
	t.Helper()
	id := beginIn(t, l, 0)
	deleteLive(t, l, id)
	l.rdb.ZAdd(context.Background(), l.keys.due(0), redis.Z{Score: 1, Member: id})
	return id
}

// overwrite overwrites keys with values of another type, as something that is not lifecycle
// might.
func overwrite(t *testing.T, l *Ledger, keys ...string) {
	t.Helper()
	for _, key := range keys {
		redistest.Overwrite(t, l.rdb, key)
	}
}

// lookAll looks at sessions of bucket 0, and claims their ends as instance i.
func lookAll(t *testing.T, l *Ledger, ids ...string) Looked {
	t.Helper()
	suspects := make([]Suspect, len(ids))
	for i, id := range ids {
		suspects[i].ID = id
	}
	results, err := l.Look(context.Background(), []int{0}, [][]Suspect{suspects}, ClaimTerms{"i:1", time.Minute})
	if err != nil {
		t.Fatalf("Look: %v", err)
	}
	return results[0]
}

// bury begins a session, with these watchers, and buries its end as instance i.
func bury(t *testing.T, l *Ledger, watchers ...string) (id string) {
	t.Helper()
	k, _ := ledgertest.Begin(t, l, token.Timeouts{Idle: time.Hour})
	watch(t, l, k, watchers...)
	end(t, l, k, "i:1", time.Minute)
	if !settle(t, l, Settlement{ClaimRef: ClaimRef{k.ID, "i:1"}, Verdict: Bury, Attempt: 3, Done: "i:0", Error: "bad"}) {
		t.Fatal("the holder's Bury was refused")
	}
	return k.ID
}

// endedKeys returns the names of all keys that an ended session can have.
func endedKeys(l *Ledger, id string) []string {
	b := l.Bucket(id)
	return []string{l.keys.session(b, id), l.keys.end(b, id), l.keys.watch(b, id)}
}

// gone fails if anything is left of a session.
func gone(t *testing.T, l *Ledger, id string) {
	t.Helper()
	ctx, b := context.Background(), l.Bucket(id)
	if n := l.rdb.Exists(ctx, endedKeys(l, id)...).Val(); n != 0 {
		t.Errorf("%d keys are left of session %s", n, id)
	}
	for _, set := range []string{l.keys.due(b), l.keys.dead(b)} {
		if l.rdb.ZScore(ctx, set, id).Err() == nil {
			t.Errorf("an entry of session %s is left in %s", id, set)
		}
	}
}

// in reports whether a session has an entry in the due-index, and in the dead set.
func in(l *Ledger, id string) (due, dead bool) {
	ctx, b := context.Background(), l.Bucket(id)
	return l.rdb.ZScore(ctx, l.keys.due(b), id).Err() == nil, l.rdb.ZScore(ctx, l.keys.dead(b), id).Err() == nil
}

// drop drops a dead end. It reports whether the end was in the dead set.
func drop(t *testing.T, l *Ledger, id string) bool {
	t.Helper()
	ok, err := l.DropDead(context.Background(), id, time.Minute)
	if err != nil {
		t.Fatalf("DropDead: %v", err)
	}
	return ok
}

// retry retries a dead end. It reports whether the end was in the dead set.
func retry(t *testing.T, l *Ledger, id string) bool {
	t.Helper()
	ok, err := l.RetryDead(context.Background(), id)
	if err != nil {
		t.Fatalf("RetryDead: %v", err)
	}
	return ok
}

// trips is a hook of go-redis that counts round trips.
type trips struct{ n int }

func (h *trips) DialHook(next redis.DialHook) redis.DialHook { return next }
func (h *trips) ProcessHook(next redis.ProcessHook) redis.ProcessHook {
	return func(ctx context.Context, cmd redis.Cmder) error { h.n++; return next(ctx, cmd) }
}
func (h *trips) ProcessPipelineHook(next redis.ProcessPipelineHook) redis.ProcessPipelineHook {
	return func(ctx context.Context, cmds []redis.Cmder) error { h.n++; return next(ctx, cmds) }
}
