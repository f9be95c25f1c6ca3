package redistest

import (
	"testing"

	"github.com/redis/go-redis/v9"
)

// Overwrite replaces a key with a list, as an application that shares the server might do by
// mistake. The library never writes a list. The key is replaced in one step, so that no
// instance can write it in between.
func Overwrite(t testing.TB, rdb redis.Cmdable, key string) {
	t.Helper()
	ctx := Within(t)
	_, err := rdb.TxPipelined(ctx, func(tx redis.Pipeliner) error {
		tx.Del(ctx, key)
		tx.RPush(ctx, key, "something else")
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
}
