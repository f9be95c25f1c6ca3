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

// CachePage keeps a page's header as it goes out and puts it into later answers: of the
// page that was a visitor's first, with his cookie. Behind the middleware that does not
// reach the next visitor.
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
	// The text is that of the first visitor: it is the application that has said it is
	// the same for all.
	if made.Load() != 1 || second.who() != first.who() {
		t.Fatalf("the page was made %d times: nothing is cached", made.Load())
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

// A visitor who has a session keeps it when he gets a page that was kept from another
// one's first visit.
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
		t.Fatal("nothing is cached")
	}
	if slices.Contains(second.tokens(), first.tokens()[0]) {
		t.Error("the visitor got another one's cookie")
	}
	if got := b.get(s.server.URL + "/").who(); got != before {
		t.Errorf("afterwards: %+v, was %+v", got, before)
	}
}

// With CachePage around the middleware nothing can be done: a page that is kept goes out
// before the middleware is asked. It is as the first visitor got it, his cookie
// included. Put the middleware first; this is why README says so.
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
		t.Error("the second visitor did not get the first one's cookie: README can promise more")
	}
}
