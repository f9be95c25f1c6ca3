package ledger

import (
	"context"
	"crypto/rand"
	"errors"
	"os"
	"strings"
	"testing"
	"time"

	"github.com/redis/go-redis/v9"

	"github.com/gin-lifecycle/lifecycle/internal/record"
	"github.com/gin-lifecycle/lifecycle/internal/redistest"
	"github.com/gin-lifecycle/lifecycle/internal/token"
)

func TestMain(m *testing.M) { os.Exit(redistest.Run(m)) }

func newLedger(t *testing.T) (*Ledger, *redis.Client) {
	t.Helper()
	rdb := redistest.Client(t, redistest.Shared(t))
	l := New(rdb, Config{Prefix: "t" + strings.ToLower(rand.Text()[:10]), Buckets: 4, Timeout: 10 * time.Second})
	if err := l.Open(context.Background()); err != nil {
		t.Fatal(err)
	}
	return l, rdb
}

func begin(t *testing.T, l *Ledger, timeouts token.Timeouts) (token.Token, []byte) {
	t.Helper()
	k := token.New(token.Mark{}, timeouts)
	rec := record.Pack(record.Record{Proof: k.Proof(), Created: l.ClockOf(k.ID).Unix(), Timeouts: timeouts, Values: []byte("v")})
	ok, err := l.Create(context.Background(), k, timeouts.Idle, rec)
	if err != nil || !ok {
		t.Fatalf("create: %v, %v", ok, err)
	}
	return k, rec
}

func look(t *testing.T, l *Ledger, id, claim, hint string) Looked {
	t.Helper()
	found, err := l.Look(context.Background(), []int{l.Bucket(id)}, [][]Suspect{{{ID: id, Hint: hint}}}, ClaimTerms{claim, time.Minute})
	if err != nil {
		t.Fatal(err)
	}
	return found[0]
}

func settle(t *testing.T, l *Ledger, s Settlement) bool {
	t.Helper()
	r := l.Settle(context.Background(), "i", []Settlement{s}, time.Minute)[0]
	if r.Err != nil {
		t.Fatal(r.Err)
	}
	return r.OK
}

// A create, a claim, an end or an ack whose reply was lost is sent again: the
// second time finds what the first has done.
func TestRepeatedCallsChangeNothing(t *testing.T) {
	t.Parallel()
	l, rdb := newLedger(t)
	ctx := context.Background()
	hour := token.Timeouts{Idle: time.Hour}
	k, rec := begin(t, l, hour)
	if ok, err := l.Create(ctx, k, k.Timeouts().Idle, rec); !ok || err != nil {
		t.Errorf("create again: %v, %v", ok, err)
	}
	next := k.Rotate()
	for range 2 {
		if _, ok, err := l.Rotate(ctx, k, next, 0); !ok || err != nil {
			t.Errorf("rotate: %v, %v", ok, err)
		}
	}
	lease := ClaimTerms{"i:1", time.Minute}
	for range 2 {
		c, ok, err := l.End(ctx, k.ID, next.Proof(), "why", lease)
		if err != nil || !ok || c.Reason != "why" || c.Attempt != 1 || len(c.Record) != len(rec) {
			t.Errorf("end: %+v, %v, %v", c, ok, err)
		}
	}
	if _, ok, err := l.End(ctx, k.ID, next.Proof(), "again", ClaimTerms{"j:1", time.Minute}); ok || err != nil {
		t.Errorf("another's end: %v, %v", ok, err)
	}
	if ok, err := l.Create(ctx, k, k.Timeouts().Idle, rec); ok || err != nil {
		t.Errorf("create over an ended session: %v, %v", ok, err)
	}
	held := ClaimRef{k.ID, "i:1"}
	if !settle(t, l, Settlement{ClaimRef: held}) {
		t.Error("ack refused")
	}
	if settle(t, l, Settlement{ClaimRef: held}) {
		t.Error("acked twice")
	}
	if n := rdb.Exists(ctx, l.keys.session(l.Bucket(k.ID), k.ID), l.keys.end(l.Bucket(k.ID), k.ID)).Val(); n != 0 {
		t.Error("something is left of an acked session")
	}

	k, _ = begin(t, l, hour)
	rdb.Del(ctx, l.keys.live(l.Bucket(k.ID), k.ID, k.Proof()))
	for range 2 {
		if got := look(t, l, k.ID, "i:2", Deleted); len(got.Claims) != 1 || got.Claims[0].Attempt != 1 {
			t.Errorf("claim: %+v", got)
		}
	}
}

