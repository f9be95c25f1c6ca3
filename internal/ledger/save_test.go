package ledger

import (
	"bytes"
	"context"
	"testing"
	"time"

	"github.com/gin-lifecycle/lifecycle/internal/ledger/ledgertest"
	"github.com/gin-lifecycle/lifecycle/internal/redistest"
	"github.com/gin-lifecycle/lifecycle/internal/token"
)

// valued returns the record of k with other values.
func valued(k token.Token, values string) []byte {
	return ledgertest.Record(k, time.Now(), []byte(values))
}

// Of two saves that were made from the same record the second writes nothing and gets what
// the first has written. Then it can save again.
func TestSaveDoesNotOverwrite(t *testing.T) {
	t.Parallel()
	l, _ := newLedger(t)
	ctx := context.Background()
	k, _ := ledgertest.Begin(t, l, token.Timeouts{Idle: time.Minute})
	loaded := l.Load(ctx, k)[0]
	if loaded.Revision != FirstRevision {
		t.Fatalf("the revision of a new session is %q, want %q", loaded.Revision, FirstRevision)
	}
	one, two := valued(k, "one"), valued(k, "two")
	first, err := l.Save(ctx, Saving{k, k, time.Minute, one, loaded.Revision})
	if !first.OK || err != nil {
		t.Fatalf("the first Save = %+v, %v", first, err)
	}
	for _, revision := range []string{loaded.Revision, ""} {
		for range 2 { // as if the reply had been lost
			x, err := l.Save(ctx, Saving{k, k, time.Minute, two, revision})
			if x.OK || !bytes.Equal(x.Record, one) || x.Revision != first.Revision || err != nil {
				t.Fatalf("a Save from revision %q = %+v, %v, want the record and revision of the first", revision, x, err)
			}
		}
	}
	if x, err := l.Save(ctx, Saving{k, k, time.Minute, two, first.Revision}); !x.OK || err != nil {
		t.Fatalf("a Save from the present record = %+v, %v", x, err)
	}
	if got := l.Load(ctx, k)[0]; !bytes.Equal(got.Record, two) || got.Revision == first.Revision {
		t.Errorf("the session has %q, revision %q, want the last save with a revision of its own", got.Record, got.Revision)
	}
	// A rotation is no save.
	next := k.Rotate()
	before := l.Load(ctx, k)[0].Revision
	if _, ok, err := l.Rotate(ctx, k, next, 0); !ok || err != nil {
		t.Fatalf("Rotate = %v, %v", ok, err)
	}
	if got := l.Load(ctx, next)[0].Revision; got != before {
		t.Errorf("a rotation has changed the revision from %q to %q", before, got)
	}
}

// A save without an idle timeout, and a Peek, leave the time to live as it is.
func TestPeekAndSaveWithoutProlonging(t *testing.T) {
	t.Parallel()
	l, rdb := newLedger(t)
	ctx := context.Background()
	k, _ := ledgertest.Begin(t, l, token.Timeouts{Idle: time.Hour})
	live := l.keys.live(l.Bucket(k.ID), k.ID, k.Proof())
	rdb.PExpire(ctx, live, time.Minute)
	x := l.Peek(ctx, k)[0]
	if !x.Live || x.Err != nil {
		t.Fatalf("Peek = %+v", x)
	}
	short := k.WithTimeouts(token.Timeouts{Idle: 2 * time.Hour})
	for _, next := range []token.Token{k, short} {
		saved, err := l.Save(ctx, Saving{Token: k, Next: next, Record: valued(next, "v"), Revision: x.Revision})
		if !saved.OK || err != nil {
			t.Fatalf("Save = %+v, %v", saved, err)
		}
		x.Revision = saved.Revision
		live = l.keys.live(l.Bucket(k.ID), k.ID, next.Proof())
		if ttl := rdb.PTTL(ctx, live).Val(); ttl > time.Minute || ttl <= 0 {
			t.Errorf("the session lives for %v, want a minute at most, as before", ttl)
		}
	}
}

