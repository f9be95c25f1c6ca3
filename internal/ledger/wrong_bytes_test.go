package ledger

import (
	"context"
	"fmt"
	"math"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/redis/go-redis/v9"

	"github.com/gin-lifecycle/lifecycle/internal/ledger/ledgertest"
	"github.com/gin-lifecycle/lifecycle/internal/token"
)

// An end into which something else has written can be claimed, settled and read like any
// other. What lifecycle cannot have written counts as not known.
func TestWrongBytesInAnEnd(t *testing.T) {
	t.Parallel()
	long := strings.Repeat("x", 2*maxReason)
	for name, c := range map[string]struct {
		fields []any
		want   End // as it is claimed
	}{
		"nothing but a reason":  {[]any{"reason", "r"}, End{Reason: "r", Attempt: 1, Left: -1}},
		"an attempt of letters": {[]any{"reason", "r", "at", 5, "left", 7, "attempt", "x"}, End{Reason: "r", Attempt: 1, At: 5, Left: 7}},
		"an empty attempt":      {[]any{"reason", "r", "at", 5, "left", 7, "attempt", ""}, End{Reason: "r", Attempt: 1, At: 5, Left: 7}},
		"a negative attempt":    {[]any{"reason", "r", "attempt", -5}, End{Reason: "r", Attempt: 1, Left: -1}},
		"an attempt of NaN":     {[]any{"reason", "r", "attempt", "nan"}, End{Reason: "r", Attempt: 1, Left: -1}},
		"an infinite attempt":   {[]any{"reason", "r", "attempt", "inf"}, End{Reason: "r", Attempt: 1, Left: -1}},
		"a huge attempt":        {[]any{"reason", "r", "attempt", "1e300"}, End{Reason: "r", Attempt: 1, Left: -1}},
		"a fractional attempt":  {[]any{"reason", "r", "attempt", "2.5"}, End{Reason: "r", Attempt: 3, Left: -1}},
		"letters for the times": {[]any{"reason", "r", "attempt", 2, "at", "x", "left", "y"}, End{Reason: "r", Attempt: 3}},
		"a huge time":           {[]any{"reason", "r", "attempt", 2, "at", strings.Repeat("9", 30), "left", strings.Repeat("9", 30)}, End{Reason: "r", Attempt: 3, Left: -1}},
		"a negative time":       {[]any{"reason", "r", "attempt", 2, "at", -9, "left", -9}, End{Reason: "r", Attempt: 3, Left: -1}},
		"a long reason":         {[]any{"reason", long, "attempt", 2}, End{Reason: long[:maxReason], Attempt: 3, Left: -1}},
		"unknown fields":        {[]any{"reason", "r", "attempt", 2, "done", "\x00,;:", "by", "\xff", "x", "y"}, End{Reason: "r", Attempt: 3, Left: -1}},
		"no reason":             {[]any{"attempt", "x"}, End{Reason: Expired, Attempt: 1, At: 1, Left: -1}},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			l, rdb := newLedger(t)
			ctx := context.Background()
			bad, fine := overdue(t, l), overdue(t, l)
			if err := rdb.HSet(ctx, l.keys.end(0, bad), c.fields...).Err(); err != nil {
				t.Fatalf("HSET: %v", err)
			}
			looked := lookAll(t, l, bad, fine)
			if len(looked.Claims) != 2 || len(looked.Unreadable) != 0 {
				t.Fatalf("the look has %d claims, unreadable: %v, want 2 claims", len(looked.Claims), looked.Unreadable)
			}
			check := func(what string, got End) {
				t.Helper()
				if got.Reason != c.want.Reason || got.Attempt != c.want.Attempt || got.At != c.want.At || got.Left != c.want.Left {
					t.Errorf("%s is %+v, want %+v", what, got, c.want)
				}
			}
			check("the claimed end", looked.Claims[0].End)
			check("the end of Fates", l.Fates(ctx, []string{bad})[0].End)
			if r := l.Renew(ctx, []ClaimRef{{bad, "i:1"}, {fine, "i:1"}}, time.Minute); !r[0].OK || !r[1].OK {
				t.Errorf("Renew = %+v, want OK for both", r)
			}
			if !settle(t, l, Settlement{ClaimRef: ClaimRef{bad, "i:1"}, Verdict: Bury, Attempt: c.want.Attempt, Error: "bad"}) {
				t.Error("the holder's Bury was refused")
			}
			page, _, _, err := l.ReadDead(ctx, 0, DeadMark{}, DeadMark{math.Inf(1), "z"}, 10)
			if err != nil || len(page) != 1 {
				t.Fatalf("ReadDead = %+v, %v, want one end", page, err)
			}
			check("the buried end", page[0].End)
			if !settle(t, l, Settlement{ClaimRef: ClaimRef{fine, "i:1"}}) {
				t.Error("the ack was refused")
			}
		})
	}
}

