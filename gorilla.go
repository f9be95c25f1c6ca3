package lifecycle

import (
	"context"
	"net/http"
	"slices"
	"sync"

	"github.com/gin-contrib/sessions"
	gsessions "github.com/gorilla/sessions"

	"github.com/gin-lifecycle/lifecycle/internal/token"
)

var _ sessions.Store = (*Store)(nil) // its methods here and Store.Options

// Get returns the session of this request. The first call reads it from Redis. If Get
// returns an error, the session is not nil but cannot be saved.
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

// New reads the session from Redis, even if this request has read it before. If New returns
// an error, the session is not nil but cannot be saved.
func (s *Store) New(r *http.Request, name string) (*gsessions.Session, error) {
	b := s.bind(name)
	b.load(r)
	bindingsOf(r).issue(b)
	return b.session, b.err
}

// Save writes the session to Redis and sets its cookie. Call it before the response's body.
// It returns ErrSessionEnded if the session has ended since the request read it; Save never
// revives a session.
//
// A session that was made by gorilla's NewSession, and not by Get or New, begins anew with
// each Save, without created hooks. Use Get, as gin-contrib does.
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

// bind returns a binding whose session has not been read yet.
func (s *Store) bind(name string) *binding {
	b := &binding{store: s, name: name, hooks: noHooks{s}}
	b.session = gsessions.NewSession(b, name)
	*b.session.Options = *s.options.Load()
	b.session.IsNew = true
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
	first    *binding
	more     []*binding
	deferred bool // a middleware decides first whether to read them

	mu     sync.Mutex
	issued []*binding // others, of sessions that gorilla's own functions made
}

// bindingsOf returns the request's bindings. They are kept in the request's context. The
// request is changed in place, because the session of gin-contrib already points to it.
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

// issue notes that the token of a binding may go out with the response of this request.
func (all *bindings) issue(b *binding) {
	all.mu.Lock()
	defer all.mu.Unlock()
	all.issued = append(all.issued, b)
}

// has reports whether a token belongs to one of the request's sessions.
func (all *bindings) has(t token.Token) bool {
	all.mu.Lock()
	defer all.mu.Unlock()
	is := func(b *binding) bool { return b != nil && b.token.Same(t) }
	return is(all.first) || slices.ContainsFunc(all.more, is) || slices.ContainsFunc(all.issued, is)
}
