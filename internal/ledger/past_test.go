package ledger

import (
	"context"
	"testing"
	"time"

	"github.com/redis/go-redis/v9"

	"github.com/gin-lifecycle/lifecycle/internal/ledger/ledgertest"
	"github.com/gin-lifecycle/lifecycle/internal/record"
	"github.com/gin-lifecycle/lifecycle/internal/redistest"
	"github.com/gin-lifecycle/lifecycle/internal/token"
)

// newRemembering returns a ledger that remembers ends for a minute.
func newRemembering(t *testing.T) (*Ledger, *redis.Client) {
	t.Helper()
	rdb := redistest.Client(t, redistest.Shared(t))
	return ledgertest.Open(t, New(rdb, Config{Prefix: redistest.Prefix(), Buckets: 4, Timeout: 10 * time.Second, Remember: time.Minute})), rdb
}

// remembered checks that nothing is left of a session but its past, which goes by itself. It
// returns the past.
func remembered(t *testing.T, l *Ledger, k token.Token) Past {
	t.Helper()
	ctx, b := context.Background(), l.Bucket(k.ID)
	key := l.keys.session(b, k.ID)
	if d := l.rdb.PTTL(ctx, key).Val(); d <= 0 || d > time.Minute {
		t.Errorf("the time to live of the past is %v, want a minute", d)
	}
	if n := l.rdb.Exists(ctx, l.keys.end(b, k.ID), l.keys.watch(b, k.ID), l.keys.live(b, k.ID, k.Proof())).Val(); n != 0 {
		t.Errorf("%d keys are left beside the past", n)
	}
	if due, dead := in(l, k.ID); due || dead {
		t.Error("an entry is left in the due-index or the dead set")
	}
	bytes := l.Load(ctx, k)[0]
	if bytes.Live || bytes.Err != nil {
		t.Errorf("Load = %+v, want no live session", bytes)
	}
	p, ok := UnpackPast(bytes.Record)
	if !ok || !k.Proves(p.Proof) {
		t.Errorf("Load finds %q, want a past that the token proves", bytes.Record)
	}
	return p
}

// Whatever finishes an end leaves its past in place of the record: an ack, an ack without
// memory, the last watcher that goes, and a drop.
func TestPast(t *testing.T) {
	t.Parallel()
	for name, finish := range map[string]func(l *Ledger, k token.Token){
		"ack": func(l *Ledger, k token.Token) {
			end(t, l, k, "i:1", time.Minute)
			for _, want := range []bool{true, false} { // the second one changes nothing
				if settle(t, l, Settlement{ClaimRef: ClaimRef{k.ID, "i:1"}}) != want {
					t.Error("an ack is answered wrongly")
				}
			}
		},
		"the only watcher's ack": func(l *Ledger, k token.Token) {
			watch(t, l, k, "i")
			end(t, l, k, "i:1", time.Minute)
			settle(t, l, Settlement{ClaimRef: ClaimRef{k.ID, "i:1"}})
		},
		"unwatch": func(l *Ledger, k token.Token) {
			watch(t, l, k, "i", "j")
			end(t, l, k, "i:1", time.Minute)
			settle(t, l, Settlement{ClaimRef: ClaimRef{k.ID, "i:1"}})
			for range 2 {
				if err := l.Unwatch(context.Background(), "j", k.ID); err != nil {
					t.Error(err)
				}
			}
		},
		"drop": func(l *Ledger, k token.Token) {
			end(t, l, k, "i:1", time.Minute)
			settle(t, l, Settlement{ClaimRef: ClaimRef{k.ID, "i:1"}, Verdict: Bury, Attempt: 1, Error: "bad"})
			for _, want := range []bool{true, false} {
				if drop(t, l, k.ID) != want {
					t.Error("a drop is answered wrongly")
				}
			}
		},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			l, _ := newRemembering(t)
			deadline := time.Now().Add(2 * time.Hour).UnixMilli()
			k, rec := ledgertest.Begin(t, l, token.Timeouts{Idle: time.Hour, Deadline: deadline})
			before := l.ClockOf(k.ID).Unix()
			finish(l, k)
			p := remembered(t, l, k)
			if p.Reason != "why" || p.Deadline != deadline || p.At < before-1000 || p.At > l.ClockOf(k.ID).Unix()+1000 {
				t.Errorf("past: %+v", p)
			}
			ended(t, l, k, rec, p)
		})
	}
}

