package lifecycle

import (
	"errors"
	"fmt"
	"net/http"

	gsessions "github.com/gorilla/sessions"
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
	if f.MaxAge < 0 || b.store.config.endCleared && b.isCleared() {
		err := b.destroy(ReasonDestroyed)
		if errors.Is(err, ErrNoSession) {
			b.expireCookie()
			return nil
		}
		if err != nil && !errors.Is(err, ErrSessionEnded) {
			return err
		}
		return nil // it is gone, as asked
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
	return b.replace()
}

// isCleared reports whether the session had values and has none any more. Flashes do not
// count: to read them deletes them.
func (b *binding) isCleared() bool {
	if b.state != live || len(b.session.Values) > 0 || len(b.record.Values) == 0 {
		return false
	}
	had, err := decodeValues(b.store.config.codec, b.record.Values)
	for _, v := range had {
		if _, flashes := v.([]any); !flashes {
			return err == nil
		}
	}
	return false
}
