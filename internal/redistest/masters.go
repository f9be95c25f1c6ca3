package redistest

import (
	"context"
	"sync"

	"github.com/redis/go-redis/v9"
)

// EachMaster calls do with a client of each master of a cluster, one after the other. If rdb
// is no client of a cluster, its server is the only master. EachMaster returns an error of do.
func EachMaster(ctx context.Context, rdb redis.UniversalClient, do func(context.Context, redis.UniversalClient) error) error {
	c, ok := rdb.(*redis.ClusterClient)
	if !ok {
		return do(ctx, rdb)
	}
	var one sync.Mutex // ForEachMaster calls the function for all masters at the same time
	return c.ForEachMaster(ctx, func(ctx context.Context, master *redis.Client) error {
		one.Lock()
		defer one.Unlock()
		return do(ctx, master)
	})
}
