package lifecycle

import (
	"fmt"
	"net/http"
	"strings"
	"time"

	"github.com/gin-lifecycle/lifecycle/internal/cookie"
	"github.com/gin-lifecycle/lifecycle/internal/token"
)

// StoreOption is an option of a store, for NewStore only. A nil StoreOption does nothing.
type StoreOption func(*storeConfig) error

type storeConfig struct {
	prefix         string
	buckets        int
	idle, absolute time.Duration
	maxValues      int
	codec          Codec
	redisTimeout   time.Duration
	secure         SecureCookie
	scriptAccess   bool // scripts in the browser may read the cookie
	unconfirmed    time.Duration
	grace          time.Duration // after a rotation
	summary        func(*Request)
	endCleared     bool // a Save that clears the session ends it
	tokenHeader    string
	previous       time.Duration // for how long an end is remembered for its visitor
}

// Defaults of the store options.
const (
	DefaultPrefix          = "life"
	DefaultBuckets         = 256
	DefaultIdleTimeout     = 30 * time.Minute
	DefaultAbsoluteTimeout = 24 * time.Hour
	DefaultMaxValuesSize   = 4096 // bytes
	DefaultRedisTimeout    = 3 * time.Second
	// DefaultUnconfirmedTimeout is shortened to the session's idle timeout.
	DefaultUnconfirmedTimeout = 5 * time.Minute
	DefaultRotationGrace      = 30 * time.Second
	DefaultPreviousFor        = 10 * time.Minute
)

func defaultStore() storeConfig {
	return storeConfig{
		prefix:       DefaultPrefix,
		buckets:      DefaultBuckets,
		idle:         DefaultIdleTimeout,
		absolute:     DefaultAbsoluteTimeout,
		maxValues:    DefaultMaxValuesSize,
		codec:        Gob,
		redisTimeout: DefaultRedisTimeout,
		unconfirmed:  DefaultUnconfirmedTimeout,
		grace:        DefaultRotationGrace,
		previous:     DefaultPreviousFor,
	}
}

// unconfirmedLife returns how long a session with this idle timeout lives at most until
// its cookie has come back.
func (c *storeConfig) unconfirmedLife(idle time.Duration) time.Duration {
	if c.unconfirmed > 0 {
		return min(idle, c.unconfirmed)
	}
	return idle
}

// WithPrefix sets the prefix of the store's keys and channels in Redis. Applications that
// share a Redis database need different prefixes; the instances of one application need
// the same. Default "life"; 1 to 64 letters, digits, '.', '_', '-' and ':'.
func WithPrefix(prefix string) StoreOption {
	return func(c *storeConfig) error {
		bad := strings.ContainsFunc(prefix, func(r rune) bool {
			return (r < 'a' || r > 'z') && (r < 'A' || r > 'Z') && (r < '0' || r > '9') && !strings.ContainsRune("._-:", r)
		})
		if prefix == "" || len(prefix) > 64 || bad {
			return fmt.Errorf("WithPrefix(%q): 1 to 64 letters, digits and ._-: are allowed", prefix)
		}
		c.prefix = prefix
		return nil
	}
}

// WithBuckets sets into how many buckets the sessions are divided. A bucket is a fixed
// share of all sessions: instances divide the buckets among themselves, and a Redis
// Cluster spreads the buckets over its servers. The number is stored in Redis and cannot
// be changed while there are sessions; another number gives ErrBucketMismatch. Default
// 256; from 1 to 16384.
func WithBuckets(n int) StoreOption {
	return func(c *storeConfig) error {
		if n < 1 || n > 16384 {
			return fmt.Errorf("WithBuckets(%d): must be from 1 to 16384", n)
		}
		c.buckets = n
		return nil
	}
}

// WithIdleTimeout sets how long a session lives without a request. A session whose
// cookie has a MaxAge above 0 has that as its idle timeout instead. The option applies to
// sessions that begin, or are saved, after the change. Default 30 minutes; from 1 ms to
// ten years.
func WithIdleTimeout(d time.Duration) StoreOption {
	return func(c *storeConfig) error {
		c.idle = d
		return duration("WithIdleTimeout", d, time.Millisecond, token.MaxTimeout)
	}
}

