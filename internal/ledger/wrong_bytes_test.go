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

	"github.com/gin-lifecycle/lifecycle/internal/token"
)

// overdue begins a session in the first bucket, whose live key is gone.
func overdue(t *testing.T, l *Ledger) string {
	t.Helper()
	ctx, id := context.Background(), beginIn(t, l, 0)
	live, err := l.rdb.Keys(ctx, l.keys.buckets[0]+"live:"+id+":*").Result()
	if err != nil || len(live) != 1 || l.rdb.Del(ctx, live[0]).Err() != nil {
		t.Fatal(live, err)
	}
	l.rdb.ZAdd(ctx, l.keys.due(0), redis.Z{Score: 1, Member: id})
	return id
}

// lookAll looks at sessions of the first bucket, as instance i.
func lookAll(t *testing.T, l *Ledger, ids ...string) Looked {
	t.Helper()
	suspects := make([]Suspect, len(ids))
	for i, id := range ids {
		suspects[i].ID = id
	}
	found, err := l.Look(context.Background(), []int{0}, [][]Suspect{suspects}, ClaimTerms{"i:1", time.Minute})
	if err != nil {
		t.Fatal(err)
	}
	return found[0]
}

// An end that others have written to is claimed, settled and told of like any other;
// what in it cannot be is as good as not known.
func TestWrongBytesInAnEnd(t *testing.T) {
	t.Parallel()
	long := strings.Repeat("x", 2*maxReason)
	for name, c := range map[string]struct {
		fields []any
		want   End // as it is claimed
	}{
		"nothing but a reason":   {[]any{"reason", "r"}, End{Reason: "r", Attempt: 1, Left: -1}},
		"an attempt of letters":  {[]any{"reason", "r", "at", 5, "left", 7, "attempt", "x"}, End{Reason: "r", Attempt: 1, At: 5, Left: 7}},
		"an attempt of nothing":  {[]any{"reason", "r", "at", 5, "left", 7, "attempt", ""}, End{Reason: "r", Attempt: 1, At: 5, Left: 7}},
		"an attempt before any":  {[]any{"reason", "r", "attempt", -5}, End{Reason: "r", Attempt: 1, Left: -1}},
		"an attempt that is not": {[]any{"reason", "r", "attempt", "nan"}, End{Reason: "r", Attempt: 1, Left: -1}},
		"an attempt without end": {[]any{"reason", "r", "attempt", "inf"}, End{Reason: "r", Attempt: 1, Left: -1}},
		"an attempt far off":     {[]any{"reason", "r", "attempt", "1e300"}, End{Reason: "r", Attempt: 1, Left: -1}},
		"a part of an attempt":   {[]any{"reason", "r", "attempt", "2.5"}, End{Reason: "r", Attempt: 3, Left: -1}},
		"no time and none left":  {[]any{"reason", "r", "attempt", 2, "at", "x", "left", "y"}, End{Reason: "r", Attempt: 3}},
		"a time far off":         {[]any{"reason", "r", "attempt", 2, "at", strings.Repeat("9", 30), "left", strings.Repeat("9", 30)}, End{Reason: "r", Attempt: 3, Left: -1}},
		"a time before any":      {[]any{"reason", "r", "attempt", 2, "at", -9, "left", -9}, End{Reason: "r", Attempt: 3, Left: -1}},
		"a long reason":          {[]any{"reason", long, "attempt", 2}, End{Reason: long[:maxReason], Attempt: 3, Left: -1}},
		"fields of others":       {[]any{"reason", "r", "attempt", 2, "done", "\x00,;:", "by", "\xff", "x", "y"}, End{Reason: "r", Attempt: 3, Left: -1}},
		"no reason":              {[]any{"attempt", "x"}, End{Reason: Expired, Attempt: 1, At: 1, Left: -1}},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			l, rdb := newLedger(t)
			ctx := context.Background()
			bad, fine := overdue(t, l), overdue(t, l)
			if err := rdb.HSet(ctx, l.keys.end(0, bad), c.fields...).Err(); err != nil {
				t.Fatal(err)
			}
			found := lookAll(t, l, bad, fine)
			if len(found.Claims) != 2 || len(found.Unreadable) != 0 {
				t.Fatalf("%d claims, unreadable: %v", len(found.Claims), found.Unreadable)
			}
			told := func(what string, got End) {
				t.Helper()
				if got.Reason != c.want.Reason || got.Attempt != c.want.Attempt || got.At != c.want.At || got.Left != c.want.Left {
					t.Errorf("%s: %+v, want %+v", what, got, c.want)
				}
			}
			told("claimed", found.Claims[0].End)
			told("told", l.Fates(ctx, []string{bad})[0].End)
			if r := l.Renew(ctx, []ClaimRef{{bad, "i:1"}, {fine, "i:1"}}, time.Minute); !r[0].OK || !r[1].OK {
				t.Errorf("renewed: %+v", r)
			}
			if !settle(t, l, Settlement{ClaimRef: ClaimRef{bad, "i:1"}, Verdict: Bury, Attempt: c.want.Attempt, Error: "bad"}) {
				t.Error("bury refused")
			}
			page, _, _, err := l.ReadDead(ctx, 0, DeadMark{}, DeadMark{math.Inf(1), "z"}, 10)
			if err != nil || len(page) != 1 {
				t.Fatalf("the dead set: %+v, %v", page, err)
			}
			told("buried", page[0].End)
			if !settle(t, l, Settlement{ClaimRef: ClaimRef{fine, "i:1"}}) {
				t.Error("ack refused")
			}
		})
	}
}

