// Package redistest starts real Redis servers, sentinels and clusters for tests, on
// loopback.
package redistest

import (
	"errors"
	"fmt"
	"os"
	"os/exec"
	"sync"
	"testing"
	"time"

	"github.com/redis/go-redis/v9"
	"go.uber.org/goleak"

	"github.com/gin-lifecycle/lifecycle/internal/redisproc"
)

// RequireEnv makes a missing redis-server fail a test instead of skipping it.
const RequireEnv = "LIFECYCLE_REQUIRE_REDIS"

// Server is a running redis-server.
type Server struct{ *redisproc.Server }

// Start starts a server that ends with the test. args are redis-server's.
func Start(t testing.TB, args ...string) *Server {
	t.Helper()
	s, err := redisproc.Launch(t.TempDir(), args...)
	need(t, err)
	t.Cleanup(s.Stop)
	return &Server{s}
}

// need skips the test if there is no redis-server, and fails it after another
// error.
func need(t testing.TB, err error) {
	t.Helper()
	if errors.Is(err, exec.ErrNotFound) && os.Getenv(RequireEnv) == "" {
		t.Skip("redis-server is not installed; `make test` installs it, or see README, \"Tests\"")
	}
	if err != nil {
		t.Fatal(err)
	}
}

// wrap returns servers as tests use them.
func wrap(servers []*redisproc.Server) []*Server {
	var wrapped []*Server
	for _, s := range servers {
		wrapped = append(wrapped, &Server{s})
	}
	return wrapped
}

// Restart starts a killed server again on the same port and files, with further
// arguments, and waits until it answers.
func (s *Server) Restart(t testing.TB, args ...string) {
	t.Helper()
	if err := s.Server.Restart(args...); err != nil {
		t.Fatal(err)
	}
}

// What all tests of the process use, each started by the first one that wants it.
var (
	sharedServer    shared[*redisproc.Server]
	sharedSentinels shared[*redisproc.Sentinels]
	sharedCluster   shared[*redisproc.Cluster]
)

type shared[S interface {
	comparable
	Stop()
}] struct {
	sync.Mutex
	is  S
	dir string
}

func (s *shared[S]) get(t testing.TB, launch func(dir string) (S, error)) S {
	t.Helper()
	s.Lock()
	defer s.Unlock()
	var none S
	if s.is != none {
		return s.is
	}
	dir, err := os.MkdirTemp("", "lifecycle-redis-")
	if err != nil {
		t.Fatal(err)
	}
	is, err := launch(dir)
	if err != nil {
		_ = os.RemoveAll(dir)
		need(t, err)
	}
	s.is, s.dir = is, dir
	return is
}

func (s *shared[S]) close() {
	s.Lock()
	defer s.Unlock()
	var none S
	if s.is != none {
		s.is.Stop()
		_ = os.RemoveAll(s.dir)
		s.is = none
	}
}

// Shared returns the address of a server that all tests of the process use,
// each with its own prefix. Run must wrap them.
func Shared(t testing.TB) string {
	t.Helper()
	return sharedServer.get(t, func(dir string) (*redisproc.Server, error) { return redisproc.Launch(dir) }).Addr
}

// Run runs the tests of a package, which is what a *testing.M does, ends what they
// shared, if anything, and looks for goroutines left behind. It returns the exit code.
func Run(m interface{ Run() int }, ignore ...goleak.Option) int {
	code := m.Run()
	Close()
	if code != 0 {
		return code
	}
	// A closed pool of go-redis goes on dialling a dead server for seconds, one of a
	// failover client each of its dead sentinels in turn.
	var leak error
	for end := time.Now().Add(30 * time.Second); time.Now().Before(end); {
		if leak = goleak.Find(ignore...); leak == nil {
			return 0
		}
	}
	fmt.Fprintln(os.Stderr, leak)
	return 1
}

// Close ends what tests shared, if anything.
func Close() {
	sharedServer.close()
	sharedSentinels.close()
	sharedCluster.close()
}

// Client returns a client of addr that is closed with the test.
func Client(t testing.TB, addr string) *redis.Client {
	t.Helper()
	c := redis.NewClient(&redis.Options{Addr: addr})
	t.Cleanup(func() { _ = c.Close() })
	return c
}

// FreePort returns a port of loopback that is free at the moment.
func FreePort(t testing.TB) int {
	t.Helper()
	port, err := redisproc.FreePort()
	if err != nil {
		t.Fatal(err)
	}
	return port
}

// Eventually polls until ok holds, and fails the test if it never does.
func Eventually(t testing.TB, what string, ok func() bool) {
	t.Helper()
	if err := Poll(Patience, ok); err != nil {
		t.Fatalf("%s: %v", what, err)
	}
}