// A look never ends a live session, whatever the hint.
func TestLookAtALiveSession(t *testing.T) {
	t.Parallel()
	l, rdb := newLedger(t)
	k, _ := begin(t, l, token.Timeouts{Idle: time.Hour})
	for _, hint := range []string{"", Expired, Evicted, Deleted} {
		if got := look(t, l, k.ID, "i:1", hint); len(got.Claims) > 0 || got.Next < l.ClockOf(k.ID).Unix()+3_000_000 {
			t.Errorf("hint %q: %+v", hint, got)
		}
	}
	// Nor a session whose live key lost its time to live.
	rdb.Persist(context.Background(), l.keys.live(l.Bucket(k.ID), k.ID, k.Proof()))
	if got := look(t, l, k.ID, "i:1", Deleted); len(got.Claims) > 0 {
		t.Errorf("persisted: %+v", got)
	}
	if got := look(t, l, token.New(token.Mark{}, token.Timeouts{}).ID, "i:1", Deleted); len(got.Claims) > 0 || got.Next != 0 {
		t.Errorf("unknown session: %+v", got)
	}
}

// A rotation between reading the proof and the look is no end.
func TestLookWithAnOldProof(t *testing.T) {
	t.Parallel()
	l, _ := newLedger(t)
	ctx := context.Background()
	k, _ := begin(t, l, token.Timeouts{Idle: time.Hour})
	b := l.Bucket(k.ID)
	old := k.Proof()
	if _, ok, err := l.Rotate(ctx, k, k.Rotate(), 0); !ok || err != nil {
		t.Fatal(ok, err)
	}
	reply, err := lookScript.Run(ctx, l.rdb,
		[]string{l.keys.due(b), l.keys.session(b, k.ID), l.keys.live(b, k.ID, old), l.keys.end(b, k.ID), l.keys.watch(b, k.ID)},
		"i:1", 60_000, k.ID, old, Deleted).Slice()
	if err != nil {
		t.Fatal(err)
	}
	if _, claimed := reply[1].([]any); claimed {
		t.Error("ended by the old live key's absence")
	}
	if _, _, err := l.endOnce(ctx, k.ID, old, "why", ClaimTerms{}); !errors.Is(err, errRotated) {
		t.Errorf("end with the old proof: %v", err)
	}
}

// The holder of a lapsed claim can do nothing once another has taken it over.
func TestStaleClaim(t *testing.T) {
	t.Parallel()
	l, rdb := newLedger(t)
	ctx := context.Background()
	k, _ := begin(t, l, token.Timeouts{Idle: time.Hour})
	if _, ok, err := l.End(ctx, k.ID, k.Proof(), "why", ClaimTerms{"i:1", time.Millisecond}); !ok || err != nil {
		t.Fatal(ok, err)
	}
	var taken Looked
	for len(taken.Claims) == 0 { // until the lease is over
		taken = look(t, l, k.ID, "j:1", "")
	}
	if c := taken.Claims[0]; c.Attempt != 2 || c.Reason != "why" {
		t.Errorf("taken over: %+v", c)
	}
	stale := ClaimRef{k.ID, "i:1"}
	for _, v := range []Verdict{Ack, Release, Bury} {
		if settle(t, l, Settlement{ClaimRef: stale, Verdict: v}) {
			t.Errorf("verdict %d of a stale claim counts", v)
		}
	}
	if r := l.Renew(ctx, []ClaimRef{stale, {k.ID, "j:1"}}, time.Minute); r[0].OK || !r[1].OK || r[0].Err != nil || r[1].Err != nil {
		t.Errorf("renew: %+v", r)
	}
	if got := look(t, l, k.ID, "k:1", ""); len(got.Claims) > 0 {
		t.Error("claimed twice at a time")
	}
	if !settle(t, l, Settlement{ClaimRef: ClaimRef{k.ID, "j:1"}, Verdict: Bury, Attempt: 2, Error: "bad"}) {
		t.Error("bury refused")
	}
	b := l.Bucket(k.ID)
	if rdb.ZScore(ctx, l.keys.dead(b), k.ID).Err() != nil || rdb.ZScore(ctx, l.keys.due(b), k.ID).Err() == nil {
		t.Error("a buried end is not in the dead set alone")
	}
	if n, err := l.DeadSizes(ctx, []int{b}); err != nil || n[0] != 1 {
		t.Errorf("dead: %d, %v", n, err)
	}
}

