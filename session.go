package lifecycle

import (
	"context"
	"fmt"
	"maps"
	"net/http"
	"reflect"
	"sync"
	"time"

	"github.com/gin-lifecycle/lifecycle/internal/ledger"
	"github.com/gin-lifecycle/lifecycle/internal/record"
)

// Hook is called when a session begins or ends. Its context ends after the time
// of WithHookTimeout; that of a created hook has the values of the request's
// context but does not end with the request, so that a visitor who goes away
// does not leave half of its work undone. A hook may use the whole API, of its
// session or of others. It must not keep the *http.Request of a created hook, or a
// gin context, beyond its return.
type Hook func(ctx context.Context, s *Session) error

// Reason tells why a session ended. Applications may use their own with
// Manager.Destroy.
type Reason string

// Reasons.
const (
	// ReasonIdleTimeout: no request came for the idle timeout.
	ReasonIdleTimeout Reason = "idle timeout"
	// ReasonAbsoluteTimeout: the session reached its absolute timeout.
	ReasonAbsoluteTimeout Reason = "absolute timeout"
	// ReasonDestroyed: a handler called DestroySession, or saved with a MaxAge
	// below zero; usually a logout.
	ReasonDestroyed Reason = "destroyed"
	// ReasonRevoked: Manager.Destroy was called without a reason of its own.
	ReasonRevoked Reason = "revoked"
	// ReasonDeleted: somebody else deleted the session's live key in Redis. It is
	// told apart from a timeout only where keyspace notifications work.
	ReasonDeleted Reason = "deleted"
	// ReasonEvicted: Redis evicted the live key for want of memory. It is told
	// apart from a timeout only where keyspace notifications work.
	ReasonEvicted Reason = "evicted"
	// ReasonLost: the session's record is gone without a trace, for example
	// flushed. Only what this process still knows of it is in the Session.
	ReasonLost Reason = "lost"
	// ReasonShutdown: the session lives on, but the instance that holds this
	// OnSessionDestroyed hook of a handler shuts down.
	ReasonShutdown Reason = "shutdown"
)

// Session is what a hook or a query is told of a session. It is a picture of
// one moment: it does not follow what happens to the session later. It is safe
// for concurrent use, but the values are shared with the other hooks.
type Session struct {
	// ID names the session for its whole life. It is no secret: it may be logged,
	// shown and used as an idempotency key.
	ID string

	// CreatedAt is when the session began, by the Redis server's clock, as are
	// all times here.
	CreatedAt time.Time
	// LastSeenAt is the time of the last request as near as it is known. At an
	// absolute timeout that is the earliest time that it can have been.
	LastSeenAt time.Time
	// EndedAt is when the session ended; zero while it is live. For a timeout it
	// is the deadline as last known, not the moment at which it was noticed. Where no
	// instance was at work when the session timed out it is a lower bound: requests
	// since the last look may have moved the deadline on, by up to the idle timeout.
	// LastSeenAt is one then, too, and an absolute timeout may be told as an idle one.
	EndedAt time.Time
	// ExpiresAt is when a live session ends if no further request comes.
	ExpiresAt time.Time

	// Reason tells why the session ended; empty while it is live.
	Reason Reason
	// Attempt counts, from 1, how often the destroyed hooks of this end were
	// started; 0 while the session is live.
	Attempt int

	// Request sums up the request that began the session.
	Request Request

	live *http.Request // of a created hook

	decode sync.Once
	codec  Codec
	raw    []byte
	values map[any]any
	err    error
}

// Request is what is kept of the request that began a session; see WithRequestSummary.
// Long texts are cut: the URI at 2,048 bytes, everything else at 512.
type Request struct {
	Method    string
	URI       string // path and query
	Host      string
	ClientIP  string // as gin's ClientIP tells it; behind a proxy see gin's SetTrustedProxies
	UserAgent string
	// Header holds the lines that WithRequestHeaders names, 2,048 bytes at most.
	Header http.Header
}

// Get returns the value that the application last saved under key, nil if there
// is none, as for a key that cannot be one, such as a slice.
func (s *Session) Get(key any) any {
	if !reflect.ValueOf(key).Comparable() {
		return nil
	}
	return s.Values()[key]
}

// Values returns all values that the application last saved. It is nil if they
// cannot be decoded; see Err.
func (s *Session) Values() map[any]any {
	s.decode.Do(func() {
		if s.values == nil && len(s.raw) > 0 {
			s.values, s.err = decodeValues(s.codec, s.raw)
		}
	})
	return s.values
}