// A save whose absolute deadline is over when Redis runs it ends the session. Its record is
// written, so that the end gets the right reason, and nothing lives on without an end.
func TestSaveBeyondTheDeadline(t *testing.T) {
	t.Parallel()
	l, rdb := newLedger(t)
	ctx := context.Background()
	for _, revision := range []string{FirstRevision, "7"} {
		k, old := ledgertest.Begin(t, l, token.Timeouts{Idle: time.Minute})
		b := l.Bucket(k.ID)
		next := k.WithTimeouts(token.Timeouts{Idle: time.Minute, Deadline: l.Clock(b).Unix() - 1000})
		rec := valued(next, "late")
		x, err := l.Save(ctx, Saving{k, next, time.Minute, rec, revision})
		if x.OK != (revision == FirstRevision) || err != nil {
			t.Errorf("Save from revision %s = %+v, %v", revision, x, err)
		}
		want := rec
		if !x.OK {
			want = old
		}
		if got := rdb.Get(ctx, l.keys.session(b, k.ID)).Val(); got != string(want) {
			t.Errorf("Save from revision %s: the record is %q, want %q", revision, got, want)
		}
		if n := rdb.Exists(ctx, l.keys.live(b, k.ID, k.Proof()), l.keys.live(b, k.ID, next.Proof())).Val(); n != 0 {
			t.Errorf("Save from revision %s: the session has a live key", revision)
		}
		if x.OK {
			if c := look(t, l, k.ID, "i:1", "").Claims; len(c) != 1 || c[0].Reason != Expired {
				t.Errorf("a look finds %+v, want an end of its time", c)
			}
		}
	}
}

// Restore takes back what Load has added to the time to live, and what nobody has used since.
func TestRestore(t *testing.T) {
	t.Parallel()
	l, rdb := newLedger(t)
	ctx := context.Background()
	k, _ := ledgertest.Begin(t, l, token.Timeouts{Idle: time.Hour})
	b := l.Bucket(k.ID)
	live := l.keys.live(b, k.ID, k.Proof())
	ttl := func() time.Duration { return rdb.PTTL(ctx, live).Val() }
	rdb.PExpire(ctx, live, time.Minute)
	x := l.Load(ctx, k)[0]
	if x.Left > time.Minute || x.Left < 50*time.Second || ttl() < 59*time.Minute {
		t.Fatalf("before Load %v were left, and now %v; want a minute, and an hour", x.Left, ttl())
	}
	look(t, l, k.ID, "i:1", Deleted) // moves the due entry to the live key's deadline
	for range 2 {                    // as if the reply had been lost
		if err := l.Restore(ctx, k, x); err != nil {
			t.Fatalf("Restore: %v", err)
		}
		if got := ttl(); got > time.Minute || got < 50*time.Second {
			t.Fatalf("after Restore the session lives for %v, want a minute", got)
		}
	}
	if due := int64(rdb.ZScore(ctx, l.keys.due(b), k.ID).Val()); due > l.ClockOf(k.ID).Unix()+60_100 {
		t.Error("the due entry is later than the live key's deadline")
	}
	// Another request has prolonged it since, for as long, some time later.
	x = l.Load(ctx, k)[0]
	loaded := time.Now()
	redistest.Eventually(t, "so long that no command is under way for it", func() bool { return time.Since(loaded) > time.Second })
	if other := l.Load(ctx, k)[0]; !other.Live || other.Err != nil {
		t.Fatalf("Load = %+v", other)
	}
	if err := l.Restore(ctx, k, x); err != nil || ttl() < 59*time.Minute {
		t.Errorf("Restore has shortened what another request has prolonged, to %v (%v)", ttl(), err)
	}
	rdb.Del(ctx, live)
	if err := l.Restore(ctx, k, x); err != nil || rdb.Exists(ctx, live).Val() != 0 {
		t.Errorf("Restore of an ended session: %v, or it has a live key again", err)
	}
}

// A live key that something else has overwritten counts as gone, and a strange revision as a
// revision.
func TestSaveOverStrangeLiveKeys(t *testing.T) {
	t.Parallel()
	l, rdb := newLedger(t)
	ctx := context.Background()
	k, rec := ledgertest.Begin(t, l, token.Timeouts{Idle: time.Minute})
	live := l.keys.live(l.Bucket(k.ID), k.ID, k.Proof())
	for _, strange := range []string{"", "-1", "9223372036854775807", "x"} {
		rdb.Set(ctx, live, strange, time.Minute)
		x := l.Load(ctx, k)[0]
		if !x.Live {
			t.Fatalf("with %q in its live key the session is not live", strange)
		}
		saved, err := l.Save(ctx, Saving{k, k, time.Minute, rec, x.Revision})
		if !saved.OK || err != nil {
			t.Fatalf("Save over %q = %+v, %v", strange, saved, err)
		}
		if saved.Revision == strange || rdb.Get(ctx, live).Val() != saved.Revision {
			t.Errorf("after a save over %q the revision is %q, and Redis has %q", strange, saved.Revision, rdb.Get(ctx, live).Val())
		}
	}
	redistest.Overwrite(t, rdb, live)
	if x, err := l.Save(ctx, Saving{k, k, time.Minute, rec, "1"}); x.OK || len(x.Record) > 0 || err != nil {
		t.Errorf("Save over a live key of another type = %+v, %v, want nothing", x, err)
	}
}
