package integrations

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/http"
	"sync"
	"sync/atomic"
	"testing"

	"github.com/gin-gonic/gin"
)

// Many streams of one connection save the same session at once, and nothing is lost. gin's
// UseH2C and net/http's own protocol give the same.
func TestWithH2C(t *testing.T) {
	t.Parallel()
	for name, serve := range map[string]func(*gin.Engine, *http.Server){
		"gin's UseH2C": func(e *gin.Engine, server *http.Server) {
			e.UseH2C = true
			server.Handler = e.Handler()
		},
		"net/http's": func(e *gin.Engine, server *http.Server) {
			server.Handler = e
			server.Protocols = new(http.Protocols)
			server.Protocols.SetUnencryptedHTTP2(true)
		},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			s := newSite(t)
			s.use(s.m.Middleware())
			server := new(http.Server)
			serve(s.router, server)
			b, dials := overH2C(t, server)
			p := b.get("/")
			id := p.body
			if p.status != http.StatusOK || p.proto != "HTTP/2.0" || id == "" {
				t.Fatalf("the first visit: %d %s", p.status, p.proto)
			}
			const streams = 20
			var wg sync.WaitGroup
			for i := range streams {
				wg.Go(func() {
					if got := b.get(fmt.Sprintf("/set?k%d=v%d", i, i)); got.body != id {
						t.Errorf("stream %d: %d %s", i, got.status, got.body)
					}
				})
			}
			wg.Wait()
			for i := range streams {
				if got := b.ok(fmt.Sprintf("/get?key=k%d", i)); got != fmt.Sprintf("v%d", i) {
					t.Errorf("k%d is %s", i, got)
				}
			}
			if n := dials.Load(); n != 1 {
				t.Errorf("%d connections", n)
			}
			s.lives(1)
		})
	}
}

// overH2C starts a server. It returns a browser that speaks HTTP/2 with it, without TLS, and
// how many connections the browser has made.
func overH2C(t *testing.T, server *http.Server) (*browser, *atomic.Int64) {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	served := make(chan error, 1)
	go func() { served <- server.Serve(l) }()
	t.Cleanup(func() {
		_ = server.Close()
		if err := <-served; !errors.Is(err, http.ErrServerClosed) {
			t.Errorf("the server: %v", err)
		}
	})
	dials := new(atomic.Int64)
	transport := &http.Transport{
		Protocols: new(http.Protocols),
		DialContext: func(ctx context.Context, network, addr string) (net.Conn, error) {
			dials.Add(1)
			return new(net.Dialer).DialContext(ctx, network, addr)
		},
	}
	transport.Protocols.SetUnencryptedHTTP2(true)
	t.Cleanup(transport.CloseIdleConnections)
	return browserOf(t, "http://"+l.Addr().String(), transport), dials
}
