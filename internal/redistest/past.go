package redistest

import (
	"context"
	"strings"

	"github.com/redis/go-redis/v9"
)

// formatPast is the byte at offset 16 by which what is remembered of a finished end, for
// Context.Previous, differs from a record.
const formatPast = "\x06"

// ExceptPast returns those of keys in which the library does not remember a finished end:
// what a test waits for that wants to see all ends finished. All keys are on the server of
// rdb.
func ExceptPast(ctx context.Context, rdb redis.UniversalClient, keys []string) []string {
	pipe := rdb.Pipeline()
	formats := make(map[string]*redis.StringCmd)
	for _, key := range keys {
		if strings.Contains(key, "}:session:") {
			formats[key] = pipe.GetRange(ctx, key, 16, 16)
		}
	}
	if len(formats) > 0 {
		_, _ = pipe.Exec(ctx) // a key of another type gives an error, and is no past
	}
	var rest []string
	for _, key := range keys {
		if c := formats[key]; c == nil || c.Val() != formatPast {
			rest = append(rest, key)
		}
	}
	return rest
}
