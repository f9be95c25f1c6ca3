package cookie

import (
	"net/http"
	"net/http/httptest"
	"slices"
	"strings"
	"testing"
)

// Two spellings of the same form have the same canonical form, and what is missing gets the
// value that is safe.
func TestCanonical(t *testing.T) {
	t.Parallel()
	safe := Form{Path: "/", SameSite: http.SameSiteLaxMode, HttpOnly: true}
	for name, f := range map[string]Form{
		"nothing": {}, "default": {SameSite: http.SameSiteDefaultMode}, "relative": {Path: "a/b"}, "only a semicolon": {Path: ";"},
		"no domain": {Domain: "exa mple"}, "unknown SameSite": {SameSite: 9}, "control characters": {Path: "\n/\x7f"},
	} {
		if got := Canonical(f, false); got != safe {
			t.Errorf("%s: the canonical form is %+v, want %+v", name, got, safe)
		}
	}
	for _, domain := range []string{"example.com", ".example.com", "Example.com", ".EXAMPLE.COM"} {
		if got := Canonical(Form{Domain: domain}, false); got.Domain != "example.com" {
			t.Errorf("Domain %s: the canonical form is %+v", domain, got)
		}
	}
	if got := Canonical(Form{SameSite: http.SameSiteNoneMode}, true); !got.Secure || got.HttpOnly || got.SameSite != http.SameSiteNoneMode {
		t.Errorf("SameSite=None: the canonical form is %+v, want it Secure", got)
	}
	if got := Canonical(Form{Partitioned: true}, false); !got.Secure {
		t.Errorf("Partitioned: the canonical form is %+v, want it Secure", got)
	}
	for _, f := range []Form{{}, {Path: "/a;b"}, {Domain: ".A.b"}, {SameSite: http.SameSiteNoneMode}} {
		if once := Canonical(f, true); Canonical(once, true) != once {
			t.Errorf("Canonical changes %+v, which it has returned", once)
		}
	}
}

// Check returns an error for what browsers would refuse, and for nothing else.
func TestCheck(t *testing.T) {
	t.Parallel()
	plain := Canonical(Form{}, false)
	secure := Canonical(Form{Secure: true}, false)
	folder, domain := secure, secure
	folder.Path, domain.Domain = "/app", "example.com"
	for _, c := range []struct {
		name     string
		f        Form
		insecure bool
		ok       bool
	}{
		{"session", folder, true, true}, {"session", domain, false, true}, {"", plain, false, false}, {"a b", plain, false, false},
		{"__Host-a", plain, false, true}, {"__Host-a", plain, true, false}, {"__Host-a", secure, true, true},
		{"__Host-a", folder, false, false}, {"__host-a", domain, false, false}, {"__HOST-", folder, false, false},
		{"__Secure-a", plain, true, false}, {"__secure-a", plain, true, false}, {"__Secure-a", folder, false, true}, {"__Secure-a", domain, true, true},
		{"__Hosta", folder, true, true},
	} {
		if err := Check(c.name, c.f, c.insecure); (err == nil) != c.ok {
			t.Errorf("Check(%q, %+v, %v): %v, want accepted: %v", c.name, c.f, c.insecure, err, c.ok)
		}
	}
}

// The lines of one session replace each other. All other lines stay.
func TestLines(t *testing.T) {
	t.Parallel()
	h := http.Header{"Set-Cookie": {"a=1", "session=; Max-Age=0"}}
	var l Lines
	f := Canonical(Form{}, false)
	folder := Place{Path: "/folder"}
	set := func(h http.Header, value string, away ...Place) {
		l.Set("session", value, f, away)
		l.Apply(h)
		l.Apply(h)
	}
	set(h, "one", folder, PlaceOf(f), folder)
	set(h, "two", folder, PlaceOf(f), folder)
	want := []string{
		"a=1", "session=; Max-Age=0", "session=; Path=/folder; Max-Age=0; HttpOnly; SameSite=Lax", "session=two; Path=/; HttpOnly; SameSite=Lax",
	}
	if got := h["Set-Cookie"]; !slices.Equal(got, want) {
		t.Errorf("the lines are %q, want %q", got, want)
	}
	h.Add("Set-Cookie", "session=token; Path=/")
	h.Add("Set-Cookie", `session="token"; Path=/`)
	h.Add("Set-Cookie", "session2=token")
	DropForeign(h, "session", func(v string) bool { return v == "token" })
	if got := h["Set-Cookie"]; !slices.Equal(got, append(want, "session2=token")) {
		t.Errorf("after DropForeign the lines are %q, want %q and that of session2", got, want)
	}
	DropForeignField(h, "X-Session", func(v string) bool { return v == "token" })
	for _, values := range [][]string{{"token"}, {"token", "other"}} {
		h["X-Session"] = values
		DropForeignField(h, "X-Session", func(v string) bool { return v == "token" })
		if got := h["X-Session"]; !slices.Equal(got, values[1:]) || h["X-Session"] != nil && len(got) == 0 {
			t.Errorf("after DropForeignField the values are %q, want %q", got, values[1:])
		}
		delete(h, "X-Session")
	}
	set(h, "", PlaceOf(f))
	want = []string{"a=1", "session=; Max-Age=0", "session2=token", "session=; Path=/; Max-Age=0; HttpOnly; SameSite=Lax"}
	if got := h["Set-Cookie"]; !slices.Equal(got, want) {
		t.Errorf("the lines are %q, want %q", got, want)
	}
	only := http.Header{}
	l = Lines{}
	set(only, "one")
	set(only, "")
	if _, is := only["Set-Cookie"]; is {
		t.Errorf("the header is %q, want no Set-Cookie", only)
	}
	set(only, "three")
	only.Set("Set-Cookie", "a=1") // as by a middleware that copies whole fields
	l.Apply(only)
	if got, want := only["Set-Cookie"], []string{"a=1", "session=three; Path=/; HttpOnly; SameSite=Lax"}; !slices.Equal(got, want) {
		t.Errorf("the lines are %q, want %q", got, want)
	}
	only.Del("Set-Cookie") // as by a handler whose page shared caches are to keep
	l.Apply(only)
	if _, is := only["Set-Cookie"]; is {
		t.Errorf("the header is %q, want no Set-Cookie", only)
	}
}

// A browser may have sent a cookie from each folder of the path, with a slash at its end or
// without, and from nowhere else.
func TestElsewhere(t *testing.T) {
	t.Parallel()
	for path, want := range map[string]string{
		"/":         "/",
		"/a":        "/ /a",
		"/a/":       "/ /a /a/",
		"/a/b%2Fc":  "/ /a /a/ /a/b%2Fc",
		"/1/2/3/4/": "/ /1 /1/ /1/2 /1/2/ /1/2/3 /1/2/3/ /1/2/3/4 /1/2/3/4/",
	} {
		var got []string
		for _, p := range Elsewhere(httptest.NewRequest(http.MethodGet, path, nil), "", "") {
			got = append(got, p.Path)
		}
		if strings.Join(got, " ") != want {
			t.Errorf("the places for %s are %v, want %s", path, got, want)
		}
	}
	long := httptest.NewRequest(http.MethodGet, strings.Repeat("/a", 1000), nil)
	if n := len(Elsewhere(long, "", "example.com")); n > 30 {
		t.Errorf("%d places for a path of many folders, want 30 at most", n)
	}
	long = httptest.NewRequest(http.MethodGet, "/a/"+strings.Repeat("a", 1_000_000)+"/b/c/d", nil)
	if places := Elsewhere(long, ""); len(places) != 3 {
		t.Errorf("%d places for a path with a long folder, want 3", len(places))
	}
}
