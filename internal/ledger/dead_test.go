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

	"github.com/gin-lifecycle/lifecycle/internal/ledger/ledgertest"
	"github.com/gin-lifecycle/lifecycle/internal/token"
)

// An end that is retried is due at once, the instance that looks after its bucket gets a
// message, and the next claim goes on where the last one has stopped.
func TestRetryDead(t *testing.T) {
	t.Parallel()
	l, rdb := newLedger(t)
	ctx := context.Background()
	live, _ := ledgertest.Begin(t, l, token.Timeouts{Idle: time.Hour})
	for _, id := range []string{live.ID, token.New(token.Mark{}, token.Timeouts{}).ID} {
		if retry(t, l, id) || drop(t, l, id) {
			t.Errorf("session %s was retried or dropped, though it is not in the dead set", id)
		}
	}
	if _, ok, err := l.Get(ctx, live.ID); !ok || err != nil {
		t.Errorf("Get of the live session = %v, %v, want true", ok, err)
	}

	id := bury(t, l, "i")
	sub := rdb.Subscribe(ctx, l.keys.wake(l.Bucket(id)))
	defer func() { _ = sub.Close() }()
	if _, err := sub.Receive(ctx); err != nil {
		t.Fatalf("subscribe: %v", err)
	}
	if !retry(t, l, id) || retry(t, l, id) {
		t.Error("the end was not retried, or was retried twice")
	}
	if due, dead := in(l, id); !due || dead {
		t.Errorf("a retried end is due: %v, dead: %v, want due only", due, dead)
	}
	if msg, err := sub.ReceiveTimeout(ctx, 10*time.Second); err != nil {
		t.Errorf("message on the bucket's channel: %v, %v", msg, err)
	}
	if drop(t, l, id) {
		t.Error("an end was dropped that was moved back to the due-index")
	}
	got := look(t, l, id, "j:1", "")
	if len(got.Claims) != 1 || got.Claims[0].Attempt != 4 || got.Claims[0].Done != "i:0" || got.Claims[0].Reason != "why" {
		t.Fatalf("the look at the retried end = %+v, want attempt 4 of the same end", got)
	}
	if !settle(t, l, Settlement{ClaimRef: ClaimRef{id, "j:1"}}) {
		t.Error("the ack was refused")
	}
	gone(t, l, id) // instance i, which buried the end, is no watcher any more
}

// An end that is dropped leaves nothing, or a tombstone for the other watchers.
func TestDropDead(t *testing.T) {
	t.Parallel()
	l, rdb := newLedger(t)
	ctx := context.Background()
	id := bury(t, l, "i")
	if !drop(t, l, id) || drop(t, l, id) || retry(t, l, id) {
		t.Error("the end was not dropped, was dropped twice, or could still be retried")
	}
	gone(t, l, id)

	// Another instance that does not know of the end yet finds a tombstone.
	id = bury(t, l, "i", "j")
	if !drop(t, l, id) {
		t.Fatal("the end was not dropped")
	}
	for _, name := range endedKeys(l, id) {
		if d := rdb.PTTL(ctx, name).Val(); d <= 0 || d > time.Minute {
			t.Errorf("the time to live of %s in the tombstone is %v, want a minute", name, d)
		}
	}
	if f := l.Fates(ctx, []string{id}); f[0].Err != nil || !f[0].Ended || f[0].End.Reason != "why" || len(f[0].End.Record) == 0 {
		t.Errorf("the fate of the dropped session is %+v", f)
	}
	if err := l.Unwatch(ctx, "j", id); err != nil {
		t.Fatalf("Unwatch: %v", err)
	}
	gone(t, l, id)
}

