package faults

import (
	"fmt"
	"maps"
	"net/http"
	"net/http/httptest"
	"slices"
	"testing"

	gsessions "github.com/gorilla/sessions"
	"pgregory.net/rapid"

	"github.com/gin-lifecycle/lifecycle"
	"github.com/gin-lifecycle/lifecycle/internal/redistest"
)

// TestModelOfSaves lets several requests of one session read, change and save it in every
// order. After each save it compares Redis with a plain map, to which the changes of each save
// were made one after the other.
func TestModelOfSaves(t *testing.T) {
	rdb := redistest.Client(t, redistest.Shared(t))
	for name, codec := range map[string]lifecycle.Codec{"Gob": lifecycle.Gob, "JSON": lifecycle.JSON} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			store, err := lifecycle.NewStore(rdb, lifecycle.WithPrefix(redistest.Prefix()), lifecycle.WithCodec(codec), lifecycle.WithMaxValuesSize(0))
			if err != nil {
				t.Fatal(err)
			}
			rapid.Check(t, func(rt *rapid.T) {
				m := &saveModel{store: store, values: make(map[string]string)}
				m.begin(rt)
				rt.Repeat(map[string]func(*rapid.T){
					"":            m.check,
					"open":        m.open,
					"set":         m.set,
					"set (2)":     m.set,
					"delete":      m.delete,
					"clear":       m.clear,
					"add flash":   m.addFlash,
					"add flash 2": m.addFlash,
					"flashes":     m.flashes,
					"save":        m.save,
					"save (2)":    m.save,
					"age":         m.age,
				})
			})
		})
	}
}

// saveModel is what one session must have, and the requests that work on it.
type saveModel struct {
	store    *lifecycle.Store
	cookie   *http.Cookie
	values   map[string]string
	flashed  []string
	requests []*saveRequest
	drawn    int // values so far: each is another one
	maxAge   int
}

// saveRequest is a request that has read the session.
type saveRequest struct {
	r       *http.Request
	w       *httptest.ResponseRecorder
	g       *gsessions.Session
	seen    map[string]string // what it has read, or last saved
	changed map[string]*string
	flashes []string // what it has read, or last saved
	read    bool     // it has taken those out
	added   []string
}

// saveSlots is how many requests work at the same time.
const saveSlots = 4

func (m *saveModel) begin(t *rapid.T) {
	r, w := httptest.NewRequest(http.MethodGet, "/", nil), httptest.NewRecorder()
	g, err := m.store.Get(r, "session")
	if err != nil {
		t.Fatal(err)
	}
	g.Values["k0"], m.values["k0"] = "first", "first"
	if err := g.Save(r, w); err != nil {
		t.Fatal(err)
	}
	m.cookie = w.Result().Cookies()[0]
	for range saveSlots {
		m.requests = append(m.requests, m.newRequest(t))
	}
}

func (m *saveModel) newRequest(t *rapid.T) *saveRequest {
	x := &saveRequest{r: httptest.NewRequest(http.MethodGet, "/", nil), w: httptest.NewRecorder()}
	x.r.AddCookie(m.cookie)
	var err error
	if x.g, err = m.store.Get(x.r, "session"); err != nil || x.g.IsNew {
		t.Fatalf("the session cannot be read: new %v, %v", x.g.IsNew, err)
	}
	m.saw(x)
	return x
}

// saw notes what a request has of the session now.
func (m *saveModel) saw(x *saveRequest) {
	x.seen, x.changed = maps.Clone(m.values), make(map[string]*string)
	x.flashes, x.read, x.added = slices.Clone(m.flashed), false, nil
}

func (m *saveModel) request(t *rapid.T) *saveRequest {
	return m.requests[rapid.IntRange(0, saveSlots-1).Draw(t, "request")]
}

func (m *saveModel) key(t *rapid.T) string {
	return fmt.Sprintf("k%d", rapid.IntRange(0, 4).Draw(t, "key"))
}

func (m *saveModel) value() string {
	m.drawn++
	return fmt.Sprint("v", m.drawn)
}

// open ends a request without a save. Another one begins.
func (m *saveModel) open(t *rapid.T) {
	m.requests[rapid.IntRange(0, saveSlots-1).Draw(t, "request")] = m.newRequest(t)
}

func (m *saveModel) set(t *rapid.T) {
	x, key, value := m.request(t), m.key(t), m.value()
	x.g.Values[key], x.changed[key] = value, &value
}

func (m *saveModel) delete(t *rapid.T) {
	x, key := m.request(t), m.key(t)
	x.remove(key)
}

func (x *saveRequest) remove(key string) {
	delete(x.g.Values, key)
	delete(x.changed, key)
	if _, seen := x.seen[key]; seen {
		x.changed[key] = nil
	}
}

// clear deletes everything, the flashes too.
func (m *saveModel) clear(t *rapid.T) {
	x := m.request(t)
	for key := range x.g.Values {
		if key == "_flash" {
			x.read, x.added = true, nil
			delete(x.g.Values, key)
		} else {
			x.remove(key.(string))
		}
	}
}

func (m *saveModel) addFlash(t *rapid.T) {
	x, value := m.request(t), m.value()
	x.g.AddFlash(value)
	x.added = append(x.added, value)
}

func (m *saveModel) flashes(t *rapid.T) {
	x := m.request(t)
	var got []string
	for _, f := range x.g.Flashes() {
		got = append(got, f.(string))
	}
	var want []string
	if !x.read {
		want = append(want, x.flashes...)
	}
	if want = append(want, x.added...); !slices.Equal(got, want) {
		t.Fatalf("the request has the flashes %v, want %v", got, want)
	}
	x.read, x.added = true, nil
}

// age gives the session another age, which changes the token. The other requests have the old
// one.
func (m *saveModel) age(t *rapid.T) {
	x := m.request(t)
	m.maxAge = 3600 + m.maxAge%10 + 1
	x.g.Options.MaxAge = m.maxAge
	m.saveOf(t, x)
}

func (m *saveModel) save(t *rapid.T) { m.saveOf(t, m.request(t)) }

func (m *saveModel) saveOf(t *rapid.T, x *saveRequest) {
	if err := x.g.Save(x.r, x.w); err != nil {
		t.Fatalf("Save: %v", err)
	}
	m.cookie = x.w.Result().Cookies()[0]
	for _, c := range x.w.Result().Cookies() {
		m.cookie = c
	}
	for key, value := range x.changed {
		if value == nil {
			delete(m.values, key)
		} else {
			m.values[key] = *value
		}
	}
	if x.read {
		m.flashed = slices.DeleteFunc(m.flashed, func(f string) bool { return slices.Contains(x.flashes, f) })
	}
	m.flashed = append(m.flashed, x.added...)
	m.saw(x)
	m.compare(t, "the request that has saved", x.g)
}

// check compares Redis with the model.
func (m *saveModel) check(t *rapid.T) {
	m.compare(t, "Redis", m.newRequest(t).g)
}

func (m *saveModel) compare(t *rapid.T, who string, g *gsessions.Session) {
	want := make(map[any]any)
	for key, value := range m.values {
		want[key] = value
	}
	if len(m.flashed) > 0 {
		list := make([]any, len(m.flashed))
		for i, f := range m.flashed {
			list[i] = f
		}
		want["_flash"] = list
	}
	if got, want := fmt.Sprint(g.Values), fmt.Sprint(want); got != want {
		t.Fatalf("%s has %s, want %s", who, got, want)
	}
}
