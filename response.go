package lifecycle

import (
	"bufio"
	"context"
	"net"
	"net/http"
	"time"

	"github.com/gin-gonic/gin"

	"github.com/gin-lifecycle/lifecycle/internal/cookie"
	"github.com/gin-lifecycle/lifecycle/internal/token"
)

// response is a response writer that completes the header just before it is sent. Only then
// is it known what a handler or another middleware has put into the header: something that
// could give one visitor's cookie to the next.
type response struct {
	gin.ResponseWriter
	binding *binding
}

// Header returns the header, with the session's cookie. Some code must have the cookie before
// the header is sent: gorilla/websocket, for example, sends a header of its own.
func (w *response) Header() http.Header {
	h := w.ResponseWriter.Header()
	w.binding.mu.Lock()
	defer w.binding.mu.Unlock()
	if !w.binding.sent {
		w.binding.lines.Apply(h)
	}
	return h
}

// finishHeader completes the header, unless it has been sent. sending says that the header is
// about to be sent.
func (w *response) finishHeader(sending bool) {
	b, h := w.binding, w.ResponseWriter.Header() // without the lock: there may be another response below, see goOn
	b.mu.Lock()
	defer b.mu.Unlock()
	if b.sent {
		return
	}
	if w.Written() {
		b.sent = true
		return
	}
	if !b.closed {
		b.resendCookie()
	}
	b.lines.Apply(h)
	b.dropForeign(h)
	cookie.MarkCached(h, b.store.config.tokenHeader)
	b.sent = sending
}

// dropForeign removes tokens of other visitors from a header, in whichever of the two ways they
// are there.
func (b *binding) dropForeign(h http.Header) {
	foreign := func(mark token.Mark) func(value string) bool {
		return func(value string) bool {
			t, is := token.Parse(value, mark)
			return is && !b.token.Same(t) && !b.shared.issued(t)
		}
	}
	if len(h["Set-Cookie"]) > 0 {
		cookie.DropForeign(h, b.name, foreign(b.markIn("")))
	}
	if field := b.store.config.tokenHeader; len(h[field]) > 0 {
		cookie.DropForeignField(h, field, foreign(b.markIn(field)))
	}
}

// setLongAgo is the time after which a cookie that was set, but not sent yet, is checked
// again.
const setLongAgo = 100 * time.Millisecond

// liveTimeout limits the question whether a token is still valid. Without an answer the
// browser keeps the cookie that it has.
const liveTimeout = 250 * time.Millisecond

// resendCookie sends the cookie again, with a response that is about to be sent, if its token
// is still valid: another request may have rotated the session meanwhile, and the browser
// would lose the new cookie. For the same reason it withdraws a cookie that was set long
// before the response is sent. A session that began in this request needs no check: no other
// request has its token.
func (b *binding) resendCookie() {
	set := !b.setAt.IsZero()
	if b.state != live || b.fresh || !b.resend && (!set || time.Since(b.setAt) < setLongAgo) {
		return
	}
	b.resend = false
	ctx, cancel := context.WithTimeout(context.WithoutCancel(b.request.Context()), liveTimeout)
	defer cancel()
	switch ok, err := b.store.ledger.Live(ctx, b.token); {
	case err == nil && !ok:
		b.lines.Withdraw()
	case err == nil && !set:
		b.sendCookie()
	}
}

func (w *response) send() { w.finishHeader(true) }

func (w *response) Write(b []byte) (int, error) {
	w.send()
	return w.ResponseWriter.Write(b)
}

func (w *response) WriteString(s string) (int, error) {
	w.send()
	return w.ResponseWriter.WriteString(s)
}

func (w *response) WriteHeaderNow() {
	w.send()
	w.ResponseWriter.WriteHeaderNow()
}

func (w *response) Flush() {
	w.send()
	w.ResponseWriter.Flush()
}

func (w *response) Hijack() (net.Conn, *bufio.ReadWriter, error) {
	h := w.Header() // with the cookie: if the server cannot hijack, an ordinary answer follows
	w.binding.mu.Lock()
	cookie.MarkCached(h, w.binding.store.config.tokenHeader)
	w.binding.sent = true // from now on the application writes everything itself
	w.binding.mu.Unlock()
	return w.ResponseWriter.Hijack()
}

// Unwrap is for http.ResponseController.
func (w *response) Unwrap() http.ResponseWriter { return w.ResponseWriter }
