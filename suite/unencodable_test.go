package suite_test

import (
	"fmt"
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/gin-contrib/sessions"
	"github.com/gin-gonic/gin"

	"github.com/gin-lifecycle/lifecycle"
	"github.com/gin-lifecycle/lifecycle/internal/redistest"
)

// Types that nobody registers.
type (
	hidden  struct{ Word string }
	another struct{ Word string }
)

// refusing has a method of its own, whose error contains the value.
type refusing struct{ Word string }

func (r refusing) MarshalJSON() ([]byte, error) { return nil, fmt.Errorf("cannot encode %s", r.Word) }

// panicking has a method that panics if its first field is nil.
type panicking struct{ Next *hidden }

func (p panicking) MarshalJSON() ([]byte, error) { return []byte(p.Next.Word), nil }

// Types of the standard library and of gin can be saved without gob.Register, also in one
// another, and another instance reads them.
func TestTypesWithoutRegistration(t *testing.T) {
	t.Parallel()
	d, p := shared(t), redistest.Prefix()
	a, b := newApp(t, d, p), newApp(t, d, p)
	at := time.Date(2026, 1, 2, 3, 4, 5, 0, time.UTC)
	a.get("/fill", func(c *lifecycle.Context) {
		s := sessions.Default(c.Context)
		s.Set("at", at)
		s.Set("page", gin.H{"list": []any{at, gin.H{"n": 1}}, "map": map[string]any{"at": at}})
		s.AddFlash(map[string]string{"level": "info"})
		a.answer(c, s.Save())
	})
	var got map[string]any
	b.get("/read", func(c *lifecycle.Context) {
		s := sessions.Default(c.Context)
		got = gin.H{"at": s.Get("at"), "page": s.Get("page"), "flashes": s.Flashes()}
	})
	_, v := a.begin()
	a.ok(v, "/fill")
	b.visit(v, "/read")
	want := gin.H{
		"at": at, "flashes": []any{map[string]string{"level": "info"}},
		"page": gin.H{"list": []any{at, gin.H{"n": 1}}, "map": map[string]any{"at": at}},
	}
	if fmt.Sprintf("%#v", got) != fmt.Sprintf("%#v", map[string]any(want)) {
		t.Errorf("got %#v", got)
	}
}

// What the codec cannot encode is an error that names key and type, and one line of the log
// for each type, without the value. Nothing is saved.
func TestUnencodable(t *testing.T) {
	t.Parallel()
	const word, key = "the-secret-word", "basket"
	for name, x := range map[string]struct {
		codec       lifecycle.Codec
		first, next any // of two types
		logged      string
	}{
		"gob":                   {lifecycle.Gob, hidden{word}, another{word}, "gob: type not registered"},
		"gob, nested":           {lifecycle.Gob, gin.H{"a": hidden{word}}, gin.H{"a": another{word}}, "suite_test.another"},
		"JSON":                  {lifecycle.JSON, make(chan int), map[string]any{"a": func() {}}, "json: unsupported type: func()"},
		"the application's":     {lifecycle.JSON, refusing{word}, []refusing{{word}}, "an error of type"},
		"a method that panics":  {lifecycle.JSON, panicking{}, []any{panicking{}}, "a panic"},
		"a key":                 {lifecycle.JSON, nil, nil, "suite_test.hidden"},
		"a key, not registered": {lifecycle.Gob, nil, nil, "suite_test.hidden"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			a := newApp(t, shared(t), redistest.Prefix(), lifecycle.WithCodec(x.codec))
			save := func(v *visitor, value any) string {
				t.Helper()
				w := a.router
				path := fmt.Sprintf("/fill%d", len(w.Routes()))
				a.get(path, func(c *lifecycle.Context) {
					s := sessions.Default(c.Context)
					s.Set("user", "mallory")
					if value == nil {
						s.Set(hidden{word}, true)
					} else {
						s.Set(key+strings.Repeat("x", 200), value)
					}
					a.answer(c, s.Save())
				})
				answer := a.visit(v, path)
				if answer.Code != http.StatusConflict {
					t.Errorf("Save of a %T: %d", value, answer.Code)
				}
				return answer.Body.String()
			}
			_, v := a.begin()
			a.ok(v, "/set?user=alice")
			for range 2 {
				for _, value := range []any{x.first, x.next} {
					text := save(v, value)
					typ := fmt.Sprintf("%T", value)
					if value == nil {
						typ = "key of type suite_test.hidden"
					} else if !strings.Contains(text, key) {
						t.Errorf("the error does not name the key: %s", text)
					}
					if !strings.Contains(text, typ) {
						t.Errorf("the error does not name the type: %s", text)
					}
				}
			}
			lines := 2
			if x.first == nil {
				lines = 1
			}
			if n := a.warned("was not saved"); n != lines || a.warned(x.logged) == 0 {
				t.Errorf("%d lines, want %d:\n%s", n, lines, a.log)
			}
			if a.log.Contains(word) || a.log.Contains(strings.Repeat("x", 100)) {
				t.Errorf("the log has the value, or all of a long key:\n%s", a.log)
			}
			if got := a.ok(v, "/get?key=user"); got != "alice" {
				t.Errorf("user %q", got)
			}
		})
	}
}

// Values that are too large are logged once, with the key that takes most.
func TestValuesTooLargeAreLogged(t *testing.T) {
	t.Parallel()
	a := newApp(t, shared(t), redistest.Prefix(), lifecycle.WithMaxValuesSize(200))
	_, v := a.begin()
	for range 3 {
		if w := a.visit(v, "/set?small=1&notes="+strings.Repeat("x", 300)); w.Code != http.StatusConflict {
			t.Errorf("code %d", w.Code)
		}
	}
	if n := a.warned("WithMaxValuesSize", "notes", "limit=200"); n != 1 {
		t.Errorf("%d lines:\n%s", n, a.log)
	}
	if a.log.Contains("xxx") {
		t.Error("the log has a value")
	}
}
