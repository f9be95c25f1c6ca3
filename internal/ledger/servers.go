package ledger

import (
	"context"
	"errors"
	"log/slog"
	"sync"
	"time"

	"github.com/redis/go-redis/v9"
)

// cluster is a client of a Redis Cluster: *redis.ClusterClient, or a type that embeds it.
type cluster interface {
	MasterForKey(ctx context.Context, key string) (*redis.Client, error)
	ReloadState(ctx context.Context)
}

// Server is a Redis server together with the buckets on it. Without a cluster there is
// one.
type Server struct {
	Name    string                // the server's address; "" without a cluster
	Client  redis.UniversalClient // a client of this server alone
	Buckets []int                 // sorted
}

// Log returns a logger that adds the server's name to each line, or log itself without a
// cluster.
func (s Server) Log(log *slog.Logger) *slog.Logger {
	if s.Name == "" {
		return log
	}
	return log.With(slog.String("server", s.Name))
}

// knownServer is what the ledger knows of one Redis server.
type knownServer struct {
	name   string
	node   *redis.Client // the cluster client's own client of the server; nil without a cluster
	client redis.UniversalClient
	clock  *Clock // each server has its own clock
}

// servers knows which server has which bucket. If that is out of date, the server that is
// called redirects the call.
type servers struct {
	cluster cluster // nil: none
	keys    keys
	timeout time.Duration

	base *Clock // the clock that a new server's clock is borrowed from

	mu     sync.RWMutex
	of     []*knownServer // by bucket
	byName map[string]*knownServer
}

func newServers(rdb redis.UniversalClient, k keys, c Config) *servers {
	s := &servers{keys: k, timeout: c.Timeout, base: &Clock{now: c.Now}, of: make([]*knownServer, len(k.buckets)), byName: make(map[string]*knownServer)}
	s.cluster, _ = rdb.(cluster)
	first := &knownServer{client: rdb, clock: s.base} // of a cluster only until its servers are known
	for b := range s.of {
		s.of[b] = first
	}
	return s
}

// lookUp returns the server that has bucket b, and notes it. In a cluster it asks the
// cluster's client, which calls Redis only if it does not know yet.
func (s *servers) lookUp(ctx context.Context, b int) (*knownServer, error) {
	if s.cluster == nil {
		return s.get(b), nil
	}
	node, err := s.cluster.MasterForKey(ctx, s.keys.due(b))
	if err != nil {
		return nil, err
	}
	old := s.get(b)
	if old.node == node {
		return old, nil
	}
	name := node.Options().Addr
	s.mu.Lock()
	defer s.mu.Unlock()
	x := s.byName[name]
	if x == nil || x.node != node { // the server is new, or went and came back
		x = &knownServer{name: name, node: node, client: heedDeadlines(node, s.timeout), clock: old.clock.borrow()}
		s.byName[name] = x
	}
	s.of[b] = x
	return x, nil
}

// get returns the server that had bucket b when it was last looked up.
func (s *servers) get(b int) *knownServer {
	s.mu.RLock()
	defer s.mu.RUnlock()
	return s.of[b]
}

// forgetUnused forgets the servers that have no bucket any more.
func (s *servers) forgetUnused() {
	s.mu.Lock()
	defer s.mu.Unlock()
	clear(s.byName)
	for _, x := range s.of {
		s.byName[x.name] = x
	}
}

// Servers returns all servers and the buckets that they have, in the order of each server's
// first bucket. It calls Redis only if the cluster's client does not know the cluster yet.
func (l *Ledger) Servers(ctx context.Context) ([]Server, error) {
	ctx, cancel := l.withTimeout(ctx)
	defer cancel()
	var all []Server
	at := make(map[*knownServer]int)
	for b := range l.Buckets() {
		x, err := l.servers.lookUp(ctx, b)
		if err != nil {
			return nil, err
		}
		i, ok := at[x]
		if !ok {
			i = len(all)
			at[x] = i
			all = append(all, Server{Name: x.name, Client: x.client})
		}
		all[i].Buckets = append(all[i].Buckets, b)
	}
	l.servers.forgetUnused()
	return all, nil
}

// Clustered reports whether the client is one of a Redis Cluster.
func (l *Ledger) Clustered() bool { return l.servers.cluster != nil }

// ReloadServers makes a cluster's client read again, in the background, which server has
// which slot. Without a cluster it does nothing.
func (l *Ledger) ReloadServers(ctx context.Context) {
	if c := l.servers.cluster; c != nil {
		c.ReloadState(ctx)
	}
}

// ServerOf returns the name of the server that has a session's bucket, "" without a cluster.
func (l *Ledger) ServerOf(id string) string { return l.servers.get(l.keys.bucket(id)).name }

// Clock returns the estimate of the clock of the server that has bucket b.
func (l *Ledger) Clock(b int) *Clock { return l.servers.get(b).clock }

// ClockOf returns the estimate of the clock that decides when a session's time is over:
// the clock of the server that has the session's bucket.
func (l *Ledger) ClockOf(id string) *Clock { return l.Clock(l.keys.bucket(id)) }

// refreshClock samples the clock of bucket b's server if the last sample is older than
// life. It adds a command to pipe; after pipe has been executed, the caller calls
// takeSample. In a cluster a command without a key cannot be part of a pipeline, so there
// refreshClock takes a round trip of its own.
func (l *Ledger) refreshClock(ctx context.Context, pipe redis.Pipeliner, b int, life time.Duration) (takeSample func() error) {
	if l.Clock(b).Age() <= life {
		return func() error { return nil }
	}
	if !l.Clustered() {
		clock := l.Clock(b)
		sent := clock.local()
		now := pipe.Time(ctx)
		return func() error {
			if now.Err() == nil {
				clock.Sample(now.Val().UnixMilli(), sent)
			}
			return now.Err()
		}
	}
	x, err := l.servers.lookUp(ctx, b)
	if err == nil {
		sent := x.clock.local()
		var now time.Time
		if now, err = x.client.Time(ctx).Result(); err == nil {
			x.clock.Sample(now.UnixMilli(), sent)
		}
	}
	l.reloadAfter(err)
	return func() error { return err }
}

// reloadAfter calls ReloadServers if err may come from a change of the cluster's servers.
// By itself the cluster's client reads again which server has which slot only when a call
// is redirected, and once a minute. A nil err is ignored.
func (l *Ledger) reloadAfter(err error) {
	if err == nil || errors.Is(err, redis.Nil) || errors.Is(err, context.Canceled) || !l.Clustered() {
		return
	}
	var answer redis.Error
	if errors.As(err, &answer) && !redis.IsClusterDownError(answer) && !redis.IsReadOnlyError(answer) &&
		!redis.IsMasterDownError(answer) && !redis.IsLoadingError(answer) {
		return
	}
	l.ReloadServers(context.Background())
}

// IsMoving reports whether err says that a bucket's slot is being moved from one server of
// the cluster to another: some of its keys are here and some there, so the script has not
// run.
func IsMoving(err error) bool {
	return err != nil && redis.IsTryAgainError(err)
}
