package ledger

import (
	"context"
	"errors"
	"log/slog"
	"sync"
	"time"

	"github.com/redis/go-redis/v9"
)

// cluster is a client of a Redis Cluster: *redis.ClusterClient, or a type around it.
type cluster interface {
	MasterForKey(ctx context.Context, key string) (*redis.Client, error)
	ReloadState(ctx context.Context)
}

// Shard is a server and the buckets on it. Without a cluster there is one.
type Shard struct {
	Name    string                // its address; "" without a cluster
	Client  redis.UniversalClient // of this server alone
	Buckets []int                 // sorted
}

// Log returns log with the server's name, where there is more than one.
func (s Shard) Log(log *slog.Logger) *slog.Logger {
	if s.Name == "" {
		return log
	}
	return log.With(slog.String("server", s.Name))
}

// server is what is known of a shard's server: each has a clock of its own.
type server struct {
	name   string
	node   *redis.Client // as the cluster's client has it, nil without a cluster
	client redis.UniversalClient
	clock  *Clock
}

// shards knows which server has which bucket. What it knows may be out of date,
// which costs a redirection.
type shards struct {
	cluster cluster // nil: none
	keys    keys
	timeout time.Duration

	base *Clock // of any server: what a new one's is taken to be at first

	mu      sync.RWMutex
	of      []*server // by bucket
	servers map[string]*server
}

func newShards(rdb redis.UniversalClient, k keys, c Config) *shards {
	s := &shards{keys: k, timeout: c.Timeout, base: &Clock{now: c.Now}, of: make([]*server, len(k.buckets)), servers: make(map[string]*server)}
	s.cluster, _ = rdb.(cluster)
	first := &server{client: rdb, clock: s.base} // in a cluster until its layout is known
	for b := range s.of {
		s.of[b] = first
	}
	return s
}

// find returns the server that has the bucket, as the cluster's client knows it.
func (s *shards) find(ctx context.Context, b int) (*server, error) {
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
	x := s.servers[name]
	if x == nil || x.node != node { // or it went and came back
		x = &server{name: name, node: node, client: bounded(node, s.timeout), clock: old.clock.borrow()}
		s.servers[name] = x
	}
	s.of[b] = x
	return x, nil
}

func (s *shards) get(b int) *server {
	s.mu.RLock()
	defer s.mu.RUnlock()
	return s.of[b]
}

// forget forgets the servers that have no bucket any more.
func (s *shards) forget() {
	s.mu.Lock()
	defer s.mu.Unlock()
	clear(s.servers)
	for _, x := range s.of {
		s.servers[x.name] = x
	}
}

// Shards returns the servers and which buckets they have, in the order of their
// first bucket. It takes a round trip only where nothing is known of the cluster.
func (l *Ledger) Shards(ctx context.Context) ([]Shard, error) {
	ctx, cancel := l.bound(ctx)
	defer cancel()
	var all []Shard
	at := make(map[*server]int)
	for b := range l.Buckets() {
		x, err := l.shards.find(ctx, b)
		if err != nil {
			return nil, err
		}
		i, ok := at[x]
		if !ok {
			i = len(all)
			at[x] = i
			all = append(all, Shard{Name: x.name, Client: x.client})
		}
		all[i].Buckets = append(all[i].Buckets, b)
	}
	l.shards.forget()
	return all, nil
}

// Clustered reports whether the client is one of a Redis Cluster.
func (l *Ledger) Clustered() bool { return l.shards.cluster != nil }

// ReloadShards has a cluster's client read anew, in the background, which server
// has which slot.
func (l *Ledger) ReloadShards(ctx context.Context) {
	if c := l.shards.cluster; c != nil {
		c.ReloadState(ctx)
	}
}

// ShardOf returns the name of the server that has a session's bucket.
func (l *Ledger) ShardOf(id string) string { return l.shards.get(l.keys.bucket(id)).name }

// Clock returns the estimate of the clock of the server that has bucket b.
func (l *Ledger) Clock(b int) *Clock { return l.shards.get(b).clock }

// ClockOf returns the estimate of the clock that decides of a session.
func (l *Ledger) ClockOf(id string) *Clock { return l.Clock(l.keys.bucket(id)) }

// sampling sees to it that the estimate of the clock of bucket b's server is not
// older than life. If it is, the time is asked for along with pipe, and taken by
// the function that it returns. In a cluster a command without a key cannot be
// sent along: it takes a round trip of its own.
func (l *Ledger) sampling(ctx context.Context, pipe redis.Pipeliner, b int, life time.Duration) (taken func() error) {
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
	x, err := l.shards.find(ctx, b)
	if err == nil {
		sent := x.clock.local()
		var now time.Time
		if now, err = x.client.Time(ctx).Result(); err == nil {
			x.clock.Sample(now.UnixMilli(), sent)
		}
	}
	l.noticed(err)
	return func() error { return err }
}

// noticed has a cluster's client look for the servers again after an error that a
// change of them may be the cause of. By itself it does so when it is redirected,
// and once in a minute.
func (l *Ledger) noticed(err error) {
	if err == nil || errors.Is(err, redis.Nil) || errors.Is(err, context.Canceled) || !l.Clustered() {
		return
	}
	var answer redis.Error
	if errors.As(err, &answer) && !redis.IsClusterDownError(answer) && !redis.IsReadOnlyError(answer) &&
		!redis.IsMasterDownError(answer) && !redis.IsLoadingError(answer) {
		return
	}
	l.ReloadShards(context.Background())
}

// IsMoving reports whether err is Redis's answer while the slot of a bucket is on
// its way from one server to another: some of the keys are here and some there.
func IsMoving(err error) bool {
	return err != nil && redis.IsTryAgainError(err)
}