// WithAbsoluteTimeout sets how long a session lives at most, with or without requests. The
// option applies to sessions that begin after the change. If it is shorter than the idle
// timeout, every session ends at its absolute timeout, and a warning is logged. Default 24
// hours; 0 for no limit; from 1 ms to ten years.
func WithAbsoluteTimeout(d time.Duration) StoreOption {
	return func(c *storeConfig) error {
		c.absolute = d
		return durationOrOff("WithAbsoluteTimeout", d, token.MaxTimeout)
	}
}

// WithMaxValuesSize sets how many bytes the encoded values of a session may take. A Save
// of more returns a *ValuesTooLargeError. Default 4096; 0 for no limit.
func WithMaxValuesSize(bytes int) StoreOption {
	return func(c *storeConfig) error {
		if bytes < 0 {
			return fmt.Errorf("WithMaxValuesSize(%d): must not be negative", bytes)
		}
		c.maxValues = bytes
		return nil
	}
}

// WithCodec sets how values are encoded. All instances need the same codec: a session
// that was written by another codec gives ErrUndecodable. Default Gob.
func WithCodec(codec Codec) StoreOption {
	return func(c *storeConfig) error {
		if codec == nil {
			return fmt.Errorf("WithCodec(nil): a codec is needed")
		}
		c.codec = codec
		return nil
	}
}

// WithRedisTimeout limits every call to Redis, including the retries of the client.
// Default 3 seconds; from 10 ms to 1 minute.
func WithRedisTimeout(d time.Duration) StoreOption {
	return func(c *storeConfig) error {
		c.redisTimeout = d
		return duration("WithRedisTimeout", d, 10*time.Millisecond, time.Minute)
	}
}

// SecureCookie says when the cookie is marked Secure. Browsers send a Secure cookie over
// HTTPS only.
type SecureCookie int

// Values of SecureCookie.
const (
	// SecureAuto marks the cookie if the request came over TLS: to this server, or to a
	// proxy in front that gin trusts and that says so by X-Forwarded-Proto. For the proxy
	// see gin's SetTrustedProxies and ForwardedByClientIP; X-Forwarded-For or X-Real-IP
	// must be among gin's RemoteIPHeaders.
	SecureAuto SecureCookie = iota
	// SecureAlways marks every cookie.
	SecureAlways
	// SecureNever marks a cookie only if the session's options have Secure set.
	SecureNever
)

// WithSecureCookie says when the cookie is marked Secure. It is always marked if
// gin-contrib's Options have Secure set, if SameSite is None, and if the cookie's name
// begins with __Secure- or __Host-. Default SecureAuto.
func WithSecureCookie(s SecureCookie) StoreOption {
	return func(c *storeConfig) error {
		if s < SecureAuto || s > SecureNever {
			return fmt.Errorf("WithSecureCookie(%d): must be SecureAuto, SecureAlways or SecureNever", s)
		}
		c.secure = s
		return nil
	}
}

// WithScriptAccess lets scripts in the browser read the cookie, unless gin-contrib's
// Options have HttpOnly set. Without this option every cookie is HttpOnly, because a
// script that an attacker has brought into a page must not read it (OWASP, Session
// Management Cheat Sheet, "HttpOnly Attribute").
func WithScriptAccess() StoreOption {
	return func(c *storeConfig) error {
		c.scriptAccess = true
		return nil
	}
}

// WithUnconfirmedTimeout sets how long a new session lives at most until the client sends
// the cookie back for the first time. Robots, probes and floods of requests never send it
// back. From then on the session has its idle timeout. Default 5 minutes, or the idle
// timeout if that is shorter; 0 for off; from 1 ms to ten years.
//
// A visitor who reads the first page for longer than that, without any other request to
// the application, gets a new session with the next request.
func WithUnconfirmedTimeout(d time.Duration) StoreOption {
	return func(c *storeConfig) error {
		c.unconfirmed = d
		return durationOrOff("WithUnconfirmedTimeout", d, token.MaxTimeout)
	}
}

// WithRotationGrace sets for how long after RotateSession the store recognizes the old
// cookie. A request with the old cookie gets ErrSessionWithheld: no session, no rights and
// no new cookie. So a request that was under way during a login cannot replace the new
// cookie of the browser. The store remembers the last four rotations of a session.
// Default 30 seconds; 0 for off; from 1 ms to 1 hour.
func WithRotationGrace(d time.Duration) StoreOption {
	return func(c *storeConfig) error {
		c.grace = d
		return durationOrOff("WithRotationGrace", d, time.Hour)
	}
}

