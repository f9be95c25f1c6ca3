package redistest

import (
	"errors"
	"fmt"
	"os"
	"os/exec"
	"sync"
	"testing"

	"github.com/redis/go-redis/v9"
	"go.uber.org/goleak"

	"github.com/gin-lifecycle/lifecycle/internal/redisproc"
)

// RequireEnv makes a missing redis-server fail a test instead of skipping it.
const RequireEnv = "LIFECYCLE_REQUIRE_REDIS"

// Server is a redis-server of a test. A test may kill, pause and restart it.
type Server struct{ *redisproc.Server }

// Start starts a server that ends with the test, and waits until it answers. args are
// passed to redis-server. Without redis-server the test is skipped, or fails if RequireEnv
// is set; so it is with everything in this package that starts a server.
func Start(t testing.TB, args ...string) *Server {
	t.Helper()
	s, err := redisproc.Launch(t.TempDir(), args...)
	skipOrFail(t, err)
	t.Cleanup(s.Stop)
	return &Server{s}
}

// skipOrFail does nothing if err is nil. It skips the test if there is no redis-server, and
// fails the test after any other error.
func skipOrFail(t testing.TB, err error) {
	t.Helper()
	if errors.Is(err, exec.ErrNotFound) && os.Getenv(RequireEnv) == "" {
		t.Skip("redis-server is not installed; `make test` installs it, or see CONTRIBUTING.md")
	}
	if err != nil {
		t.Fatal(err)
	}
}

// wrap returns servers in the form that tests use.
func wrap(servers []*redisproc.Server) []*Server {
	var wrapped []*Server
	for _, s := range servers {
		wrapped = append(wrapped, &Server{s})
	}
	return wrapped
}

// Restart starts a killed server again, on the same port and with the same files and
// arguments, and with further arguments if there are any. It waits until the server
// answers.
func (s *Server) Restart(t testing.TB, args ...string) {
	t.Helper()
	if err := s.Server.Restart(args...); err != nil {
		t.Fatal(err)
	}
}

// The servers that all tests of the process share. Each is started by the first test that
// asks for it.
var (
	sharedServer    shared[*redisproc.Server]
	sharedSentinels shared[*redisproc.Sentinels]
	sharedCluster   shared[*redisproc.Cluster]
)

// shared is a server, or several, that all tests of the process share.
type shared[S interface {
	comparable
	Stop()
}] struct {
	sync.Mutex
	servers S // the zero value before the first get, and after close
	dir     string
}

// get returns the servers, and launches them if that was not done yet.
func (s *shared[S]) get(t testing.TB, launch func(dir string) (S, error)) S {
	t.Helper()
	s.Lock()
	defer s.Unlock()
	var none S
	if s.servers != none {
		return s.servers
	}
	dir, err := os.MkdirTemp("", "lifecycle-redis-")
	if err != nil {
		t.Fatal(err)
	}
	servers, err := launch(dir)
	if err != nil {
		_ = os.RemoveAll(dir)
		skipOrFail(t, err)
	}
	s.servers, s.dir = servers, dir
	return servers
}

// close stops the servers, if there are any, and deletes their files.
func (s *shared[S]) close() {
	s.Lock()
	defer s.Unlock()
	var none S
	if s.servers != none {
		s.servers.Stop()
		_ = os.RemoveAll(s.dir)
		s.servers = none
	}
}

// Shared returns the address of a server that all tests of the process share. Each test
// must use a prefix of its own. The package's TestMain must call Run.
func Shared(t testing.TB) string {
	t.Helper()
	return sharedServer.get(t, func(dir string) (*redisproc.Server, error) { return redisproc.Launch(dir) }).Addr
}

// Run runs the tests of a package, for its TestMain: m is the *testing.M. Run then stops
// the servers that the tests have shared, and looks for goroutines that were left behind.
// It returns the exit code.
func Run(m interface{ Run() int }, ignore ...goleak.Option) int {
	code := m.Run()
	Close()
	if code != 0 {
		return code
	}
	// go-redis goes on for seconds after a client was closed: it dials a server that is
	// dead, and a failover client dials each of its dead sentinels in turn.
	var leak error
	if Poll(Patience, func() bool { leak = goleak.Find(ignore...); return leak == nil }) == nil {
		return 0
	}
	fmt.Fprintln(os.Stderr, leak)
	return 1
}

// Close stops the servers that tests have shared, if there are any.
func Close() {
	sharedServer.close()
	sharedSentinels.close()
	sharedCluster.close()
}

// Client returns a client of the server at addr. It is closed when the test ends.
func Client(t testing.TB, addr string) *redis.Client {
	t.Helper()
	c := redis.NewClient(&redis.Options{Addr: addr})
	t.Cleanup(func() { _ = c.Close() })
	return c
}

// FreePort returns a loopback port on which nothing listens at the moment. It returns each
// port once.
func FreePort(t testing.TB) int {
	t.Helper()
	port, err := redisproc.FreePort()
	if err != nil {
		t.Fatal(err)
	}
	return port
}

// Eventually calls ok every few milliseconds until ok returns true. It fails the test if
// that does not happen within Patience. what says in the failure message what the test has
// waited for.
func Eventually(t testing.TB, what string, ok func() bool) {
	t.Helper()
	if err := Poll(Patience, ok); err != nil {
		t.Fatalf("%s: %v", what, err)
	}
}
