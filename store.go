package lifecycle

import (
	"context"
	"fmt"
	"log/slog"
	"net/http"
	"slices"
	"sync"
	"sync/atomic"
	"time"

	"github.com/gin-contrib/sessions"
	gsessions "github.com/gorilla/sessions"
	"github.com/redis/go-redis/v9"

	"github.com/gin-lifecycle/lifecycle/internal/cookie"
	"github.com/gin-lifecycle/lifecycle/internal/ledger"
	"github.com/gin-lifecycle/lifecycle/internal/record"
	"github.com/gin-lifecycle/lifecycle/internal/testonly"
	"github.com/gin-lifecycle/lifecycle/internal/token"
	"github.com/gin-lifecycle/lifecycle/internal/turns"
)

// Store keeps sessions in Redis, behind the API of gin-contrib/sessions. Make it with
// NewStore. It is safe for concurrent use.
//
// Every request that reads a session prolongs it by its idle timeout, up to its absolute
// timeout. Both are measured by the clock of the Redis server.
//
// If two requests save the same session at the same time, both are kept: the later Save puts
// what its request has changed, by key, on top of what the earlier one has saved. If both have
// changed the same key, the later Save wins. What both have appended to a list of type []any is
// kept, so no flash is lost. To set a key to the value that it had when the request read it is
// not a change. The usual Save takes one round trip; each one that came between takes one more.
//
// A store can be used without a lifecycle middleware. A session then begins with its first
// Save, and no created hooks run.
type Store struct {
	config   storeConfig
	managers managerConfig // of its managers, unless New changes it
	tuning   testonly.Tuning
	ledger   *ledger.Ledger
	options  atomic.Pointer[gsessions.Options] // canonical
	warned   sync.Map                          // what warnOnce has logged
	healing  cookie.Healing
	turns    *turns.Turns // of requests that save one session
}

// NewStore returns a store that uses client. It does not talk to Redis: if Redis is away,
// requests fail, and the start of the application does not.
//
// The client may be one of a single server, of Sentinel (redis.NewFailoverClient) or of a
// Redis Cluster. Close it after Shutdown; the store does not close it. NewStore returns an
// error for a cluster client that reads from replicas, because replicas are behind, and for
// a *redis.Ring, which loses sessions when a server goes. It also returns an error for an
// option that is wrong. The error names the option and the value.
//
// All settings of the client are used (TLS, password, pool, timeouts). In addition every
// call ends with the deadline of its context, which go-redis does only for clients that are
// made with ContextTimeoutEnabled. A *redis.Client without that option is cloned. The clone
// lacks the hooks of AddHook: set ContextTimeoutEnabled if tracing is to see the commands
// of the store. A *redis.ClusterClient cannot be cloned: without ContextTimeoutEnabled its
// calls end with the client's own timeouts and retries, and a warning is logged at the
// start.
//
// Until Redis has answered once, the store first tries, with the Dialer of the client's
// options, whether Redis refuses connections. If it does, the error says so at once and
// names the address. A dial hook of AddHook that reaches Redis at another address is not
// asked: set Dialer instead.
func NewStore(client redis.UniversalClient, opts ...Option) (*Store, error) {
	if err := ledger.CheckClient(client); err != nil {
		return nil, fmt.Errorf("lifecycle: NewStore: %w", err)
	}
	c := settings{store: defaultStore(), managers: defaultManager()}
	if err := c.apply(opts); err != nil {
		return nil, fmt.Errorf("lifecycle: %w", err)
	}
	s := &Store{
		config:   c.store,
		managers: c.managers,
		tuning:   c.tuning,
		turns:    turns.New(),
		ledger: ledger.New(client, ledger.Config{
			Prefix:  c.store.prefix,
			Buckets: c.store.buckets,
			Timeout: c.store.redisTimeout,
			Now:     c.tuning.Now,

			Remember: c.store.previous,
		}),
	}
	f := s.canonical(new(gsessions.Options))
	if err := s.checkCookie(c.managers.sessionName, f); err != nil {
		return nil, fmt.Errorf("lifecycle: NewStore: WithSessionName: %w", err)
	}
	if err := s.checkHeaders(c.managers); err != nil {
		return nil, fmt.Errorf("lifecycle: NewStore: %w", err)
	}
	s.options.Store(&f)
	if idle, absolute := c.store.idle, c.store.absolute; absolute > 0 && idle > absolute {
		s.warnOnce("timeouts", "lifecycle: the idle timeout is longer than the absolute timeout, so every session ends at its absolute timeout; "+
			"lower WithIdleTimeout, or raise WithAbsoluteTimeout", "idle", idle, "absolute", absolute)
	}
	return s, nil
}

