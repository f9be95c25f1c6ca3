package lifecycle

import (
	"errors"
	"fmt"
	"maps"
	"net/http"
	"reflect"

	gsessions "github.com/gorilla/sessions"

	"github.com/gin-lifecycle/lifecycle/internal/record"
)

// Save does what the session's options and state ask for: it destroys, begins or replaces
// the session.
func (b *binding) Save(r *http.Request, w http.ResponseWriter, g *gsessions.Session) error {
	return b.do(func() error {
		if !b.bound {
			b.request, b.writer = r, w
		}
		if g.Options == nil {
			o := *b.store.options.Load()
			g.Options = &o
		}
		b.session.Values, b.session.Options = g.Values, g.Options
		return b.save()
	})
}

func (b *binding) save() error {
	o := b.session.Options
	if b.err != nil && (o.MaxAge >= 0 || b.state != unreadable) {
		return b.err
	}
	f := b.store.canonical(o)
	b.store.warnOptions(o, f)
	b.session.Options = &f // o may be the application's, for all its sessions
	if err := b.withheldError(); err != nil {
		return err
	}
	if f.MaxAge < 0 {
		return b.drop()
	}
	if err := b.store.checkCookie(b.name, f); err != nil {
		return fmt.Errorf("lifecycle: Save: %w", err)
	}
	switch {
	case b.state == ended:
		return ErrSessionEnded
	case b.state == destroyed && len(b.session.Values) == 0:
		return nil // nothing is to begin
	case b.state != live:
		return b.begin()
	}
	err := b.replace(b.editOrEnd)
	if errors.Is(err, errCleared) {
		return b.endCleared()
	}
	return err
}

// drop ends the session, if there is one, and removes the cookie.
func (b *binding) drop() error {
	err := b.destroy(ReasonDestroyed)
	switch {
	case errors.Is(err, ErrNoSession):
		b.expireCookie()
	case errors.Is(err, ErrSessionEnded): // it is gone, as asked
	case err != nil:
		return err
	}
	b.blank()
	return nil
}

// errCleared says that a Save ends the session in place of saving it; see WithEndWhenCleared.
var errCleared = errors.New("lifecycle: the session has been cleared")

// editOrEnd is edit, but returns errCleared for a session that is to end. Each try of a save asks
// anew: another request may have deleted the rest.
func (b *binding) editOrEnd(rec *record.Record) error {
	if b.store.config.endCleared && b.isCleared() {
		return errCleared
	}
	return b.edit(rec)
}

// endCleared ends a session that has been cleared. If there are flashes, they begin another one.
func (b *binding) endCleared() error {
	flashes := maps.Clone(b.session.Values)
	if err := b.drop(); err != nil || len(flashes) == 0 {
		return err
	}
	maps.Copy(b.session.Values, flashes)
	return b.begin()
}

// flashesKey is the key under which gin-contrib/sessions keeps flashes, unless the application
// names another one.
const flashesKey = "_flash"

// isCleared reports whether the session had values and nothing of them is left. Flashes do not
// count: to read them deletes them, and a logout may leave new ones. Nothing but its type tells a
// flash from an application's list, so a list counts as one only if its key is new.
func (b *binding) isCleared() bool {
	if len(b.record.Values) == 0 {
		return false
	}
	for _, v := range b.session.Values {
		if _, list := v.([]any); !list {
			return false
		}
	}
	had, err := decodeValues(b.store.config.codec, b.record.Values)
	if err != nil {
		return false
	}
	for k, v := range b.session.Values {
		old, before := had[k]
		if before && (k != flashesKey || startsWith(v, old)) {
			return false
		}
	}
	for _, v := range had {
		if _, list := v.([]any); !list {
			return true
		}
	}
	return false
}

// startsWith reports whether the list v begins with all of old.
func startsWith(v, old any) bool {
	now, _ := v.([]any)
	before, _ := old.([]any)
	return len(before) <= len(now) && reflect.DeepEqual(now[:len(before)], before)
}