// An overwritten watch set names nobody, and its end can be claimed, released, acked, buried
// and dropped.
func TestOverwrittenWatch(t *testing.T) {
	t.Parallel()
	l, rdb := newLedger(t)
	ctx := context.Background()
	ids := []string{overdue(t, l), overdue(t, l), overdue(t, l), overdue(t, l)}
	for _, id := range ids[1:] {
		overwrite(t, l, l.keys.watch(0, id))
	}
	if got := lookAll(t, l, ids...); len(got.Claims) != 4 || len(got.Claims[1].Watchers) != 0 {
		t.Fatalf("the look is %+v, want 4 claims, and no watchers", got)
	}
	for i, r := range l.Settle(ctx, "i", []Settlement{
		{ClaimRef: ClaimRef{ids[0], "i:1"}},
		{ClaimRef: ClaimRef{ids[1], "i:1"}},
		{ClaimRef: ClaimRef{ids[2], "i:1"}, Verdict: Release, Attempt: 1, Error: "bad"},
		{ClaimRef: ClaimRef{ids[3], "i:1"}, Verdict: Bury, Attempt: 1, Error: "bad"},
	}, time.Minute) {
		if r != (Settled{OK: true}) {
			t.Errorf("settlement %d = %+v, want OK", i, r)
		}
	}
	gone(t, l, ids[1])
	drop(t, l, ids[3])

	k, _ := ledgertest.Begin(t, l, token.Timeouts{Idle: time.Hour})
	overwrite(t, l, l.keys.watch(l.Bucket(k.ID), k.ID))
	if c := end(t, l, k, "i:2", time.Minute); len(c.Watchers) != 0 {
		t.Errorf("the claim is %+v, want no watchers", c)
	}

	bad, watched := beginIn(t, l, 0), beginIn(t, l, 0)
	overwrite(t, l, l.keys.watch(0, bad))
	rdb.SAdd(ctx, l.keys.watch(0, watched), "i")
	if err := l.Unwatch(ctx, "i", bad, watched); err != nil || rdb.Exists(ctx, l.keys.watch(0, watched)).Val() != 0 {
		t.Errorf("Unwatch: %v, or the watch set of the second session is left", err)
	}
}

// When a script fails because of one session, only that session has the error. An error
// that says something about the server is not one of a session.
func TestErrorsOfAScript(t *testing.T) {
	t.Parallel()
	l, _ := newLedger(t)
	for _, wrong := range []string{"return {} + 1", "return redis.call('ZADD', KEYS[1], 'x', 'y')", "return redis.error_reply('WRONGTYPE Operation against a key')"} {
		s := redis.NewScript("if ARGV[1] == 'bad' then " + wrong + " end return #ARGV")
		run := func(items ...string) (got []string) {
			group := make([]int, len(items))
			for i := range items {
				group[i] = i
			}
			ran, results := l.runGroups(context.Background(), [][]int{group}, func(group []int) call {
				c := call{0, s, []string{l.keys.due(0)}, nil}
				for _, i := range group {
					c.args = append(c.args, items[i])
				}
				slices.SortFunc(c.args, func(a, b any) int { return strings.Compare(a.(string), b.(string)) })
				return c
			})
			for i, cmd := range results {
				got = append(got, fmt.Sprint(ran[i], cmd.Err() == nil, IsOverwritten(cmd.Err())))
			}
			return got
		}
		if got := run("fine", "bad", "good"); !slices.Equal(got, []string{"[0] true false", "[1] false true", "[2] true false"}) {
			t.Errorf("%s, with a bad item: %v", wrong, got)
		}
		if got := run("fine", "good"); !slices.Equal(got, []string{"[0 1] true false"}) {
			t.Errorf("%s, without a bad item: %v", wrong, got)
		}
	}
	s := redis.NewScript("return redis.error_reply(\"OOM command not allowed when used memory > 'maxmemory'.\")")
	ran, results := l.runGroups(context.Background(), [][]int{{0, 1}}, func([]int) call { return call{0, s, []string{l.keys.due(0)}, nil} })
	if len(ran) != 1 || IsOverwritten(results[0].Err()) {
		t.Errorf("without memory, %v were run, %v, want one group and no overwritten key", ran, results[0].Err())
	}
}