// Option is an option of NewStore: a StoreOption or a ManagerOption.
type Option interface {
	apply(s *settings) error
}

// settings is what the options of NewStore set.
type settings struct {
	store    storeConfig
	managers managerConfig // what New starts from
	tuning   testonly.Tuning
}

func (s *settings) apply(opts []Option) error {
	for _, o := range opts {
		if o == nil {
			continue
		}
		if err := o.apply(s); err != nil {
			return err
		}
	}
	return nil
}

func (o StoreOption) apply(s *settings) error {
	if o == nil {
		return nil
	}
	return o(&s.store)
}

func (o ManagerOption) apply(s *settings) error {
	if o == nil {
		return nil
	}
	return o(&s.managers)
}

// Options sets the form of the cookie for all sessions that have no options of their own,
// and by MaxAge their idle timeout. It replaces the default: Path "/", HttpOnly, SameSite
// Lax, MaxAge 0. For one session use sessions.Default(c).Options and Save; there a MaxAge
// below 0 destroys the session.
//
// A field that is left out gets the value that is safe for a session. An empty Path is "/",
// so that the visitor has one cookie and not one for each folder. No SameSite is Lax. The
// cookie is HttpOnly in any case, unless WithScriptAccess is set. SameSite None sets
// Secure too, because browsers refuse the cookie otherwise.
//
// A MaxAge above 0 is the age of the cookie and the idle timeout of the session, in
// seconds; ten years at most. If it is longer than the absolute timeout, the session ends
// at the absolute timeout, and a warning is logged once. The middleware sends such a cookie
// again when it is older than a minute, or than a tenth of its age, so that it lasts about
// as long as the session. With MaxAge 0 the cookie ends when the browser is closed. A
// negative MaxAge here is treated as 0.
//
// Do not change Path or Domain under the same cookie name while visitors hold cookies: a
// browser may then send the old cookie and the new one. The store uses the cookie whose
// session is live and removes the other. A Domain is compared as browsers do, without a
// leading dot and in lower case.
//
// Options panics if the name of WithSessionName, as given to NewStore, begins with __Host-
// or __Secure- and browsers would refuse the cookie in this form (RFC 6265bis, section
// 4.1.3). With another such name every request gets an error that says so.
func (s *Store) Options(o sessions.Options) {
	g := o.ToGorillaOptions()
	f := s.canonical(g)
	f.MaxAge = max(f.MaxAge, 0)
	if err := s.checkCookie(s.managers.sessionName, f); err != nil {
		panic("lifecycle: Store.Options: " + err.Error())
	}
	s.warnOptions(g, f)
	s.options.Store(&f)
}

// timeouts returns the timeouts of a session with these options. created is when it began,
// in Unix ms. deadline is that of an existing session, or -1 for a new one.
func (s *Store) timeouts(o *gsessions.Options, created, deadline int64) token.Timeouts {
	t := token.Timeouts{Idle: s.config.idle, Deadline: deadline}
	if o.MaxAge > 0 {
		t.Idle = time.Duration(o.MaxAge) * time.Second
	}
	if deadline < 0 {
		t.Deadline = 0
		if s.config.absolute > 0 {
			t.Deadline = created + s.config.absolute.Milliseconds()
		}
	}
	t.Idle = t.Idle.Truncate(time.Millisecond)
	return t
}