// An entry of the dead set that has no end, or whose session is in the due-index as well, is
// removed.
func TestDeadOrphans(t *testing.T) {
	t.Parallel()
	l, rdb := newLedger(t)
	ctx := context.Background()
	for name, op := range map[string]func(*testing.T, *Ledger, string) bool{"retry": retry, "drop": drop} {
		id := bury(t, l, "i", "j")
		b := l.Bucket(id)
		rdb.Del(ctx, l.keys.end(b, id))
		if op(t, l, id) {
			t.Errorf("%s of an entry without an end returns true", name)
		}
		gone(t, l, id)

		live, _ := ledgertest.Begin(t, l, token.Timeouts{Idle: time.Hour})
		rdb.ZAdd(ctx, l.keys.dead(l.Bucket(live.ID)), redis.Z{Score: 1, Member: live.ID})
		if op(t, l, live.ID) {
			t.Errorf("%s of a live session returns true", name)
		}
		if due, dead := in(l, live.ID); !due || dead {
			t.Errorf("after %s, a live session is due: %v, dead: %v, want due only", name, due, dead)
		}
		if _, ok, err := l.Get(ctx, live.ID); !ok || err != nil {
			t.Errorf("after %s, Get of the live session = %v, %v, want true", name, ok, err)
		}
	}
	for range 3 {
		id := bury(t, l)
		rdb.Del(ctx, l.keys.end(l.Bucket(id), id))
	}
	for b := range l.Buckets() {
		if n, err := l.TrimDead(ctx, b, 3, 0, time.Minute); n != 0 || err != nil {
			t.Errorf("TrimDead = %d, %v, want 0", n, err)
		}
	}
	if left, err := rdb.Keys(ctx, l.keys.prefix+":{*}:dead").Result(); len(left) > 0 || err != nil {
		t.Errorf("the dead sets that are left are %v, %v, want none", left, err)
	}
}

// readAll reads a bucket's dead set in pages of n entries, and calls between after each.
func readAll(t *testing.T, l *Ledger, b, n int, between func(page []Dead)) (ids []string) {
	t.Helper()
	last, err := l.LastDead(context.Background())
	if err != nil {
		t.Fatalf("LastDead: %v", err)
	}
	var from DeadMark
	for done := last[b] == from; !done; {
		var page []Dead
		page, from, done, err = l.ReadDead(context.Background(), b, from, last[b], n)
		if err != nil {
			t.Fatalf("ReadDead: %v", err)
		}
		for _, d := range page {
			ids = append(ids, d.ID)
		}
		if len(ids) > 1000 {
			t.Fatal("the pages do not end")
		}
		between(page)
	}
	return ids
}

// Pages miss no entry and repeat none, also if entries are removed between two pages, and if
// more entries have the same time than a page has room for.
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
				t.Errorf("in pages of %d: %v, want %v", n, got, want)
			}
		}
		// Ends that are buried between two pages are left to the next reading.
		got := readAll(t, l, 0, 3, func(page []Dead) {
			for i, d := range page {
				rdb.ZAdd(ctx, l.keys.dead(0), redis.Z{Score: float64(9_000_000 + i), Member: "later" + d.ID})
				rdb.ZAdd(ctx, l.keys.dead(0), redis.Z{Score: 9_000_000, Member: d.ID})
			}
		})
		if !slices.Equal(got, want) {
			t.Errorf("while others are buried: %v, want %v", got, want)
		}
		// Nothing is missed if everything that was read is dropped. The entries "later..."
		// have no end, and are left out.
		got = readAll(t, l, 0, 3, func(page []Dead) {
			for _, d := range page {
				drop(t, l, d.ID)
			}
		})
		slices.Sort(got)
		slices.Sort(want)
		if !slices.Equal(got, want) {
			t.Errorf("while entries are dropped: %v, want %v", got, want)
		}
	}
}

// ReadDead returns everything that is stored about a dead end.
func TestReadDeadReturnsTheEnd(t *testing.T) {
	t.Parallel()
	l, rdb := newLedger(t)
	id := bury(t, l)
	b := l.Bucket(id)
	rdb.ZAdd(context.Background(), l.keys.dead(b), redis.Z{Score: 1_800_000_000_000, Member: id})
	page, _, done, err := l.ReadDead(context.Background(), b, DeadMark{}, DeadMark{1_800_000_000_000, id}, 10)
	if err != nil || !done || len(page) != 1 {
		t.Fatalf("ReadDead = %+v, %v, %v, want one end, and no more pages", page, done, err)
	}
	d := page[0]
	if d.ID != id || d.Reason != "why" || d.Attempt != 3 || d.Error != "bad" || d.Buried != 1_800_000_000_000 || len(d.Record) == 0 || d.At == 0 || d.Left <= 0 {
		t.Errorf("the dead end is %+v", d)
	}
}

