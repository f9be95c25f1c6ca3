package suite_test

import (
	"strings"
	"testing"

	"github.com/redis/go-redis/v9"

	"github.com/gin-lifecycle/lifecycle"
)

// NewStore refuses clients with which sessions would get lost. The error says what to do.
func TestRefusedClients(t *testing.T) {
	t.Parallel()
	addrs := []string{"127.0.0.1:1"}
	for text, rdb := range map[string]redis.UniversalClient{
		"a *redis.Ring moves keys": redis.NewRing(&redis.RingOptions{Addrs: map[string]string{"a": addrs[0]}}),
		"make it without ReadOnly": redis.NewClusterClient(&redis.ClusterOptions{Addrs: addrs, ReadOnly: true}),
		"RouteByLatency":           redis.NewClusterClient(&redis.ClusterOptions{Addrs: addrs, RouteByLatency: true}),
		"and RouteRandomly": redis.NewFailoverClusterClient(&redis.FailoverOptions{
			MasterName: "main", SentinelAddrs: addrs, RouteRandomly: true,
		}),
	} {
		if _, err := lifecycle.NewStore(rdb); err == nil || !strings.Contains(err.Error(), text) {
			t.Errorf("%T: %v", rdb, err)
		}
		_ = rdb.Close()
	}
	for _, rdb := range []redis.UniversalClient{
		redis.NewClient(&redis.Options{Addr: addrs[0]}),
		redis.NewFailoverClient(&redis.FailoverOptions{MasterName: "main", SentinelAddrs: addrs}),
		redis.NewClusterClient(&redis.ClusterOptions{Addrs: addrs}),
	} {
		if _, err := lifecycle.NewStore(rdb); err != nil {
			t.Errorf("%T: %v", rdb, err)
		}
		_ = rdb.Close()
	}
}