// Heads and Tails find the entries of the due-index whose times lifecycle cannot have
// written, too early or too late. Postpone gives them another time, and leaves all other
// entries as they are.
func TestImpossibleTimes(t *testing.T) {
	t.Parallel()
	l, rdb := newLedger(t)
	ctx := context.Background()
	scores := map[string]float64{}
	var early, late []string
	for _, at := range []float64{math.Inf(-1), -1e300, -1, 0} {
		id := beginIn(t, l, 0)
		scores[id], early = at, append(early, id)
	}
	for _, at := range []float64{float64(time.Now().Add(100 * 365 * 24 * time.Hour).UnixMilli()), 1e300, math.Inf(1)} {
		id := beginIn(t, l, 0)
		scores[id], late = at, append(late, id)
	}
	fraction, live := beginIn(t, l, 0), beginIn(t, l, 0)
	scores[fraction] = 1.5
	for id, at := range scores {
		rdb.ZAdd(ctx, l.keys.due(0), redis.Z{Score: at, Member: id})
	}
	before := rdb.ZScore(ctx, l.keys.due(0), live).Val()

	heads, err := l.Heads(ctx, []int{0}, 100)
	if err != nil || !slices.Equal(heads[0].ImpossibleTimes, append(slices.Clone(early), late...)) {
		t.Errorf("Heads = %+v, %v, want the impossible times %v, %v", heads, err, early, late)
	}
	if e := heads[0].Entries; len(e) != 2 || e[0] != (Due{fraction, 1}) || e[1] != (Due{live, int64(before)}) {
		t.Errorf("the entries are %+v, want %s and %s", e, fraction, live)
	}
	tails, err := l.Tails(ctx, []int{0, 1}, 100)
	if err != nil || !slices.Equal(tails[0].ImpossibleTimes, late) || len(tails[1].ImpossibleTimes) != 0 {
		t.Errorf("Tails = %+v, %v, want the impossible times %v", tails, err, late)
	}

	unknown := token.New(token.Mark{}, token.Timeouts{}).ID
	all := slices.Concat(early, late, []string{live, unknown})
	if err := l.Postpone(ctx, []int{0, 1}, [][]string{all, nil}, time.Minute); err != nil {
		t.Fatalf("Postpone: %v", err)
	}
	now := float64(l.Clock(0).Unix())
	for id, was := range scores {
		at := rdb.ZScore(ctx, l.keys.due(0), id).Val()
		if moved := at > now && at < now+120_000; moved == (id == fraction) {
			t.Errorf("Postpone has moved an entry from %v to %v", was, at)
		}
	}
	if at := rdb.ZScore(ctx, l.keys.due(0), live).Val(); at != before {
		t.Errorf("Postpone has moved the entry of a live session from %v to %v", before, at)
	}
	if due, _ := in(l, unknown); due || rdb.ZCard(ctx, l.keys.due(0)).Val() != int64(len(scores)+1) {
		t.Error("Postpone has added or removed an entry")
	}
	overwrite(t, l, l.keys.due(1))
	if err := l.Postpone(ctx, []int{1}, [][]string{all}, time.Minute); err != nil {
		t.Errorf("Postpone in an overwritten due-index: %v", err)
	}
}

