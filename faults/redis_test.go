package faults

import (
	"context"
	"strings"

	"github.com/redis/go-redis/v9"

	"github.com/gin-lifecycle/lifecycle/internal/redistest"
)

// liveKeys is the pattern of the live keys behind the bucket's hash tag.
const liveKeys = "live:*"

// configure changes a setting with CONFIG SET, and returns a function that restores it.
// While Redis is away, both try again.
func (f *fleet) configure(name, value string) (restore func()) {
	f.t.Helper()
	ctx := context.Background()
	var old map[string]string
	persist := func(do func() error) {
		var err error
		if redistest.Poll(patience, func() bool { err = do(); return err == nil }) != nil {
			f.t.Errorf("CONFIG %s: %v", name, err)
		}
	}
	persist(func() (err error) { old, err = f.rdb.ConfigGet(ctx, name).Result(); return err })
	persist(func() error { return f.rdb.ConfigSet(ctx, name, value).Err() })
	return func() { persist(func() error { return f.rdb.ConfigSet(ctx, name, old[name]).Err() }) }
}

// keyNames returns the fleet's keys that match the pattern behind the prefix.
func (f *fleet) keyNames(pattern string) (keys []string, err error) {
	err = redistest.EachMaster(context.Background(), f.rdb, func(ctx context.Context, rdb redis.UniversalClient) error {
		some, err := rdb.Keys(ctx, f.setup.Prefix+":"+pattern).Result()
		keys = append(keys, redistest.ExceptPast(ctx, rdb, some)...)
		return err
	})
	return keys, err
}

// keys counts the fleet's keys that match the pattern behind the bucket's hash tag. It
// returns -1 if Redis does not respond.
func (f *fleet) keys(pattern string) int {
	keys, err := f.keyNames("{*}:" + pattern)
	if err != nil {
		return -1
	}
	return len(keys)
}

// connections counts the connections to Redis, or to all running nodes of a cluster. It
// returns -1 if one of them does not respond.
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
		all += n - 1 // not the one that asks
	}
	return all
}

// connections counts the connections to a server, without those of its master, its
// replicas and the sentinels.
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

// info returns a field of INFO, "" if Redis does not respond or has no such field.
func info(ctx context.Context, rdb redis.Cmdable, section, name string) string {
	text, _ := rdb.Info(ctx, section).Result()
	for line := range strings.SplitSeq(text, "\r\n") {
		if value, ok := strings.CutPrefix(line, name+":"); ok {
			return value
		}
	}
	return ""
}

// notifies reports whether the server's notification setting has all of these flags.
func notifies(ctx context.Context, rdb redis.Cmdable, flags string) bool {
	const name = "notify-keyspace-events"
	setting, err := rdb.ConfigGet(ctx, name).Result()
	if err != nil {
		return false
	}
	for _, flag := range flags {
		if !strings.ContainsRune(setting[name], flag) {
			return false
		}
	}
	return true
}

// cutSubscribers closes the connections of all subscribers, once.
func (f *fleet) cutSubscribers() {
	f.t.Helper()
	if err := f.rdb.Do(context.Background(), "client", "kill", "type", "pubsub").Err(); err != nil {
		f.t.Fatal(err)
	}
}

// noActiveExpiry makes Redis expire keys only when a command names them.
func (f *fleet) noActiveExpiry() {
	f.t.Helper()
	if err := f.rdb.Do(context.Background(), "debug", "set-active-expire", "0").Err(); err != nil {
		f.t.Fatal(err)
	}
}
