package ledger

import (
	"cmp"
	"errors"
	"reflect"
	"strings"

	"github.com/redis/go-redis/v9"
)

// clusterClient is a client of a Redis Cluster: *redis.ClusterClient, or a type that
// embeds it.
type clusterClient interface{ Options() *redis.ClusterOptions }

// CheckClient returns nil if sessions can be kept with this client, and otherwise an error
// that says why not and what to use instead.
func CheckClient(client redis.UniversalClient) error {
	if v := reflect.ValueOf(client); !v.IsValid() || v.Kind() == reflect.Pointer && v.IsNil() {
		return errors.New("the Redis client is nil: make one with redis.NewClient")
	}
	switch c := client.(type) {
	case *redis.Ring:
		return errors.New("a *redis.Ring moves keys to other servers whenever a server comes or goes, and sessions are lost: " +
			"use a Redis Cluster, Sentinel or a single server")
	case clusterClient:
		if c.Options().ReadOnly {
			return errors.New("the *redis.ClusterClient reads from replicas, whose data is older: " +
				"make it without ReadOnly, RouteByLatency and RouteRandomly")
		}
	}
	return nil
}

// IgnoresDeadlines reports whether calls of the ledger may take longer than
// Config.Timeout, because go-redis ignores the deadlines of contexts. That is so for a
// cluster's client that was made without ContextTimeoutEnabled; the ledger cannot change
// that.
func (l *Ledger) IgnoresDeadlines() bool {
	c, ok := l.rdb.(clusterClient)
	return ok && !c.Options().ContextTimeoutEnabled
}

// Database returns the number of the Redis database that the client uses, 0 for a cluster.
func (l *Ledger) Database() int {
	if c, ok := l.rdb.(interface{ Options() *redis.Options }); ok {
		return c.Options().DB
	}
	return 0
}

// AddressOf returns the address of a server, for a log. server is its Server.Name, which is
// empty without a cluster.
func (l *Ledger) AddressOf(server string) string { return cmp.Or(server, l.Address()) }

// sentinelAddr is what go-redis gives as the address of a client behind Sentinel.
const sentinelAddr = "FailoverClient"

// Address names the server that the client was made for, or the servers, for a log.
func (l *Ledger) Address() string {
	switch c := l.rdb.(type) {
	case clusterClient:
		if addrs := c.Options().Addrs; len(addrs) > 0 {
			return strings.Join(addrs, ", ")
		}
		if c.Options().ClusterSlots != nil { // so has a FailoverClusterClient
			return "the addresses that Sentinel or the client's ClusterSlots gives"
		}
	case interface{ Options() *redis.Options }:
		if addr := c.Options().Addr; addr != sentinelAddr {
			return addr
		}
		return "the address that Sentinel gives"
	}
	return "the client's address"
}
