package lifecycle

import (
	"errors"
	"fmt"
	"net/http"

	"github.com/gin-lifecycle/lifecycle/internal/ledger"
)

var (
	// ErrSessionEnded is returned by everything that needs a live session when
	// there is none any more: it has timed out, was destroyed, or, for all but a
	// destruction, its token was rotated by another request since this one read it.
	ErrSessionEnded = errors.New("lifecycle: the session has ended")

	// ErrNoSession is returned by what needs a session as long as none was begun: with
	// WithLazyCreation, call Save first.
	ErrNoSession = errors.New("lifecycle: there is no session yet, it begins with its first Save")

	// ErrSessionWithheld is returned by what needs a session, Save included, in a request
	// in which no session may begin: another site has made the visitor's browser send it
	// (see WithCrossSite), it is a CORS preflight, its cookie has the secret from before a
	// rotation a moment ago (see WithRotationGrace), or WithSkipper has it out. The visitor's
	// cookie stays as it is. errors.Is says that it is ErrNoSession too.
	ErrSessionWithheld = errors.New("lifecycle: no session begins in this request")

	// ErrUnavailable is returned when Redis could not be reached or refused a
	// command, or the call's context ended before it answered; the cause is wrapped
	// beside it. By default the middleware answers 503 (see WithErrorHandler).
	ErrUnavailable = errors.New("lifecycle: the session store is unavailable")

	// ErrUndecodable is returned for a session whose record or values cannot be
	// decoded, for example after a change of codec or of a gob type, whatever its bytes
	// and even if the codec panics. The record is left as it is. By default the
	// middleware answers 500.
	ErrUndecodable = errors.New("lifecycle: the session cannot be decoded")

	// ErrRefused is what the error handler gets when a created hook failed and
	// WithCreatedHooksRequired is set; the hook's error is wrapped beside it.
	ErrRefused = errors.New("lifecycle: a created hook refused the session")

	// ErrHeadersWritten is returned by Context.RotateSession, and by a Save that
	// would begin a session, when the response has begun already. Other Saves are
	// carried out then, only their cookie is not sent.
	ErrHeadersWritten = errors.New("lifecycle: the response has begun, the cookie can no longer be set")

	// ErrBucketMismatch is returned by Start, and by every use of the store, when
	// Redis has another number of buckets for this prefix, which its text names; see
	// WithBuckets. A store that has once found its own number there does not look
	// again: if the prefix is founded anew with another one, after a flush, only a
	// manager's heartbeat notices. A manager logs it once.
	ErrBucketMismatch = ledger.ErrBucketMismatch

	// ErrNotDead is returned by Manager.RetryDead and Manager.DropDead when no end
	// of this ID is in the dead set: it never was, was dropped, or its hooks run.
	ErrNotDead = errors.New("lifecycle: no such end is in the dead set")

	// ErrShutdown is returned by what needs the background work after Shutdown.
	ErrShutdown = errors.New("lifecycle: the manager has been shut down")
)

// ValuesTooLargeError is returned by Save when the encoded values exceed the
// limit of WithMaxValuesSize. Nothing was saved.
type ValuesTooLargeError struct {
	Size  int // bytes, encoded
	Limit int // bytes
}

func (e *ValuesTooLargeError) Error() string {
	return fmt.Sprintf("lifecycle: the session's values take %d bytes, the limit is %d", e.Size, e.Limit)
}

// withheld is an ErrSessionWithheld, and why.
type withheld string

const (
	withheldForeign   withheld = "another site has made the browser send it"
	withheldPreflight withheld = "it is a CORS preflight"
	withheldRotated   withheld = "its cookie has the secret from before a rotation"
	withheldSkipped   withheld = "WithSkipper has it out"
)

func (why withheld) Error() string { return ErrSessionWithheld.Error() + ": " + string(why) }

func (why withheld) Is(target error) bool {
	return target == ErrSessionWithheld || target == ErrNoSession
}

// unavailable wraps an error of Redis with the operation that met it.
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
