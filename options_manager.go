package lifecycle

import (
	"fmt"
	"log/slog"
	"net/http"
	"slices"
	"time"

	"github.com/gin-gonic/gin"

	"github.com/gin-lifecycle/lifecycle/internal/cookie"
)

// Options of a manager. NewStore takes them too, for every manager of the store.

// WithLogger sets where the background work logs: a line when something
// degrades or recovers, one for each hook that fails, and at the start one for
// each setting of Redis that promises cannot hold with. No secrets and no
// values are logged. Default slog.Default().
func WithLogger(log *slog.Logger) Option {
	return func(c *config) error {
		if log == nil {
			return fmt.Errorf("WithLogger(nil): for silence use slog.DiscardHandler")
		}
		c.log = log
		return nil
	}
}

// WithSessionName sets the cookie's name where a manager's Middleware installs
// the gin-contrib session itself. Default "session". Behind TLS "__Host-session" is the
// better one: browsers take such a cookie from this very host only, over TLS only, so that
// no other subdomain can set it. With a name that begins with __Host- or __Secure- the
// options must agree with it (RFC 6265bis, section 4.1.3), else NewStore and New return
// an error.
func WithSessionName(name string) Option {
	return func(c *config) error {
		if !cookie.ValidName(name) {
			return fmt.Errorf("WithSessionName(%q): not a cookie name", name)
		}
		c.sessionName, c.ownName = name, name
		return nil
	}
}

// WithHookTimeout sets after what time the context of a hook ends. A hook that
// goes on all the same is left behind and counts as failed. Default 30 seconds;
// from 1 ms to 24 hours.
func WithHookTimeout(d time.Duration) Option {
	return func(c *config) error {
		c.hookTimeout = d
		return duration("WithHookTimeout", d, time.Millisecond, 24*time.Hour)
	}
}

// WithConcurrency sets of how many ends an instance runs the hooks at a time.
// While as many hooks have been left behind (see WithHookTimeout) the instance
// takes no ends and gives its buckets to the others. Default 64; from 1 to 65536.
func WithConcurrency(n int) Option {
	return func(c *config) error {
		if n < 1 || n > 65536 {
			return fmt.Errorf("WithConcurrency(%d): must be from 1 to 65536", n)
		}
		c.concurrency = n
		return nil
	}
}

// WithLease sets after what time the ends claimed by an instance that has
// died are taken over by others. A living instance renews its leases. Default 10
// seconds; from 100 ms to 10 minutes.
func WithLease(d time.Duration) Option {
	return func(c *config) error {
		c.lease = d
		return duration("WithLease", d, 100*time.Millisecond, 10*time.Minute)
	}
}

// WithLookInterval sets the longest pause between two looks at a bucket. Ends
// are found when they are due, without waiting for it; it bounds the delay of
// what a lost message was to tell. Default 1 second; from 10 ms to 1 minute.
func WithLookInterval(d time.Duration) Option {
	return func(c *config) error {
		c.lookInterval = d
		return duration("WithLookInterval", d, 10*time.Millisecond, time.Minute)
	}
}

// WithRetry sets how often the destroyed hooks of an end are started before it
// goes to the dead set, and the pause before the next time, which doubles from
// least to most. Default 25 times, from 1 second to 1 hour: about 13 hours. From
// 1 to 1000 times; pauses from 1 ms to 24 hours.
func WithRetry(attempts int, least, most time.Duration) Option {
	return func(c *config) error {
		if attempts < 1 || attempts > 1000 {
			return fmt.Errorf("WithRetry(%d, ...): attempts must be from 1 to 1000", attempts)
		}
		if err := duration("WithRetry's least pause", least, time.Millisecond, 24*time.Hour); err != nil {
			return err
		}
		c.maxAttempts, c.minBackoff, c.maxBackoff = attempts, least, most
		return duration("WithRetry's longest pause", most, least, 24*time.Hour)
	}
}

