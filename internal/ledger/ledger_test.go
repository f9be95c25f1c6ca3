package ledger

import (
	"context"
	"errors"
	"os"
	"testing"
	"time"

	"github.com/redis/go-redis/v9"

	"github.com/gin-lifecycle/lifecycle/internal/ledger/ledgertest"
	"github.com/gin-lifecycle/lifecycle/internal/redistest"
	"github.com/gin-lifecycle/lifecycle/internal/token"
)

func TestMain(m *testing.M) { os.Exit(redistest.Run(m)) }

// A create, rotation, claim or end is sent again when its reply was lost. The second call
// finds what the first one has done, and gives the same result. A second ack changes nothing.
func TestRepeatedCallsChangeNothing(t *testing.T) {
	t.Parallel()
	l, rdb := newLedger(t)
	ctx := context.Background()
	hour := token.Timeouts{Idle: time.Hour}
	k, rec := ledgertest.Begin(t, l, hour)
	if ok, err := l.Create(ctx, k, k.Timeouts().Idle, rec); !ok || err != nil {
		t.Errorf("second Create = %v, %v, want true", ok, err)
	}
	next := k.Rotate()
	for range 2 {
		if _, ok, err := l.Rotate(ctx, k, next, 0); !ok || err != nil {
			t.Errorf("Rotate = %v, %v, want true", ok, err)
		}
	}
	lease := ClaimTerms{"i:1", time.Minute}
	for range 2 {
		c, ok, err := l.End(ctx, k.ID, next.Proof(), "why", lease)
		if err != nil || !ok || c.Reason != "why" || c.Attempt != 1 || len(c.Record) != len(rec) {
			t.Errorf("End = %+v, %v, %v, want the first attempt", c, ok, err)
		}
	}
	if _, ok, err := l.End(ctx, k.ID, next.Proof(), "again", ClaimTerms{"j:1", time.Minute}); ok || err != nil {
		t.Errorf("End under another claim = %v, %v, want false", ok, err)
	}
	if ok, err := l.Create(ctx, k, k.Timeouts().Idle, rec); ok || err != nil {
		t.Errorf("Create of a session that has ended = %v, %v, want false", ok, err)
	}
	held := ClaimRef{k.ID, "i:1"}
	if !settle(t, l, Settlement{ClaimRef: held}) {
		t.Error("the ack was refused")
	}
	if settle(t, l, Settlement{ClaimRef: held}) {
		t.Error("a second ack counts")
	}
	if n := rdb.Exists(ctx, l.keys.session(l.Bucket(k.ID), k.ID), l.keys.end(l.Bucket(k.ID), k.ID)).Val(); n != 0 {
		t.Errorf("%d keys are left of an acked session", n)
	}

	k, _ = ledgertest.Begin(t, l, hour)
	rdb.Del(ctx, l.keys.live(l.Bucket(k.ID), k.ID, k.Proof()))
	for range 2 {
		if got := look(t, l, k.ID, "i:2", Deleted); len(got.Claims) != 1 || got.Claims[0].Attempt != 1 {
			t.Errorf("Look = %+v, want one claim, of the first attempt", got)
		}
	}
}

// A look never ends a live session, whatever the hint is.
func TestLookAtALiveSession(t *testing.T) {
	t.Parallel()
	l, rdb := newLedger(t)
	k, _ := ledgertest.Begin(t, l, token.Timeouts{Idle: time.Hour})
	for _, hint := range []string{"", Expired, Evicted, Deleted} {
		if got := look(t, l, k.ID, "i:1", hint); len(got.Claims) > 0 || got.Next < l.ClockOf(k.ID).Unix()+3_000_000 {
			t.Errorf("look with hint %q = %+v, want no claim, and the session due in an hour", hint, got)
		}
	}
	// The same is true for a live key that has lost its time to live.
	rdb.Persist(context.Background(), l.keys.live(l.Bucket(k.ID), k.ID, k.Proof()))
	if got := look(t, l, k.ID, "i:1", Deleted); len(got.Claims) > 0 {
		t.Errorf("look at a session without a time to live = %+v, want no claim", got)
	}
	if got := look(t, l, token.New(token.Mark{}, token.Timeouts{}).ID, "i:1", Deleted); len(got.Claims) > 0 || got.Next != 0 {
		t.Errorf("look at a session that does not exist = %+v, want nothing", got)
	}
}

