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

// ManagerOption is an option of a manager. New takes it for one manager; NewStore takes it
// for all managers of the store, the default manager included. A nil ManagerOption does
// nothing.
type ManagerOption func(*managerConfig) error

type managerConfig struct {
	log           *slog.Logger // nil: slog.Default()
	sessionName   string
	ownName       string // of WithSessionName, "" without it
	hookTimeout   time.Duration
	concurrency   int
	lease         time.Duration
	lookInterval  time.Duration
	maxAttempts   int
	minBackoff    time.Duration
	maxBackoff    time.Duration
	deadLimit     int
	notifications bool
	lazy          bool
	required      bool // created hooks
	servesOnly    bool
	headers       []string
	onError       func(*gin.Context, error)
	skipper       func(*gin.Context) bool
	crossSite     func(*gin.Context) bool
	endUnreadable bool
}

// Defaults of the manager options.
const (
	DefaultSessionName  = "session"
	DefaultHookTimeout  = 30 * time.Second
	DefaultConcurrency  = 64
	DefaultLease        = 10 * time.Second
	DefaultLookInterval = time.Second
	DefaultMaxAttempts  = 25
	DefaultMinBackoff   = time.Second
	DefaultMaxBackoff   = time.Hour
	DefaultDeadLimit    = 100_000
)

func defaultManager() managerConfig {
	return managerConfig{
		sessionName:   DefaultSessionName,
		hookTimeout:   DefaultHookTimeout,
		concurrency:   DefaultConcurrency,
		lease:         DefaultLease,
		lookInterval:  DefaultLookInterval,
		maxAttempts:   DefaultMaxAttempts,
		minBackoff:    DefaultMinBackoff,
		maxBackoff:    DefaultMaxBackoff,
		deadLimit:     DefaultDeadLimit,
		notifications: true,
		onError:       func(c *gin.Context, err error) { c.AbortWithStatus(statusOf(err)) },
	}
}

func (c *managerConfig) logger() *slog.Logger {
	if c.log != nil {
		return c.log
	}
	return slog.Default()
}

// WithLogger sets the logger of the hooks and of the background work. Given to NewStore it
// is also the logger of the store, which warns of cookies and options. Given to New, it is
// not the logger of the store's warnings. It logs one line
// when something stops working and one when it works again, one line for each hook that
// fails, and at the start one line for each setting of Redis that breaks a guarantee.
// Secrets and values of sessions are never logged. Default slog.Default(); for silence use
// slog.DiscardHandler.
func WithLogger(log *slog.Logger) ManagerOption {
	return func(c *managerConfig) error {
		if log == nil {
			return fmt.Errorf("WithLogger(nil): for silence use slog.DiscardHandler")
		}
		c.log = log
		return nil
	}
}

// WithSessionName sets the name of the cookie if a manager's Middleware installs the
// gin-contrib session itself. (If sessions.Sessions is before it, its first argument is the
// name.) Default "session"; letters, digits and any of !#$%&'*+-.^_`|~.
//
// Behind TLS "__Host-session" is a better name: browsers accept such a cookie from this
// host only and over TLS only, so no other subdomain can set it. If a name begins with
// __Host- or __Secure-, the cookie must keep the rules of that prefix (RFC 6265bis,
// section 4.1.3), else NewStore and New return an error.
func WithSessionName(name string) ManagerOption {
	return func(c *managerConfig) error {
		if !cookie.ValidName(name) {
			return fmt.Errorf("WithSessionName(%q): a cookie name has letters, digits and any of !#$%%&'*+-.^_`|~, and is not empty", name)
		}
		c.sessionName, c.ownName = name, name
		return nil
	}
}

// WithHookTimeout sets how long a hook may run: its context ends after this time. A hook
// that ignores its context and goes on is left running and counts as failed. Default 30
// seconds; from 1 ms to 24 hours.
func WithHookTimeout(d time.Duration) ManagerOption {
	return func(c *managerConfig) error {
		c.hookTimeout = d
		return duration("WithHookTimeout", d, time.Millisecond, 24*time.Hour)
	}
}

// WithConcurrency sets for how many ended sessions an instance runs the hooks at the same
// time. If as many hooks ignore their context and hang (see WithHookTimeout), the instance
// handles no ended sessions until some of them return, and other instances take over.
// Default 64; from 1 to 65536.
func WithConcurrency(n int) ManagerOption {
	return func(c *managerConfig) error {
		if n < 1 || n > 65536 {
			return fmt.Errorf("WithConcurrency(%d): must be from 1 to 65536", n)
		}
		c.concurrency = n
		return nil
	}
}

