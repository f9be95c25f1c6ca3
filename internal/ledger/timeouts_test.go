package ledger

import (
	"context"
	"slices"
	"testing"
	"time"

	"github.com/redis/go-redis/v9"

	"github.com/gin-lifecycle/lifecycle/internal/record"
	"github.com/gin-lifecycle/lifecycle/internal/token"
)

// repacked returns the record with the timeouts and the proof of k.
func repacked(t *testing.T, rec []byte, k token.Token) []byte {
	t.Helper()
	r, err := record.Unpack(rec)
	if err != nil {
		t.Fatal(err)
	}
	r.Timeouts, r.Proof = k.Timeouts(), k.Proof()
	return record.Pack(r)
}

// A save with shorter timeouts lowers the due entry, or the end would come late. So does
// any other save, if something has moved the entry behind the live key's deadline.
func TestDueEntryIsALowerBound(t *testing.T) {
	t.Parallel()
	l, rdb := newLedger(t)
	ctx := context.Background()
	k, rec := begin(t, l, token.Timeouts{Idle: time.Minute})
	b := l.Bucket(k.ID)
	for _, timeouts := range []token.Timeouts{
		{Idle: 24 * time.Hour}, {Idle: time.Minute}, {Idle: time.Hour, Deadline: l.ClockOf(k.ID).Unix() + 30_000},
	} {
		next := k.WithTimeouts(timeouts)
		rec = repacked(t, rec, next)
		for range 2 { // as if the reply had been lost
			if ok, err := l.Save(ctx, k, next, timeouts.Idle, rec); !ok || err != nil {
				t.Fatal(ok, err)
			}
		}
		if other := k.WithTimeouts(token.Timeouts{Idle: time.Second}); rdb.Exists(ctx, l.keys.live(b, k.ID, k.Proof()), l.keys.live(b, k.ID, other.Proof())).Val() != 0 {
			t.Error("the session is live under the timeouts from before")
		}
		k = next
		live := func() int64 {
			return l.ClockOf(k.ID).Unix() + rdb.PTTL(ctx, l.keys.live(b, k.ID, k.Proof())).Val().Milliseconds()
		}
		behind := func(what string) {
			t.Helper()
			if due := int64(rdb.ZScore(ctx, l.keys.due(b), k.ID).Val()); due > live()+100 {
				t.Errorf("%s: due %d ms behind the live key's deadline", what, due-live())
			}
		}
		behind("other timeouts")
		look(t, l, k.ID, "i:1", Deleted) // moves the entry to the live key's deadline
		behind("looked at")
		rdb.ZAdd(ctx, l.keys.due(b), redis.Z{Score: 4e12, Member: k.ID})
		if ok, err := l.Save(ctx, k, k, timeouts.Idle, rec); !ok || err != nil {
			t.Fatal(ok, err)
		}
		behind("moved, and saved")
		rdb.ZRem(ctx, l.keys.due(b), k.ID)
		if ok, err := l.Save(ctx, k, k, timeouts.Idle, rec); !ok || err != nil {
			t.Fatal(ok, err)
		}
		if rdb.ZScore(ctx, l.keys.due(b), k.ID).Val() == 0 {
			t.Error("an entry that was lost stays lost")
		}
	}
	// An ended one is not written to, under whatever name.
	rdb.Del(ctx, l.keys.live(b, k.ID, k.Proof()))
	if ok, err := l.Save(ctx, k, k.WithTimeouts(token.Timeouts{Idle: time.Minute}), time.Minute, rec); ok || err != nil {
		t.Errorf("save of an ended session: %v, %v", ok, err)
	}
}

// However long somebody has made the live key's time to live, a session does not
// outlive the absolute deadline of its record.
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
			k, _ := begin(t, l, token.Timeouts{Idle: 100 * time.Millisecond, Deadline: deadline})
			b := l.Bucket(k.ID)
			live := l.keys.live(b, k.ID, k.Proof())
			tamper(live)
			var claims []*Claim
			for looks := 0; len(claims) == 0; looks++ {
				found := look(t, l, k.ID, "i:1", "")
				claims = found.Claims
				if len(claims) > 0 {
					break
				}
				if found.Next > deadline {
					t.Fatalf("next due %d ms behind the deadline", found.Next-deadline)
				}
				if ttl := rdb.PTTL(ctx, live).Val().Milliseconds(); l.ClockOf(k.ID).Unix()+ttl > deadline+100 {
					t.Fatalf("%d ms left", ttl)
				}
				if looks == 0 {
					tamper(live) // again, so that the live key is there at the deadline
				}
				select {
				case <-time.After(l.ClockOf(k.ID).Until(found.Next + 1)):
				case <-t.Context().Done():
				}
				tamper(live)
			}
			if c := claims[0]; c.Reason != Expired || c.At < deadline-rounding || c.At > deadline+rounding {
				t.Errorf("%s at %d, want %d", c.Reason, c.At, deadline)
			}
			if rdb.Exists(ctx, live).Val() != 0 {
				t.Error("the live key is still there")
			}
		})
	}
}

// rounding is by how much an expired session's end may lie beside its deadline.
const rounding = 50

// A rotation notes the secret that is gone, the latest first and four at most, and leaves
// the rest of the record as it is.
func TestRotationsAreRemembered(t *testing.T) {
	t.Parallel()
	l, rdb := newLedger(t)
	ctx := context.Background()
	k, _ := begin(t, l, token.Timeouts{Idle: time.Minute})
	var secrets []string
	for n := range 7 {
		next := k.Rotate()
		var rotated []byte
		for range 2 { // as if the reply had been lost
			var ok bool
			var err error
			if rotated, ok, err = l.Rotate(ctx, k, next, time.Minute); !ok || err != nil {
				t.Fatal(ok, err)
			}
		}
		secrets = append([]string{k.SecretProof()}, secrets...)
		rec, err := record.Unpack([]byte(rdb.Get(ctx, l.keys.session(l.Bucket(k.ID), k.ID)).Val()))
		if err != nil {
			t.Fatal(err)
		}
		if rec.Proof != next.Proof() || string(rec.Values) != "v" || rec.Timeouts != k.Timeouts() || len(rec.Rotated) != min(n+1, 4) ||
			!slices.Equal(rec.Rotated, record.UnpackRotated(rotated)) {
			t.Fatalf("rotation %d: %+v", n, rec)
		}
		for i, x := range rec.Rotated {
			if left := x.Until - l.ClockOf(k.ID).Unix(); x.Secret != secrets[i] || left <= 0 || left > 60_100 {
				t.Errorf("rotation %d: secret %d is remembered for %d ms", n, i, left)
			}
		}
		k = next
	}
	if _, ok, err := l.Rotate(ctx, k.Rotate(), k.Rotate(), time.Minute); ok || err != nil {
		t.Errorf("rotated under a secret that is none: %v, %v", ok, err)
	}
}
