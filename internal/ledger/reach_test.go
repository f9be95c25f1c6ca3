package ledger

import (
	"context"
	"crypto/tls"
	"errors"
	"net"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/redis/go-redis/v9"

	"github.com/gin-lifecycle/lifecycle/internal/redistest"
)

// silent returns the address of a listener that accepts connections and says nothing.
func silent(t *testing.T) string {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = l.Close() })
	go func() {
		for {
			c, err := l.Accept()
			if err != nil {
				return
			}
			defer func() { _ = c.Close() }()
		}
	}()
	return l.Addr().String()
}

// Open says which address refuses connections, and why, without waiting for the timeout of
// its calls, which here is longer than any test.
func TestOpenSaysWhoRefuses(t *testing.T) {
	t.Parallel()
	closed, other := redistest.ClosedPort(t), redistest.ClosedPort(t)
	socket := filepath.Join(t.TempDir(), "redis.sock")
	nobody := &net.OpError{Op: "dial", Err: &net.DNSError{Err: "no such host", Name: "redis.invalid", IsNotFound: true}}
	for name, c := range map[string]struct {
		client redis.UniversalClient
		texts  []string
		is     error
	}{
		"a closed port":        {redis.NewClient(&redis.Options{Addr: closed}), []string{closed, "refused"}, syscall.ECONNREFUSED},
		"with TLS":             {redis.NewClient(&redis.Options{Addr: closed, TLSConfig: &tls.Config{MinVersion: tls.VersionTLS12}}), []string{closed, "refused"}, syscall.ECONNREFUSED},
		"a socket":             {redis.NewClient(&redis.Options{Network: "unix", Addr: socket}), []string{socket, "no such file"}, syscall.ENOENT},
		"a cluster":            {redis.NewClusterClient(&redis.ClusterOptions{Addrs: []string{closed, other}}), []string{closed, other, "refused"}, syscall.ECONNREFUSED},
		"a cluster with TLS":   {redis.NewClusterClient(&redis.ClusterOptions{Addrs: []string{closed}, TLSConfig: &tls.Config{MinVersion: tls.VersionTLS12}}), []string{closed}, syscall.ECONNREFUSED},
		"an address, no port":  {redis.NewClient(&redis.Options{Addr: "localhost"}), []string{"localhost", "missing port"}, nil},
		"an unknown name":      {redis.NewClient(&redis.Options{Addr: "redis.invalid:6379", Dialer: failing(nobody)}), []string{"redis.invalid:6379", "no such host"}, nobody},
		"a cluster's unknown":  {redis.NewClusterClient(&redis.ClusterOptions{Addrs: []string{"redis.invalid:6379"}, Dialer: failing(nobody)}), []string{"no such host"}, nobody},
		"a sentinel's address": {redis.NewFailoverClient(&redis.FailoverOptions{MasterName: "m"}), []string{"Sentinel", "no sentinels configured"}, nil},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			defer func() { _ = c.client.Close() }()
			l := New(c.client, Config{Prefix: redistest.Prefix(), Buckets: 1, Timeout: time.Hour})
			err := l.Open(redistest.Within(t))
			if err == nil || errors.Is(err, context.DeadlineExceeded) || c.is != nil && !errors.Is(err, c.is) {
				t.Fatalf("Open: %v, want an error that wraps %v", err, c.is)
			}
			for _, text := range c.texts {
				if !strings.Contains(err.Error(), text) {
					t.Errorf("Open: %v, without %q", err, text)
				}
			}
			if strings.Contains(err.Error(), "\n") {
				t.Errorf("the error has several lines: %v", err)
			}
		})
	}
}

func failing(err error) func(context.Context, string, string) (net.Conn, error) {
	return func(context.Context, string, string) (net.Conn, error) { return nil, err }
}

