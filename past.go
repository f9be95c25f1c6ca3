package lifecycle

import (
	"time"

	"github.com/gin-lifecycle/lifecycle/internal/ledger"
	"github.com/gin-lifecycle/lifecycle/internal/record"
	"github.com/gin-lifecycle/lifecycle/internal/token"
)

// What a request learns of a session that has ended, and whose token it has brought. See
// Context.Previous.

// foundPast notes what the request has found under t in place of a record, if t proves
// itself: only the visitor of an ended session learns of its end. The first token counts.
func (b *binding) foundPast(t token.Token, packed []byte) {
	p, ok := ledger.UnpackPast(packed)
	if ok && t.Proves(p.Proof) && b.past == nil {
		b.past = &past{t, p.Deadline, &ledger.End{ID: t.ID, Reason: p.Reason, At: p.At}}
	}
}

// foundEnded notes that the session of t, which has proven itself, is not live any more, but
// its record is still there: its end is not finished.
func (b *binding) foundEnded(t token.Token, rec record.Record) {
	if b.past == nil {
		b.past = &past{t, rec.Timeouts.Deadline, nil}
	}
}

// noteEnd notes that the request's own session has ended meanwhile.
func (b *binding) noteEnd() { b.past = &past{b.token, b.record.Timeouts.Deadline, nil} }

// ending returns how the last session of the request's visitor has ended. It asks Redis if
// the end is not finished, or has come in this request.
func (b *binding) ending() (e ledger.End, deadline int64, ok bool) {
	p := b.past
	if p == nil || b.store.config.previous == 0 || b.withheld == withheldSkipped {
		return ledger.End{}, 0, false
	}
	if p.end == nil {
		if e, ok, err := b.store.ledger.Previous(b.request.Context(), p.token); err == nil && ok {
			p.end = &e
		}
	}
	if p.end == nil {
		return ledger.End{}, 0, false
	}
	return *p.end, p.deadline, true
}

// endOf returns the reason and the time of an end as hooks get them; the zero time if it is not
// known.
func endOf(e ledger.End, deadline int64) (Reason, time.Time) {
	reason := reasonOf(e, record.Record{Timeouts: token.Timeouts{Deadline: deadline}})
	if e.Reason == ledger.Expired && reason == ReasonAbsoluteTimeout {
		e.At = deadline
	}
	if e.At == 0 {
		return reason, time.Time{}
	}
	return reason, time.UnixMilli(e.At)
}