// Tombstones stay for watchers and go with the last of them.
func TestTombstone(t *testing.T) {
	t.Parallel()
	l, rdb := newLedger(t)
	ctx := context.Background()
	k, _ := begin(t, l, token.Timeouts{Idle: time.Hour})
	for _, w := range []string{"i", "j", "k"} {
		if ok, err := l.Watch(ctx, k.ID, k.Proof(), w); !ok || err != nil {
			t.Fatal(ok, err)
		}
	}
	if f := l.Fates(ctx, []string{k.ID}); f[0].Err != nil || f[0].Ended {
		t.Errorf("fate of a live session: %+v", f)
	}
	c, _, err := l.End(ctx, k.ID, k.Proof(), "why", ClaimTerms{"i:1", time.Minute})
	if err != nil || len(c.Watchers) != 3 {
		t.Fatalf("%+v, %v", c, err)
	}
	if ok, err := l.Watch(ctx, k.ID, k.Proof(), "late"); ok || err != nil {
		t.Errorf("watch after the end: %v, %v", ok, err)
	}
	if err := l.Unwatch(ctx, "k", k.ID); err != nil {
		t.Fatal(err)
	}
	settle(t, l, Settlement{ClaimRef: ClaimRef{k.ID, "i:1"}})
	b := l.Bucket(k.ID)
	names := []string{l.keys.session(b, k.ID), l.keys.end(b, k.ID), l.keys.watch(b, k.ID)}
	for _, name := range names {
		if d := rdb.PTTL(ctx, name).Val(); d <= 0 || d > time.Minute {
			t.Errorf("tombstone %s lives for %v", name, d)
		}
	}
	if f := l.Fates(ctx, []string{k.ID}); f[0].Err != nil || !f[0].Ended || f[0].End.Reason != "why" || len(f[0].End.Record) == 0 {
		t.Errorf("fate: %+v", f)
	}
	if err := l.Unwatch(ctx, "j", k.ID); err != nil {
		t.Fatal(err)
	}
	if n := rdb.Exists(ctx, names...).Val(); n != 0 {
		t.Errorf("%d keys left", n)
	}
	if f := l.Fates(ctx, []string{k.ID}); f[0].Err != nil || !f[0].Ended || f[0].End.Reason != Lost {
		t.Errorf("fate of an unknown session: %+v", f)
	}
}

// Scripts forgotten by the server are sent again, in pipelines too.
func TestForgottenScripts(t *testing.T) {
	t.Parallel()
	rdb := redistest.Client(t, redistest.Start(t).Addr)
	l := New(rdb, Config{Prefix: "p", Buckets: 4, Timeout: 10 * time.Second})
	ctx := context.Background()
	for range 3 {
		if err := l.Open(ctx); err != nil {
			t.Fatal(err)
		}
		var ks []token.Token
		for range 8 {
			k, _ := begin(t, l, token.Timeouts{Idle: time.Hour})
			ks = append(ks, k)
			if _, _, err := l.End(ctx, k.ID, k.Proof(), "why", ClaimTerms{"i:1", time.Minute}); err != nil {
				t.Fatal(err)
			}
		}
		rdb.ScriptFlush(ctx)
		var ss []Settlement
		for _, k := range ks {
			ss = append(ss, Settlement{ClaimRef: ClaimRef{k.ID, "i:1"}})
		}
		for i, r := range l.Settle(ctx, "i", ss, time.Minute) {
			if !r.OK || r.Err != nil {
				t.Errorf("settlement %d: %+v", i, r)
			}
		}
		rdb.ScriptFlush(ctx)
	}
}

