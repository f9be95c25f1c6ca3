package ledger

import (
	"context"
	"slices"
	"testing"
	"time"

	"github.com/redis/go-redis/v9"

	"github.com/gin-lifecycle/lifecycle/internal/ledger/ledgertest"
	"github.com/gin-lifecycle/lifecycle/internal/record"
	"github.com/gin-lifecycle/lifecycle/internal/token"
)

// repacked returns the record with the timeouts and the proof of k.
func repacked(t *testing.T, rec []byte, k token.Token) []byte {
	t.Helper()
	r, err := record.Unpack(rec)
	if err != nil {
		t.Fatalf("Unpack: %v", err)
	}
	r.Timeouts, r.Proof = k.Timeouts(), k.Proof()
	return record.Pack(r)
}

// A save with shorter timeouts makes the due entry earlier, or the end would come late. So
// does any other save, if something has moved the entry behind the live key's deadline.
func TestDueEntryIsALowerBound(t *testing.T) {
	t.Parallel()
	l, rdb := newLedger(t)
	ctx := context.Background()
	k, rec := ledgertest.Begin(t, l, token.Timeouts{Idle: time.Minute})
	b := l.Bucket(k.ID)
	revision := FirstRevision
	for _, timeouts := range []token.Timeouts{
		{Idle: 24 * time.Hour}, {Idle: time.Minute}, {Idle: time.Hour, Deadline: l.ClockOf(k.ID).Unix() + 30_000},
	} {
		next := k.WithTimeouts(timeouts)
		rec = repacked(t, rec, next)
		var x Saved
		for range 2 { // as if the reply had been lost
			var err error
			if x, err = l.Save(ctx, Saving{k, next, timeouts.Idle, rec, revision}); !x.OK || err != nil {
				t.Fatalf("Save with other timeouts = %+v, %v", x, err)
			}
		}
		revision = x.Revision
		if other := k.WithTimeouts(token.Timeouts{Idle: time.Second}); rdb.Exists(ctx, l.keys.live(b, k.ID, k.Proof()), l.keys.live(b, k.ID, other.Proof())).Val() != 0 {
			t.Error("the session is live under the timeouts from before the save")
		}
		k = next
		deadline := func() int64 {
			return l.ClockOf(k.ID).Unix() + rdb.PTTL(ctx, l.keys.live(b, k.ID, k.Proof())).Val().Milliseconds()
		}
		notLate := func(after string) {
			t.Helper()
			if due := int64(rdb.ZScore(ctx, l.keys.due(b), k.ID).Val()); due > deadline()+100 {
				t.Errorf("after %s, the due entry is %d ms later than the live key's deadline", after, due-deadline())
			}
		}
		save := func() {
			t.Helper()
			x, err := l.Save(ctx, Saving{k, k, timeouts.Idle, rec, revision})
			if !x.OK || err != nil {
				t.Fatalf("Save = %+v, %v", x, err)
			}
			revision = x.Revision
		}
		notLate("a save with other timeouts")
		look(t, l, k.ID, "i:1", Deleted) // moves the entry to the live key's deadline
		notLate("a look")
		rdb.ZAdd(ctx, l.keys.due(b), redis.Z{Score: 4e12, Member: k.ID})
		save()
		notLate("the entry was moved and the session saved")
		rdb.ZRem(ctx, l.keys.due(b), k.ID)
		save()
		if rdb.ZScore(ctx, l.keys.due(b), k.ID).Val() == 0 {
			t.Error("the due entry was lost, and the save has not written it again")
		}
	}
	// Nothing is written to an ended session, whatever the timeouts in its token are.
	rdb.Del(ctx, l.keys.live(b, k.ID, k.Proof()))
	x, err := l.Save(ctx, Saving{k, k.WithTimeouts(token.Timeouts{Idle: time.Minute}), time.Minute, rec, revision})
	if x.OK || len(x.Record) > 0 || err != nil {
		t.Errorf("Save of an ended session = %+v, %v, want nothing", x, err)
	}
}

