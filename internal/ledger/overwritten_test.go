package ledger

import (
	"context"
	"testing"
	"time"

	"github.com/redis/go-redis/v9"
)

// When a key of one session was overwritten, only that session has trouble: the others of
// its bucket are looked at, renewed and acked.
func TestOverwrittenKeys(t *testing.T) {
	t.Parallel()
	l, _ := newLedger(t)
	ctx := context.Background()
	noRecord, noEnd, fine := beginIn(t, l, 0), beginIn(t, l, 0), beginIn(t, l, 0)
	var suspects []Suspect
	for _, id := range []string{noRecord, noEnd, fine} {
		suspects = append(suspects, Suspect{ID: id, Hint: Deleted})
		deleteLive(t, l, id)
	}
	overwrite(t, l, l.keys.session(0, noRecord), l.keys.end(0, noEnd))
	results, err := l.Look(ctx, []int{0}, [][]Suspect{suspects}, ClaimTerms{"i:1", time.Minute})
	if err != nil {
		t.Fatalf("Look: %v", err)
	}
	reasons := make(map[string]string)
	for _, c := range results[0].Claims {
		reasons[c.ID] = c.Reason
	}
	if len(reasons) != 2 || reasons[noRecord] != Lost || reasons[fine] != Deleted {
		t.Errorf("the reasons of the claimed ends are %v, want %s for %s, %s for %s", reasons, Lost, noRecord, Deleted, fine)
	}
	if u := results[0].Unreadable; len(u) != 1 || u[0].ID != noEnd || u[0].Err == nil {
		t.Errorf("unreadable sessions: %v, want %s", u, noEnd)
	}

	overwrite(t, l, l.keys.end(0, noRecord))
	held := []ClaimRef{{noRecord, "i:1"}, {fine, "i:1"}}
	if r := l.Renew(ctx, held, time.Minute); r[0].OK || r[0].Err != nil || r[0].Overwritten == nil || r[1] != (Settled{OK: true}) {
		t.Errorf("Renew = %+v, want the first one overwritten and the second one OK", r)
	}
	if f := l.Fates(ctx, []string{noRecord, fine}); f[0].Err != nil || f[0].Ended || !f[1].Ended {
		t.Errorf("Fates = %+v, want no end for the first one", f)
	}
	acks := []Settlement{{ClaimRef: held[0]}, {ClaimRef: held[1]}}
	if r := l.Settle(ctx, "i", acks, time.Minute); r[0].OK || r[0].Err != nil || r[0].Overwritten == nil || r[1] != (Settled{OK: true}) {
		t.Errorf("Settle = %+v, want the first one overwritten and the second one OK", r)
	}
}

// When a due-index was overwritten, the others can be read. Entries that name no session of
// the bucket are left out and counted.
func TestOverwrittenDueIndex(t *testing.T) {
	t.Parallel()
	l, rdb := newLedger(t)
	ctx := context.Background()
	own := beginIn(t, l, 2)
	overwrite(t, l, l.keys.due(1))
	rdb.ZAdd(ctx, l.keys.due(2), redis.Z{Score: 1, Member: "no session"}, redis.Z{Score: 2, Member: beginIn(t, l, 3)})
	heads, err := l.Heads(ctx, []int{1, 2}, 10)
	if err != nil || heads[0].Err == nil || heads[1].Err != nil {
		t.Fatalf("Heads = %+v, %v, want an error for the first one", heads, err)
	}
	if h := heads[1]; h.NotSessions != 2 || len(h.Entries) != 1 || h.Entries[0].ID != own {
		t.Errorf("the head is %+v, want one entry, and two that name no session of the bucket", h)
	}
}