// A rotation between the reading of the proof and the look does not end the session.
func TestLookWithAnOldProof(t *testing.T) {
	t.Parallel()
	l, _ := newLedger(t)
	ctx := context.Background()
	k, _ := ledgertest.Begin(t, l, token.Timeouts{Idle: time.Hour})
	b := l.Bucket(k.ID)
	old := k.Proof()
	if _, ok, err := l.Rotate(ctx, k, k.Rotate(), 0); !ok || err != nil {
		t.Fatalf("Rotate = %v, %v", ok, err)
	}
	reply, err := lookScript.Run(ctx, l.rdb,
		[]string{l.keys.due(b), l.keys.session(b, k.ID), l.keys.live(b, k.ID, old), l.keys.end(b, k.ID), l.keys.watch(b, k.ID)},
		"i:1", 60_000, k.ID, old, Deleted).Slice()
	if err != nil {
		t.Fatalf("look.lua: %v", err)
	}
	if _, claimed := reply[1].([]any); claimed {
		t.Error("the session was ended, because its old live key is gone")
	}
	if _, _, err := l.endOnce(ctx, k.ID, old, "why", ClaimTerms{}); !errors.Is(err, errRotated) {
		t.Errorf("end with the old proof: %v, want %v", err, errRotated)
	}
}

// When another instance has taken a claim over, its old holder can do nothing with it.
func TestStaleClaim(t *testing.T) {
	t.Parallel()
	l, rdb := newLedger(t)
	ctx := context.Background()
	k, _ := ledgertest.Begin(t, l, token.Timeouts{Idle: time.Hour})
	end(t, l, k, "i:1", time.Millisecond)
	if c := claimWhenDue(t, l, k.ID, "j:1"); c.Attempt != 2 || c.Reason != "why" {
		t.Errorf("the claim that was taken over is %+v, want attempt 2", c)
	}
	stale := ClaimRef{k.ID, "i:1"}
	for _, v := range []Verdict{Ack, Release, Bury} {
		if settle(t, l, Settlement{ClaimRef: stale, Verdict: v}) {
			t.Errorf("verdict %d counts, of a claim that was taken over", v)
		}
	}
	if r := l.Renew(ctx, []ClaimRef{stale, {k.ID, "j:1"}}, time.Minute); r[0].OK || !r[1].OK || r[0].Err != nil || r[1].Err != nil {
		t.Errorf("Renew = %+v, want the second one only", r)
	}
	if got := look(t, l, k.ID, "k:1", ""); len(got.Claims) > 0 {
		t.Error("two instances have the claim at the same time")
	}
	if !settle(t, l, Settlement{ClaimRef: ClaimRef{k.ID, "j:1"}, Verdict: Bury, Attempt: 2, Error: "bad"}) {
		t.Error("the holder's Bury was refused")
	}
	b := l.Bucket(k.ID)
	if rdb.ZScore(ctx, l.keys.dead(b), k.ID).Err() != nil || rdb.ZScore(ctx, l.keys.due(b), k.ID).Err() == nil {
		t.Error("a buried end is not in the dead set, or is also in the due-index")
	}
	if n, err := l.DeadSizes(ctx, []int{b}); err != nil || n[0] != 1 {
		t.Errorf("DeadSizes = %d, %v, want 1", n, err)
	}
}

