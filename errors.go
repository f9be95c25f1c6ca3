package lifecycle

import (
	"errors"
	"fmt"
	"net/http"

	"github.com/gin-lifecycle/lifecycle/internal/ledger"
)

// Compare errors with errors.Is, and with errors.As for *ValuesTooLargeError.
var (
	// ErrSessionEnded is returned by everything that needs a live session if the session
	// has ended: it has timed out or was destroyed. Except for a destruction, it is also
	// returned if another request has rotated the session since this request read it.
	ErrSessionEnded = errors.New("lifecycle: the session has ended")

	// ErrNoSession is returned by what needs a session if none has begun yet, with
	// WithLazyCreation: call Save first.
	ErrNoSession = errors.New("lifecycle: there is no session yet, it begins with its first Save")

	// ErrSessionWithheld is returned by what needs a session, Save included, in a request
	// in which no session may begin. There are six such requests: one that another site
	// has made the browser send (see WithCrossSite), a CORS preflight, one with a cookie
	// from before a rotation a moment ago (see WithRotationGrace), one for which the
	// function of WithSkipper returns true, one of a Passive route, and one whose header
	// field has another session of the request (see WithTokenHeader). The visitor's cookie
	// stays as it is. errors.Is reports such an error as ErrNoSession too.
	ErrSessionWithheld = errors.New("lifecycle: no session begins in this request")

	// ErrRequestOver is returned by everything that changes the session if the request is
	// over: the lifecycle middleware has returned. A goroutine that the handler has started
	// may still run then, or a handler whose request another middleware has answered. Neither
	// Redis nor the response is touched. What has been read of the session can still be read.
	// For changes after the request use the methods of Manager with the session's ID.
	ErrRequestOver = errors.New("lifecycle: the request is over, its session cannot be changed any more")

	// ErrUnavailable is returned if Redis cannot be reached or refuses a command, or if
	// the context ends before Redis answers. The cause is wrapped too. By default the
	// middleware answers 503 (see WithErrorHandler).
	ErrUnavailable = errors.New("lifecycle: the session store is unavailable")

	// ErrUndecodable is returned if a session's record or values cannot be decoded, for
	// example after a change of the codec or of a gob type. The session stays in Redis as
	// it is. By default the middleware answers 500.
	ErrUndecodable = errors.New("lifecycle: the session cannot be decoded")

	// ErrRefused is returned by the middleware, to the error handler, if a created hook
	// fails and WithCreatedHooksRequired is set. The hook's error is wrapped too. By
	// default the middleware answers 500.
	ErrRefused = errors.New("lifecycle: a created hook refused the session")

	// ErrHeadersWritten is returned by RotateSession, RenewSession and Begin of Context, and
	// by a Save that begins a session, if the response has already begun and the cookie
	// cannot be sent any more.
	// Other Saves are carried out; only their cookie is not sent.
	ErrHeadersWritten = errors.New("lifecycle: the response has begun, the cookie can no longer be set")

	// ErrBucketMismatch is returned by Start, and by every use of the store, if the data
	// under this prefix was begun with another number of buckets. Its text says which
	// number that is: set it with WithBuckets, or use another WithPrefix. A manager logs
	// the error once. By default the middleware answers 500.
	//
	// A store that has found its own number in Redis does not read it again. Somebody may
	// flush Redis later, and another application may then begin with another number. Only
	// the heartbeat of a manager notices that.
	ErrBucketMismatch = ledger.ErrBucketMismatch

	// ErrNotDead is returned by Manager.RetryDead and Manager.DropDead if no end of this
	// ID is in the dead set: it never was, it was dropped, or its hooks run again.
	ErrNotDead = errors.New("lifecycle: no such end is in the dead set")

	// ErrShutdown is returned after Shutdown by what needs the background work.
	ErrShutdown = errors.New("lifecycle: the manager has been shut down")
)

// errNoStore is returned by the default manager before it has a store.
var errNoStore = errors.New("lifecycle: the default manager has no store yet: use lifecycle.Start(ctx, store)")

// ValuesTooLargeError is returned by Save if the encoded values are larger than
// WithMaxValuesSize allows. Nothing is saved then.
type ValuesTooLargeError struct {
	Size  int // of the encoded values, in bytes
	Limit int // of WithMaxValuesSize, in bytes
}

func (e *ValuesTooLargeError) Error() string {
	return fmt.Sprintf("lifecycle: the session's values take %d bytes, the limit is %d", e.Size, e.Limit)
}

// withheld is an ErrSessionWithheld, with its cause.
type withheld string

const (
	withheldForeign   withheld = "another site has made the browser send it"
	withheldPreflight withheld = "it is a CORS preflight"
	withheldRotated   withheld = "its cookie has the secret from before a rotation"
	withheldSkipped   withheld = "WithSkipper excludes it"
	withheldPassive   withheld = "it is passive"
	withheldField     withheld = "another session of the request has the header field of WithTokenHeader"
)

func (cause withheld) Error() string { return ErrSessionWithheld.Error() + ": " + string(cause) }

func (cause withheld) Is(target error) bool {
	return target == ErrSessionWithheld || target == ErrNoSession
}

// unavailable wraps an error of Redis with the name of the operation. It returns nil for nil.
func unavailable(op string, err error) error {
	if err == nil {
		return nil
	}
	if errors.Is(err, ErrBucketMismatch) {
		return fmt.Errorf("lifecycle: %s: %w", op, err)
	}
	return fmt.Errorf("%w: %s: %w", ErrUnavailable, op, err)
}

// statusOf returns the response's status for an error of the middleware.
func statusOf(err error) int {
	if errors.Is(err, ErrUnavailable) {
		return http.StatusServiceUnavailable
	}
	return http.StatusInternalServerError
}