// ended checks that a past is no session for anybody, and no unfinished end.
func ended(t *testing.T, l *Ledger, k token.Token, rec []byte, p Past) {
	t.Helper()
	ctx := context.Background()
	key := l.keys.session(l.Bucket(k.ID), k.ID)
	before := l.rdb.Get(ctx, key).Val()
	if none, err := l.Record(ctx, k.ID); len(none) > 0 || err != nil {
		t.Errorf("Record = %q, %v, want none", none, err)
	}
	for name, call := range map[string]func() (bool, error){
		"Get": func() (bool, error) { _, ok, err := l.Get(ctx, k.ID); return ok, err },
		"End": func() (bool, error) {
			_, ok, err := l.End(ctx, k.ID, "", "x", ClaimTerms{"j:1", time.Minute})
			return ok, err
		},
		"End 2": func() (bool, error) { _, ok, err := l.End(ctx, k.ID, k.Proof(), "x", ClaimTerms{}); return ok, err },
		"Save": func() (bool, error) {
			x, err := l.Save(ctx, Saving{Token: k, Next: k, Idle: time.Hour, Record: rec, Revision: FirstRevision})
			return x.OK || len(x.Record) > 0, err
		},
		"Create": func() (bool, error) { return l.Create(ctx, k, time.Hour, rec) },
		"Rotate": func() (bool, error) { _, ok, err := l.Rotate(ctx, k, k.Rotate(), time.Minute); return ok, err },
		"Watch":  func() (bool, error) { return l.Watch(ctx, k.ID, k.Proof(), "i") },
		"Live":   func() (bool, error) { return l.Live(ctx, k) },
		"Retry":  func() (bool, error) { return l.RetryDead(ctx, k.ID) },
		"Drop":   func() (bool, error) { return l.DropDead(ctx, k.ID, time.Minute) },
	} {
		if ok, err := call(); ok || err != nil {
			t.Errorf("%s = %v, %v, want false", name, ok, err)
		}
	}
	if e, ok, err := l.Previous(ctx, k); !ok || err != nil || e.Reason != p.Reason || e.At != p.At || e.ID != k.ID {
		t.Errorf("Previous = %+v, %v, %v", e, ok, err)
	}
	if _, ok, err := l.Previous(ctx, k.Rotate()); ok || err != nil {
		t.Errorf("Previous for another secret = %v, %v", ok, err)
	}
	// Closures of the session that an instance still holds are run, with the reason.
	if f := l.Fates(ctx, []string{k.ID})[0]; f.Err != nil || !f.Ended || f.Claim != "" || f.End.Reason != p.Reason || f.End.At != p.At || len(f.End.Record) != 0 {
		t.Errorf("the fate is %+v", f)
	}
	for _, hint := range []string{"", Expired, Deleted} {
		if got := look(t, l, k.ID, "k:1", hint); len(got.Claims) > 0 || got.Next != 0 {
			t.Errorf("a look finds %+v", got)
		}
	}
	// Something else puts it back into the due-index: it has ended all the same.
	l.rdb.ZAdd(ctx, l.keys.due(l.Bucket(k.ID)), redis.Z{Score: 1, Member: k.ID})
	if got := look(t, l, k.ID, "k:2", ""); len(got.Claims) > 0 || got.Next != 0 {
		t.Errorf("a look at a due entry finds %+v", got)
	}
	if due, _ := in(l, k.ID); due {
		t.Error("the due entry is still there")
	}
	if now := l.rdb.Get(ctx, key).Val(); now != before {
		t.Errorf("the past has changed from %q to %q", before, now)
	}
}

