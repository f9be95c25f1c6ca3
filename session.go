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

// Hook is a function that is called when a session begins or ends. If it returns an error or
// panics, the hook has failed; what happens then is said where the hook is registered.
//
// The context ends after the time of WithHookTimeout; that of a destroyed hook also ends
// when another instance takes the end over, or when the context of Shutdown ends. A hook
// that ignores its context is left running and counts as failed.
//
// The context of a created hook has the values of the request's context, but it does not end
// with the request: the hook can finish its work although the visitor has gone away.
//
// A hook may use the whole API, for its own session and for others. It must not keep the
// *http.Request of a created hook, or a gin context, after it has returned.
type Hook func(ctx context.Context, s *Session) error

// Reason says why a session ended. Applications may use reasons of their own with
// Manager.Destroy.
type Reason string

// Reasons.
const (
	// ReasonIdleTimeout: no request came during the idle timeout.
	ReasonIdleTimeout Reason = "idle timeout"
	// ReasonAbsoluteTimeout: the session reached its absolute timeout.
	ReasonAbsoluteTimeout Reason = "absolute timeout"
	// ReasonDestroyed: a handler called DestroySession, or called Save with a MaxAge
	// below 0; usually a logout.
	ReasonDestroyed Reason = "destroyed"
	// ReasonUndecodable: the session could not be decoded, and WithEndUndecodable is set.
	ReasonUndecodable Reason = "undecodable"
	// ReasonRevoked: Manager.Destroy was called without a reason of its own.
	ReasonRevoked Reason = "revoked"
	// ReasonDeleted: somebody deleted the session's live key in Redis. Without keyspace
	// notifications such a session ends with ReasonIdleTimeout.
	ReasonDeleted Reason = "deleted"
	// ReasonEvicted: Redis evicted the live key because its memory was full. Without
	// keyspace notifications such a session ends with ReasonIdleTimeout.
	ReasonEvicted Reason = "evicted"
	// ReasonLost: Redis has lost the session's data, for example by FLUSHALL. The Session
	// holds only what this process still knows.
	ReasonLost Reason = "lost"
	// ReasonShutdown: the session is still live, but this instance shuts down and calls
	// the closures (hooks of Context.OnSessionDestroyed) that it holds.
	ReasonShutdown Reason = "shutdown"
)

// Session is what a hook or a query gets of a session. It shows the session at one moment
// and does not change later. It is safe for concurrent use. All hooks of an end share the
// values: do not change them.
type Session struct {
	// ID is the public name of the session, the same for its whole life. It is not a
	// secret: it may be logged and shown, and used as an idempotency key.
	ID string

	// CreatedAt is when the session began. All times are those of the Redis server's
	// clock.
	CreatedAt time.Time
	// LastSeenAt is the time of the last request, as exactly as it is known. After an
	// absolute timeout it is the earliest time at which the last request can have come.
	LastSeenAt time.Time
	// EndedAt is when the session ended; zero in queries and created hooks. For a timeout
	// it is the last recorded deadline, not the moment at which the end was noticed. With
	// ReasonShutdown it is the time of the shutdown.
	//
	// If no instance was running when the session timed out, EndedAt and LastSeenAt may
	// be too early, by up to the idle timeout: requests may have prolonged the session
	// after the deadline was recorded. For the same reason an absolute timeout may then
	// be reported as an idle timeout.
	EndedAt time.Time
	// ExpiresAt is when a live session ends if no request comes; zero in destroyed hooks.
	ExpiresAt time.Time

	// Reason says why the destroyed hook is called; empty in queries and created hooks.
	Reason Reason
	// Attempt is how often the destroyed hooks of this end have been started, from 1 up; 0
	// in queries and created hooks.
	Attempt int

	// Request is a summary of the request that began the session.
	Request Request

	httpRequest *http.Request // of a created hook
	setting     *setting      // of a created hook

	decode sync.Once
	codec  Codec
	raw    []byte
	values map[any]any
	err    error
}

// Get returns the value that the application last saved under key. It returns nil if there
// is none, if the values cannot be decoded (see Err), or if key cannot be a key of a map,
// such as a slice.
func (s *Session) Get(key any) any {
	if !reflect.ValueOf(key).Comparable() {
		return nil
	}
	return s.Values()[key]
}

// Values returns all values that the application last saved. It returns nil if they cannot
// be decoded; see Err. Do not change the map.
func (s *Session) Values() map[any]any {
	s.decode.Do(func() {
		if s.values == nil && len(s.raw) > 0 {
			s.values, s.err = decodeValues(s.codec, s.raw)
		}
	})
	if s.setting != nil {
		return s.setting.over(s.values)
	}
	return s.values
}

