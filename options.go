package lifecycle

import (
	"fmt"
	"log/slog"
	"net/http"
	"slices"
	"strings"
	"time"

	"github.com/gin-gonic/gin"

	"github.com/gin-lifecycle/lifecycle/internal/cookies"
	"github.com/gin-lifecycle/lifecycle/internal/testonly"
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

func init() {
	testonly.Option = func(t testonly.Tuning) any {
		return Option(func(c *config) error {
			if t.Now != nil {
				c.now = t.Now
			}
			if t.Heartbeat != 0 {
				c.heartbeat = t.Heartbeat
			}
			return nil
		})
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
		if !cookies.ValidName(name) {
			return fmt.Errorf("WithSessionName(%q): not a cookie name", name)
		}
		c.sessionName = name
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
