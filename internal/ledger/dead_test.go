package ledger

import (
	"context"
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"
	"unicode/utf8"

	"github.com/redis/go-redis/v9"

	"github.com/gin-lifecycle/lifecycle/internal/token"
)

// bury begins a session, with these watchers, and buries its end as instance i.
func bury(t *testing.T, l *Ledger, watchers ...string) (id string) {
	t.Helper()
	ctx := context.Background()
	k, _ := begin(t, l, token.Timeouts{Idle: time.Hour})
	for _, w := range watchers {
		if ok, err := l.Watch(ctx, k.ID, k.Proof(), w); !ok || err != nil {
			t.Fatal(ok, err)
		}
	}
	if _, ok, err := l.End(ctx, k.ID, k.Proof(), "why", ClaimTerms{"i:1", time.Minute}); !ok || err != nil {
		t.Fatal(ok, err)
	}
	if !settle(t, l, Settlement{ClaimRef: ClaimRef{k.ID, "i:1"}, Verdict: Bury, Attempt: 3, Done: "i:0", Error: "bad"}) {
		t.Fatal("bury refused")
	}
	return k.ID
}

// names returns the keys of a session that has ended.
func names(l *Ledger, id string) []string {
	b := l.Bucket(id)
	return []string{l.keys.session(b, id), l.keys.end(b, id), l.keys.watch(b, id)}
}

func gone(t *testing.T, l *Ledger, id string) {
	t.Helper()
	ctx, b := context.Background(), l.Bucket(id)
	if n := l.rdb.Exists(ctx, names(l, id)...).Val(); n != 0 {
		t.Errorf("%d keys are left", n)
	}
	for _, set := range []string{l.keys.due(b), l.keys.dead(b)} {
		if l.rdb.ZScore(ctx, set, id).Err() == nil {
			t.Errorf("an entry is left in %s", set)
		}
	}
}

// in tells in which of due-index and dead set an end is.
func in(l *Ledger, id string) (due, dead bool) {
	ctx, b := context.Background(), l.Bucket(id)
	return l.rdb.ZScore(ctx, l.keys.due(b), id).Err() == nil, l.rdb.ZScore(ctx, l.keys.dead(b), id).Err() == nil
}

func drop(t *testing.T, l *Ledger, id string) bool {
	t.Helper()
	ok, err := l.DropDead(context.Background(), id, time.Minute)
	if err != nil {
		t.Fatal(err)
	}
	return ok
}

func retry(t *testing.T, l *Ledger, id string) bool {
	t.Helper()
	ok, err := l.RetryDead(context.Background(), id)
	if err != nil {
		t.Fatal(err)
	}
	return ok
}

// A retried end is due at once, its keeper hears of it, and the next claim goes
// on where the last has stopped.
func TestRetryDead(t *testing.T) {
	t.Parallel()
	l, rdb := newLedger(t)
	ctx := context.Background()
	live, _ := begin(t, l, token.Timeouts{Idle: time.Hour})
	for _, id := range []string{live.ID, token.New(token.Mark{}, token.Timeouts{}).ID} {
		if retry(t, l, id) || drop(t, l, id) {
			t.Errorf("retried or dropped what is not dead: %s", id)
		}
	}
	if _, ok, err := l.Get(ctx, live.ID); !ok || err != nil {
		t.Errorf("the live session: %v, %v", ok, err)
	}

	id := bury(t, l, "i")
	sub := rdb.Subscribe(ctx, l.keys.wake(l.Bucket(id)))
	defer func() { _ = sub.Close() }()
	if _, err := sub.Receive(ctx); err != nil {
		t.Fatal(err)
	}
	if !retry(t, l, id) || retry(t, l, id) {
		t.Error("not retried, or twice")
	}
	if due, dead := in(l, id); !due || dead {
		t.Errorf("due %v, dead %v", due, dead)
	}
	if msg, err := sub.ReceiveTimeout(ctx, 10*time.Second); err != nil {
		t.Errorf("no message: %v, %v", msg, err)
	}
	if drop(t, l, id) {
		t.Error("dropped what was moved back")
	}
	got := look(t, l, id, "j:1", "")
	if len(got.Claims) != 1 || got.Claims[0].Attempt != 4 || got.Claims[0].Done != "i:0" || got.Claims[0].Reason != "why" {
		t.Fatalf("claim: %+v", got)
	}
	if !settle(t, l, Settlement{ClaimRef: ClaimRef{id, "j:1"}}) {
		t.Error("ack refused")
	}
	gone(t, l, id) // the watcher that buried it too
}