// An end that is not finished, or not even found, is told from what is there.
func TestPrevious(t *testing.T) {
	t.Parallel()
	l, rdb := newRemembering(t)
	ctx := context.Background()
	previous := func(k token.Token) (End, bool) {
		t.Helper()
		e, ok, err := l.Previous(ctx, k)
		if err != nil {
			t.Fatal(err)
		}
		return e, ok
	}
	k, _ := ledgertest.Begin(t, l, token.Timeouts{Idle: time.Hour})
	b := l.Bucket(k.ID)
	if _, ok := previous(k); ok {
		t.Error("a live session has ended")
	}
	rdb.Del(ctx, l.keys.live(b, k.ID, k.Proof()))
	const over = 5000 // before it began
	rdb.ZAdd(ctx, l.keys.due(b), redis.Z{Score: over, Member: k.ID})
	if e, ok := previous(k); !ok || e.Reason != Expired || e.At != over {
		t.Errorf("before a look: %+v, %v", e, ok)
	}
	if _, ok := previous(k.Rotate()); ok {
		t.Error("another secret learns of the end")
	}
	if got := look(t, l, k.ID, "i:1", ""); len(got.Claims) != 1 {
		t.Fatalf("the look finds %+v", got)
	}
	if e, ok := previous(k); !ok || e.Reason != Expired || e.At != over {
		t.Errorf("while hooks run: %+v, %v", e, ok)
	}
	settle(t, l, Settlement{ClaimRef: ClaimRef{k.ID, "i:1"}, Verdict: Bury, Attempt: 1, Error: "bad"})
	if e, ok := previous(k); !ok || e.Reason != Expired {
		t.Errorf("in the dead set: %+v, %v", e, ok)
	}
	later := time.Now().Add(2 * time.Hour).UnixMilli()
	rdb.HSet(ctx, l.keys.end(b, k.ID), "at", later)
	drop(t, l, k.ID)
	if p := remembered(t, l, k); p.Reason != Expired || p.At != later || p.Deadline != 0 {
		t.Errorf("past: %+v", p)
	}
	rdb.Del(ctx, l.keys.session(b, k.ID))
	if _, ok := previous(k); ok {
		t.Error("something is known of a session of which nothing is left")
	}
	for _, key := range []string{l.keys.session(b, k.ID), l.keys.end(b, k.ID)} {
		overwrite(t, l, key)
		if _, ok := previous(k); ok {
			t.Errorf("something is known, although %s was overwritten", key)
		}
	}
}

// With Remember 0 nothing is left. Neither is anything where there is nothing to make a past of:
// the record was lost or overwritten, or is in a format of an earlier release.
func TestNoPast(t *testing.T) {
	t.Parallel()
	off, _ := newLedger(t)
	k, _ := ledgertest.Begin(t, off, token.Timeouts{Idle: time.Hour})
	end(t, off, k, "i:1", time.Minute)
	settle(t, off, Settlement{ClaimRef: ClaimRef{k.ID, "i:1"}})
	gone(t, off, k.ID)

	l, rdb := newRemembering(t)
	ctx := context.Background()
	for name, spoil := range map[string]func(key string){
		"lost":                 func(key string) { rdb.Del(ctx, key) },
		"overwritten":          func(key string) { overwrite(t, l, key) },
		"short":                func(key string) { rdb.Set(ctx, key, "short", 0) },
		"empty":                func(key string) { rdb.Set(ctx, key, "", 0) },
		"of an earlier format": func(key string) { rdb.SetRange(ctx, key, token.ProofLength, "\x02") },
		"a past":               func(key string) { rdb.SetRange(ctx, key, token.ProofLength, "\x06") },
	} {
		k, _ := ledgertest.Begin(t, l, token.Timeouts{Idle: time.Hour})
		fine, _ := ledgertest.BeginIn(t, l, l.Bucket(k.ID), token.Timeouts{Idle: time.Hour})
		end(t, l, k, "i:1", time.Minute)
		end(t, l, fine, "i:1", time.Minute)
		spoil(l.keys.session(l.Bucket(k.ID), k.ID))
		for i, r := range l.Settle(ctx, "i", []Settlement{{ClaimRef: ClaimRef{k.ID, "i:1"}}, {ClaimRef: ClaimRef{fine.ID, "i:1"}}}, time.Minute) {
			if r != (Settled{OK: true}) {
				t.Errorf("%s: settlement %d = %+v", name, i, r)
			}
		}
		gone(t, l, k.ID)
		remembered(t, l, fine)
	}
}

