package ledger

import (
	"errors"

	"github.com/redis/go-redis/v9"
)

// clusterClient is a client of a Redis Cluster, *redis.ClusterClient or a type
// around it.
type clusterClient interface{ Options() *redis.ClusterOptions }

// CheckClient returns why sessions cannot be kept through a client, nil if they can.
func CheckClient(client redis.UniversalClient) error {
	switch c := client.(type) {
	case nil:
		return errors.New("a Redis client is needed")
	case *redis.Ring:
		return errors.New("a *redis.Ring moves keys to other servers, and sessions are lost, whenever a server goes or comes: " +
			"use a Redis Cluster, Sentinel or one server")
	case clusterClient:
		if c.Options().ReadOnly {
			return errors.New("the *redis.ClusterClient reads from replicas, which are behind: " +
				"make it without ReadOnly, RouteByLatency and RouteRandomly")
		}
	}
	return nil
}

// IgnoresDeadlines reports whether calls of the ledger may take longer than their
// context: a cluster's client that does not heed it cannot be changed from here.
func (l *Ledger) IgnoresDeadlines() bool {
	c, ok := l.rdb.(clusterClient)
	return ok && !c.Options().ContextTimeoutEnabled
}

// Database returns the number of the client's database.
func (l *Ledger) Database() int {
	if c, ok := l.rdb.(interface{ Options() *redis.Options }); ok {
		return c.Options().DB
	}
	return 0
}