// WithPreviousFor sets for how long Redis remembers the end of a session after its hooks have
// succeeded, so that Context.Previous can tell the visitor why it ended. An end is remembered
// as the session's ID, the proof of its secret, its absolute deadline, the reason and the time,
// and none of its values. That takes about 200 bytes of Redis's memory for each session that
// has ended within this time. A session that has timed out unconfirmed is not remembered (see
// WithUnconfirmedTimeout): its visitor never sent the cookie back. Default 10 minutes; 0 for off; from 1 ms to 24 hours.
func WithPreviousFor(d time.Duration) StoreOption {
	return func(c *storeConfig) error {
		c.previous = d
		return durationOrOff("WithPreviousFor", d, 24*time.Hour)
	}
}

// WithRequestSummary sets a function that edits what is stored about the request that
// begins a session, before it is stored: for example to remove the query, which may hold
// the token of a reset link, the address or the user agent. The hooks of the session see
// what edit leaves. Default: everything in Request is stored.
//
// edit is called in the goroutine of the request, for many requests at the same time. It
// must not keep its argument.
func WithRequestSummary(edit func(*Request)) StoreOption {
	return func(c *storeConfig) error {
		if edit == nil {
			return fmt.Errorf("WithRequestSummary(nil): a function is needed")
		}
		c.summary = edit
		return nil
	}
}

// WithEndWhenCleared makes a Save that leaves no values of a session that had some end the
// session, with ReasonDestroyed. Its destroyed hooks get the values from before. Many
// applications log out by Clear and Save, without Options{MaxAge: -1}: with this option that
// is a logout. Default: such a session goes on without values.
//
// Flashes do not count. A session that had nothing but flashes, which the visitor has read, goes
// on. If nothing but a new flash is left ("good bye"), the session ends too, and the same Save
// begins a new one with the flash; it then takes two round trips, and returns the errors of
// Context.RenewSession. Only its type tells a flash from a list of the application: a list of
// type []any is taken for a flash, unless it has a key, other than "_flash", that the session
// had before. Flashes that the visitor has not read are values that are left.
//
// A Save that follows in the same request begins a new session if there are values again,
// such as a flash. If two requests delete the last values at the same time, the later Save ends
// the session.
func WithEndWhenCleared() StoreOption {
	return func(c *storeConfig) error {
		c.endCleared = true
		return nil
	}
}

// WithTokenHeader lets clients without cookies send their token in a header field of this
// name: mobile applications, command line tools, other services. A request that has the field
// is served without cookies: its cookies are ignored, and no cookie is set. A client that has
// no token yet sends any other text, such as "new". Where a browser would get a cookie, the
// response has the token in a field of the same name; the client must keep it and send it
// from then on. The field is empty if the session has ended. Default none: tokens are in
// cookies only. The name is that of a header field of your own, such as X-Session. Fields that
// have another meaning, such as Authorization, Cookie or Content-Type, are refused.
//
// Whether a session may begin in a cross-site request is decided for cookies only: no foreign
// page can make a browser send such a field, unless the application's CORS rules allow it. A
// page that reads the token must keep it from other scripts itself; a HttpOnly cookie does
// that for it. So browsers should use cookies. A token that was issued in the one way is not
// accepted in the other.
//
// If a request has several sessions, under several names, the first one that is read has the
// field: that of the first middleware. The others are withheld in this request
// (ErrSessionWithheld). Their routes need a store with another field.
//
// For a page of another origin, Access-Control-Expose-Headers must name the field, and
// Access-Control-Allow-Headers too.
func WithTokenHeader(name string) StoreOption {
	return func(c *storeConfig) error {
		key := http.CanonicalHeaderKey(name)
		if !cookie.ValidName(name) || cookie.HasMeaning(key) {
			return fmt.Errorf("WithTokenHeader(%q): the name of a header field of your own is needed, such as X-Session; no field that has a meaning in HTTP", name)
		}
		c.tokenHeader = key
		return nil
	}
}