// Err returns why Values is nil: an error that wraps ErrUndecodable, or nil.
func (s *Session) Err() error {
	s.Values()
	return s.err
}

// HTTPRequest returns, to a created hook, the request that begins the session; in
// every other Session it is nil. It is the server's again when the hook has
// returned: who keeps the Session must not ask it for its request.
func (s *Session) HTTPRequest() *http.Request { return s.live }

// decodeValues never returns nil without an error. A panic of the codec, which may be
// the application's own, is an error too: Values is called by goroutines in which
// nothing recovers.
func decodeValues(codec Codec, raw []byte) (values map[any]any, err error) {
	defer func() {
		if r := recover(); r != nil {
			values, err = nil, fmt.Errorf("%w: values: panic: %v", ErrUndecodable, r)
		}
	}()
	values, err = codec.Decode(raw)
	if err != nil {
		return nil, fmt.Errorf("%w: values: %w", ErrUndecodable, err)
	}
	if values == nil {
		values = map[any]any{}
	}
	return values, nil
}

func decodeRecord(b []byte) (record.Record, error) {
	rec, err := record.Unpack(b)
	if err != nil {
		return record.Record{}, fmt.Errorf("%w: %w", ErrUndecodable, err)
	}
	return rec, nil
}

// liveSession returns the picture of a live session that was last seen left
// before its live key's deadline.
func liveSession(codec Codec, id string, rec record.Record, now, left int64) *Session {
	s := recorded(codec, id, rec)
	s.ExpiresAt = time.UnixMilli(now + left)
	s.LastSeenAt = time.UnixMilli(max(min(now, now+left-rec.Timeouts.Idle.Milliseconds()), rec.Created))
	return s
}

// endedSession returns the picture of an ended session.
func endedSession(codec Codec, e ledger.End) *Session {
	s := &Session{ID: e.ID, codec: codec}
	var rec record.Record
	if len(e.Record) > 0 {
		var err error
		if rec, err = decodeRecord(e.Record); err != nil {
			s.err = err
		} else {
			s = recorded(codec, e.ID, rec)
		}
	}
	s.Attempt = e.Attempt
	s.Reason = reasonOf(e, rec)
	if s.Reason == ReasonAbsoluteTimeout {
		e.At = rec.Timeouts.Deadline
	}
	// When it began is an estimate of the server's clock, which may be ahead by half a
	// round trip.
	e.At = max(e.At, rec.Created)
	s.EndedAt = time.UnixMilli(e.At)
	if rec.Created != 0 {
		seen := e.At
		switch {
		case s.Reason == ReasonIdleTimeout || s.Reason == ReasonAbsoluteTimeout:
			seen -= rec.Timeouts.Idle.Milliseconds()
		case e.Left >= 0:
			seen += e.Left - rec.Timeouts.Idle.Milliseconds()
		}
		s.LastSeenAt = time.UnixMilli(max(min(seen, e.At), rec.Created))
	}
	return s
}

// rounding is by how much, in ms, an expired session's end may lie before its live
// key's deadline: a script reads the time, and what is left of the key's, one
// after the other.
const rounding = 50

func reasonOf(e ledger.End, rec record.Record) Reason {
	switch e.Reason {
	case ledger.Expired:
		if d := rec.Timeouts.Deadline; d != 0 && e.At >= d-rounding {
			return ReasonAbsoluteTimeout
		}
		return ReasonIdleTimeout
	case ledger.Evicted:
		return ReasonEvicted
	case ledger.Deleted:
		return ReasonDeleted
	case ledger.Lost:
		return ReasonLost
	}
	return Reason(e.Reason)
}

func recorded(codec Codec, id string, rec record.Record) *Session {
	s := &Session{
		ID:        id,
		CreatedAt: time.UnixMilli(rec.Created),
		Request: Request{
			Method:    rec.Request.Method,
			URI:       rec.Request.URI,
			Host:      rec.Request.Host,
			ClientIP:  rec.Request.ClientIP,
			UserAgent: rec.Request.UserAgent,
		},
		codec: codec,
		raw:   rec.Values,
	}
	if len(rec.Request.Header) > 0 {
		s.Request.Header = make(http.Header, len(rec.Request.Header))
		for _, f := range rec.Request.Header {
			s.Request.Header.Add(f.Name, f.Value)
		}
	}
	return s
}

// withValues replaces the values by a copy of those.
func (s *Session) withValues(values map[any]any) *Session {
	s.values = maps.Clone(values)
	return s
}