// Many fates cost two round trips, not one each.
func TestFatesInTwoRoundTrips(t *testing.T) {
	t.Parallel()
	l, _ := newLedger(t)
	ctx := context.Background()
	var ids []string
	for range 50 {
		k, _ := begin(t, l, token.Timeouts{Idle: time.Hour})
		if _, _, err := l.End(ctx, k.ID, k.Proof(), "why", ClaimTerms{"i:1", time.Minute}); err != nil {
			t.Fatal(err)
		}
		ids = append(ids, k.ID)
	}
	trips := &trips{}
	l.rdb.AddHook(trips)
	for i, f := range l.Fates(ctx, ids) {
		if f.Err != nil || !f.Ended || f.End.ID != ids[i] || f.End.Reason != "why" || f.Claim != "i:1" || len(f.End.Record) == 0 {
			t.Errorf("fate: %+v", f)
		}
	}
	if trips.n != 2 {
		t.Errorf("%d round trips", trips.n)
	}
}

// trips counts round trips.
type trips struct{ n int }

func (h *trips) DialHook(next redis.DialHook) redis.DialHook { return next }
func (h *trips) ProcessHook(next redis.ProcessHook) redis.ProcessHook {
	return func(ctx context.Context, cmd redis.Cmder) error { h.n++; return next(ctx, cmd) }
}
func (h *trips) ProcessPipelineHook(next redis.ProcessPipelineHook) redis.ProcessPipelineHook {
	return func(ctx context.Context, cmds []redis.Cmder) error { h.n++; return next(ctx, cmds) }
}

// A client made with ContextTimeoutEnabled keeps its hooks; another one's
// settings stay as they are.
func TestTheCallersClient(t *testing.T) {
	t.Parallel()
	addr := redistest.Shared(t)
	rdb := redis.NewClient(&redis.Options{Addr: addr, ContextTimeoutEnabled: true})
	defer func() { _ = rdb.Close() }()
	seen := &trips{}
	rdb.AddHook(seen)
	l := New(rdb, Config{Prefix: "t" + strings.ToLower(rand.Text()[:10]), Buckets: 4, Timeout: time.Second})
	if err := l.Open(context.Background()); err != nil {
		t.Fatal(err)
	}
	if seen.n == 0 {
		t.Error("the hook has seen nothing")
	}
	plain := redistest.Client(t, addr)
	New(plain, Config{Prefix: "p", Buckets: 4, Timeout: time.Second})
	if plain.Options().ContextTimeoutEnabled {
		t.Error("the caller's client was changed")
	}
}

// Only keys of live sessions are taken for such, and only in their own bucket.
func TestParseLive(t *testing.T) {
	t.Parallel()
	k := newKeys("p", 16)
	id := token.New(token.Mark{}, token.Timeouts{}).ID
	b := k.bucket(id)
	good := k.live(b, id, "proof")
	if got, ok := k.parseLive(good); !ok || got != id {
		t.Errorf("%s: %s %v", good, got, ok)
	}
	for _, bad := range []string{
		"", "p", "x" + good, strings.Replace(good, "live", "session", 1), k.live((b+1)%16, id, "proof"),
		k.live(b, id[1:], "proof"), k.live(b, id[1:]+"*", "proof"), "p:{}:live:" + id + ":x", k.buckets[b] + "live:" + id,
		good + strings.Repeat("x", token.ProofLength+token.ProofLength),
	} {
		if _, ok := k.parseLive(bad); ok {
			t.Errorf("%q is a live key", bad)
		}
	}
}

// The estimate follows the server's clock and keeps the better sample.
func TestClock(t *testing.T) {
	t.Parallel()
	now := time.Unix(1000, 0)
	c := &Clock{now: func() time.Time { return now }}
	if c.Unix() != 0 || c.Age() < time.Hour {
		t.Error("a clock without a sample tells the time")
	}
	sent := now
	now = now.Add(2 * time.Millisecond)
	c.Sample(5_000_000, sent)
	now = now.Add(100 * time.Millisecond)
	if got := c.Unix(); got != 5_000_101 {
		t.Errorf("%d", got)
	}
	if got := c.Until(5_000_201); got != 99*time.Millisecond+time.Millisecond/1 && got != 100*time.Millisecond {
		t.Errorf("until: %v", got)
	}
	sent = now
	now = now.Add(5 * time.Second) // a reply that was long on its way
	c.Sample(5_000_150, sent)
	if got := c.Unix(); got != 5_005_101 {
		t.Errorf("a bad sample was taken: %d", got)
	}
	now = now.Add(time.Minute)
	sent = now
	now = now.Add(time.Second)
	c.Sample(6_000_000, sent) // better than one that old
	if got := c.Unix(); got != 6_000_500 {
		t.Errorf("%d", got)
	}
}
