package main

import (
	"context"
	"fmt"
	"io"
	"os"
	"strings"

	"github.com/redis/go-redis/v9"

	"github.com/gin-lifecycle/lifecycle/internal/redisproc"
)

// servers are Redis processes on loopback that write nothing to disk: a single server, or the
// masters of a cluster without replicas.
type servers struct {
	clustered bool
	version   string

	dir     string
	nodes   []*redisproc.Server
	stopAll func()
	admins  []*redis.Client // one for each server; not for the contestants
	clients []io.Closer
}

// startServers starts a cluster with so many masters, or a single server if masters is 0.
func startServers(ctx context.Context, masters int) (s *servers, err error) {
	dir, err := os.MkdirTemp("", "lifecycle-bench-")
	if err != nil {
		return nil, err
	}
	s = &servers{clustered: masters > 0, dir: dir, stopAll: func() {}}
	defer func() {
		if err != nil {
			_ = s.stop()
		}
	}()
	// No measurement reaches this save point. Without one, each manager would log a warning.
	args := []string{"--save", "100000000 1"}
	if s.clustered {
		c, err := redisproc.LaunchCluster(dir, masters, 0, args...)
		if err != nil {
			return nil, err
		}
		s.nodes, s.stopAll = c.Nodes, c.Stop
	} else {
		x, err := redisproc.Launch(dir, args...)
		if err != nil {
			return nil, err
		}
		s.nodes, s.stopAll = []*redisproc.Server{x}, x.Stop
	}
	for _, x := range s.nodes {
		s.admins = append(s.admins, redis.NewClient(&redis.Options{Addr: x.Addr}))
	}
	fields, err := info(ctx, s.admins[0], "server")
	s.version = fields["redis_version"]
	return s, err
}

// stop closes all clients and ends the servers.
func (s *servers) stop() error {
	for _, c := range s.clients {
		_ = c.Close()
	}
	for _, c := range s.admins {
		_ = c.Close()
	}
	s.stopAll()
	return os.RemoveAll(s.dir)
}

// clientOptions are a client's options that are not go-redis's defaults.
type clientOptions struct {
	pool int        // connections to each server
	hook redis.Hook // sees each round trip to each server
}

// client returns a client as an application would make it. stop closes the client.
func (s *servers) client() redis.UniversalClient { return s.clientWith(clientOptions{}) }

// clientWith returns a client with options. stop closes the client.
func (s *servers) clientWith(o clientOptions) redis.UniversalClient {
	var c redis.UniversalClient
	if s.clustered {
		addrs := make([]string, len(s.nodes))
		for i, x := range s.nodes {
			addrs[i] = x.Addr
		}
		all := redis.NewClusterClient(&redis.ClusterOptions{Addrs: addrs, PoolSize: o.pool, ContextTimeoutEnabled: true})
		if o.hook != nil {
			all.OnNewNode(func(node *redis.Client) { node.AddHook(o.hook) })
		}
		c = all
	} else {
		// If the client ignores the deadlines of contexts, the store uses a copy of it, and the
		// copy has no hooks.
		one := redis.NewClient(&redis.Options{Addr: s.nodes[0].Addr, PoolSize: o.pool, ContextTimeoutEnabled: o.hook != nil})
		if o.hook != nil {
			one.AddHook(o.hook)
		}
		c = one
	}
	s.clients = append(s.clients, c)
	return c
}

// closeClient closes a client earlier than stop would.
func (s *servers) closeClient(c io.Closer) error {
	for i, x := range s.clients {
		if x == c {
			s.clients = append(s.clients[:i], s.clients[i+1:]...)
			break
		}
	}
	return c.Close()
}

// each calls f with a client of each server.
func (s *servers) each(f func(rdb *redis.Client) error) error {
	for _, rdb := range s.admins {
		if err := f(rdb); err != nil {
			return err
		}
	}
	return nil
}

// target returns the most that a figure may be: on a cluster twice as much as on a single server.
func (s *servers) target(single float64) float64 {
	if s.clustered {
		return 2 * single
	}
	return single
}

// suffix returns what the title of a table says about a cluster; "" for a single server.
func (s *servers) suffix() string {
	if s.clustered {
		return fmt.Sprintf(", a cluster of %d", len(s.nodes))
	}
	return ""
}

// flush empties the servers and switches notifications off, so that each measurement begins with
// the same servers.
func (s *servers) flush(ctx context.Context) error {
	return s.each(func(rdb *redis.Client) error {
		if err := rdb.FlushAll(ctx).Err(); err != nil {
			return err
		}
		return rdb.ConfigSet(ctx, "notify-keyspace-events", "").Err()
	})
}

// info returns the fields of a section of a server's INFO.
func info(ctx context.Context, rdb *redis.Client, section string) (map[string]string, error) {
	text, err := rdb.Info(ctx, section).Result()
	if err != nil {
		return nil, err
	}
	fields := make(map[string]string)
	for line := range strings.Lines(text) {
		if k, v, ok := strings.Cut(strings.TrimSpace(line), ":"); ok {
			fields[k] = v
		}
	}
	return fields, nil
}
