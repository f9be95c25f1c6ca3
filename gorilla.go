package lifecycle

import (
	"context"
	"net/http"
	"slices"
	"sync"

	"github.com/gin-contrib/sessions"
	"github.com/gin-gonic/gin"
	gsessions "github.com/gorilla/sessions"
)

var _ sessions.Store = (*Store)(nil) // its methods here and Store.Options

// Get returns the session of this request. The first call reads it from Redis. If Get
// returns an error, the session is not nil but cannot be saved.
func (s *Store) Get(r *http.Request, name string) (*gsessions.Session, error) {
	all := bindingsOf(r)
	b := all.find(s, name)
	if b == nil {
		b = s.bind(all, r, name)
		if !all.deferred {
			b.load()
		}
		all.add(b)
	}
	return b.session, b.err
}

// New reads the session from Redis, even if this request has read it before. If New returns
// an error, the session is not nil but cannot be saved.
func (s *Store) New(r *http.Request, name string) (*gsessions.Session, error) {
	all := bindingsOf(r)
	b := s.bind(all, r, name)
	b.load()
	all.note(b)
	return b.session, b.err
}

// Save writes the session to Redis and sets its cookie. Call it before the response's body.
// It returns ErrSessionEnded if the session has ended since the request read it; Save never
// revives a session. It returns ErrRequestOver if the middleware has returned.
//
// If another request has saved the session since this one read it, Save keeps what that
// request has changed: see Store.
//
// A session that was made by gorilla's NewSession, and not by Get or New, begins anew with
// each Save, without created hooks. Use Get, as gin-contrib does.
func (s *Store) Save(r *http.Request, w http.ResponseWriter, session *gsessions.Session) error {
	if b, ok := session.Store().(*binding); ok && b.store == s {
		return b.Save(r, w, session)
	}
	// A session that gorilla's NewSession made: it begins here.
	all := bindingsOf(r)
	b := s.bind(all, r, session.Name())
	b.decideWay()
	all.note(b)
	b.session.Values, b.session.Options = session.Values, session.Options
	if err := b.Save(r, w, b.session); err != nil {
		return err
	}
	session.ID, session.IsNew = b.session.ID, b.session.IsNew
	return nil
}

// bind returns a binding whose session has not been read yet.
func (s *Store) bind(all *bindings, r *http.Request, name string) *binding {
	b := &binding{store: s, request: r, shared: &all.shared, name: name, hooks: noHooks{s}}
	b.session = gsessions.NewSession(b, name)
	*b.session.Options = *s.options.Load()
	b.session.IsNew = true
	if all.over() {
		b.loaded, b.closed, b.err = true, true, ErrRequestOver
	}
	return b
}

// Get and New make binding a gorilla Store.
func (b *binding) Get(r *http.Request, name string) (*gsessions.Session, error) {
	return b.store.Get(r, name)
}

func (b *binding) New(r *http.Request, name string) (*gsessions.Session, error) {
	return b.store.New(r, name)
}

type bindingsKey struct{}

// bindings are the sessions that one request has asked for: mostly one.
type bindings struct {
	deferred bool // a middleware decides first whether to read them

	shared shared

	mu     sync.Mutex
	first  *binding
	more   []*binding // the others, for find
	extra  []*binding // of sessions that gorilla's own functions made
	failed []*binding // of middlewares that are used wrongly, while their error handlers run
	served bool       // a middleware has the request
	closed bool
}

// bindingsOf returns the request's bindings. They are kept in the request's context. The
// request is changed in place, because the session of gin-contrib already points to it.
func bindingsOf(r *http.Request) *bindings {
	all, _ := r.Context().Value(bindingsKey{}).(*bindings)
	if all == nil {
		all = newBindings(r)
	}
	return all
}

func newBindings(r *http.Request) *bindings {
	all := new(bindings)
	*r = *r.WithContext(context.WithValue(r.Context(), bindingsKey{}, all))
	return all
}

func (all *bindings) find(s *Store, name string) *binding {
	all.mu.Lock()
	defer all.mu.Unlock()
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

// add adds a binding that find is to find.
func (all *bindings) add(b *binding) {
	all.mu.Lock()
	defer all.mu.Unlock()
	if all.first == nil {
		all.first = b
		return
	}
	all.more = append(all.more, b)
}

// note adds a binding that find is not to find.
func (all *bindings) note(b *binding) {
	all.mu.Lock()
	defer all.mu.Unlock()
	all.extra = append(all.extra, b)
}

// enter reports whether the caller is the first middleware that has the request: it must close
// the bindings.
func (all *bindings) enter() bool {
	all.mu.Lock()
	defer all.mu.Unlock()
	first := !all.served
	all.served = true
	return first
}

// close closes all bindings. Those that the request asks for later are closed too.
func (all *bindings) close() {
	all.mu.Lock()
	first, more, extra := all.first, all.more, all.extra
	all.closed = true
	all.mu.Unlock()
	// Without the lock: a binding waits for what is under way.
	if first != nil {
		first.close()
	}
	for _, b := range more {
		b.close()
	}
	for _, b := range extra {
		b.close()
	}
}

// over reports whether close was called.
func (all *bindings) over() bool {
	all.mu.Lock()
	defer all.mu.Unlock()
	return all.closed
}

// fail adds a binding of a middleware that is used wrongly. done removes it.
func (all *bindings) fail(b *binding) (done func()) {
	all.mu.Lock()
	defer all.mu.Unlock()
	all.failed = append(all.failed, b)
	return func() {
		all.mu.Lock()
		defer all.mu.Unlock()
		all.failed = slices.DeleteFunc(all.failed, func(x *binding) bool { return x == b })
	}
}

// failedFor returns the binding of the middleware of an owner that is used wrongly.
func (all *bindings) failedFor(owner any) *binding {
	all.mu.Lock()
	defer all.mu.Unlock()
	for _, b := range all.failed {
		if b.owner == owner {
			return b
		}
	}
	return nil
}

// failed returns a binding without a store or a session: whatever uses it gets err.
func failed(c *gin.Context, err error) *binding {
	b := &binding{err: err, loaded: true, bound: true, request: c.Request, hooks: noHooks{}}
	b.session = gsessions.NewSession(b, "")
	bare := &gin.Context{Request: c.Request, Writer: c.Writer}
	sessions.Sessions("", failedStore{b})(bare)
	b.values = sessions.Default(bare)
	b.found, _ = c.Get(sessions.DefaultKey) // this stays
	return b
}

type failedStore struct{ *binding }

func (s failedStore) Get(*http.Request, string) (*gsessions.Session, error) { return s.session, nil }
func (s failedStore) New(*http.Request, string) (*gsessions.Session, error) { return s.session, nil }
func (failedStore) Options(sessions.Options)                                {}
