package suite_test

import (
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"

	"github.com/gin-lifecycle/lifecycle/embedded"
	"github.com/gin-lifecycle/lifecycle/internal/token"
)

// Whatever stands in the Cookie line: the visitor gets a session whose ID is not
// of his choosing, and nothing of it becomes part of a key.
func FuzzCookie(f *testing.F) {
	rdb, err := embedded.Start()
	if err != nil {
		f.Fatal(err)
	}
	f.Cleanup(func() { _ = rdb.Close() })
	a := newAppWithoutHooks(f, onClient(rdb.Client), "fuzz")
	_, v := a.begin()
	f.Add(v.cookie)
	f.Add("session=")
	f.Add("session=a.b; session=c")
	f.Add("session=" + strings.Repeat("A", token.IDLength) + "." + strings.Repeat("A", token.Length-token.IDLength-1))
	f.Fuzz(func(t *testing.T, line string) {
		r := httptest.NewRequest(http.MethodGet, "/", nil)
		r.Header["Cookie"] = []string{line}
		w := httptest.NewRecorder()
		a.router.ServeHTTP(w, r)
		id := w.Body.String()
		if w.Code != http.StatusOK || !token.ValidID(id) {
			t.Fatalf("%d, session %q", w.Code, id)
		}
		if strings.Contains(line, id) && line != v.cookie && !strings.Contains(line, v.cookie) {
			t.Errorf("the visitor chose the ID: %q", id)
		}
	})
}
