package main

import (
	"context"
	"fmt"
	"maps"
	"slices"
	"strconv"
	"strings"

	"github.com/redis/go-redis/v9"
)

// calls are numbers of commands by name, as the servers count them. Commands in scripts count,
// too.
type calls map[string]float64

func (c calls) minus(d calls) calls {
	out := maps.Clone(c)
	for name, n := range d {
		out[name] -= n
	}
	return out
}

func (c calls) scaled(by float64) calls {
	out := make(calls, len(c))
	for name, n := range c {
		out[name] = n * by
	}
	return out
}

func (c calls) total() (n float64) {
	for _, v := range c {
		n += v
	}
	return n
}

// leastListed is the smallest number that is printed.
const leastListed = 0.01

// list returns the names and numbers of commands.
func (c calls) list() string {
	var out []string
	for _, name := range slices.Sorted(maps.Keys(c)) {
		if v := c[name]; v >= leastListed {
			out = append(out, name+" "+strconv.FormatFloat(v, 'f', 2, 64))
		}
	}
	return strings.ReplaceAll(strings.Join(out, ", "), ".00", "")
}

// resetCalls sets the servers' counts of all commands to 0.
func (s *servers) resetCalls(ctx context.Context) error {
	return s.each(func(rdb *redis.Client) error { return rdb.ConfigResetStat(ctx).Err() })
}

// calls returns how often the servers have run each command since resetCalls.
func (s *servers) calls(ctx context.Context) (calls, error) {
	out := make(calls)
	err := s.each(func(rdb *redis.Client) error {
		fields, err := info(ctx, rdb, "commandstats")
		for key, v := range fields {
			name := strings.TrimPrefix(key, "cmdstat_")
			if name == "info" || name == "config|resetstat" || name == "dbsize" {
				continue // the commands of these measurements
			}
			text, _, _ := strings.Cut(strings.TrimPrefix(v, "calls="), ",")
			n, err := strconv.ParseFloat(text, 64)
			if err != nil {
				return fmt.Errorf("commandstats: %s: %w", key, err)
			}
			out[name] += n
		}
		return err
	})
	return out, err
}
