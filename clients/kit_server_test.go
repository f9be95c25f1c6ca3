package clients

import (
	"io"
	"log"
	"net"
	"net/http"
	"net/http/httptest"
	"os"
	"os/exec"
	"testing"

	"github.com/gin-lifecycle/lifecycle/internal/redistest"
)

// pages are the pages of another site, by path.
type pages map[string]string

func (p pages) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	text, ok := p[r.URL.Path]
	if !ok {
		w.WriteHeader(http.StatusNotFound)
		return
	}
	w.Header().Set("Content-Type", "text/html; charset=utf-8")
	_, _ = io.WriteString(w, "<!doctype html><title>another site</title><body>"+text)
}

// responseTap is a ResponseWriter that keeps the header as it was sent.
type responseTap struct {
	http.ResponseWriter
	header http.Header
}

func (w *responseTap) WriteHeader(status int) {
	if w.header == nil {
		w.header = w.Header().Clone()
	}
	w.ResponseWriter.WriteHeader(status)
}

func (w *responseTap) Write(p []byte) (int, error) {
	if w.header == nil {
		w.WriteHeader(http.StatusOK)
	}
	return w.ResponseWriter.Write(p)
}

// Flush is there because gin expects it of every ResponseWriter.
func (w *responseTap) Flush() { _ = http.NewResponseController(w.ResponseWriter).Flush() }

// serve serves h on a port of loopback until the test ends.
func serve(t testing.TB, h http.Handler, tls bool) *httptest.Server {
	t.Helper()
	server := httptest.NewUnstartedServer(h)
	server.Config.ErrorLog = log.New(io.Discard, "", 0) // browsers close connections at any time
	if tls {
		server.StartTLS() // with a certificate that httptest makes
	} else {
		server.Start()
	}
	t.Cleanup(server.Close)
	return server
}

// urlOf returns the address of a server's page under one of the host names.
func urlOf(server *httptest.Server, host, path string) string {
	scheme := "http"
	if server.TLS != nil {
		scheme = "https"
	}
	_, port, _ := net.SplitHostPort(server.Listener.Addr().String())
	return scheme + "://" + net.JoinHostPort(host, port) + path
}

// needs returns the path of the first of these programs that is installed. If none is, it skips
// the test, or fails it where the tests must run.
func needs(t testing.TB, programs ...string) string {
	t.Helper()
	for _, name := range programs {
		if path, err := exec.LookPath(name); err == nil {
			return path
		}
	}
	text := programs[0] + " is not installed; `make clients` installs it, or see CONTRIBUTING.md"
	if os.Getenv(redistest.RequireEnv) != "" {
		t.Fatal(text)
	}
	t.Skip(text)
	panic("unreachable")
}
