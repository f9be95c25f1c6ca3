// Package preflight looks once at how the Redis server is set up, and says in
// the log what of the promises that cannot keep and what to do about it.
package preflight

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"strings"
	"time"

	"github.com/redis/go-redis/v9"
)

const (
	// timeout bounds the questions.
	timeout = 5 * time.Second

	minBackoff = time.Second
	maxBackoff = 30 * time.Second
)

// Run asks the server of rdb how it is set up, until it answers or ctx ends, and
// logs what it finds, a line each. A server that refuses INFO or CONFIG, as
// managed ones do, is not argued with: what it does not tell is not judged.
func Run(ctx context.Context, rdb redis.UniversalClient, log *slog.Logger) {
	backoff := minBackoff
	for {
		s, err := ask(ctx, rdb)
		if err == nil {
			for _, f := range s.judge() {
				log.Log(ctx, f.level, f.text, f.args...)
			}
			return
		}
		select {
		case <-ctx.Done():
			return
		case <-time.After(backoff):
		}
		backoff = min(2*backoff, maxBackoff)
	}
}

// server is what a server tells of itself; an empty text is not told.
type server struct {
	version    string // redis_version
	policy     string // maxmemory_policy
	aof        string // aof_enabled, "1" or "0"
	savePoints *string
}

// ask returns an error if the server could not be reached.
func ask(ctx context.Context, rdb redis.UniversalClient) (server, error) {
	ctx, cancel := context.WithTimeout(ctx, timeout)
	defer cancel()
	info, err := rdb.Info(ctx).Result()
	if isRefusal(err) {
		return server{}, nil
	}
	if err != nil {
		return server{}, err
	}
	s := parse(info)
	config, err := rdb.ConfigGet(ctx, "save").Result()
	if err != nil && !isRefusal(err) {
		return server{}, err
	}
	if points, ok := config["save"]; ok {
		s.savePoints = &points
	}
	return s, nil
}

// isRefusal tells an answer of the server from a failure to reach it.
func isRefusal(err error) bool {
	var reply redis.Error
	return errors.As(err, &reply)
}

// parse reads the reply to INFO.
func parse(info string) server {
	var s server
	for line := range strings.Lines(info) {
		name, value, _ := strings.Cut(strings.TrimSpace(line), ":")
		switch name {
		case "redis_version":
			s.version = value
		case "maxmemory_policy":
			s.policy = value
		case "aof_enabled":
			s.aof = value
		}
	}
	return s
}

type finding struct {
	level slog.Level
	text  string
	args  []any
}

// judge returns what the server's setup does not keep.
func (s server) judge() []finding {
	var found []finding
	if tooOld(s.version) {
		found = append(found, finding{slog.LevelError,
			"lifecycle: this Redis is too old: sessions need commands of Redis 6.2 and will not work; upgrade it to 6.2 or later",
			[]any{"version", s.version}})
	}
	if strings.HasPrefix(s.policy, "allkeys-") {
		found = append(found, finding{slog.LevelWarn,
			"lifecycle: at its memory limit Redis may evict the index of sessions, and their ends would be lost: " +
				"set maxmemory-policy to noeviction, or to a volatile- policy, which ends sessions early but handles their ends",
			[]any{"maxmemory-policy", s.policy}})
	}
	if s.aof == "0" && s.savePoints != nil && *s.savePoints == "" {
		found = append(found, finding{slog.LevelWarn,
			"lifecycle: Redis keeps nothing on disk: a restart loses all sessions and the ends not yet handled; " +
				"set appendonly to yes, or save points if the sessions of some minutes may be lost", nil})
	}
	return found
}

// tooOld reports whether a version is known and below 6.2.
func tooOld(version string) bool {
	var major, minor int
	if n, _ := fmt.Sscanf(version, "%d.%d", &major, &minor); n < 2 {
		return false
	}
	return major < 6 || major == 6 && minor < 2
}