// When a due-index or a dead set was overwritten, those of the other buckets can be read.
// When one end was overwritten, the others of its dead set can be read.
func TestOverwrittenIndexes(t *testing.T) {
	t.Parallel()
	l, rdb := newLedger(t)
	ctx := context.Background()
	live := beginIn(t, l, 1)
	dead := map[int][]string{}
	for len(dead[1]) < 3 || len(dead[2]) < 3 {
		id := bury(t, l)
		dead[l.Bucket(id)] = append(dead[l.Bucket(id)], id)
	}
	overwrite(t, l, l.keys.due(0), l.keys.dead(0), l.keys.due(2))
	if n, err := l.Count(ctx); n != 1 || err != nil {
		t.Errorf("Count = %d, %v, want 1", n, err)
	}
	if found, next, err := l.Scan(ctx, 0, 0, 10); len(found) != 0 || next != 0 || err != nil {
		t.Errorf("Scan of an overwritten due-index = %v, %d, %v, want nothing", found, next, err)
	}
	if found, _, err := l.Scan(ctx, 1, 0, 10); len(found) != 1 || found[0].ID != live || err != nil {
		t.Errorf("Scan of another due-index = %v, %v, want one session", found, err)
	}
	if sizes, err := l.DeadSizes(ctx, []int{0, 1}); err != nil || !slices.Equal(sizes, []int64{-1, int64(len(dead[1]))}) {
		t.Errorf("DeadSizes = %v, %v, want -1 and %d", sizes, err, len(dead[1]))
	}
	last, err := l.LastDead(ctx)
	if err != nil || last[0] != (DeadMark{}) || last[1].ID == "" {
		t.Errorf("LastDead = %v, %v, want none for bucket 0, one for bucket 1", last, err)
	}
	// In bucket 1, one end is overwritten, and the dead set gets entries that name no session.
	overwrite(t, l, l.keys.end(1, dead[1][0]))
	rdb.ZAdd(ctx, l.keys.dead(1), redis.Z{Score: math.Inf(-1), Member: "no session"}, redis.Z{Score: math.Inf(1), Member: "no session either"})
	for n := 1; n < 7; n++ {
		if got := readAll(t, l, 1, n, func([]Dead) {}); len(got) != len(dead[1])-1 || slices.Contains(got, dead[1][0]) {
			t.Errorf("in pages of %d: %v, want all but %s", n, got, dead[1][0])
		}
	}
	// An end may be dropped only if it is not due, and here nothing can say that it is not.
	if n, err := l.TrimDead(ctx, 2, int64(len(dead[2])), 0, time.Minute); n != 0 || !IsOverwritten(err) {
		t.Errorf("TrimDead = %d, %v, want an overwritten key", n, err)
	}
	if n := rdb.ZCard(ctx, l.keys.dead(2)).Val(); n != int64(len(dead[2])) {
		t.Errorf("%d entries of %d are left", n, len(dead[2]))
	}
}

// A number that lifecycle cannot have written counts as not known.
func TestNumbersThatCannotBe(t *testing.T) {
	t.Parallel()
	for _, v := range []any{nil, int64(-5), int64(0), "-5", "x", "99999999999999999999", int64(math.MinInt64)} {
		if n, at, left := attemptOf(v), timeOf(v), leftOf(v); n != 1 || at != 0 || left > 0 {
			t.Errorf("%v is read as attempt %d, time %d, %d ms left", v, n, at, left)
		}
	}
	if n, at, left := attemptOf(int64(7)), timeOf("1800000000000"), leftOf("60000"); n != 7 || at != 1_800_000_000_000 || left != 60_000 {
		t.Errorf("attempt %d, time %d, %d ms left, want 7, 1800000000000 and 60000", n, at, left)
	}
}

// Of a text that is not a whole number, the digits at its beginning are read.
func TestToInt(t *testing.T) {
	t.Parallel()
	for v, want := range map[any]int64{
		nil: 0, int64(-3): -3, "": 0, "-": 0, "12": 12, "-12": -12, "12.9": 12, "x": 0, "1x": 1, "--1": 0, "+1": 0,
		"99999999999999999999": math.MaxInt64, "-99999999999999999999": -math.MaxInt64, true: 0,
	} {
		if got := toInt(v); got != want {
			t.Errorf("toInt(%v) = %d, want %d", v, got, want)
		}
	}
}
