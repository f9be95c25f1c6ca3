package lifecycle

import (
	"fmt"
	"log/slog"
	"strings"
	"time"

	"github.com/gin-gonic/gin"

	"github.com/gin-lifecycle/lifecycle/internal/token"
)

// Defaults of the options.
const (
	DefaultPrefix          = "life"
	DefaultBuckets         = 256
	DefaultIdleTimeout     = 30 * time.Minute
	DefaultAbsoluteTimeout = 24 * time.Hour
	DefaultMaxValuesSize   = 4096
	DefaultRedisTimeout    = 3 * time.Second
	DefaultSessionName     = "session"
	// DefaultUnconfirmedTimeout is shortened to the session's idle timeout.
	DefaultUnconfirmedTimeout = 5 * time.Minute
	DefaultRotationGrace      = 30 * time.Second
	DefaultHookTimeout        = 30 * time.Second
	DefaultConcurrency        = 64
	DefaultLease              = 10 * time.Second
	DefaultLookInterval       = time.Second
	DefaultMaxAttempts        = 25
	DefaultMinBackoff         = time.Second
	DefaultMaxBackoff         = time.Hour
	DefaultDeadLimit          = 100_000
)

// Option sets something of a store or of a manager. NewStore takes all of them
// and passes those for managers on to every manager of the store; New takes
// those for managers, for one that differs.
type Option func(*config) error

type config struct {
	// Of the store.
	prefix         string
	buckets        int
	idle, absolute time.Duration
	maxValues      int
	codec          Codec
	redisTimeout   time.Duration
	secure         SecureCookie
	scripts        bool // may read the cookie
	unconfirmed    time.Duration
	grace          time.Duration
	summary        func(*Request)
	notForNew      string // the last option set that is the store's alone
	now            func() time.Time

	// Of managers.
	log           *slog.Logger
	sessionName   string
	ownName       string // of WithSessionName
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
	required      bool
	headers       []string
	onError       func(*gin.Context, error)
	skipper       func(*gin.Context) bool
	crossSite     func(*gin.Context) bool

	// Not options: tests set them.
	heartbeat    time.Duration
	sweep        time.Duration
	tombstone    time.Duration
	deadInterval time.Duration
}

func defaults() config {
	return config{
		prefix:        DefaultPrefix,
		buckets:       DefaultBuckets,
		idle:          DefaultIdleTimeout,
		absolute:      DefaultAbsoluteTimeout,
		maxValues:     DefaultMaxValuesSize,
		codec:         Gob,
		redisTimeout:  DefaultRedisTimeout,
		unconfirmed:   DefaultUnconfirmedTimeout,
		grace:         DefaultRotationGrace,
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
		heartbeat:     time.Second,
		sweep:         30 * time.Second,
		tombstone:     10 * time.Minute,
		deadInterval:  15 * time.Second,
	}
}

func (c *config) apply(opts []Option) error {
	for _, o := range opts {
		if o == nil {
			continue
		}
		if err := o(c); err != nil {
			return fmt.Errorf("lifecycle: %w", err)
		}
	}
	return nil
}

// first returns how long a session lives, whose idle timeout is given, until its cookie
// has come back.
func (c *config) first(idle time.Duration) time.Duration {
	if c.unconfirmed > 0 {
		return min(idle, c.unconfirmed)
	}
	return idle
}

func (c *config) logger() *slog.Logger {
	if c.log != nil {
		return c.log
	}
	return slog.Default()
}

// duration checks a timeout: Redis counts milliseconds.
func duration(option string, d, least, most time.Duration) error {
	if d < least || d > most {
		return fmt.Errorf("%s(%v): must be from %v to %v", option, d, least, most)
	}
	return nil
}

// WithPrefix sets what the store's keys and channels in Redis begin with.
// Applications that share a Redis database need different prefixes. Default
// "life"; letters, digits, '.', '_', '-' and ':', at most 64. For NewStore.
func WithPrefix(prefix string) Option {
	return func(c *config) error {
		bad := strings.ContainsFunc(prefix, func(r rune) bool {
			return (r < 'a' || r > 'z') && (r < 'A' || r > 'Z') && (r < '0' || r > '9') && !strings.ContainsRune("._-:", r)
		})
		if prefix == "" || len(prefix) > 64 || bad {
			return fmt.Errorf("WithPrefix(%q): 1 to 64 letters, digits and ._-: are allowed", prefix)
		}
		c.prefix, c.notForNew = prefix, "WithPrefix"
		return nil
	}
}

// WithBuckets sets into how many buckets sessions are divided: the unit in
// which instances share the work, and in which a cluster spreads the keys. It
// cannot be changed while there are sessions: Redis holds the number, and another
// one gives ErrBucketMismatch. Default 256; from 1 to 16384. For NewStore.
func WithBuckets(n int) Option {
	return func(c *config) error {
		if n < 1 || n > 16384 {
			return fmt.Errorf("WithBuckets(%d): must be from 1 to 16384", n)
		}
		c.buckets, c.notForNew = n, "WithBuckets"
		return nil
	}
}

// WithIdleTimeout sets after what time without a request a session ends, unless
// it has its own by a MaxAge. Default 30 minutes; from 1 ms to ten years. It
// counts for sessions that begin or are saved from now on. For NewStore.
func WithIdleTimeout(d time.Duration) Option {
	return func(c *config) error {
		c.idle, c.notForNew = d, "WithIdleTimeout"
		return duration("WithIdleTimeout", d, time.Millisecond, token.MaxTimeout)
	}
}

