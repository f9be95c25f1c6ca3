package main

import (
	"context"
	"fmt"
	"strconv"

	"github.com/redis/go-redis/v9"
)

// Figures that the servers report, each the sum over all servers.

// sum returns the sum of some fields of a section of INFO.
func (s *servers) sum(ctx context.Context, section string, names ...string) (total float64, err error) {
	err = s.each(func(rdb *redis.Client) error {
		fields, err := info(ctx, rdb, section)
		if err != nil {
			return err
		}
		for _, name := range names {
			v, err := strconv.ParseFloat(fields[name], 64)
			if err != nil {
				return fmt.Errorf("INFO %s: %s: %w", section, name, err)
			}
			total += v
		}
		return nil
	})
	return total, err
}

// keyCount returns how many keys the servers have.
func (s *servers) keyCount(ctx context.Context) (n int64, err error) {
	err = s.each(func(rdb *redis.Client) error {
		size, err := rdb.DBSize(ctx).Result()
		n += size
		return err
	})
	return n, err
}

// usedMemory returns the memory in use once it has stopped changing. A hash table that grows
// takes its memory twice for a moment.
func (s *servers) usedMemory(ctx context.Context) (float64, error) {
	const steady = 50 // readings in a row, about half a second
	var last float64
	same := 0
	err := until(ctx, settleTime, "the memory in use does not settle", func() (bool, error) {
		used, err := s.sum(ctx, "memory", "used_memory")
		// The buffer of a connection that comes or goes is no change.
		if used < last-100_000 || used > last+100_000 {
			last, same = used, 0
		}
		same++
		return same >= steady, err
	})
	return last, err
}