func TestDropDead(t *testing.T) {
	t.Parallel()
	l, rdb := newLedger(t)
	ctx := context.Background()
	id := bury(t, l, "i")
	if !drop(t, l, id) || drop(t, l, id) || retry(t, l, id) {
		t.Error("not dropped, or twice, or retried after all")
	}
	gone(t, l, id)

	// Another instance that has not asked yet finds a tombstone.
	id = bury(t, l, "i", "j")
	if !drop(t, l, id) {
		t.Fatal("not dropped")
	}
	for _, name := range names(l, id) {
		if d := rdb.PTTL(ctx, name).Val(); d <= 0 || d > time.Minute {
			t.Errorf("tombstone %s lives for %v", name, d)
		}
	}
	if f := l.Fates(ctx, []string{id}); f[0].Err != nil || !f[0].Ended || f[0].End.Reason != "why" || len(f[0].End.Record) == 0 {
		t.Errorf("fate: %+v", f)
	}
	if err := l.Unwatch(ctx, "j", id); err != nil {
		t.Fatal(err)
	}
	gone(t, l, id)
}

// An entry without an end, or of an end that is due as well, is taken out.
func TestDeadOrphans(t *testing.T) {
	t.Parallel()
	l, rdb := newLedger(t)
	ctx := context.Background()
	for name, op := range map[string]func(*testing.T, *Ledger, string) bool{"retry": retry, "drop": drop} {
		id := bury(t, l, "i", "j")
		b := l.Bucket(id)
		rdb.Del(ctx, l.keys.end(b, id))
		if op(t, l, id) {
			t.Errorf("%s of an entry without an end", name)
		}
		gone(t, l, id)

		live, _ := begin(t, l, token.Timeouts{Idle: time.Hour})
		rdb.ZAdd(ctx, l.keys.dead(l.Bucket(live.ID)), redis.Z{Score: 1, Member: live.ID})
		if op(t, l, live.ID) {
			t.Errorf("%s of a live session", name)
		}
		if due, dead := in(l, live.ID); !due || dead {
			t.Errorf("%s of a live session: due %v, dead %v", name, due, dead)
		}
		if _, ok, err := l.Get(ctx, live.ID); !ok || err != nil {
			t.Errorf("%s: the live session: %v, %v", name, ok, err)
		}
	}
	for range 3 {
		id := bury(t, l)
		rdb.Del(ctx, l.keys.end(l.Bucket(id), id))
	}
	for b := range l.Buckets() {
		if n, err := l.TrimDead(ctx, b, 3, 0, time.Minute); n != 0 || err != nil {
			t.Errorf("dropped: %d, %v", n, err)
		}
	}
	if left, err := rdb.Keys(ctx, l.keys.prefix+":{*}:dead").Result(); len(left) > 0 || err != nil {
		t.Errorf("left: %v, %v", left, err)
	}
}

// readAll reads a bucket's dead set page by page; between is called after each.
func readAll(t *testing.T, l *Ledger, b, n int, between func(page []Dead)) (ids []string) {
	t.Helper()
	last, err := l.LastDead(context.Background())
	if err != nil {
		t.Fatal(err)
	}
	var from DeadMark
	for done := last[b] == from; !done; {
		var page []Dead
		page, from, done, err = l.ReadDead(context.Background(), b, from, last[b], n)
		if err != nil {
			t.Fatal(err)
		}
		for _, d := range page {
			ids = append(ids, d.ID)
		}
		if len(ids) > 1000 {
			t.Fatal("no end of it")
		}
		between(page)
	}
	return ids
}

// Pages miss nothing and repeat nothing, with whatever is taken out between
// them, and with more entries of one millisecond than a page has.
func TestReadDead(t *testing.T) {
	t.Parallel()
	for _, sameTime := range []bool{false, true} {
		l, rdb := newLedger(t)
		l.keys = newKeys(l.keys.prefix, 1)
		ctx := context.Background()
		var want []string
		for i := range 11 {
			id := bury(t, l)
			want = append(want, id)
			if at := float64(1000 + i); sameTime {
				rdb.ZAdd(ctx, l.keys.dead(0), redis.Z{Score: 1000, Member: id})
			} else {
				rdb.ZAdd(ctx, l.keys.dead(0), redis.Z{Score: at, Member: id})
			}
		}
		if sameTime {
			slices.Sort(want)
		}
		for n := 2; n < 13; n++ {
			if got := readAll(t, l, 0, n, func([]Dead) {}); !slices.Equal(got, want) {
				t.Errorf("pages of %d: %v, want %v", n, got, want)
			}
		}
		// What is buried meanwhile is left to the next reading.
		got := readAll(t, l, 0, 3, func(page []Dead) {
			for i, d := range page {
				rdb.ZAdd(ctx, l.keys.dead(0), redis.Z{Score: float64(9_000_000 + i), Member: "later" + d.ID})
				rdb.ZAdd(ctx, l.keys.dead(0), redis.Z{Score: 9_000_000, Member: d.ID})
			}
		})
		if !slices.Equal(got, want) {
			t.Errorf("buried meanwhile: %v, want %v", got, want)
		}
		// Nor is anything missed where all that was read is taken out, and the
		// "later" entries have no end.
		got = readAll(t, l, 0, 3, func(page []Dead) {
			for _, d := range page {
				drop(t, l, d.ID)
			}
		})
		slices.Sort(got)
		slices.Sort(want)
		if !slices.Equal(got, want) {
			t.Errorf("dropped meanwhile: %v, want %v", got, want)
		}
	}
}

