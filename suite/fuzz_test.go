package suite_test

import (
	"encoding/base64"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
)

// Whatever the Cookie header contains, the visitor gets a session, and the visitor cannot
// choose its ID.
func FuzzCookie(f *testing.F) {
	a := newAppWithoutHooks(f, inProcess(f), "fuzz")
	_, v := a.begin()
	f.Add(v.cookie)
	f.Add("session=")
	f.Add("session=a.b; session=c")
	id, secret, _ := strings.Cut(strings.TrimPrefix(v.cookie, "session="), ".")
	f.Add("session=" + strings.Repeat("A", len(id)) + "." + strings.Repeat("A", len(secret)))
	f.Fuzz(func(t *testing.T, line string) {
		r := httptest.NewRequest(http.MethodGet, "/", nil)
		r.Header["Cookie"] = []string{line}
		w := httptest.NewRecorder()
		a.router.ServeHTTP(w, r)
		id := w.Body.String()
		if raw, err := base64.RawURLEncoding.Strict().DecodeString(id); w.Code != http.StatusOK || err != nil || len(raw) != 16 {
			t.Fatalf("%d, session %q: this is no ID", w.Code, id)
		}
		if strings.Contains(line, id) && line != v.cookie && !strings.Contains(line, v.cookie) {
			t.Errorf("the visitor has chosen the ID %q", id)
		}
	})
}
