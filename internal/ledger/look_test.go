package ledger

import (
	"context"
	"slices"
	"testing"
	"time"

	"github.com/gin-lifecycle/lifecycle/internal/token"
)

// Sessions of one bucket that are looked at together are told apart, and so are
// claims that are acked together.
func TestManyAtOnce(t *testing.T) {
	t.Parallel()
	l, rdb := newLedger(t)
	ctx := context.Background()
	const live, plain, watched, held, released, lost, unknown = 0, 1, 2, 3, 4, 5, 6
	timeouts := token.Timeouts{Idle: time.Hour}
	ks := make([]token.Token, 7)
	suspects := make([]Suspect, len(ks))
	for i := range ks {
		for ks[i], _ = begin(t, l, timeouts); l.Bucket(ks[i].ID) != 0; {
			ks[i], _ = begin(t, l, timeouts)
		}
		suspects[i] = Suspect{ID: ks[i].ID, Hint: Deleted}
	}
	for _, w := range []string{"i", "j"} {
		if ok, err := l.Watch(ctx, ks[watched].ID, ks[watched].Proof(), w); !ok || err != nil {
			t.Fatal(ok, err)
		}
	}
	for _, i := range []int{plain, watched} {
		rdb.Del(ctx, l.keys.live(0, ks[i].ID, ks[i].Proof()))
	}
	for i, lease := range map[int]ClaimTerms{held: {"j:1", time.Minute}, released: {"j:2", time.Minute}} {
		if _, ok, err := l.End(ctx, ks[i].ID, ks[i].Proof(), "why", lease); !ok || err != nil {
			t.Fatal(ok, err)
		}
	}
	if !settle(t, l, Settlement{ClaimRef: ClaimRef{ks[released].ID, "j:2"}, Verdict: Release, Attempt: 1, Done: "1", Error: "bad"}) {
		t.Fatal("release refused")
	}
	rdb.Del(ctx, l.keys.session(0, ks[lost].ID))
	rdb.ZRem(ctx, l.keys.due(0), ks[unknown].ID)

	found, err := l.Look(ctx, []int{0}, [][]Suspect{suspects}, ClaimTerms{"i:1", time.Minute})
	if err != nil {
		t.Fatal(err)
	}
	got := make(map[string]*Claim)
	for _, c := range found[0].Claims {
		got[c.ID] = c
	}
	for i, want := range map[int]Claim{
		plain:    {End: End{Reason: Deleted, Attempt: 1, Left: -1}},
		watched:  {End: End{Reason: Deleted, Attempt: 1, Left: -1}, Watchers: []string{"i", "j"}},
		released: {End: End{Reason: "why", Attempt: 2, Left: time.Hour.Milliseconds()}, Done: "1"},
		lost:     {End: End{Reason: Lost, Attempt: 1, Left: -1}},
	} {
		c := got[ks[i].ID]
		if c == nil {
			t.Errorf("%d is not claimed", i)
			continue
		}
		slices.Sort(c.Watchers)
		if c.Reason != want.Reason || c.Attempt != want.Attempt || c.Done != want.Done || !slices.Equal(c.Watchers, want.Watchers) {
			t.Errorf("%d: %+v, want %+v", i, c, want)
		}
		if (c.Left < 0) != (want.Left < 0) || c.Left > want.Left || (len(c.Record) == 0) != (i == lost) {
			t.Errorf("%d: left %d, record of %d bytes", i, c.Left, len(c.Record))
		}
	}
	if len(got) != 4 {
		t.Errorf("%d claims: %v", len(got), got)
	}

	// One of the claims is not the holder's.
	settled := l.Settle(ctx, "i", []Settlement{
		{ClaimRef: ClaimRef{ks[plain].ID, "i:1"}}, {ClaimRef: ClaimRef{ks[held].ID, "i:1"}},
		{ClaimRef: ClaimRef{ks[watched].ID, "i:1"}}, {ClaimRef: ClaimRef{ks[lost].ID, "i:1"}},
	}, time.Minute)
	for i, ok := range []bool{true, false, true, true} {
		if settled[i].OK != ok || settled[i].Err != nil {
			t.Errorf("settlement %d: %+v", i, settled[i])
		}
	}
	for i, kept := range map[int]bool{live: true, plain: false, watched: true, held: true, released: true, lost: false} {
		if n := rdb.Exists(ctx, l.keys.session(0, ks[i].ID), l.keys.end(0, ks[i].ID)).Val(); (n > 0) != kept {
			t.Errorf("%d: %d keys are left", i, n)
		}
	}
	due := rdb.ZRange(ctx, l.keys.due(0), 0, -1).Val()
	for i, in := range map[int]bool{live: true, plain: false, watched: false, held: true, released: true, lost: false} {
		if slices.Contains(due, ks[i].ID) != in {
			t.Errorf("%d is in the due-index: %v", i, !in)
		}
	}
}