// A set of watchers that others have overwritten names nobody, and keeps no end from
// being claimed, given back, acked, buried or dropped.
func TestOverwrittenWatch(t *testing.T) {
	t.Parallel()
	l, rdb := newLedger(t)
	ctx := context.Background()
	overwrite := func(id string) {
		t.Helper()
		if err := rdb.Set(ctx, l.keys.watch(0, id), "something else", 0).Err(); err != nil {
			t.Fatal(err)
		}
	}
	ids := []string{overdue(t, l), overdue(t, l), overdue(t, l), overdue(t, l)}
	for _, id := range ids[1:] {
		overwrite(id)
	}
	if found := lookAll(t, l, ids...); len(found.Claims) != 4 || len(found.Claims[1].Watchers) != 0 {
		t.Fatalf("claimed: %+v", found)
	}
	for i, r := range l.Settle(ctx, "i", []Settlement{
		{ClaimRef: ClaimRef{ids[0], "i:1"}},
		{ClaimRef: ClaimRef{ids[1], "i:1"}},
		{ClaimRef: ClaimRef{ids[2], "i:1"}, Verdict: Release, Attempt: 1, Error: "bad"},
		{ClaimRef: ClaimRef{ids[3], "i:1"}, Verdict: Bury, Attempt: 1, Error: "bad"},
	}, time.Minute) {
		if r != (Settled{OK: true}) {
			t.Errorf("settlement %d: %+v", i, r)
		}
	}
	gone(t, l, ids[1])
	drop(t, l, ids[3])

	k, _ := begin(t, l, token.Timeouts{Idle: time.Hour})
	rdb.Set(ctx, l.keys.watch(l.Bucket(k.ID), k.ID), "something else", 0)
	if c, ok, err := l.End(ctx, k.ID, k.Proof(), "why", ClaimTerms{"i:2", time.Minute}); !ok || err != nil || len(c.Watchers) != 0 {
		t.Errorf("ended: %+v, %v, %v", c, ok, err)
	}

	bad, watched := beginIn(t, l, 0), beginIn(t, l, 0)
	overwrite(bad)
	rdb.SAdd(ctx, l.keys.watch(0, watched), "i")
	if err := l.Unwatch(ctx, "i", bad, watched); err != nil || rdb.Exists(ctx, l.keys.watch(0, watched)).Val() != 0 {
		t.Errorf("unwatched: %v", err)
	}
}

// Whatever a script fails with because of one session is that session's trouble; what
// says something of the server is nobody's.
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
			t.Errorf("%s: %v", wrong, got)
		}
		if got := run("fine", "good"); !slices.Equal(got, []string{"[0 1] true false"}) {
			t.Errorf("%s: together: %v", wrong, got)
		}
	}
	s := redis.NewScript("return redis.error_reply(\"OOM command not allowed when used memory > 'maxmemory'.\")")
	ran, results := l.runGroups(context.Background(), [][]int{{0, 1}}, func([]int) call { return call{0, s, []string{l.keys.due(0)}, nil} })
	if len(ran) != 1 || IsOverwritten(results[0].Err()) {
		t.Errorf("out of memory: %v", ran)
	}
}

