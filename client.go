package lifecycle

import (
	"errors"

	"github.com/redis/go-redis/v9"
)

// clusterClient is a client of a Redis Cluster, *redis.ClusterClient or a type
// around it.
type clusterClient interface{ Options() *redis.ClusterOptions }

// checkClient returns why sessions cannot be kept through a client.
func checkClient(client redis.UniversalClient) error {
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

// hangs reports whether calls of a client may take longer than their context.
func hangs(client redis.UniversalClient) bool {
	c, ok := client.(clusterClient)
	return ok && !c.Options().ContextTimeoutEnabled
}

// database returns the number of the client's database.
func database(client redis.UniversalClient) int {
	if c, ok := client.(interface{ Options() *redis.Options }); ok {
		return c.Options().DB
	}
	return 0
}
