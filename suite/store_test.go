package suite_test

import (
	"errors"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	"github.com/gin-contrib/sessions"
	"github.com/gin-contrib/sessions/tester"
	"github.com/gin-gonic/gin"
	gsessions "github.com/gorilla/sessions"

	"github.com/gin-lifecycle/lifecycle"
	"github.com/gin-lifecycle/lifecycle/internal/redistest"
)

// foreignStore is a store of another package.
type foreignStore struct{}

func (f foreignStore) Get(_ *http.Request, name string) (*gsessions.Session, error) {
	return gsessions.NewSession(f, name), nil
}

func (f foreignStore) New(r *http.Request, name string) (*gsessions.Session, error) {
	return f.Get(r, name)
}

func (foreignStore) Save(*http.Request, http.ResponseWriter, *gsessions.Session) error { return nil }

func (foreignStore) Options(sessions.Options) {}

// The tests that gin-contrib/sessions has for all stores.
func TestConformance(t *testing.T) {
	t.Parallel()
	newStore := func(t *testing.T) sessions.Store {
		d, p := shared(t), redistest.Prefix()
		s, err := lifecycle.NewStore(d.client(t, p), lifecycle.WithPrefix(p))
		if err != nil {
			t.Fatal(err)
		}
		return s
	}
	t.Run("GetSet", func(t *testing.T) { t.Parallel(); tester.GetSet(t, newStore) })
	t.Run("DeleteKey", func(t *testing.T) { t.Parallel(); tester.DeleteKey(t, newStore) })
	t.Run("Flashes", func(t *testing.T) { t.Parallel(); tester.Flashes(t, newStore) })
	t.Run("Clear", func(t *testing.T) { t.Parallel(); tester.Clear(t, newStore) })
	t.Run("Options", func(t *testing.T) { t.Parallel(); tester.Options(t, newStore) })
	t.Run("Many", func(t *testing.T) { t.Parallel(); tester.Many(t, newStore) })
	t.Run("ManyStores", func(t *testing.T) { t.Parallel(); tester.ManyStores(t, newStore) })
}

// A Save with a short MaxAge shortens the idle timeout of the session.
func TestShorterIdleTimeout(t *testing.T) {
	t.Parallel()
	a := newApp(t, shared(t), redistest.Prefix())
	a.ages()
	id, v := a.begin()
	a.ok(v, "/age?n=1")
	if s := a.nextDestroyed(); s.ID != id || s.Reason != lifecycle.ReasonIdleTimeout {
		t.Errorf("ended: %s, %s", s.ID, s.Reason)
	}
}

// Requests keep a session alive. It ends when the idle timeout is over after the last one.
func TestRequestsKeepASessionAlive(t *testing.T) {
	t.Parallel()
	const idle = time.Second
	a := newApp(t, shared(t), redistest.Prefix(), lifecycle.WithIdleTimeout(idle))
	id, v := a.begin()
	first := a.admin.ZScore(redistest.Within(t), a.key("due"), id).Val()
	redistest.Eventually(t, "the session is due later than at first", func() bool {
		if got := a.ok(v, "/"); got != id {
			t.Fatalf("session %q, want %s", got, id)
		}
		return a.admin.ZScore(redistest.Within(t), a.key("due"), id).Val() > first
	})
	s := a.nextDestroyed()
	if s.ID != id || s.EndedAt.UnixMilli() <= int64(first) || s.EndedAt.Sub(s.LastSeenAt) != idle {
		t.Errorf("ended: %s at %v, last seen at %v", s.ID, s.EndedAt, s.LastSeenAt)
	}
}

// Manager.Get finds a session while requests rotate its secret.
func TestGetDuringRotation(t *testing.T) {
	t.Parallel()
	a := newApp(t, shared(t), redistest.Prefix())
	id, v := a.begin()
	done := make(chan struct{})
	go func() {
		defer close(done)
		for range 300 {
			a.visit(v, "/rotate")
		}
	}()
	for {
		if _, err := a.m.Get(redistest.Within(t), id); err != nil {
			t.Errorf("get: %v", err)
		}
		select {
		case <-done:
			return
		default:
		}
	}
}