// Where nothing refuses, Open asks the client, whose calls end with their timeout: a server
// that says nothing, a dialer that hangs, a name server that does not answer, and a cluster
// of which one address accepts.
func TestOpenAsksWhereNobodyRefuses(t *testing.T) {
	t.Parallel()
	away := &net.DNSError{Err: "server misbehaving", Name: "redis.invalid", IsTemporary: true}
	release := make(chan struct{})
	hangs := func(context.Context, string, string) (net.Conn, error) {
		<-release
		return nil, errors.New("released")
	}
	defer close(release)
	for name, client := range map[string]redis.UniversalClient{
		"a silent server": redis.NewClient(&redis.Options{Addr: silent(t)}),
		"a hanging dial":  redis.NewClient(&redis.Options{Addr: "redis.invalid:6379", Dialer: hangs}),
		"no name server":  redis.NewClient(&redis.Options{Addr: "redis.invalid:6379", Dialer: failing(away)}),
		"one of two": redis.NewClusterClient(&redis.ClusterOptions{
			Addrs: []string{redistest.ClosedPort(t), silent(t)}, ContextTimeoutEnabled: true,
		}),
		"addresses unknown": redis.NewClusterClient(&redis.ClusterOptions{
			ClusterSlots:          func(context.Context) ([]redis.ClusterSlot, error) { return nil, errors.New("no slots yet") },
			ContextTimeoutEnabled: true,
		}),
		"clients of its own": redis.NewClusterClient(&redis.ClusterOptions{
			Addrs: []string{redistest.ClosedPort(t)},
			NewClient: func(o *redis.Options) *redis.Client {
				o.ClientName = "of its own"
				return redis.NewClient(o)
			},
			ContextTimeoutEnabled: true,
		}),
	} {
		defer func() { _ = client.Close() }()
		l := New(client, Config{Prefix: redistest.Prefix(), Buckets: 1, Timeout: 100 * time.Millisecond})
		for range 2 {
			var refused refusal
			if err := l.Open(redistest.Within(t)); err == nil || errors.As(err, &refused) {
				t.Errorf("%s: Open: %v", name, err)
			}
		}
	}
}

// Only one dial is under way, however often Open is called. Once Open has succeeded it dials
// no more.
func TestOpenDialsOnceAtATime(t *testing.T) {
	t.Parallel()
	addr := redistest.Shared(t)
	dials := make(chan struct{}, 1000)
	release := make(chan struct{})
	rdb := redis.NewClient(&redis.Options{Addr: addr, Dialer: func(ctx context.Context, network, addr string) (net.Conn, error) {
		dials <- struct{}{}
		<-release
		return new(net.Dialer).DialContext(ctx, network, addr)
	}})
	defer func() { _ = rdb.Close() }()
	l := New(rdb, Config{Prefix: redistest.Prefix(), Buckets: 1, Timeout: 10 * time.Second})
	cancelled, cancel := context.WithCancel(context.Background())
	cancel()
	first := l.reach.attempt()
	redistest.Receive(t, dials)
	for range 3 {
		if err := l.reach.refused(cancelled); err != nil {
			t.Errorf("with a context that has ended: %v", err)
		}
	}
	if l.reach.attempt() != first || len(dials) > 0 {
		t.Errorf("%d more dials while the first one is under way", len(dials))
	}
	close(release)
	for range 2 {
		if err := l.Open(redistest.Within(t)); err != nil {
			t.Fatal(err)
		}
	}
	n := len(dials)
	if n == 0 {
		t.Error("the client has not dialled")
	}
	if err := l.Open(redistest.Within(t)); err != nil || len(dials) != n {
		t.Errorf("a later Open: %v, %d more dials", err, len(dials)-n)
	}
}

// Redis comes up after a failed Open: the next one succeeds.
func TestOpenAfterARefusal(t *testing.T) {
	t.Parallel()
	server := redistest.Start(t)
	l := New(redistest.Client(t, server.Addr), Config{Prefix: redistest.Prefix(), Buckets: 1, Timeout: 10 * time.Second})
	server.Kill()
	if err := l.Open(redistest.Within(t)); !errors.Is(err, syscall.ECONNREFUSED) {
		t.Errorf("Open without a server: %v", err)
	}
	server.Restart(t)
	redistest.Eventually(t, "Open succeeds", func() bool { return l.Open(redistest.Within(t)) == nil })
}