// Times in the due-index that nobody of ours has written are told apart, at its
// beginning and at its end, and put right; other entries stay as they are.
func TestMisdatedEntries(t *testing.T) {
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
		t.Errorf("heads: %+v, %v", heads, err)
	}
	if e := heads[0].Entries; len(e) != 2 || e[0] != (Due{fraction, 1}) || e[1] != (Due{live, int64(before)}) {
		t.Errorf("entries: %+v", e)
	}
	tails, err := l.Tails(ctx, []int{0, 1}, 100)
	if err != nil || !slices.Equal(tails[0].ImpossibleTimes, late) || len(tails[1].ImpossibleTimes) != 0 {
		t.Errorf("tails: %+v, %v", tails, err)
	}

	unknown := token.New(token.Mark{}, token.Timeouts{}).ID
	all := slices.Concat(early, late, []string{live, unknown})
	if err := l.Postpone(ctx, []int{0, 1}, [][]string{all, nil}, time.Minute); err != nil {
		t.Fatal(err)
	}
	now := float64(l.Clock(0).Unix())
	for id, was := range scores {
		at := rdb.ZScore(ctx, l.keys.due(0), id).Val()
		if moved := at > now && at < now+120_000; moved == (id == fraction) {
			t.Errorf("an entry at %v is at %v", was, at)
		}
	}
	if at := rdb.ZScore(ctx, l.keys.due(0), live).Val(); at != before {
		t.Errorf("the entry of a live session was moved from %v to %v", before, at)
	}
	if _, there := in(l, unknown); there || rdb.ZCard(ctx, l.keys.due(0)).Val() != int64(len(scores)+1) {
		t.Error("an entry has come or gone")
	}
	rdb.Set(ctx, l.keys.due(1), "something else", 0)
	if err := l.Postpone(ctx, []int{1}, [][]string{all}, time.Minute); err != nil {
		t.Errorf("in what is no due-index: %v", err)
	}
}

// A due-index or a dead set that others have overwritten keeps nobody from what the
// other buckets hold; nor does one end in a dead set.
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
	for _, key := range []string{l.keys.due(0), l.keys.dead(0), l.keys.due(2)} {
		rdb.Del(ctx, key)
		if err := rdb.Set(ctx, key, "something else", 0).Err(); err != nil {
			t.Fatal(err)
		}
	}
	if n, err := l.Count(ctx); n != 1 || err != nil {
		t.Errorf("count: %d, %v", n, err)
	}
	if found, next, err := l.Scan(ctx, 0, 0, 10); len(found) != 0 || next != 0 || err != nil {
		t.Errorf("scan: %v, %d, %v", found, next, err)
	}
	if found, _, err := l.Scan(ctx, 1, 0, 10); len(found) != 1 || found[0].ID != live || err != nil {
		t.Errorf("scan of another one: %v, %v", found, err)
	}
	if sizes, err := l.DeadSizes(ctx, []int{0, 1}); err != nil || !slices.Equal(sizes, []int64{-1, int64(len(dead[1]))}) {
		t.Errorf("sizes: %v, %v", sizes, err)
	}
	last, err := l.LastDead(ctx)
	if err != nil || last[0] != (DeadMark{}) || last[1].ID == "" {
		t.Errorf("last: %v, %v", last, err)
	}
	// In one of them, of the ends one was overwritten, and entries are there that are
	// nobody's.
	rdb.Del(ctx, l.keys.end(1, dead[1][0]))
	rdb.Set(ctx, l.keys.end(1, dead[1][0]), "something else", 0)
	rdb.ZAdd(ctx, l.keys.dead(1), redis.Z{Score: math.Inf(-1), Member: "nobody's"}, redis.Z{Score: math.Inf(1), Member: "nobody's either"})
	for n := 1; n < 7; n++ {
		if got := readAll(t, l, 1, n, func([]Dead) {}); len(got) != len(dead[1])-1 || slices.Contains(got, dead[1][0]) {
			t.Errorf("pages of %d: %v", n, got)
		}
	}
	// What is dropped must not be due: nobody knows.
	if n, err := l.TrimDead(ctx, 2, int64(len(dead[2])), 0, time.Minute); n != 0 || !IsOverwritten(err) {
		t.Errorf("trimmed: %d, %v", n, err)
	}
	if n := rdb.ZCard(ctx, l.keys.dead(2)).Val(); n != int64(len(dead[2])) {
		t.Errorf("%d entries of %d are left", n, len(dead[2]))
	}
}

// A number that none of ours can be is taken for one that is not known.
func TestNumbersThatCannotBe(t *testing.T) {
	t.Parallel()
	for _, v := range []any{nil, int64(-5), int64(0), "-5", "x", "99999999999999999999", int64(math.MinInt64)} {
		if n, at, left := attemptOf(v), timeOf(v), leftOf(v); n != 1 || at != 0 || left > 0 {
			t.Errorf("%v: attempt %d at %d with %d left", v, n, at, left)
		}
	}
	if n, at, left := attemptOf(int64(7)), timeOf("1800000000000"), leftOf("60000"); n != 7 || at != 1_800_000_000_000 || left != 60_000 {
		t.Errorf("attempt %d at %d with %d left", n, at, left)
	}
}

// What is no whole number is read as far as it is one.
func TestToInt(t *testing.T) {
	t.Parallel()
	for v, want := range map[any]int64{
		nil: 0, int64(-3): -3, "": 0, "-": 0, "12": 12, "-12": -12, "12.9": 12, "x": 0, "1x": 1, "--1": 0, "+1": 0,
		"99999999999999999999": math.MaxInt64, "-99999999999999999999": -math.MaxInt64, true: 0,
	} {
		if got := toInt(v); got != want {
			t.Errorf("%v: %d, want %d", v, got, want)
		}
	}
}
