package ledger

import (
	"context"
	"slices"
	"testing"
	"time"

	"github.com/gin-lifecycle/lifecycle/internal/ledger/ledgertest"
	"github.com/gin-lifecycle/lifecycle/internal/token"
)

// The sessions of TestManyAtOnce, by what has happened to them.
const (
	liveOne     = iota // nothing
	plainOne           // its live key was deleted
	watchedOne         // its live key was deleted, and instances i and j hold closures of it
	heldOne            // it was ended, and instance j has the claim
	releasedOne        // it was ended, and instance j has released the claim
	lostOne            // its record was deleted
	unknownOne         // its due entry was deleted
	many               // how many there are
)

// beginMany begins the sessions of TestManyAtOnce, all in bucket 0.
func beginMany(t *testing.T, l *Ledger) (ks [many]token.Token) {
	t.Helper()
	ctx := context.Background()
	for i := range ks {
		ks[i], _ = ledgertest.BeginIn(t, l, 0, token.Timeouts{Idle: time.Hour})
	}
	watch(t, l, ks[watchedOne], "i", "j")
	for _, i := range []int{plainOne, watchedOne} {
		deleteLive(t, l, ks[i].ID)
	}
	end(t, l, ks[heldOne], "j:1", time.Minute)
	end(t, l, ks[releasedOne], "j:2", time.Minute)
	if !settle(t, l, Settlement{ClaimRef: ClaimRef{ks[releasedOne].ID, "j:2"}, Verdict: Release, Attempt: 1, Done: "1", Error: "bad"}) {
		t.Fatal("the holder's Release was refused")
	}
	l.rdb.Del(ctx, l.keys.session(0, ks[lostOne].ID))
	l.rdb.ZRem(ctx, l.keys.due(0), ks[unknownOne].ID)
	return ks
}

// One call of Look looks at many sessions of a bucket, and gives each its own result. One
// call of Settle does the same for many claims.
func TestManyAtOnce(t *testing.T) {
	t.Parallel()
	l, rdb := newLedger(t)
	ctx := context.Background()
	ks := beginMany(t, l)
	suspects := make([]Suspect, len(ks))
	for i, k := range ks {
		suspects[i] = Suspect{ID: k.ID, Hint: Deleted}
	}
	results, err := l.Look(ctx, []int{0}, [][]Suspect{suspects}, ClaimTerms{"i:1", time.Minute})
	if err != nil {
		t.Fatalf("Look: %v", err)
	}
	checkManyClaims(t, ks, results[0].Claims)

	settled := l.Settle(ctx, "i", []Settlement{
		{ClaimRef: ClaimRef{ks[plainOne].ID, "i:1"}}, {ClaimRef: ClaimRef{ks[heldOne].ID, "i:1"}},
		{ClaimRef: ClaimRef{ks[watchedOne].ID, "i:1"}}, {ClaimRef: ClaimRef{ks[lostOne].ID, "i:1"}},
	}, time.Minute)
	for i, ok := range []bool{true, false, true, true} { // the second claim is instance j's
		if settled[i].OK != ok || settled[i].Err != nil {
			t.Errorf("settlement %d = %+v, want OK %v", i, settled[i], ok)
		}
	}
	for i, kept := range map[int]bool{liveOne: true, plainOne: false, watchedOne: true, heldOne: true, releasedOne: true, lostOne: false} {
		if n := rdb.Exists(ctx, l.keys.session(0, ks[i].ID), l.keys.end(0, ks[i].ID)).Val(); (n > 0) != kept {
			t.Errorf("%d keys of session %d are left, want any: %v", n, i, kept)
		}
	}
	due := rdb.ZRange(ctx, l.keys.due(0), 0, -1).Val()
	for i, in := range map[int]bool{liveOne: true, plainOne: false, watchedOne: false, heldOne: true, releasedOne: true, lostOne: false} {
		if slices.Contains(due, ks[i].ID) != in {
			t.Errorf("session %d is in the due-index: %v, want %v", i, !in, in)
		}
	}
}

// checkManyClaims checks the claims of the look at all sessions of TestManyAtOnce.
func checkManyClaims(t *testing.T, ks [many]token.Token, claims []*Claim) {
	t.Helper()
	got := make(map[string]*Claim)
	for _, c := range claims {
		got[c.ID] = c
	}
	for i, want := range map[int]Claim{
		plainOne:    {End: End{Reason: Deleted, Attempt: 1, Left: -1}},
		watchedOne:  {End: End{Reason: Deleted, Attempt: 1, Left: -1}, Watchers: []string{"i", "j"}},
		releasedOne: {End: End{Reason: "why", Attempt: 2, Left: time.Hour.Milliseconds()}, Done: "1"},
		lostOne:     {End: End{Reason: Lost, Attempt: 1, Left: -1}},
	} {
		c := got[ks[i].ID]
		if c == nil {
			t.Errorf("session %d is not claimed", i)
			continue
		}
		slices.Sort(c.Watchers)
		if c.Reason != want.Reason || c.Attempt != want.Attempt || c.Done != want.Done || !slices.Equal(c.Watchers, want.Watchers) {
			t.Errorf("the claim of session %d is %+v, want %+v", i, c, want)
		}
		if (c.Left < 0) != (want.Left < 0) || c.Left > want.Left || (len(c.Record) == 0) != (i == lostOne) {
			t.Errorf("the claim of session %d has %d ms left and a record of %d bytes, want %d ms, and a record unless it was lost", i, c.Left, len(c.Record), want.Left)
		}
	}
	if len(got) != 4 {
		t.Errorf("%d sessions are claimed, want 4: %v", len(got), got)
	}
}
