package clients

import (
	"slices"
	"sync/atomic"
	"testing"
	"time"

	"github.com/gin-contrib/cache"
	"github.com/gin-contrib/cache/persistence"
	"github.com/gin-gonic/gin"

	"github.com/gin-lifecycle/lifecycle"
)

// CachePage keeps the header of a response and puts it into later ones. If the page was a visitor's
// first, the header has the visitor's cookie. Where CachePage is behind the middleware, the next
// visitor does not get that cookie.
func TestPageCacheBehindTheMiddleware(t *testing.T) {
	t.Parallel()
	s := newShop(t)
	pages := persistence.NewInMemoryStore(time.Minute)
	var made atomic.Int32
	s.router.GET("/page", cache.CachePage(pages, time.Minute, func(c *gin.Context) {
		made.Add(1)
		page(lifecycle.From(c))
	}))
	s.listen()
	a, b := newClient(t), newClient(t)
	first := a.get(s.server.URL + "/page")
	if len(first.tokens()) != 1 {
		t.Fatalf("the first visitor got %d cookies", len(first.tokens()))
	}
	second := b.get(s.server.URL + "/page")
	// The text is the first visitor's: the application has said that the page is the same for all.
	if made.Load() != 1 || second.who() != first.who() {
		t.Fatalf("the page was made %d times; the cache does not work", made.Load())
	}
	if slices.Contains(second.tokens(), first.tokens()[0]) {
		t.Error("the second visitor got the first one's cookie")
	}
	if got := b.get(s.server.URL + "/").who(); got.ID == "" || got.ID == first.who().ID {
		t.Errorf("the second visitor: %+v, the first %+v", got, first.who())
	}
	if got := a.get(s.server.URL + "/").who(); got != first.who() {
		t.Errorf("the first visitor: %+v, was %+v", got, first.who())
	}
}

// A visitor has a session and gets a page that CachePage kept from another visitor's first visit:
// the visitor keeps the session.
func TestPageCacheAndAVisitorWithASession(t *testing.T) {
	t.Parallel()
	s := newShop(t)
	pages := persistence.NewInMemoryStore(time.Minute)
	s.router.GET("/page", cache.CachePage(pages, time.Minute, func(c *gin.Context) { page(lifecycle.From(c)) }))
	s.listen()
	a, b := newClient(t), newClient(t)
	before := b.get(s.server.URL + "/").who()
	first := a.get(s.server.URL + "/page")
	second := b.get(s.server.URL + "/page")
	if second.who() != first.who() {
		t.Fatal("the cache does not work")
	}
	if slices.Contains(second.tokens(), first.tokens()[0]) {
		t.Error("the visitor got another one's cookie")
	}
	if got := b.get(s.server.URL + "/").who(); got != before {
		t.Errorf("afterwards: %+v, was %+v", got, before)
	}
}

// Where CachePage is around the middleware, the library can do nothing: CachePage sends the page
// that it kept, and the middleware does not run. The next visitor gets the first one's cookie. This
// is why docs/security.md says that the middleware must come first.
func TestPageCacheAroundTheMiddlewareHandsOutCookies(t *testing.T) {
	t.Parallel()
	s := newShop(t)
	router := gin.New()
	pages := persistence.NewInMemoryStore(time.Minute)
	middleware := s.manager.Middleware()
	router.GET("/page", cache.CachePage(pages, time.Minute, func(c *gin.Context) {
		middleware(c)
		page(lifecycle.From(c))
	}))
	server := serve(t, router, false)
	first := newClient(t).get(server.URL + "/page")
	second := newClient(t).get(server.URL + "/page")
	if len(first.tokens()) != 1 {
		t.Fatalf("the first visitor got %d cookies", len(first.tokens()))
	}
	if !slices.Equal(second.tokens(), first.tokens()) {
		t.Error("the second visitor did not get the first one's cookie: docs/security.md can promise more")
	}
}