// WithAbsoluteTimeout sets after what time a session ends whatever happens.
// Default 24 hours; 0 means never; at most ten years. It counts for sessions that
// begin from now on. For NewStore.
func WithAbsoluteTimeout(d time.Duration) Option {
	return func(c *config) error {
		c.absolute, c.notForNew = d, "WithAbsoluteTimeout"
		if d == 0 {
			return nil
		}
		return duration("WithAbsoluteTimeout", d, time.Millisecond, token.MaxTimeout)
	}
}

// WithMaxValuesSize sets how many bytes the encoded values of a session may
// take; a larger Save returns a *ValuesTooLargeError. Default 4096; 0 means no
// limit. For NewStore.
func WithMaxValuesSize(bytes int) Option {
	return func(c *config) error {
		if bytes < 0 {
			return fmt.Errorf("WithMaxValuesSize(%d): must not be negative", bytes)
		}
		c.maxValues, c.notForNew = bytes, "WithMaxValuesSize"
		return nil
	}
}

// WithCodec sets how values are encoded. Default Gob. A store cannot read the
// values that another codec wrote: such a session gives ErrUndecodable. For
// NewStore.
func WithCodec(codec Codec) Option {
	return func(c *config) error {
		if codec == nil {
			return fmt.Errorf("WithCodec(nil): a codec is needed")
		}
		c.codec, c.notForNew = codec, "WithCodec"
		return nil
	}
}

// WithRedisTimeout bounds every call to Redis, retries of the client included.
// Default 3 seconds; from 10 ms to 1 minute. For NewStore.
func WithRedisTimeout(d time.Duration) Option {
	return func(c *config) error {
		c.redisTimeout, c.notForNew = d, "WithRedisTimeout"
		return duration("WithRedisTimeout", d, 10*time.Millisecond, time.Minute)
	}
}

// SecureCookie says when the cookie is marked Secure, so that browsers send it
// over HTTPS only.
type SecureCookie int

// Values of SecureCookie.
const (
	// SecureAuto marks it when the request came over TLS, to this server or, as
	// X-Forwarded-Proto says, to a proxy that gin trusts (see its SetTrustedProxies and
	// ForwardedByClientIP, with X-Forwarded-For or X-Real-IP among its RemoteIPHeaders).
	SecureAuto SecureCookie = iota
	// SecureAlways marks it always.
	SecureAlways
	// SecureNever leaves it to the Secure field of the session's options.
	SecureNever
)

// WithSecureCookie says when the cookie is marked Secure. Default SecureAuto. The
// Secure field of gin-contrib's Options marks it in any case, as do SameSite None and a
// name that begins with __Secure- or __Host-. For NewStore.
func WithSecureCookie(s SecureCookie) Option {
	return func(c *config) error {
		if s < SecureAuto || s > SecureNever {
			return fmt.Errorf("WithSecureCookie(%d): unknown value", s)
		}
		c.secure, c.notForNew = s, "WithSecureCookie"
		return nil
	}
}

// WithScriptAccess lets scripts in the browser read the cookie where the session's or
// the store's Options do not say HttpOnly. Otherwise every cookie is HttpOnly: a script
// has no use for it, but one that an attacker has brought into a page has (OWASP, Session
// Management Cheat Sheet, "HttpOnly Attribute"). For NewStore.
func WithScriptAccess() Option {
	return func(c *config) error {
		c.scripts, c.notForNew = true, "WithScriptAccess"
		return nil
	}
}

// WithUnconfirmedTimeout sets how long a session lives at most until its client has sent
// the cookie back for the first time: robots, probes and floods never do. From then on it
// has its idle timeout. Default 5 minutes, or the idle timeout where that is shorter; 0 for
// off; at most ten years. A visitor who reads the first page for longer, without a request
// for anything else of this application, gets a new session with the next one. For NewStore.
func WithUnconfirmedTimeout(d time.Duration) Option {
	return func(c *config) error {
		c.unconfirmed, c.notForNew = d, "WithUnconfirmedTimeout"
		if d == 0 {
			return nil
		}
		return duration("WithUnconfirmedTimeout", d, time.Millisecond, token.MaxTimeout)
	}
}

// WithRotationGrace sets for how long after a rotation a request with the old cookie gets
// no session and sets no cookie, so that one which was under way at the login does not
// replace the visitor's new cookie. It gets no rights either: see ErrSessionWithheld.
// Default 30 seconds; 0 for off; at most 1 hour. The four latest rotations of a session
// are remembered. For NewStore.
func WithRotationGrace(d time.Duration) Option {
	return func(c *config) error {
		c.grace, c.notForNew = d, "WithRotationGrace"
		if d == 0 {
			return nil
		}
		return duration("WithRotationGrace", d, time.Millisecond, time.Hour)
	}
}

// WithRequestSummary has edit change what is kept of the request that begins a session,
// before it is: to leave out the query, where a reset link has its token, the address or
// the user agent. The session's hooks see what edit leaves. Default: all of Request is
// kept. edit is called by the request's goroutine, of many requests at a time, and must not
// keep what it gets. For NewStore.
func WithRequestSummary(edit func(*Request)) Option {
	return func(c *config) error {
		if edit == nil {
			return fmt.Errorf("WithRequestSummary(nil): a function is needed")
		}
		c.summary, c.notForNew = edit, "WithRequestSummary"
		return nil
	}
}
