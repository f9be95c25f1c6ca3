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

// forgedHeader is a header line of which the instances keep what a session's first
// request had.
const forgedHeader = "X-Forged"

// cookiePrefix is what a visitor's cookie begins with.
const cookiePrefix = "session="

// Where a token's secret half, decoded, has what: see package token.
const (
	atSecret   = 0
	atIdle     = 32
	atDeadline = 38
	atMark     = 44
)

// forger is a client that can do what anybody can who knows the application from
// outside: begin sessions, change what he has in his cookies, and send what no browser
// would. He knows the IDs of others' sessions, which are no secret. He has no Redis.
type forger struct {
	*soak
	name  string
	own   [3]*visitor // whose cookies he has
	admin *visitor    // and one of the other name
	spent []string    // cookies of his own that are worth nothing any more, the latest last
	holds int         // hooks that he had registered
}

// forgery is a request of a forger.
type forgery struct {
	trick   string
	slot    int
	method  string // "" for GET
	path    string
	cookies []string // "name=value"
	header  http.Header

	may   []*visitor // with whose sessions it may be answered: they are in the cookies, with their secrets
	keeps *visitor   // instead of whose session no other may answer while that lives
	right bool       // and then the cookie is to be put right
	none  bool       // with no other: none may begin here
}

// visit makes a request as an honest visitor does. It returns 0 if there was no answer.
func (f *forger) visit(v *visitor, slot int, path string) (status int) {
	p := f.slots[slot].process()
	if p == nil {
		return 0
	}
	before := v.cookie
	status, _ = v.visit(p, path)
	if status == withheld {
		v.cookie = "" // a rotation's answer was lost: that session is out of his hands
	}
	if before != "" && v.cookie != before && !sameToken(v.cookie, before) {
		f.spend(before)
	}
	return status
}

// ready returns one of the forger's visitors with a session that has just answered,
// nil if none does.
func (f *forger) ready(own, slot int) *visitor {
	if v := f.own[own]; f.visit(v, slot, "/") == http.StatusOK {
		return v
	}
	return nil
}

// spend notes a cookie that is worth nothing any more.
func (f *forger) spend(cookie string) {
	f.spent = append(f.spent, cookie)
	if len(f.spent) > 64 {
		f.spent = f.spent[1:]
	}
}

// fill puts what only this forger's next request may have into a path.
func (f *forger) fill(path string) string {
	f.holds++
	return strings.Replace(path, "{n}", f.name+strconv.Itoa(f.holds), 1)
}

// send sends the request and judges the answer.
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
		f.judge(x, a, from)
	}
}

// judge is I11, and of a visitor whose cookies it had, I10.
func (f *forger) judge(x forgery, a answer, from time.Time) {
	sent := func() string { return x.trick + ", " + x.method + " " + x.path + " at " + clock(from) }
	set := ""
	for _, c := range a.cookies {
		if c.MaxAge >= 0 && c.Name+"=" == cookiePrefix {
			set = cookiePrefix + c.Value
		}
		if a.status == withheld {
			f.known.breach("I11: %s: a request in which no session begins was answered with %s", sent(), c)
		}
	}
	if a.status == http.StatusOK {
		if strings.HasSuffix(x.path, "/destroy") { // which may have begun another session
			f.known.askedToEnd(a.body, from)
		}
		ids := make([]string, len(x.may))
		mine := false
		for i, v := range x.may {
			ids[i] = v.id
			mine = mine || v.id == a.body
		}
		if f.known.letIn(a.body, from, ids) {
			f.known.breach("I11: %s: it was let into session %s", sent(), a.body)
		}
		if x.none && !mine {
			f.known.breach("I11: %s: session %s began", sent(), a.body)
		}
	}
	if v := x.keeps; v != nil && a.status == http.StatusOK {
		if a.body != v.id {
			f.known.changed(change{old: v.id, new: a.body, seen: v.seen, at: time.Now()})
		} else if x.right && set == "" && x.path != "/destroy" {
			f.known.breach("I11: %s: the cookie of session %s was not put right", sent(), v.id)
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
		case x.path == "/destroy" && a.status != http.StatusOK: // nobody knows
			v.cookie = ""
		case strings.HasPrefix(set, cookiePrefix+v.id+".") && set != v.cookie:
			if sameToken(set, v.cookie) { // sent again
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

// sameToken reports whether two cookies have one token: its last characters tell when it
// was sent.
func sameToken(a, b string) bool {
	const sent = 6
	return len(a) == len(b) && len(a) > sent && a[:len(a)-sent] == b[:len(b)-sent]
}

// value returns the value of a cookie.
func value(cookie string) string {
	_, v, _ := strings.Cut(cookie, "=")
	return v
}

// half returns the decoded secret half of a cookie's token.
func half(cookie string) []byte {
	_, half, _ := strings.Cut(value(cookie), ".")
	b, err := base64.RawURLEncoding.DecodeString(half)
	if err != nil {
		panic(err) // it is a token, and was let in
	}
	return b
}

// forge returns a cookie after change has had its token's decoded secret half.
func forge(cookie string, change func(half []byte)) string {
	b := half(cookie)
	change(b)
	return cookiePrefix + value(cookie)[:token.IDLength] + "." + base64.RawURLEncoding.EncodeToString(b)
}

// asID returns a cookie with another ID.
func asID(id, cookie string) string { return cookiePrefix + id + value(cookie)[token.IDLength:] }

// put48 puts a number where a token has a time.
func put48(b []byte, v int64) {
	var x [8]byte
	binary.BigEndian.PutUint64(x[:], uint64(v))
	copy(b, x[2:])
}
