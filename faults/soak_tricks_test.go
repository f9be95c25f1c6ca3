package faults

import (
	"encoding/base64"
	"encoding/binary"
	"math/rand/v2"
	"net/http"
	"slices"
	"strings"
	"time"

	"github.com/gin-lifecycle/lifecycle/internal/token"
)

// trick is one kind of forged request.
type trick struct {
	name   string
	weight int
	draw   func(r *rand.Rand) func(f *forger)
}

func (x trick) times() int { return x.weight }

var tricks = []trick{
	{"timeouts", 6, drawTimeouts},
	{"impossible", 2, drawImpossible},
	{"guesses", 5, drawGuess},
	{"other names", 3, drawName},
	{"ended", 3, drawEnded},
	{"rotated", 3, drawRotated},
	{"crowds", 6, drawCrowd},
	{"cross-site", 4, drawForeign},
	{"preflights", 2, drawPreflight},
	{"oversized", 3, drawOversized},
}

// drawPath draws the page that is requested.
func drawPath(r *rand.Rand) string {
	return []string{"/", "/", "/save?forged=1", "/hold?n={n}", "/rotate", "/destroy"}[r.IntN(6)]
}

// times are forged timeouts for a token.
type times struct {
	idle     int64                 // ms
	deadline func(now int64) int64 // Unix ms
}

// drawTimes draws an idle timeout, and a deadline that is before or after now, none at all, or
// in 1970.
func drawTimes(r *rand.Rand) times {
	const tenYears = int64(10 * 365 * 24 * time.Hour / time.Millisecond)
	idle := []int64{tenYears, tenYears, 1, 2_000, 30 * 60_000}[r.IntN(5)]
	from := []int64{-tenYears, -1_000, 0, 1, 60_000, tenYears}[r.IntN(6)]
	switch r.IntN(5) {
	case 0:
		return times{idle, func(int64) int64 { return 0 }}
	case 1:
		return times{idle, func(int64) int64 { return 1 }}
	}
	return times{idle, func(now int64) int64 { return now + from }}
}

// forge returns the cookie with these timeouts in its token.
func (x times) forge(cookie string) string {
	return forge(cookie, func(half []byte) {
		put48(half[atIdle:], x.idle)
		put48(half[atDeadline:], x.deadline(time.Now().UnixMilli()))
	})
}

// drawTimeouts: the token of the forger's own session, with other timeouts. The library
// ignores the timeouts: the forger keeps the session and gets the good cookie again.
func drawTimeouts(r *rand.Rand) func(f *forger) {
	x, own, slot, path, after := drawTimes(r), r.IntN(3), r.IntN(3), drawPath(r), r.IntN(3)
	return func(f *forger) {
		v := f.ready(own, slot)
		if v == nil {
			return
		}
		f.send(forgery{trick: "timeouts", slot: slot, path: path, cookies: []string{x.forge(v.cookie)}, may: []*visitor{v}, keeps: v, right: true})
		f.visit(v, after, "/")
	}
}

// drawImpossible: a cookie that is no token.
func drawImpossible(r *rand.Rand) func(f *forger) {
	how, own, slot, path := r.IntN(malformations), r.IntN(3), r.IntN(3), drawPath(r)
	return func(f *forger) {
		v := f.ready(own, slot)
		if v == nil {
			return
		}
		f.send(forgery{trick: "impossible", slot: slot, path: path, cookies: []string{malformed(v.cookie, how)}})
		f.visit(v, slot, "/")
	}
}

// malformations is how many ways there are to make a token malformed.
const malformations = 9

// malformed returns a good cookie, changed in one of these ways so that it is no token.
func malformed(cookie string, how int) string {
	good := value(cookie)
	switch how {
	case 0:
		return cookiePrefix
	case 1:
		return cookiePrefix + good[:len(good)-1]
	case 2:
		return cookiePrefix + good + "A"
	case 3:
		return cookiePrefix + strings.Replace(good, ".", "_", 1)
	case 4: // another spelling of the same ID
		const digits = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_"
		b := []byte(good)
		last := &b[token.IDLength-1]
		*last = digits[strings.IndexByte(digits, *last)^1]
		return cookiePrefix + string(b)
	case 5:
		return forge(cookie, func(half []byte) { put48(half[atIdle:], 0) })
	case 6:
		return forge(cookie, func(half []byte) { put48(half[atIdle:], 1<<48-1) })
	case 7:
		return cookiePrefix + strings.Repeat("A", 4000)
	}
	return cookiePrefix + "*}:live:" + good
}

// drawSecret draws a secret.
func drawSecret(r *rand.Rand) (secret [atIdle - atSecret]byte) {
	for i := 0; i < len(secret); i += 8 {
		binary.BigEndian.PutUint64(secret[i:], r.Uint64())
	}
	return secret
}