// maxAge is the largest MaxAge that counts: ten years, in seconds.
const maxAge = int(token.MaxTimeout / time.Second)

// canonical returns options as a browser understands them.
func (s *Store) canonical(o *gsessions.Options) cookie.Form {
	f := cookie.Canonical(*o, s.config.scriptAccess)
	f.MaxAge = min(f.MaxAge, maxAge)
	return f
}

// checkCookie returns an error if browsers refuse a cookie of this name and form.
func (s *Store) checkCookie(name string, f cookie.Form) error {
	return cookie.Check(name, f, s.config.secure == SecureNever)
}

// checkHeaders returns an error if a manager keeps the header field that has the token: Redis and
// hooks would get a secret.
func (s *Store) checkHeaders(c managerConfig) error {
	if field := s.config.tokenHeader; field != "" && slices.Contains(c.headers, field) {
		return fmt.Errorf("WithRequestHeaders(%q): the field of WithTokenHeader carries secrets and is never kept", field)
	}
	return nil
}

// warnOptions logs a warning, once each, about options that do not mean what they seem to; f
// is their canonical form.
func (s *Store) warnOptions(o *gsessions.Options, f cookie.Form) {
	if o.SameSite == http.SameSiteNoneMode && !o.Secure {
		s.warnOnce("SameSite=None", "lifecycle: a cookie with SameSite=None is sent with Secure too, because browsers refuse it otherwise; browsers do not keep it over plain HTTP")
	}
	if o.Path != "" && o.Path[0] != '/' {
		s.warnOnce("Path", "lifecycle: a cookie's Path must begin with a slash; \"/\" is used instead", "path", o.Path)
	}
	if o.Domain != "" && f.Domain == "" {
		s.warnOnce("Domain", "lifecycle: the Domain of the session's cookie is not a domain; the cookie is sent without one", "domain", o.Domain)
	}
	if a := s.config.absolute; a > 0 && f.MaxAge > int(a.Seconds()) {
		s.warnOnce("MaxAge", "lifecycle: MaxAge is longer than the absolute timeout: sessions end, and visitors are logged out, at the absolute timeout; to change that use WithAbsoluteTimeout",
			"maxAge", f.MaxAge, "absoluteTimeout", a)
	}
}

// warnOnce logs a warning, once for each topic.
func (s *Store) warnOnce(topic, text string, args ...any) {
	s.logOnce(slog.LevelWarn, topic, text, args...)
}

// logOnce logs a line, once for each topic.
func (s *Store) logOnce(level slog.Level, topic, text string, args ...any) {
	if _, said := s.warned.LoadOrStore(topic, true); !said {
		s.managers.logger().Log(context.Background(), level, text, args...)
	}
}

// ownCookie returns what the record keeps of a session's options: nil if they are the
// store's.
func ownCookie(f, store cookie.Form) *record.Cookie {
	if f == store {
		return nil
	}
	return &record.Cookie{
		Path:        f.Path,
		Domain:      f.Domain,
		MaxAge:      f.MaxAge,
		SameSite:    int(f.SameSite),
		Secure:      f.Secure,
		HTTPOnly:    f.HttpOnly,
		Partitioned: f.Partitioned,
	}
}

// cookieOptions is the inverse of ownCookie.
func cookieOptions(c *record.Cookie, store *gsessions.Options) *gsessions.Options {
	if c == nil {
		o := *store
		return &o
	}
	return &gsessions.Options{
		Path:        c.Path,
		Domain:      c.Domain,
		MaxAge:      c.MaxAge,
		SameSite:    http.SameSite(c.SameSite),
		Secure:      c.Secure,
		HttpOnly:    c.HTTPOnly,
		Partitioned: c.Partitioned,
	}
}
