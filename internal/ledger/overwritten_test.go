package ledger

import (
	"context"
	"testing"
	"time"

	"github.com/redis/go-redis/v9"

	"github.com/gin-lifecycle/lifecycle/internal/token"
)

// beginIn begins a session in bucket b.
func beginIn(t *testing.T, l *Ledger, b int) string {
	t.Helper()
	k := token.New(token.Mark{}, token.Timeouts{Idle: time.Hour})
	for l.Bucket(k.ID) != b {
		k = token.New(token.Mark{}, k.Timeouts())
	}
	if ok, err := l.Create(context.Background(), k, k.Timeouts().Idle, []byte(k.Proof()+"record")); !ok || err != nil {
		t.Fatalf("create: %v, %v", ok, err)
	}
	return k.ID
}

// A key that others have overwritten is the trouble of its session alone: the
// others of its bucket are looked at, and those that are held are renewed and acked.
func TestOverwrittenKeys(t *testing.T) {
	t.Parallel()
	l, rdb := newLedger(t)
	ctx := context.Background()
	overwrite := func(name string) {
		t.Helper()
		rdb.Del(ctx, name)
		if err := rdb.LPush(ctx, name, "something else").Err(); err != nil {
			t.Fatal(err)
		}
	}
	noRecord, noEnd, fine := beginIn(t, l, 0), beginIn(t, l, 0), beginIn(t, l, 0)
	var suspects []Suspect
	for _, id := range []string{noRecord, noEnd, fine} {
		suspects = append(suspects, Suspect{ID: id, Hint: Deleted})
		live, err := rdb.Keys(ctx, l.keys.buckets[0]+"live:"+id+":*").Result()
		if err != nil || rdb.Del(ctx, live...).Err() != nil {
			t.Fatal(live, err)
		}
	}
	overwrite(l.keys.session(0, noRecord))
	overwrite(l.keys.end(0, noEnd))
	found, err := l.Look(ctx, []int{0}, [][]Suspect{suspects}, ClaimTerms{"i:1", time.Minute})
	if err != nil {
		t.Fatal(err)
	}
	reasons := make(map[string]string)
	for _, c := range found[0].Claims {
		reasons[c.ID] = c.Reason
	}
	if len(reasons) != 2 || reasons[noRecord] != Lost || reasons[fine] != Deleted {
		t.Errorf("claimed: %v", reasons)
	}
	if u := found[0].Unreadable; len(u) != 1 || u[0].ID != noEnd || u[0].Err == nil {
		t.Errorf("unreadable: %v", u)
	}

	overwrite(l.keys.end(0, noRecord))
	held := []ClaimRef{{noRecord, "i:1"}, {fine, "i:1"}}
	if r := l.Renew(ctx, held, time.Minute); r[0].OK || r[0].Err != nil || r[0].Overwritten == nil || r[1] != (Settled{OK: true}) {
		t.Errorf("renewed: %+v", r)
	}
	if f := l.Fates(ctx, []string{noRecord, fine}); f[0].Err != nil || f[0].Ended || !f[1].Ended {
		t.Errorf("fates: %+v", f)
	}
	acks := []Settlement{{ClaimRef: held[0]}, {ClaimRef: held[1]}}
	if r := l.Settle(ctx, "i", acks, time.Minute); r[0].OK || r[0].Err != nil || r[0].Overwritten == nil || r[1] != (Settled{OK: true}) {
		t.Errorf("acked: %+v", r)
	}

	there := beginIn(t, l, 2)
	overwrite(l.keys.due(1))
	rdb.ZAdd(ctx, l.keys.due(2), redis.Z{Score: 1, Member: "nobody's"}, redis.Z{Score: 2, Member: beginIn(t, l, 3)})
	heads, err := l.Heads(ctx, []int{1, 2}, 10)
	if err != nil || heads[0].Err == nil || heads[1].Err != nil {
		t.Fatalf("heads: %+v, %v", heads, err)
	}
	if h := heads[1]; h.NotSessions != 2 || len(h.Entries) != 1 || h.Entries[0].ID != there {
		t.Errorf("the due-index with what others put there: %+v", h)
	}
}