// A Save of values that are too large fails and changes nothing.
func TestValuesTooLarge(t *testing.T) {
	t.Parallel()
	a := newApp(t, shared(t), redistest.Prefix(), lifecycle.WithMaxValuesSize(200))
	var failure error
	a.get("/fill", func(c *lifecycle.Context) {
		s := sessions.Default(c.Context)
		s.Set("text", strings.Repeat("x", 300))
		failure = s.Save()
	})
	_, v := a.begin()
	a.ok(v, "/set?user=alice")
	a.visit(v, "/fill")
	var large *lifecycle.ValuesTooLargeError
	if !errors.As(failure, &large) || large.Limit != 200 || large.Size <= 300 {
		t.Errorf("error: %v", failure)
	}
	if got := a.ok(v, "/get?key=user"); got != "alice" {
		t.Errorf("user %q", got)
	}
}

// If the values of a session cannot be decoded, the request fails. The session stays as it
// is.
func TestUndecodable(t *testing.T) {
	t.Parallel()
	d, p := shared(t), redistest.Prefix()
	a := newApp(t, d, p)
	var failure error
	b := newApp(t, d, p, lifecycle.WithCodec(lifecycle.JSON), lifecycle.WithErrorHandler(func(c *gin.Context, err error) {
		failure = err
		c.AbortWithStatus(http.StatusTeapot)
	}))
	id, v := a.begin()
	a.ok(v, "/set?user=alice")
	record := a.admin.Get(redistest.Within(t), a.key("session:"+id)).Val()
	if w := b.visit(&visitor{v.cookie}, "/set?user=mallory"); w.Code != http.StatusTeapot || !errors.Is(failure, lifecycle.ErrUndecodable) {
		t.Errorf("values of another codec: %d, %v", w.Code, failure)
	}
	// Without the middleware the handler runs, and its Save fails with the same error.
	if w := b.bare().visit(&visitor{v.cookie}, "/set?user=mallory"); w.Code != http.StatusConflict || !strings.Contains(w.Body.String(), lifecycle.ErrUndecodable.Error()) {
		t.Errorf("save without the middleware: %d %s", w.Code, w.Body)
	}
	if got := a.admin.Get(redistest.Within(t), a.key("session:"+id)).Val(); got != record {
		t.Error("the session was changed")
	}
	// A hook gets everything else, and the reason why there are no values.
	b.start()
	b.end(id, "")
	if s := b.nextDestroyed(); s.ID != id || s.Values() != nil || !errors.Is(s.Err(), lifecycle.ErrUndecodable) || s.Request.URI != "/" {
		t.Errorf("hook: %+v, %v", s, s.Err())
	}

	id, v = a.begin()
	a.spoil(id)
	if w := a.visit(v, "/"); w.Code != http.StatusInternalServerError {
		t.Errorf("a session that was written by an unknown version: %d", w.Code)
	}
}

// A store without the middleware of lifecycle begins a session at the first Save. Destroyed
// hooks run for it, created hooks do not.
func TestBareStore(t *testing.T) {
	t.Parallel()
	a := newApp(t, shared(t), redistest.Prefix())
	bare := a.bare()
	v := new(visitor)
	if bare.ok(v, "/get?key=user"); v.cookie != "" {
		t.Error("a session began without a Save")
	}
	id := bare.ok(v, "/set?user=alice")
	if got := bare.ok(v, "/get?key=user"); got != "alice" {
		t.Errorf("user %q", got)
	}
	bare.ok(v, "/destroy")
	a.start() // only now an instance can find the end
	if s := a.nextDestroyed(); s.ID != id || s.Reason != lifecycle.ReasonDestroyed || s.Get("user") != "alice" {
		t.Errorf("ended: %s %s %v", s.ID, s.Reason, s.Values())
	}
	if len(a.created) > 0 {
		t.Error("a created hook ran")
	}
}

// The store works with the functions of gorilla/sessions.
func TestBareStoreWithGorilla(t *testing.T) {
	t.Parallel()
	a := newApp(t, shared(t), redistest.Prefix())
	req := httptest.NewRequest(http.MethodGet, "/", nil)
	g := gsessions.NewSession(a.store, "session")
	g.Values["user"] = "bob"
	if err := a.store.Save(req, httptest.NewRecorder(), g); err != nil || g.ID == "" {
		t.Errorf("save: %q, %v", g.ID, err)
	}
	first, err := a.store.Get(req, "session")
	if err != nil {
		t.Fatal(err)
	}
	if again, _ := a.store.Get(req, "session"); again != first {
		t.Error("a request has two sessions of one name")
	}
	if _, err := a.store.Get(req, "no cookie name"); err == nil {
		t.Error("a session name with spaces was accepted")
	}
}