// drawGuess: the known ID of a visitor's session, with a wrong secret: a random one, or that of
// the forger's own session.
func drawGuess(r *rand.Rand) func(f *forger) {
	secret, ownSecret := drawSecret(r), r.IntN(3) == 0
	whom, own, slot, path := r.IntN(1<<16), r.IntN(3), r.IntN(3), drawPath(r)
	return func(f *forger) {
		v, id := f.ready(own, slot), f.someone(whom)
		if v == nil || id == "" {
			return
		}
		guess := v.cookie
		if !ownSecret {
			guess = forge(guess, func(half []byte) { copy(half[atSecret:], secret[:]) })
		}
		f.send(forgery{trick: "guesses", slot: slot, path: path, cookies: []string{asID(id, guess)}})
	}
}

// drawName: a good token under another cookie name, unchanged or with the other name's mark.
// It opens no session.
func drawName(r *rand.Rand) func(f *forger) {
	toAdmin, relabel, ofOther := r.IntN(2) == 0, r.IntN(2) == 0, r.IntN(3) == 0
	whom, own, slot, path := r.IntN(1<<16), r.IntN(3), r.IntN(3), drawPath(r)
	return func(f *forger) {
		user, id := f.ready(own, slot), f.someone(whom)
		if user == nil || id == "" || f.visit(f.admin, slot, adminPath+"/") != http.StatusOK {
			return
		}
		from, to := f.admin, user
		if toAdmin {
			from, to = user, f.admin
			path = adminPath + path
		}
		cookie := from.cookie
		if ofOther {
			cookie = asID(id, cookie)
		}
		if relabel {
			mark := half(to.cookie)[atMark:]
			cookie = forge(cookie, func(half []byte) { copy(half[atMark:], mark) })
		}
		name, _, _ := strings.Cut(to.cookie, "=")
		f.send(forgery{trick: "other names", slot: slot, path: path, cookies: []string{name + "=" + value(cookie)}})
		f.visit(user, slot, "/")
		f.visit(f.admin, slot, adminPath+"/")
	}
}

// drawEnded: the token of a session of the forger that has ended, unchanged or with forged
// timeouts.
func drawEnded(r *rand.Rand) func(f *forger) {
	x, own, slot, path, plain := drawTimes(r), r.IntN(3), r.IntN(3), drawPath(r), r.IntN(2) == 0
	return func(f *forger) {
		v := f.ready(own, slot)
		if v == nil {
			return
		}
		old := v.cookie
		if f.visit(v, slot, "/destroy") != http.StatusOK {
			return
		}
		if !plain {
			old = x.forge(old)
		}
		f.send(forgery{trick: "ended", slot: slot, path: path, cookies: []string{old}})
	}
}

// drawRotated: the token of the forger's session from before a rotation. It opens no session.
// While the session is live no other session begins: its cookie would replace the good one.
func drawRotated(r *rand.Rand) func(f *forger) {
	x, own, slot, path, plain := drawTimes(r), r.IntN(3), r.IntN(3), drawPath(r), r.IntN(2) == 0
	return func(f *forger) {
		v := f.ready(own, slot)
		if v == nil {
			return
		}
		old := v.cookie
		if f.visit(v, slot, "/rotate") != http.StatusOK {
			return
		}
		if !plain {
			old = x.forge(old)
		}
		f.send(forgery{trick: "rotated", slot: slot, path: path, cookies: []string{old}, keeps: v})
		f.visit(v, slot, "/")
	}
}

// drawCrowd: two to six cookies of the same name in one request.
func drawCrowd(r *rand.Rand) func(f *forger) {
	slot, path, base := r.IntN(3), drawPath(r), r.IntN(3)
	crumbs := make([]crumb, 2+r.IntN(5))
	for i := range crumbs {
		crumbs[i] = drawCrumb(r)
	}
	return func(f *forger) {
		model := f.ready(base, slot)
		if model == nil {
			return
		}
		x := forgery{trick: "crowds", slot: slot, path: path}
		var tokens []string
		for _, c := range crumbs {
			cookie, isToken, v := c.bake(f, model, slot)
			if cookie == "" {
				continue
			}
			x.cookies = append(x.cookies, cookie)
			if isToken && !slices.Contains(tokens, cookie) {
				tokens = append(tokens, cookie)
			}
			if v != nil && !slices.Contains(x.may, v) {
				x.may = append(x.may, v)
			}
			if v != nil && x.keeps == nil && len(tokens) <= mostTokens {
				x.keeps = v
			}
		}
		f.send(x)
		f.visit(model, slot, "/")
	}
}