// A session that has expired before a request has prolonged it is not remembered: robots would
// fill the memory.
func TestNoPastOfAnUnconfirmedSession(t *testing.T) {
	t.Parallel()
	l, rdb := newRemembering(t)
	ctx := context.Background()
	hour, now := time.Hour.Milliseconds(), time.Now().UnixMilli()
	for name, x := range map[string]struct {
		timeouts token.Timeouts
		rotate   bool
		reason   string
		after    int64 // ms from the creation to the end
		want     bool
	}{
		"never prolonged":         {token.Timeouts{Idle: time.Hour}, false, Expired, 5 * 60_000, false},
		"prolonged":               {token.Timeouts{Idle: time.Hour}, false, Expired, hour, true},
		"prolonged long":          {token.Timeouts{Idle: time.Hour}, false, Expired, 30 * hour, true},
		"just not":                {token.Timeouts{Idle: time.Hour}, false, Expired, hour - 51, false},
		"just":                    {token.Timeouts{Idle: time.Hour}, false, Expired, hour - 50, true},
		"with a deadline":         {token.Timeouts{Idle: time.Hour, Deadline: now + 3*hour}, false, Expired, 5 * 60_000, false},
		"with it, prolonged":      {token.Timeouts{Idle: time.Hour, Deadline: now + 3*hour}, false, Expired, hour, true},
		"at its deadline":         {token.Timeouts{Idle: 4 * time.Hour, Deadline: now + 3*hour}, false, Expired, 3 * hour, true},
		"rotated, not prolonged":  {token.Timeouts{Idle: time.Hour, Deadline: now + 3*hour}, true, Expired, 5 * 60_000, false},
		"rotated, prolonged":      {token.Timeouts{Idle: time.Hour}, true, Expired, hour, true},
		"destroyed, at its start": {token.Timeouts{Idle: time.Hour}, false, "destroyed", 1, true},
		"deleted":                 {token.Timeouts{Idle: time.Hour}, false, Deleted, 1, true},
	} {
		k, packed := ledgertest.Begin(t, l, x.timeouts)
		if x.rotate {
			next := k.Rotate()
			if _, ok, err := l.Rotate(ctx, k, next, time.Minute); !ok || err != nil {
				t.Fatal(err)
			}
			k = next
		}
		rec, err := record.Unpack(packed)
		if err != nil {
			t.Fatal(err)
		}
		end(t, l, k, "i:1", time.Minute)
		rdb.HSet(ctx, l.keys.end(l.Bucket(k.ID), k.ID), "at", rec.Created+x.after, "reason", x.reason)
		settle(t, l, Settlement{ClaimRef: ClaimRef{k.ID, "i:1"}})
		if !x.want {
			gone(t, l, k.ID)
		} else if p := remembered(t, l, k); p.At != rec.Created+x.after || p.Deadline != x.timeouts.Deadline {
			t.Errorf("%s: %+v", name, p)
		}
		if t.Failed() {
			t.Fatal(name)
		}
	}
}

// An ack works when Redis is out of memory, and remembers.
func TestPastWithoutMemory(t *testing.T) {
	t.Parallel()
	rdb := redistest.Client(t, redistest.Start(t).Addr)
	l := ledgertest.Open(t, New(rdb, Config{Prefix: "p", Buckets: 4, Timeout: 10 * time.Second, Remember: time.Minute}))
	ctx := context.Background()
	k, _ := ledgertest.Begin(t, l, token.Timeouts{Idle: time.Hour})
	d, _ := ledgertest.Begin(t, l, token.Timeouts{Idle: time.Hour})
	end(t, l, k, "i:1", time.Minute)
	end(t, l, d, "i:1", time.Minute)
	settle(t, l, Settlement{ClaimRef: ClaimRef{d.ID, "i:1"}, Verdict: Bury, Attempt: 1, Error: "bad"})
	if err := rdb.ConfigSet(ctx, "maxmemory", "1").Err(); err != nil {
		t.Fatal(err)
	}
	if err := rdb.Set(ctx, "x", "y", 0).Err(); err == nil {
		t.Fatal("Redis has memory")
	}
	if !settle(t, l, Settlement{ClaimRef: ClaimRef{k.ID, "i:1"}}) || !drop(t, l, d.ID) {
		t.Error("an ack or a drop was refused")
	}
	rdb.ConfigSet(ctx, "maxmemory", "0")
	remembered(t, l, k)
	remembered(t, l, d)
}
