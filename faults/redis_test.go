package faults

import (
	"context"
	"strings"

	"github.com/redis/go-redis/v9"
)

// configure sets what CONFIG SET sets, and returns how to put it back. Where Redis
// is away, it waits.
func (f *fleet) configure(name, value string) (restore func()) {
	f.t.Helper()
	ctx := context.Background()
	var old map[string]string
	persist := func(do func() error) {
		var err error
		if poll(patience, func() bool { err = do(); return err == nil }) != nil {
			f.t.Errorf("CONFIG %s: %v", name, err)
		}
	}
	persist(func() (err error) { old, err = f.rdb.ConfigGet(ctx, name).Result(); return err })
	persist(func() error { return f.rdb.ConfigSet(ctx, name, value).Err() })
	return func() { persist(func() error { return f.rdb.ConfigSet(ctx, name, old[name]).Err() }) }
}

// info returns a figure of INFO.
func info(ctx context.Context, rdb *redis.Client, section, name string) string {
	text, _ := rdb.Info(ctx, section).Result()
	for line := range strings.SplitSeq(text, "\r\n") {
		if value, ok := strings.CutPrefix(line, name+":"); ok {
			return value
		}
	}
	return ""
}