// A tombstone stays for the watchers, and is removed with the last of them.
func TestTombstone(t *testing.T) {
	t.Parallel()
	l, rdb := newLedger(t)
	ctx := context.Background()
	k, _ := ledgertest.Begin(t, l, token.Timeouts{Idle: time.Hour})
	watch(t, l, k, "i", "j", "k")
	if f := l.Fates(ctx, []string{k.ID}); f[0].Err != nil || f[0].Ended {
		t.Errorf("the fate of a live session is %+v", f)
	}
	if c := end(t, l, k, "i:1", time.Minute); len(c.Watchers) != 3 {
		t.Fatalf("claim: %+v, want 3 watchers", c)
	}
	if ok, err := l.Watch(ctx, k.ID, k.Proof(), "late"); ok || err != nil {
		t.Errorf("Watch after the end = %v, %v, want false", ok, err)
	}
	if err := l.Unwatch(ctx, "k", k.ID); err != nil {
		t.Fatalf("Unwatch: %v", err)
	}
	settle(t, l, Settlement{ClaimRef: ClaimRef{k.ID, "i:1"}})
	b := l.Bucket(k.ID)
	names := []string{l.keys.session(b, k.ID), l.keys.end(b, k.ID), l.keys.watch(b, k.ID)}
	for _, name := range names {
		if d := rdb.PTTL(ctx, name).Val(); d <= 0 || d > time.Minute {
			t.Errorf("the time to live of %s in the tombstone is %v, want a minute", name, d)
		}
	}
	if f := l.Fates(ctx, []string{k.ID}); f[0].Err != nil || !f[0].Ended || f[0].End.Reason != "why" || len(f[0].End.Record) == 0 {
		t.Errorf("the fate of the ended session is %+v", f)
	}
	if err := l.Unwatch(ctx, "j", k.ID); err != nil {
		t.Fatalf("Unwatch: %v", err)
	}
	if n := rdb.Exists(ctx, names...).Val(); n != 0 {
		t.Errorf("%d keys are left without a watcher", n)
	}
	if f := l.Fates(ctx, []string{k.ID}); f[0].Err != nil || !f[0].Ended || f[0].End.Reason != Lost {
		t.Errorf("the fate of a session without any keys is %+v, want reason %s", f, Lost)
	}
}

// Scripts that the server does not know any more are sent again, in pipelines too.
func TestForgottenScripts(t *testing.T) {
	t.Parallel()
	rdb := redistest.Client(t, redistest.Start(t).Addr)
	l := New(rdb, Config{Prefix: "p", Buckets: 4, Timeout: 10 * time.Second})
	ctx := context.Background()
	for range 3 {
		if err := l.Open(ctx); err != nil {
			t.Fatalf("Open: %v", err)
		}
		var ks []token.Token
		for range 8 {
			k, _ := ledgertest.Begin(t, l, token.Timeouts{Idle: time.Hour})
			ks = append(ks, k)
			end(t, l, k, "i:1", time.Minute)
		}
		rdb.ScriptFlush(ctx)
		var ss []Settlement
		for _, k := range ks {
			ss = append(ss, Settlement{ClaimRef: ClaimRef{k.ID, "i:1"}})
		}
		for i, r := range l.Settle(ctx, "i", ss, time.Minute) {
			if !r.OK || r.Err != nil {
				t.Errorf("settlement %d = %+v, want OK", i, r)
			}
		}
		rdb.ScriptFlush(ctx)
	}
}

// The fates of many sessions cost two round trips together.
func TestFatesInTwoRoundTrips(t *testing.T) {
	t.Parallel()
	l, _ := newLedger(t)
	ctx := context.Background()
	var ids []string
	for range 50 {
		k, _ := ledgertest.Begin(t, l, token.Timeouts{Idle: time.Hour})
		end(t, l, k, "i:1", time.Minute)
		ids = append(ids, k.ID)
	}
	trips := &trips{}
	l.rdb.AddHook(trips)
	for i, f := range l.Fates(ctx, ids) {
		if f.Err != nil || !f.Ended || f.End.ID != ids[i] || f.End.Reason != "why" || f.Claim != "i:1" || len(f.End.Record) == 0 {
			t.Errorf("fate %d = %+v", i, f)
		}
	}
	if trips.n != 2 {
		t.Errorf("%d round trips, want 2", trips.n)
	}
}

// A client that was made with ContextTimeoutEnabled is used with its hooks. The settings of
// any other client are not changed.
func TestTheCallersClient(t *testing.T) {
	t.Parallel()
	addr := redistest.Shared(t)
	rdb := redis.NewClient(&redis.Options{Addr: addr, ContextTimeoutEnabled: true})
	defer func() { _ = rdb.Close() }()
	calls := &trips{}
	rdb.AddHook(calls)
	ledgertest.Open(t, New(rdb, Config{Prefix: redistest.Prefix(), Buckets: 4, Timeout: time.Second}))
	if calls.n == 0 {
		t.Error("the client's hook was not called")
	}
	plain := redistest.Client(t, addr)
	New(plain, Config{Prefix: "p", Buckets: 4, Timeout: time.Second})
	if plain.Options().ContextTimeoutEnabled {
		t.Error("the caller's client was changed")
	}
}