// Err returns why Values is nil: an error that wraps ErrUndecodable. It returns nil if the
// values could be decoded.
func (s *Session) Err() error {
	s.Values()
	return s.err
}

// HTTPRequest returns the request that begins the session to a created hook. It returns nil
// to everybody else. Do not use the request after the created hook has returned.
func (s *Session) HTTPRequest() *http.Request { return s.httpRequest }

// setting is what created hooks set.
type setting struct {
	mu     sync.Mutex
	values map[any]any
	sealed bool
}

// Set sets a value of a session that begins, in a created hook only. The created hooks after
// this one see it, and so do the handler and all later requests. The values are saved when
// all created hooks have run, in one round trip to Redis. If they cannot be saved, the session
// ends and the request fails with the error of Save.
//
// Where the session begins with a Save, with WithLazyCreation or after a destruction, Get shows
// what the handler has set. A hook that sets the same key replaces it.
//
// Set panics if key is not comparable, such as a slice, and everywhere else than in a created
// hook that is running: there a Session shows what was, and does not change. A handler uses
// sessions.Default(c) and Save.
func (s *Session) Set(key, value any) {
	if !reflect.ValueOf(key).Comparable() {
		panic(fmt.Sprintf("lifecycle: Session.Set: a value of type %T cannot be a key", key))
	}
	if s.setting == nil || !s.setting.set(key, value) {
		panic("lifecycle: Session.Set works in a created hook only, until the hook returns: use sessions.Default(c) and Save in a handler")
	}
}

// set reports whether values can still be set.
func (x *setting) set(key, value any) bool {
	x.mu.Lock()
	defer x.mu.Unlock()
	if x.sealed {
		return false
	}
	if x.values == nil {
		x.values = make(map[any]any)
	}
	x.values[key] = value
	return true
}

// over returns values together with what was set.
func (x *setting) over(values map[any]any) map[any]any {
	x.mu.Lock()
	defer x.mu.Unlock()
	if len(x.values) == 0 {
		return values
	}
	all := maps.Clone(x.values)
	for key, value := range values {
		if _, set := all[key]; !set {
			all[key] = value
		}
	}
	return all
}

// settable lets created hooks set values of the session.
func (s *Session) settable() *Session {
	s.setting = new(setting)
	return s
}

// seal ends that, and returns what was set.
func (s *Session) seal() map[any]any {
	s.setting.mu.Lock()
	defer s.setting.mu.Unlock()
	s.setting.sealed = true
	return s.setting.values
}

// decodeValues never returns nil without an error. A panic of the codec, which may be the
// application's own, becomes an error: Values is called in goroutines of the application,
// which do not recover.
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

// decodeIfAny is decodeValues for values that may be none.
func decodeIfAny(codec Codec, raw []byte) (map[any]any, error) {
	if len(raw) == 0 {
		return map[any]any{}, nil
	}
	return decodeValues(codec, raw)
}

func decodeRecord(b []byte) (record.Record, error) {
	rec, err := record.Unpack(b)
	if err != nil {
		return record.Record{}, fmt.Errorf("%w: %w", ErrUndecodable, err)
	}
	return rec, nil
}

// liveSession returns a live session as it is at the time now, when its live key has left ms
// to live.
func liveSession(codec Codec, id string, rec record.Record, now, left int64) *Session {
	s := recorded(codec, id, rec)
	s.ExpiresAt = time.UnixMilli(now + left)
	s.LastSeenAt = time.UnixMilli(max(min(now, now+left-rec.Timeouts.Idle.Milliseconds()), rec.Created))
	return s
}

// endedSession returns an ended session as its hooks get it.
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
	expired := e.Reason == ledger.Expired // and not by Manager.Destroy with the text of a timeout
	if expired && s.Reason == ReasonAbsoluteTimeout {
		e.At = rec.Timeouts.Deadline
	}
	// CreatedAt is an estimate of the server's clock, and may be late by half a round trip.
	e.At = max(e.At, rec.Created)
	s.EndedAt = time.UnixMilli(e.At)
	if rec.Created != 0 {
		seen := e.At
		switch {
		case expired:
			seen -= rec.Timeouts.Idle.Milliseconds()
		case e.Left >= 0:
			seen += e.Left - rec.Timeouts.Idle.Milliseconds()
		}
		s.LastSeenAt = time.UnixMilli(max(min(seen, e.At), rec.Created))
	}
	return s
}

// rounding is by how many ms the recorded end of an expired session may lie before the
// deadline of its live key: a script reads the time and the key's time to live one after
// the other.
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

// recorded returns what the record says about a session.
func recorded(codec Codec, id string, rec record.Record) *Session {
	return &Session{
		ID:        id,
		CreatedAt: time.UnixMilli(rec.Created),
		Request:   requestOf(rec.Began()),
		codec:     codec,
		raw:       rec.Values,
	}
}
