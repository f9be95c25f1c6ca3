package faults

import (
	"context"
	"strings"
	"sync"

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

// eachMaster calls do with a client of each master, one after the other.
func (f *fleet) eachMaster(do func(rdb *redis.Client) error) error {
	c, ok := f.rdb.(*redis.ClusterClient)
	if !ok {
		return do(f.rdb.(*redis.Client))
	}
	var mu sync.Mutex
	return c.ForEachMaster(context.Background(), func(_ context.Context, rdb *redis.Client) error {
		mu.Lock()
		defer mu.Unlock()
		return do(rdb)
	})
}

// keyNames returns the fleet's keys whose names, after the prefix, match.
func (f *fleet) keyNames(pattern string) (keys []string, err error) {
	err = f.eachMaster(func(rdb *redis.Client) error {
		some, err := rdb.Keys(context.Background(), f.setup.Prefix+":"+pattern).Result()
		keys = append(keys, some...)
		return err
	})
	return keys, err
}

// keys counts the keys of a kind.
func (f *fleet) keys(pattern string) int {
	keys, err := f.keyNames("{*}:" + pattern)
	if err != nil {
		return -1
	}
	return len(keys)
}

// connections counts the connections to Redis, -1 if it does not answer; of a cluster,
// to all nodes that run.
func (f *fleet) connections() int {
	if f.cluster == nil {
		n, err := connections(f.rdb)
		if err != nil {
			return -1
		}
		return n
	}
	all := 0
	for _, s := range f.cluster.Nodes {
		if !s.Running() {
			continue
		}
		rdb := redis.NewClient(&redis.Options{Addr: s.Addr})
		n, err := connections(rdb)
		_ = rdb.Close()
		if err != nil {
			return -1
		}
		all += n - 1
	}
	return all
}

// connections counts the connections to a server of all but its master, replicas
// and sentinels.
func connections(rdb redis.Cmdable) (int, error) {
	list, err := rdb.ClientList(context.Background()).Result()
	n := 0
	for line := range strings.Lines(list) {
		if !strings.Contains(line, "name=sentinel-") && !strings.Contains(line, "flags=S") && !strings.Contains(line, "flags=M") {
			n++
		}
	}
	return n, err
}

// info returns a figure of INFO.
func info(ctx context.Context, rdb redis.Cmdable, section, name string) string {
	text, _ := rdb.Info(ctx, section).Result()
	for line := range strings.SplitSeq(text, "\r\n") {
		if value, ok := strings.CutPrefix(line, name+":"); ok {
			return value
		}
	}
	return ""
}