// WithLease sets after what time another instance takes over the ended sessions that a
// crashed instance was handling. A living instance renews its leases, so hooks may run for
// longer. Default 10 seconds; from 100 ms to 10 minutes.
func WithLease(d time.Duration) ManagerOption {
	return func(c *managerConfig) error {
		c.lease = d
		return duration("WithLease", d, 100*time.Millisecond, 10*time.Minute)
	}
}

// WithLookInterval sets how often at least an instance looks for ended sessions. Sessions
// that expire are found when they are due, without waiting for this interval; it limits
// the delay if a message between instances is lost. Default 1 second; from 10 ms to 1
// minute.
func WithLookInterval(d time.Duration) ManagerOption {
	return func(c *managerConfig) error {
		c.lookInterval = d
		return duration("WithLookInterval", d, 10*time.Millisecond, time.Minute)
	}
}

// WithRetry sets how often the destroyed hooks of an ended session are called if they
// fail, and the pause between two attempts, which doubles from least to most. Each pause is
// made longer or shorter at random, by a fifth at most. After the last attempt the end goes
// to the dead set (see Manager.Dead). Default 25 attempts, with pauses from 1 second to 1
// hour: about 13 hours in all. From 1 to 1000 attempts, with pauses from 1 ms to 24 hours;
// most must not be less than least.
func WithRetry(attempts int, least, most time.Duration) ManagerOption {
	return func(c *managerConfig) error {
		if attempts < 1 || attempts > 1000 {
			return fmt.Errorf("WithRetry(%d, ...): attempts must be from 1 to 1000", attempts)
		}
		if least < time.Millisecond || most < least || most > 24*time.Hour {
			return fmt.Errorf("WithRetry(%d, %v, %v): the pauses must be from 1ms to 24h, and the second one not shorter than the first", attempts, least, most)
		}
		c.maxAttempts, c.minBackoff, c.maxBackoff = attempts, least, most
		return nil
	}
}

// WithDeadLimit sets how many ends the dead set of the fleet may hold. Every 15 seconds
// the ends beyond the limit are dropped for good: their hooks will not run again. Each
// time an error is logged, and Stats.Dropped counts the ends. Default 100,000; 0 for no
// limit.
//
// Each instance keeps its share of the limit, rounded up; a share follows from how many
// buckets the instance looks after. It drops the oldest ends of its fullest buckets. All
// instances should have the same limit, else the lowest one decides.
func WithDeadLimit(n int) ManagerOption {
	return func(c *managerConfig) error {
		if n < 0 {
			return fmt.Errorf("WithDeadLimit(%d): must not be negative", n)
		}
		c.deadLimit = n
		return nil
	}
}

// WithNotifications says whether to use Redis's keyspace notifications, and to switch them
// on in the server's configuration if they are off. Without them expired sessions are
// still handled on time. But a session that somebody deletes in Redis, or that Redis
// evicts, is then found only at its idle timeout, and its reason is ReasonIdleTimeout.
// Default true.
func WithNotifications(use bool) ManagerOption {
	return func(c *managerConfig) error {
		c.notifications = use
		return nil
	}
}

// WithoutDelivery makes an instance that only serves. It finds no ended sessions and never
// runs the destroyed hooks of OnSessionDestroyed; other instances with the same Redis and
// prefix do that, the workers. Use it for web processes whose hooks run in programs of their
// own. A worker is a program without this option that registers the hooks and calls
// Manager.Start, or Manager.Run with a nil server; it needs no router. Default: every
// instance serves and runs destroyed hooks.
//
// All else is as without the option: created hooks run in the request, and closures
// (Context.OnSessionDestroyed) run on the instance that registered them. A session that is
// destroyed here has its destroyed hooks run by a worker, as quickly as on another instance.
//
// Without a worker ends wait in Redis, and so do the closures of sessions that time out.
// The log says when there has been no worker for three heartbeats, and Stats.Deliverers
// counts the workers. If destroyed hooks are registered with such a manager, the log says at
// its start that they do not run here. If a worker has none, its log says once that no hook runs
// for the ends that it handles.
func WithoutDelivery() ManagerOption {
	return func(c *managerConfig) error {
		c.servesOnly = true
		return nil
	}
}