func TestReadDeadTellsTheEnd(t *testing.T) {
	t.Parallel()
	l, rdb := newLedger(t)
	id := bury(t, l)
	b := l.Bucket(id)
	rdb.ZAdd(context.Background(), l.keys.dead(b), redis.Z{Score: 1_800_000_000_000, Member: id})
	page, _, done, err := l.ReadDead(context.Background(), b, DeadMark{}, DeadMark{1_800_000_000_000, id}, 10)
	if err != nil || !done || len(page) != 1 {
		t.Fatalf("%+v, %v, %v", page, done, err)
	}
	d := page[0]
	if d.ID != id || d.Reason != "why" || d.Attempt != 3 || d.Error != "bad" || d.Buried != 1_800_000_000_000 || len(d.Record) == 0 || d.At == 0 || d.Left <= 0 {
		t.Errorf("dead end: %+v", d)
	}
}

// A trim drops the oldest, by name, and never more than there are too many.
func TestTrimDead(t *testing.T) {
	t.Parallel()
	l, rdb := newLedger(t)
	l.keys = newKeys(l.keys.prefix, 1)
	ctx := context.Background()
	const all = trimBatch + 10
	ids := make([]string, all)
	for i := range ids {
		ids[i] = bury(t, l)
		rdb.ZAdd(ctx, l.keys.dead(0), redis.Z{Score: float64(1000 + i), Member: ids[i]})
	}
	trim := func(size, limit int64, want int) {
		t.Helper()
		if n, err := l.TrimDead(ctx, 0, size, limit, time.Minute); n != want || err != nil {
			t.Errorf("dropped: %d, %v, want %d", n, err, want)
		}
	}
	trim(all, all, 0)
	trim(all, 5, all-5)
	trim(all, 5, 0) // another instance, which counted before the first one trimmed
	for _, id := range ids[:all-5] {
		gone(t, l, id)
	}
	left, err := rdb.ZRange(ctx, l.keys.dead(0), 0, -1).Result()
	if err != nil || !slices.Equal(left, ids[all-5:]) {
		t.Fatalf("left: %v, %v", left, err)
	}

	// One of those that a trim has read was retried, and one has come back since.
	rdb.ZAdd(ctx, l.keys.dead(0), redis.Z{Score: 9_000_000, Member: left[0]})
	if !retry(t, l, left[1]) {
		t.Fatal("not retried")
	}
	if n, err := l.drop(ctx, 0, left[:3], 1, "5000", time.Minute); n != 1 || err != nil {
		t.Errorf("dropped: %d, %v", n, err)
	}
	if due, dead := in(l, left[0]); due || !dead {
		t.Errorf("the one that came back: due %v, dead %v", due, dead)
	}
	if due, dead := in(l, left[1]); !due || dead {
		t.Errorf("the one that was retried: due %v, dead %v", due, dead)
	}
	gone(t, l, left[2])
}

func TestErrorText(t *testing.T) {
	t.Parallel()
	for i := range 4 {
		long := strings.Repeat("x", i) + strings.Repeat("\U0001F480", 1000)
		got := errorText(long)
		if len(got) > MaxErrorText || len(got) <= MaxErrorText-utf8.UTFMax || !utf8.ValidString(got) || !strings.HasPrefix(long, got) {
			t.Errorf("%d bytes: %q", len(got), got[len(got)-8:])
		}
	}
	if got := errorText(strings.Repeat("\x80", 5000)); len(got) < MaxErrorText-utf8.UTFMax || len(got) > MaxErrorText {
		t.Errorf("no text at all: %d bytes", len(got))
	}
	if got := errorText("short"); got != "short" {
		t.Errorf("%q", got)
	}
}

// A claim that is given back without having run any hook leaves the last error.
func TestReleaseKeepsTheLastError(t *testing.T) {
	t.Parallel()
	l, rdb := newLedger(t)
	ctx := context.Background()
	k, _ := begin(t, l, token.Timeouts{Idle: time.Hour})
	if _, ok, err := l.End(ctx, k.ID, k.Proof(), "why", ClaimTerms{"i:1", time.Minute}); !ok || err != nil {
		t.Fatal(ok, err)
	}
	text := fmt.Sprint("bad ", strings.Repeat("x", 2*MaxErrorText))
	for i, s := range []Settlement{{Attempt: 1, Error: text}, {Attempt: 1}} {
		s.ClaimRef, s.Verdict = ClaimRef{k.ID, fmt.Sprintf("i:%d", i+1)}, Release
		if !settle(t, l, s) {
			t.Fatal("release refused")
		}
		if got := rdb.HGet(ctx, l.keys.end(l.Bucket(k.ID), k.ID), "error").Val(); got != text[:MaxErrorText] {
			t.Errorf("error: %d bytes", len(got))
		}
		for len(look(t, l, k.ID, "i:2", "").Claims) == 0 { // until it is due
		}
	}
}
