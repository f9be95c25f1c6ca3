package lifecycle

import (
	"context"
	"fmt"
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
	"github.com/gin-lifecycle/lifecycle/internal/testonly"
	"github.com/gin-lifecycle/lifecycle/internal/token"
)

// Store keeps sessions in Redis for gin-contrib/sessions. Make it with NewStore.
// It is safe for concurrent use.
//
// A session is live as long as its live key exists; every request that reads
// it prolongs it by its idle timeout, up to its absolute one. Both are judged by
// the Redis server's clock.
//
// Save replaces all values of the session at once. Of two requests that save the
// same session at the same time the later Save wins, as in gin-contrib's own
// stores; nothing is merged.
//
// Used without a lifecycle middleware, a session begins at its first Save, and
// no created hooks run.
type Store struct {
	config   storeConfig
	managers managerConfig // of its managers, unless New changes it
	tuning   testonly.Tuning
	ledger   *ledger.Ledger
	options  atomic.Pointer[gsessions.Options] // canonical
	warned   sync.Map                          // what warnOnce has logged
	healing  cookie.Healing
}

var _ sessions.Store = (*Store)(nil)

// NewStore returns a store on client. It does not talk to Redis: a server that
// is away makes requests fail, not the start of the application. The client
// stays the caller's, who closes it after Shutdown. Its settings (TLS, password,
// pool) are used as they are, except that every call ends with its context's
// deadline. For that a *redis.Client made without ContextTimeoutEnabled is cloned,
// and the clone lacks the hooks of AddHook: make the client with
// ContextTimeoutEnabled if tracing is to see the store's commands. A
// *redis.ClusterClient cannot be cloned: make it with ContextTimeoutEnabled, else its
// calls end with its own timeouts and retries, which the log says at the start.
//
// The client may be one of a single server, of Sentinel (redis.NewFailoverClient) or
// of a cluster. One that reads from replicas, which are behind, and a *redis.Ring,
// which loses sessions when a server goes, are refused. The error names the client's
// option, or the option and the value, that is wrong.
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
		ledger: ledger.New(client, ledger.Config{
			Prefix:  c.store.prefix,
			Buckets: c.store.buckets,
			Timeout: c.store.redisTimeout,
			Now:     c.tuning.Now,
		}),
	}
	f := s.canonical(new(gsessions.Options))
	if err := s.checkCookie(c.managers.sessionName, f); err != nil {
		return nil, fmt.Errorf("lifecycle: NewStore: WithSessionName: %w", err)
	}
	s.options.Store(&f)
	return s, nil
}

// Options sets the form of the cookie, and by MaxAge the idle timeout, for all
// sessions that have no options of their own. It replaces the default, which is
// Path "/", HttpOnly, SameSite Lax and MaxAge 0.
//
// What is left out is what is safe for a session: an empty Path is "/", so that the
// visitor has one cookie and not one for each folder; no SameSite is Lax; the cookie is
// HttpOnly, said or not, unless WithScriptAccess is set; SameSite None brings Secure,
// without which browsers refuse it. A Domain is compared as browsers do: without a
// leading dot, in lower case.
//
// A MaxAge above 0 is the cookie's age and the session's idle timeout in
// seconds; the middleware sends such a cookie again when it is older than a minute or a
// tenth of its age, so that it lasts about as long as the session; ten years are the most. One above the absolute timeout is
// cut short by that, which the log says once. 0 is a cookie that ends with the browser
// session. A MaxAge below 0 makes no sense for all sessions and counts as 0.
//
// Path and Domain should not change under one cookie name while visitors hold
// cookies. Where they have, a browser may send the old cookie and the new one; the one
// whose session lives counts, and the other is taken away.
//
// For one session use sessions.Default(c).Options and Save; there a MaxAge
// below 0 destroys the session, and another Path or Domain takes the old cookie away.
//
// It panics if the name of WithSessionName, given to NewStore, begins with __Host- or
// __Secure- and browsers would refuse the cookie in this form (RFC 6265bis, section
// 4.1.3). With another name every request gets an error that says so.
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

// Get returns the session of this request, reading it from Redis at the first
// call. With an error the session is not nil but cannot be saved.
func (s *Store) Get(r *http.Request, name string) (*gsessions.Session, error) {
	all := bindingsOf(r)
	b := all.find(s, name)
	if b == nil {
		b = s.bind(name)
		if !all.deferred {
			b.load(r)
		}
		all.add(b)
	}
	return b.session, b.err
}

// New reads the session from Redis, without looking for it in the request's
// context first. With an error the session is not nil but cannot be saved.
func (s *Store) New(r *http.Request, name string) (*gsessions.Session, error) {
	b := s.bind(name)
	b.load(r)
	bindingsOf(r).issue(b)
	return b.session, b.err
}

// Save writes the session and its cookie. It must come before the response's
// body. It returns ErrSessionEnded if the session has ended meanwhile: nothing
// revives it.
func (s *Store) Save(r *http.Request, w http.ResponseWriter, session *gsessions.Session) error {
	if b, ok := session.Store().(*binding); ok && b.store == s {
		return b.Save(r, w, session)
	}
	// A session that gorilla's NewSession made: it begins here.
	b := s.bind(session.Name())
	b.decideWithheld(r)
	bindingsOf(r).issue(b)
	b.session.Values, b.session.Options = session.Values, session.Options
	if err := b.Save(r, w, b.session); err != nil {
		return err
	}
	session.ID, session.IsNew = b.session.ID, b.session.IsNew
	return nil
}

// timeouts returns the timeouts of a session with these options that began at
// created (Unix ms); deadline is that of an existing session, or -1.
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

// maxAge is the greatest MaxAge that counts, ten years in seconds.
const maxAge = int(token.MaxTimeout / time.Second)

type bindingsKey struct{}

// bindings are the sessions that one request has asked for, mostly one.
type bindings struct {
	first    *binding
	more     []*binding
	deferred bool // a middleware decides first whether to read them

	mu     sync.Mutex
	issued []*binding // others, of sessions that gorilla's own functions made
}

// issue notes that a binding's token may go out with this request's response.
func (all *bindings) issue(b *binding) {
	all.mu.Lock()
	defer all.mu.Unlock()
	all.issued = append(all.issued, b)
}

// has reports whether a token is of one of the request's sessions.
func (all *bindings) has(t token.Token) bool {
	all.mu.Lock()
	defer all.mu.Unlock()
	is := func(b *binding) bool { return b != nil && b.token.Same(t) }
	return is(all.first) || slices.ContainsFunc(all.more, is) || slices.ContainsFunc(all.issued, is)
}

// bindingsOf returns the request's bindings. They are kept in its context, and the
// request is changed in place: gin-contrib's session has it already.
func bindingsOf(r *http.Request) *bindings {
	all, _ := r.Context().Value(bindingsKey{}).(*bindings)
	if all == nil {
		all = new(bindings)
		*r = *r.WithContext(context.WithValue(r.Context(), bindingsKey{}, all))
	}
	return all
}

func (all *bindings) find(s *Store, name string) *binding {
	if b := all.first; b != nil && b.store == s && b.name == name {
		return b
	}
	for _, b := range all.more {
		if b.store == s && b.name == name {
			return b
		}
	}
	return nil
}

func (all *bindings) add(b *binding) {
	if all.first == nil {
		all.first = b
		return
	}
	all.more = append(all.more, b)
}
