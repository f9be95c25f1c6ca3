package ledger

import (
	"testing"
	"time"

	"github.com/redis/go-redis/v9"
)

// The log names the server that cannot be reached.
func TestAddress(t *testing.T) {
	t.Parallel()
	addrs := []string{"127.0.0.1:1", "127.0.0.1:2"}
	for want, rdb := range map[string]redis.UniversalClient{
		"127.0.0.1:1":                     redis.NewClient(&redis.Options{Addr: addrs[0]}),
		"127.0.0.1:1, 127.0.0.1:2":        redis.NewClusterClient(&redis.ClusterOptions{Addrs: addrs}),
		"the address that Sentinel gives": redis.NewFailoverClient(&redis.FailoverOptions{MasterName: "main", SentinelAddrs: addrs}),
		"the addresses that Sentinel or the client's ClusterSlots gives": redis.NewFailoverClusterClient(&redis.FailoverOptions{MasterName: "main", SentinelAddrs: addrs}),
	} {
		if got := New(rdb, Config{Prefix: "x", Buckets: 1, Timeout: time.Second}).Address(); got != want {
			t.Errorf("%T: %q, want %q", rdb, got, want)
		}
		_ = rdb.Close()
	}
}
