package lifecycle

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"sync"
	"time"

	"github.com/gin-lifecycle/lifecycle/internal/reply"
)

// slowStart returns after how long without an answer of Redis the log says that the start
// waits, and with which error. It is within a second, while WithRedisTimeout may be much
// longer; behind Sentinel it is later, because go-redis takes longer to say which sentinels
// refuse.
func slowStart(refusal time.Duration) (after time.Duration, err error) {
	after = refusal * 9 / 10
	return after, fmt.Errorf("%w: start: no answer and no refusal within %v", ErrUnavailable, after)
}

// startLog writes what becomes of a manager's start. Its methods are safe for concurrent use.
type startLog struct {
	mismatched sync.Once // the log says that Redis has another number of buckets

	mu   sync.Mutex
	away bool // the log says that Redis is away
}

// failed logs that a start has failed: with another number of buckets once for good, and
// with a Redis that is away once until begun is called. Other errors are not logged here.
func (s *startLog) failed(log *slog.Logger, address string, err error) {
	switch {
	case errors.Is(err, ErrBucketMismatch):
		s.mismatched.Do(func() {
			log.Error("lifecycle: this instance cannot handle the sessions of its prefix, because Redis has another number of buckets; see the error for what to change",
				"error", err)
		})
		return
	case !errors.Is(err, ErrUnavailable), errors.Is(err, context.Canceled): // the client or the program has given up
		return
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.away {
		return
	}
	s.away = true
	const later = "; requests get an error and destroyed hooks wait until then; this instance tries again with each request, and within Run every second; "
	switch {
	case reply.LoginRefused(err):
		log.Warn("lifecycle: the start waits for Redis at "+address+", which refuses the user name or the password of the client"+later+
			"check Username and Password of the Redis client", "error", err)
	case reply.IsReply(err):
		log.Warn("lifecycle: the start waits for Redis at "+address+", which refuses a command"+later+"the error says what Redis lacks", "error", err)
	default:
		log.Warn("lifecycle: the start waits, because it cannot reach Redis at "+address+later+
			"check that Redis runs and that the address of the Redis client is right", "error", err)
	}
}

// begun logs that the start has succeeded, if the log says that it waits.
func (s *startLog) begun(log *slog.Logger, address string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.away {
		log.Info("lifecycle: Redis at " + address + " answers now; this instance has started, and requests and destroyed hooks work")
	}
	s.away = false
}

// logUnservedHooks logs that the hooks of the package are not those of the manager that
// starts.
func logUnservedHooks(log *slog.Logger) {
	log.Warn("lifecycle: the hooks of lifecycle.OnSessionCreated and lifecycle.OnSessionDestroyed do not run for the sessions of this manager, " +
		"which lifecycle.New has made, or only for some of their ends: they belong to the default manager, which is another one; " +
		"for hooks of this manager write manager.OnSessionCreated and manager.OnSessionDestroyed; " +
		"or use the default manager, with lifecycle.Middleware and lifecycle.Run or lifecycle.Start instead of those of this manager")
}

// logIdleHooks logs that the destroyed hooks of a manager do not run on this instance.
func logIdleHooks(log *slog.Logger, n int) {
	log.Warn("lifecycle: this instance has WithoutDelivery, so the hooks of its OnSessionDestroyed never run here; "+
		"if the workers register them too, all is well, and this instance need not register them; otherwise register them in a worker, "+
		"an instance without that option", "hooks", n)
}
