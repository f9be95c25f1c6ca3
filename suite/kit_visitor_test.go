package suite_test

import (
	"net/http"
	"net/http/httptest"
)

// visitor is a browser with one cookie. It does not look at the attributes of cookies;
// the type browser does.
type visitor struct {
	cookie string // "name=value", or "" without a cookie
}

// visit requests a page and keeps the cookie that the response sets. header is a list of
// names and values.
func (a *app) visit(v *visitor, url string, header ...string) *httptest.ResponseRecorder {
	a.t.Helper()
	w := httptest.NewRecorder()
	r := httptest.NewRequest(http.MethodGet, url, nil)
	if v.cookie != "" {
		r.Header.Set("Cookie", v.cookie)
	}
	for i := 0; i+1 < len(header); i += 2 {
		r.Header.Set(header[i], header[i+1])
	}
	a.router.ServeHTTP(w, r)
	for _, c := range w.Result().Cookies() {
		if c.MaxAge < 0 {
			v.cookie = ""
		} else {
			v.cookie = c.Name + "=" + c.Value
		}
	}
	return w
}

// ok requests a page and returns the body. It fails the test unless the status is 200.
func (a *app) ok(v *visitor, url string) string {
	a.t.Helper()
	w := a.visit(v, url)
	if w.Code != http.StatusOK {
		a.t.Fatalf("GET %s: %d %s", url, w.Code, w.Body)
	}
	return w.Body.String()
}

// begin begins a session. It returns the ID of the session and its visitor.
func (a *app) begin() (string, *visitor) {
	a.t.Helper()
	v := new(visitor)
	return a.ok(v, "/"), v
}
