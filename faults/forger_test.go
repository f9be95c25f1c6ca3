package faults

import (
	"context"
	"encoding/base64"
	"encoding/binary"
	"net/http"
	"strconv"
	"strings"
	"time"

	"github.com/gin-lifecycle/lifecycle/internal/token"
)

// forgedHeader is a header that the instances keep from a session's first request.
const forgedHeader = "X-Forged"

// cookiePrefix is the beginning of a visitor's cookie.
const cookiePrefix = "session="

// Offsets in the decoded second half of a token; see package token.
const (
	atSecret   = 0
	atIdle     = 32
	atDeadline = 38
	atMark     = 44
)

// forger is a client that knows the application only from outside. It begins sessions,
// changes its own cookies, and sends requests that no browser would send. It knows the IDs of
// other visitors' sessions, which are not secret. It cannot reach Redis.
type forger struct {
	*soak
	name  string
	own   [3]*visitor // whose sessions and cookies are the forger's own
	admin *visitor    // the same, with a cookie of the other name
	spent []string    // the forger's cookies that open no session any more, the latest last
	holds int         // hooks that the forger has registered
}

// forgery is a forged request, and what its response may be.
type forgery struct {
	trick   string
	slot    int
	method  string // "" for GET
	path    string
	cookies []string // "name=value"
	header  http.Header

	may   []*visitor // whose sessions the response may be of: the cookies have their secrets
	keeps *visitor   // while this visitor's session is live, the response must be of that session
	right bool       // the response must set the good cookie of that session again
	none  bool       // no other session may begin
}

// visit requests a page as an honest visitor does. It returns 0 if there is no response.
func (f *forger) visit(v *visitor, slot int, path string) (status int) {
	p := f.slots[slot].process()
	if p == nil {
		return 0
	}
	before := v.cookie
	status, _ = v.visit(p, path)
	if status == statusWithheld {
		v.cookie = "" // the response to a rotation was lost, and with it the session's new cookie
	}
	if before != "" && v.cookie != before && !sameToken(v.cookie, before) {
		f.spend(before)
	}
	return status
}

// ready requests a page as one of the forger's own visitors, and returns that visitor. It
// returns nil if the instance does not respond with a session.
func (f *forger) ready(own, slot int) *visitor {
	if v := f.own[own]; f.visit(v, slot, "/") == http.StatusOK {
		return v
	}
	return nil
}

// spend notes a cookie that opens no session any more.
func (f *forger) spend(cookie string) {
	f.spent = append(f.spent, cookie)
	if len(f.spent) > 64 {
		f.spent = f.spent[1:]
	}
}

// fill replaces {n} in a path by a number that no other request has.
func (f *forger) fill(path string) string {
	f.holds++
	return strings.Replace(path, "{n}", f.name+strconv.Itoa(f.holds), 1)
}

// send sends the request and judges the response.
func (f *forger) send(x forgery) {
	p := f.slots[x.slot].process()
	if p == nil {
		return
	}
	if x.method == "" {
		x.method = http.MethodGet
	}
	r, err := http.NewRequestWithContext(context.Background(), x.method, "http://"+p.addr+f.fill(x.path), http.NoBody)
	if err != nil {
		f.t.Errorf("%s: %v", x.trick, err)
		return
	}
	for name, lines := range x.header {
		r.Header[name] = lines
	}
	if len(x.cookies) > 0 {
		r.Header.Set("Cookie", strings.Join(x.cookies, "; "))
	}
	from := time.Now()
	if strings.HasSuffix(x.path, "/destroy") {
		for _, v := range x.may {
			f.known.askedToEnd(v.id, from)
		}
	}
	a, err := f.exchange(r)
	f.tried(x.trick, a)
	if err == nil {
		f.judge(x, r, a, from)
	}
}