// mostTokens is how many different tokens of one request the library looks up at most.
const mostTokens = 4

// crumb is one of the cookies of a crowd, as it was drawn.
type crumb struct {
	kind   int
	own    int
	which  int
	secret [atIdle - atSecret]byte
	id     [16]byte
	times  times
}

// drawCrumb draws one cookie.
func drawCrumb(r *rand.Rand) crumb {
	c := crumb{kind: r.IntN(6), own: r.IntN(3), which: r.IntN(1 << 16), secret: drawSecret(r), times: drawTimes(r)}
	binary.BigEndian.PutUint64(c.id[:], r.Uint64())
	binary.BigEndian.PutUint64(c.id[8:], r.Uint64())
	return c
}

// bake makes the cookie. It returns "" if the cookie cannot be made now. isToken says that the
// cookie has the form of a token. v is the visitor whose session the cookie opens, if any.
func (c crumb) bake(f *forger, model *visitor, slot int) (cookie string, isToken bool, v *visitor) {
	wrong := forge(model.cookie, func(half []byte) { copy(half[atSecret:], c.secret[:]) })
	switch c.kind {
	case 0, 1: // of a live session, unchanged or with other timeouts
		v := f.own[c.own]
		if v != model && f.ready(c.own, slot) == nil {
			return "", false, nil
		}
		if c.kind == 0 {
			return v.cookie, true, v
		}
		return c.times.forge(v.cookie), true, v
	case 2: // of an ended session
		if len(f.spent) == 0 {
			return "", false, nil
		}
		return f.spent[c.which%len(f.spent)], true, nil
	case 3:
		return malformed(model.cookie, c.which%malformations), false, nil
	case 4: // well-formed, but of no session
		return asID(base64.RawURLEncoding.EncodeToString(c.id[:]), wrong), true, nil
	}
	if id := f.someone(c.which); id != "" {
		return asID(id, wrong), true, nil
	}
	return "", false, nil
}

// drawForeign: a request that another site's page makes a visitor's browser send. It is without
// the visitor's cookie, which is Lax. No session begins, and the response sets no cookie, which
// would replace the visitor's own.
func drawForeign(r *rand.Rand) func(f *forger) {
	kind := []struct{ method, mode, dest string }{
		{http.MethodPost, "navigate", "document"},
		{http.MethodPost, "no-cors", "empty"},
		{http.MethodPost, "cors", "empty"},
		{http.MethodGet, "no-cors", "image"},
		{http.MethodGet, "navigate", "iframe"},
	}[r.IntN(5)]
	which, slot, path, old := r.IntN(1<<16), r.IntN(3), drawPath(r), r.IntN(2) == 0
	return func(f *forger) {
		x := forgery{trick: "cross-site", slot: slot, method: kind.method, path: path, none: true, header: http.Header{
			"Origin": {"https://evil.example"}, "Sec-Fetch-Site": {"cross-site"}, "Sec-Fetch-Mode": {kind.mode}, "Sec-Fetch-Dest": {kind.dest},
		}}
		if old && len(f.spent) > 0 {
			x.cookies = []string{f.spent[which%len(f.spent)]}
		}
		f.send(x)
	}
}

// drawPreflight: a CORS preflight, which has no cookies.
func drawPreflight(r *rand.Rand) func(f *forger) {
	slot, path := r.IntN(3), drawPath(r)
	return func(f *forger) {
		f.send(forgery{trick: "preflights", slot: slot, method: http.MethodOptions, path: path, none: true, header: http.Header{
			"Origin": {"https://evil.example"}, "Access-Control-Request-Method": {http.MethodPost},
		}})
	}
}

// drawOversized: a request with large parts, which is meant to fill Redis.
func drawOversized(r *rand.Rand) func(f *forger) {
	slot, uri, agent, lines, cookies := r.IntN(3), 2_000+r.IntN(60_000), 500+r.IntN(8_000), 10+r.IntN(80), r.IntN(200)
	line, secret := 100+r.IntN(1_000), drawSecret(r)
	if r.IntN(6) == 0 {
		lines, line = 100, 12_000 // more than net/http accepts
	}
	return func(f *forger) {
		x := forgery{trick: "oversized", slot: slot, path: "/?" + strings.Repeat("a", uri), header: http.Header{
			"User-Agent": {strings.Repeat("a", agent)},
			forgedHeader: slices.Repeat([]string{strings.Repeat("a", line)}, lines),
		}}
		id := base64.RawURLEncoding.EncodeToString(secret[:16])
		for range cookies {
			x.cookies = append(x.cookies, cookiePrefix+id+"."+strings.Repeat("A", token.Length-token.IDLength-1))
		}
		f.send(x)
	}
}
