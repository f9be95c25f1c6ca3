package lifecycle

import (
	"slices"
	"sync"

	"github.com/gin-lifecycle/lifecycle/internal/token"
)

// shared is what the sessions of one request know of each other.
type shared struct {
	mu     sync.Mutex
	tokens []token.Token // that go out with the response
	fields map[string]owner
}

// owner is the session that has a header field.
type owner struct {
	store *Store
	name  string
}

// issue notes a token that goes out with the response.
func (x *shared) issue(t token.Token) {
	x.mu.Lock()
	defer x.mu.Unlock()
	x.tokens = append(x.tokens, t)
}

// issued reports whether t goes out with the response.
func (x *shared) issued(t token.Token) bool {
	x.mu.Lock()
	defer x.mu.Unlock()
	return slices.ContainsFunc(x.tokens, t.Same)
}

// takeField reports whether the session of this store and name may use a header field: the
// request has one of it, so the first session to be read has it.
func (x *shared) takeField(field string, s *Store, name string) bool {
	x.mu.Lock()
	defer x.mu.Unlock()
	if x.fields == nil {
		x.fields = make(map[string]owner)
	}
	first, taken := x.fields[field]
	if !taken {
		first = owner{s, name}
		x.fields[field] = first
	}
	return first == owner{s, name}
}