// judge checks the response for I11: no forged request gets another visitor's session, begins
// a session where none may begin, or sets a cookie there. For the forger's own visitors it
// also checks I10.
func (f *forger) judge(x forgery, r *http.Request, a response, from time.Time) {
	sent := func() string { return x.trick + ", " + x.method + " " + x.path + " at " + clock(from) }
	set := ""
	for _, c := range a.cookies {
		if c.MaxAge >= 0 && c.Name+"=" == cookiePrefix {
			set = cookiePrefix + c.Value
		}
		if a.status == statusWithheld {
			f.known.breach("I11: %s: no session may begin in the request, and the response sets %s", sent(), c)
		}
	}
	if a.status == http.StatusOK {
		if strings.HasSuffix(x.path, "/destroy") { // it may have begun another session, and ended that
			f.known.askedToEnd(a.body, from)
		}
		ids := make([]string, len(x.may))
		mine := false
		for i, v := range x.may {
			ids[i] = v.id
			mine = mine || v.id == a.body
		}
		if f.known.letIn(a.body, from, ids) {
			f.known.breach("I11: %s: the response was of session %s", sent(), a.body)
		}
		if x.none && !mine {
			f.known.breach("I11: %s: session %s began", sent(), a.body)
		}
	}
	if v := x.keeps; v != nil && a.status == http.StatusOK {
		if a.body != v.id {
			f.known.changed(change{old: v.id, new: a.body, seen: v.seen, at: time.Now(), request: sent()})
		} else if x.right && set == "" && x.path != "/destroy" && !f.setsCookie(r) {
			f.known.breach("I11: %s: the response did not set the good cookie of session %s", sent(), v.id)
		}
	}
	for _, v := range x.may {
		if a.status == http.StatusOK && a.body == v.id {
			v.seen = from
		}
		switch {
		case x.path == "/destroy" && a.body == v.id:
			f.spend(v.cookie)
			v.cookie = ""
		case x.path == "/destroy" && a.status != http.StatusOK: // the session may have ended or not
			v.cookie = ""
		case strings.HasPrefix(set, cookiePrefix+v.id+".") && set != v.cookie:
			if sameToken(set, v.cookie) { // the same token again
				v.cookie = set
				break
			}
			if x.path != "/rotate" {
				f.known.breach("I11: %s: session %s got another cookie", sent(), v.id)
			}
			f.spend(v.cookie)
			v.cookie = set
		}
	}
}

// setsCookie requests a page with the cookies of a request that was answered without the
// good cookie. The library leaves the cookie out if Redis does not answer just before the
// response is sent, so it is a fault only if it does so again and again.
func (f *forger) setsCookie(r *http.Request) bool {
	again := r.Clone(context.Background())
	again.Method, again.URL.Path, again.URL.RawQuery = http.MethodGet, "/", ""
	for range 3 {
		if a, err := f.exchange(again); err != nil || a.status != http.StatusOK || len(a.cookies) > 0 {
			return true // a response that is no 200 promises nothing
		}
	}
	return false
}

// sameToken reports whether two cookies have the same token. The last characters, which differ,
// say when the library sent the cookie.
func sameToken(a, b string) bool {
	const sent = 6
	return len(a) == len(b) && len(a) > sent && a[:len(a)-sent] == b[:len(b)-sent]
}

// value returns the value of a cookie.
func value(cookie string) string {
	_, v, _ := strings.Cut(cookie, "=")
	return v
}

// half returns the decoded second half of a cookie's token.
func half(cookie string) []byte {
	_, half, _ := strings.Cut(value(cookie), ".")
	b, err := base64.RawURLEncoding.DecodeString(half)
	if err != nil {
		panic(err) // it is a good token: the caller has used it
	}
	return b
}

// forge returns a cookie after change has changed the decoded second half of its token.
func forge(cookie string, change func(half []byte)) string {
	b := half(cookie)
	change(b)
	return cookiePrefix + value(cookie)[:token.IDLength] + "." + base64.RawURLEncoding.EncodeToString(b)
}

// asID returns a cookie with another ID.
func asID(id, cookie string) string { return cookiePrefix + id + value(cookie)[token.IDLength:] }

// put48 writes a number as a token has it: 48 bits, big-endian.
func put48(b []byte, v int64) {
	var x [8]byte
	binary.BigEndian.PutUint64(x[:], uint64(v))
	copy(b, x[2:])
}