// A session does not live longer than until the absolute deadline in its record, however
// long somebody has made the time to live of its live key.
func TestLookEnforcesTheAbsoluteDeadline(t *testing.T) {
	t.Parallel()
	l, rdb := newLedger(t)
	ctx := context.Background()
	for name, tamper := range map[string]func(live string){
		"ten years":       func(live string) { rdb.PExpire(ctx, live, 10*365*24*time.Hour) },
		"no time to live": func(live string) { rdb.Persist(ctx, live) },
	} {
		t.Run(name, func(t *testing.T) {
			deadline := l.ClockOf("").Unix() + 500
			k, _ := ledgertest.Begin(t, l, token.Timeouts{Idle: 100 * time.Millisecond, Deadline: deadline})
			b := l.Bucket(k.ID)
			live := l.keys.live(b, k.ID, k.Proof())
			tamper(live)
			var claims []*Claim
			for looks := 0; len(claims) == 0; looks++ {
				got := look(t, l, k.ID, "i:1", "")
				claims = got.Claims
				if len(claims) > 0 {
					break
				}
				if got.Next > deadline {
					t.Fatalf("the session is next due %d ms after its deadline", got.Next-deadline)
				}
				if ttl := rdb.PTTL(ctx, live).Val().Milliseconds(); l.ClockOf(k.ID).Unix()+ttl > deadline+100 {
					t.Fatalf("the look has left the live key a time to live of %d ms", ttl)
				}
				if looks == 0 {
					tamper(live) // again, so that the live key exists at the deadline
				}
				select {
				case <-time.After(l.ClockOf(k.ID).Until(got.Next + 1)):
				case <-t.Context().Done():
				}
				tamper(live)
			}
			if c := claims[0]; c.Reason != Expired || c.At < deadline-rounding || c.At > deadline+rounding {
				t.Errorf("the session has %s at %d, want %s at %d", c.Reason, c.At, Expired, deadline)
			}
			if rdb.Exists(ctx, live).Val() != 0 {
				t.Error("the live key of the ended session still exists")
			}
		})
	}
}

// rounding is by how many ms the end of an expired session may differ from its deadline.
const rounding = 50

// A rotation notes the old secret in the record, the last one first and four at most. The
// rest of the record stays as it is.
func TestRotationsAreRemembered(t *testing.T) {
	t.Parallel()
	l, rdb := newLedger(t)
	ctx := context.Background()
	k, _ := ledgertest.Begin(t, l, token.Timeouts{Idle: time.Minute})
	var secrets []string
	for n := range 7 {
		next := k.Rotate()
		var rotated []byte
		for range 2 { // as if the reply had been lost
			var ok bool
			var err error
			if rotated, ok, err = l.Rotate(ctx, k, next, time.Minute); !ok || err != nil {
				t.Fatalf("Rotate = %v, %v", ok, err)
			}
		}
		secrets = append([]string{k.SecretProof()}, secrets...)
		rec, err := record.Unpack([]byte(rdb.Get(ctx, l.keys.session(l.Bucket(k.ID), k.ID)).Val()))
		if err != nil {
			t.Fatalf("Unpack: %v", err)
		}
		if rec.Proof != next.Proof() || string(rec.Values) != ledgertest.Values || rec.Timeouts != k.Timeouts() || len(rec.Rotated) != min(n+1, 4) ||
			!slices.Equal(rec.Rotated, record.UnpackRotated(rotated)) {
			t.Fatalf("after rotation %d the record is %+v", n, rec)
		}
		for i, x := range rec.Rotated {
			if left := x.Until - l.ClockOf(k.ID).Unix(); x.Secret != secrets[i] || left <= 0 || left > 60_100 {
				t.Errorf("after rotation %d, secret %d is remembered for %d ms, want a minute", n, i, left)
			}
		}
		k = next
	}
	if _, ok, err := l.Rotate(ctx, k.Rotate(), k.Rotate(), time.Minute); ok || err != nil {
		t.Errorf("Rotate with a secret that is not the session's = %v, %v, want false", ok, err)
	}
}