// WithLazyCreation makes a session begin with its first Save instead of the visitor's
// first request. The created hooks run during that Save. Until then Context.Session
// returns nil, and what needs a session returns ErrNoSession.
func WithLazyCreation() ManagerOption {
	return func(c *managerConfig) error {
		c.lazy = true
		return nil
	}
}

// WithCreatedHooksRequired makes a created hook that returns an error or panics refuse the
// session: the remaining created hooks do not run, the session ends with ReasonDestroyed,
// and the request gets ErrRefused, by default a 500. Without this option such an error is
// logged, and the session and the request go on.
func WithCreatedHooksRequired() ManagerOption {
	return func(c *managerConfig) error {
		c.required = true
		return nil
	}
}

// WithRequestHeaders sets which header fields of a session's first request are kept in
// Session.Request: at most 32 lines and 2,048 bytes; the rest is left out. The fields
// Cookie, Authorization and Proxy-Authorization are refused, and so is that of WithTokenHeader.
// Default none.
func WithRequestHeaders(names ...string) ManagerOption {
	return func(c *managerConfig) error {
		headers := make([]string, len(names))
		for i, n := range names {
			if !cookie.ValidName(n) { // the names of fields and of cookies are both tokens of RFC 9110
				return fmt.Errorf("WithRequestHeaders(%q): not the name of a header field", n)
			}
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

// WithSkipper sets a function that says which requests need no session. The middleware
// calls skip with each request. If skip returns true, the middleware does not ask Redis,
// begins no session and leaves the response as it is. The handler runs without a session,
// and what needs one returns ErrSessionWithheld. Use it for health checks, static files,
// favicons, and pages that shared caches are to keep. Default none.
func WithSkipper(skip func(c *gin.Context) bool) ManagerOption {
	return func(c *managerConfig) error {
		if skip == nil {
			return fmt.Errorf("WithSkipper(nil): a function is needed")
		}
		c.skipper = skip
		return nil
	}
}

// WithCrossSite sets a function that says in which requests from other sites a session may
// begin. The usual one is the form that a login service posts back (OpenID Connect's
// form_post, SAML). A session may begin if allow returns true. allow is called only for
// requests that the browser marks as cross-site and that are not a navigation by GET.
// Default none. If the store's cookie has SameSite None, sessions begin in all of these
// requests without this option.
//
// The request must prove in another way that the visitor asked for it, for example by the
// state parameter of OpenID Connect. Otherwise any site can sign a visitor out of his
// session and into another one.
func WithCrossSite(allow func(c *gin.Context) bool) ManagerOption {
	return func(c *managerConfig) error {
		if allow == nil {
			return fmt.Errorf("WithCrossSite(nil): a function is needed")
		}
		c.crossSite = allow
		return nil
	}
}

// WithEndUndecodable ends a session that cannot be decoded, with ReasonUndecodable, in the
// request that finds it so. The destroyed hooks run; Session.Err says what is wrong. The
// visitor gets a new session in the same request. Default: the request fails with
// ErrUndecodable, and the session stays as it is.
//
// Do not use it while instances of two builds run that cannot read each other's values, as
// during a rolling update that changes a type: each of them would end the sessions of the
// other.
func WithEndUndecodable() ManagerOption {
	return func(c *managerConfig) error {
		c.endUnreadable = true
		return nil
	}
}

// WithErrorHandler sets what the middleware does if it cannot give the request its
// session. The request's handler does not run, unless handle calls c.Next: for public pages,
// for example. err is added to c.Errors in any case. Default: status 503 for ErrUnavailable,
// else 500.
//
// From works in handle, and in the handlers that it lets run, unless err says that the
// middleware is used wrongly: Context.Session returns nil, and what needs a session returns err. There is one exception: if err is ErrUndecodable,
// Context.DestroySession ends the session and removes the cookie, and so does a Save with a
// MaxAge below 0. The request that fails does not prolong the session.
//
// err wraps ErrUnavailable, ErrUndecodable, ErrRefused or ErrBucketMismatch. It wraps
// ErrHeadersWritten if something before the middleware has already answered. Otherwise its
// text says how the middleware is used wrongly.
func WithErrorHandler(handle func(c *gin.Context, err error)) ManagerOption {
	return func(c *managerConfig) error {
		if handle == nil {
			return fmt.Errorf("WithErrorHandler(nil): a function is needed")
		}
		c.onError = handle
		return nil
	}
}