// TrimDead drops the oldest ends, those that it has read and no others, and never so many
// that fewer than the limit are left.
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
			t.Errorf("TrimDead of %d entries to %d = %d, %v, want %d", size, limit, n, err, want)
		}
	}
	trim(all, all, 0)
	trim(all, 5, all-5)
	trim(all, 5, 0) // as another instance does that has read the size before the first trim
	for _, id := range ids[:all-5] {
		gone(t, l, id)
	}
	left, err := rdb.ZRange(ctx, l.keys.dead(0), 0, -1).Result()
	if err != nil || !slices.Equal(left, ids[all-5:]) {
		t.Fatalf("%v are left, %v, want the last five", left, err)
	}

	// After a trim has read the oldest ends, one of them is retried, and another one is
	// retried and buried again.
	rdb.ZAdd(ctx, l.keys.dead(0), redis.Z{Score: 9_000_000, Member: left[0]})
	if !retry(t, l, left[1]) {
		t.Fatal("the end was not retried")
	}
	if n, err := l.drop(ctx, 0, left[:3], 1, "5000", time.Minute); n != 1 || err != nil {
		t.Errorf("drop = %d, %v, want 1", n, err)
	}
	if due, dead := in(l, left[0]); due || !dead {
		t.Errorf("the end that was buried again is due: %v, dead: %v, want dead only", due, dead)
	}
	if due, dead := in(l, left[1]); !due || dead {
		t.Errorf("the end that was retried is due: %v, dead: %v, want due only", due, dead)
	}
	gone(t, l, left[2])
}

// errorText cuts a long text, and never within a rune.
func TestErrorText(t *testing.T) {
	t.Parallel()
	for i := range 4 {
		long := strings.Repeat("x", i) + strings.Repeat("\U0001F480", 1000)
		got := errorText(long)
		if len(got) > MaxErrorText || len(got) <= MaxErrorText-utf8.UTFMax || !utf8.ValidString(got) || !strings.HasPrefix(long, got) {
			t.Errorf("the text has %d bytes and ends with %q", len(got), got[len(got)-8:])
		}
	}
	if got := errorText(strings.Repeat("\x80", 5000)); len(got) < MaxErrorText-utf8.UTFMax || len(got) > MaxErrorText {
		t.Errorf("of bytes that are no text, %d are kept", len(got))
	}
	if got := errorText("short"); got != "short" {
		t.Errorf("a short text became %q", got)
	}
}

// When a claim is released and no hook has run, the text of the last error stays.
func TestReleaseKeepsTheLastError(t *testing.T) {
	t.Parallel()
	l, rdb := newLedger(t)
	ctx := context.Background()
	k, _ := ledgertest.Begin(t, l, token.Timeouts{Idle: time.Hour})
	end(t, l, k, "i:1", time.Minute)
	text := fmt.Sprint("bad ", strings.Repeat("x", 2*MaxErrorText))
	for i, s := range []Settlement{{Attempt: 1, Error: text}, {Attempt: 1}} {
		s.ClaimRef, s.Verdict = ClaimRef{k.ID, fmt.Sprintf("i:%d", i+1)}, Release
		if !settle(t, l, s) {
			t.Fatal("the holder's Release was refused")
		}
		if got := rdb.HGet(ctx, l.keys.end(l.Bucket(k.ID), k.ID), "error").Val(); got != text[:MaxErrorText] {
			t.Errorf("after release %d the error has %d bytes, want the first %d", i+1, len(got), MaxErrorText)
		}
		claimWhenDue(t, l, k.ID, "i:2")
	}
}
