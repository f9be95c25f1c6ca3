package suite_test

import (
	"fmt"
	"strings"
	"time"

	"github.com/redis/go-redis/v9"

	"github.com/gin-lifecycle/lifecycle/internal/redistest"
)

// What an administrator of Redis sees and changes. The names of the keys are documented:
// docs/deployment.md has the list.

// keys returns the keys of the app's prefix whose name, after the bucket, matches pattern.
func (a *app) keys(pattern string) []string {
	a.t.Helper()
	return a.on.keys(a.t, a.prefix+":{*}:"+pattern)
}

// key returns the only key that matches pattern. It fails the test if there is none, or
// more than one.
func (a *app) key(pattern string) string {
	a.t.Helper()
	keys := a.keys(pattern)
	if len(keys) != 1 {
		a.t.Fatalf("keys that match %s: %v, want one", pattern, keys)
	}
	return keys[0]
}

// liveKey returns the live key of a session.
func (a *app) liveKey(id string) string {
	a.t.Helper()
	return a.key("live:" + id + ":*")
}

// bucket returns the bucket of a live session, as its keys have it.
func (a *app) bucket(id string) string {
	a.t.Helper()
	_, rest, _ := strings.Cut(a.liveKey(id), "{")
	bucket, _, _ := strings.Cut(rest, "}")
	return bucket
}

// del deletes keys. On a cluster they may be in different slots.
func (a *app) del(keys ...string) {
	a.t.Helper()
	pipe := a.admin.Pipeline()
	for _, k := range keys {
		pipe.Del(redistest.Within(a.t), k)
	}
	if _, err := pipe.Exec(redistest.Within(a.t)); err != nil {
		a.t.Fatal(err)
	}
}

// overwrite replaces a key with one of another type.
func (a *app) overwrite(key string) {
	a.t.Helper()
	redistest.Overwrite(a.t, a.admin, key)
}

// spoil makes the record of a session unreadable.
func (a *app) spoil(id string) {
	a.t.Helper()
	if err := a.admin.SetRange(redistest.Within(a.t), a.key("session:"+id), 16, "\xff").Err(); err != nil {
		a.t.Fatal(err)
	}
}

// dueAt changes the times of sessions of bucket 0 in the due-index. at is what ZADD
// takes.
func (a *app) dueAt(at string, ids ...string) {
	a.t.Helper()
	for _, id := range ids {
		if err := a.admin.Do(redistest.Within(a.t), "zadd", a.prefix+":{0}:due", "xx", at, id).Err(); err != nil {
			a.t.Fatal(err)
		}
	}
}

// makeAllDue makes all sessions due for a check, so that an instance finds every end at
// once, with or without notifications.
func (a *app) makeAllDue() {
	a.t.Helper()
	for _, key := range a.keys("due") {
		for _, id := range a.admin.ZRange(redistest.Within(a.t), key, 0, -1).Val() {
			a.admin.ZAddXX(redistest.Within(a.t), key, zAt(id, 1))
		}
	}
}

// zAt is an entry of the due-index.
func zAt(id string, at float64) redis.Z { return redis.Z{Member: id, Score: at} }

// instances returns the instances of the app's prefix that have sent a heartbeat.
func (a *app) instances() []string {
	a.t.Helper()
	return a.admin.ZRange(redistest.Within(a.t), a.prefix+":instances", 0, -1).Val()
}

// listens waits until this instance, the only one with its prefix, receives all
// messages that other programs can send to it.
func (a *app) listens() {
	a.t.Helper()
	text := a.admin.Get(redistest.Within(a.t), a.prefix+":buckets").Val()
	var buckets int
	if _, err := fmt.Sscan(text, &buckets); err != nil {
		a.t.Fatalf("number of buckets: %q, %v", text, err)
	}
	redistest.Eventually(a.t, "the instance has subscribed to all channels", func() bool {
		return a.m.Stats().Notifications == a.on.notifications && len(a.on.channels(a.t, a.prefix+":{*}:wake")) == buckets
	})
}

// expireIn makes a live session end after d, unless a request prolongs it.
func (a *app) expireIn(id string, d time.Duration) {
	a.t.Helper()
	if err := a.admin.PExpire(redistest.Within(a.t), a.liveKey(id), d).Err(); err != nil {
		a.t.Fatal(err)
	}
}

// left returns how long a session lives unless a request prolongs it.
func (a *app) left(id string) time.Duration {
	a.t.Helper()
	left, err := a.admin.PTTL(redistest.Within(a.t), a.liveKey(id)).Result()
	if err != nil {
		a.t.Fatal(err)
	}
	return left
}