// WithDeadLimit sets how many ends the dead set may hold. Every 15 seconds what
// is beyond that is dropped for good, with an error in the log and in
// Stats.Dropped; the hooks of these ends will not run again. Each instance has its
// share of the limit, by the number of its buckets and rounded up; what is over it
// goes from its fullest buckets, in each the oldest first. All instances of a fleet
// should have the same limit, or the lowest counts. Default 100,000; 0 means no limit.
func WithDeadLimit(n int) Option {
	return func(c *config) error {
		if n < 0 {
			return fmt.Errorf("WithDeadLimit(%d): must not be negative", n)
		}
		c.deadLimit = n
		return nil
	}
}

// WithNotifications says whether to use Redis's keyspace notifications, and to
// switch on what they need in the server's configuration. Without them sessions
// end on time all the same, but one deleted or evicted by others is noticed only
// at its idle timeout, with that as the reason. Default true.
func WithNotifications(use bool) Option {
	return func(c *config) error {
		c.notifications = use
		return nil
	}
}

// WithLazyCreation makes a session begin at its first Save instead of a
// visitor's first request. The created hooks then run within Save.
func WithLazyCreation() Option {
	return func(c *config) error {
		c.lazy = true
		return nil
	}
}

// WithCreatedHooksRequired makes the error or panic of a created hook refuse the
// session: the remaining created hooks do not run, the session ends again with
// ReasonDestroyed, and the request gets ErrRefused, by default a 500. Otherwise
// such an error is logged and everything goes on.
func WithCreatedHooksRequired() Option {
	return func(c *config) error {
		c.required = true
		return nil
	}
}

// WithRequestHeaders names header lines of a session's first request that are
// kept in Session.Request: 32 lines and 2,048 bytes at most, what is more is left out.
// Default none. Cookie and Authorization are refused.
func WithRequestHeaders(names ...string) Option {
	return func(c *config) error {
		headers := make([]string, len(names))
		for i, n := range names {
			headers[i] = http.CanonicalHeaderKey(n)
		}
		for _, secret := range []string{"Cookie", "Authorization", "Proxy-Authorization"} {
			if slices.Contains(headers, secret) {
				return fmt.Errorf("WithRequestHeaders(%q): it carries secrets and is never kept", secret)
			}
		}
		c.headers = headers
		return nil
	}
}

// WithSkipper names requests that have no session: skip is called with each request, and
// where it returns true the middleware neither asks Redis nor begins a session nor touches
// the response. Their handlers see no session, and what needs one returns
// ErrSessionWithheld. It is meant for probes, static files, favicons and pages for shared
// caches. Default none.
func WithSkipper(skip func(c *gin.Context) bool) Option {
	return func(c *config) error {
		if skip == nil {
			return fmt.Errorf("WithSkipper(nil): a function is needed")
		}
		c.skipper = skip
		return nil
	}
}

// WithCrossSite names requests in which a session may begin although another site has made
// the browser send them: a form that a login service posts back, above all (OpenID Connect's
// form_post, SAML). allow is called only for requests that a browser marks as cross-site
// and that are no navigation by GET. The request must prove by other means that the
// visitor has asked for it, or any site can sign a visitor out of his session and into
// another one. Default none. Where the store's cookie has SameSite None, a session
// begins in all of them.
func WithCrossSite(allow func(c *gin.Context) bool) Option {
	return func(c *config) error {
		if allow == nil {
			return fmt.Errorf("WithCrossSite(nil): a function is needed")
		}
		c.crossSite = allow
		return nil
	}
}

// WithErrorHandler sets what the middleware does when it cannot give the
// request its session; the request's handler does not run. The error wraps
// ErrUnavailable, ErrUndecodable, ErrRefused, ErrBucketMismatch or, where something
// in front of the middleware has answered already, ErrHeadersWritten, or says what
// is wrong with the middleware's use. Default: status 503 for ErrUnavailable,
// otherwise 500. In any case the error is added to c.Errors.
func WithErrorHandler(handle func(c *gin.Context, err error)) Option {
	return func(c *config) error {
		if handle == nil {
			return fmt.Errorf("WithErrorHandler(nil): a function is needed")
		}
		c.onError = handle
		return nil
	}
}
