package main

import (
	"context"
	"fmt"
	"strconv"

	"github.com/redis/go-redis/v9"
)

// What the servers tell of themselves, summed over all of them.

// sum adds up fields of one section of INFO.
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

// keyCount returns how many keys there are.
func (s *servers) keyCount(ctx context.Context) (n int64, err error) {
	err = s.each(func(rdb *redis.Client) error {
		size, err := rdb.DBSize(ctx).Result()
		n += size
		return err
	})
	return n, err
}

// usedMemory reads the memory in use once it has stopped changing: hash tables that
// grow exist twice for a moment.
func (s *servers) usedMemory(ctx context.Context) (float64, error) {
	const steady = 50 // readings in a row, about half a second
	var last float64
	same := 0
	err := until(ctx, settleTime, "the memory in use does not settle", func() (bool, error) {
		used, err := s.sum(ctx, "memory", "used_memory")
		// A connection's buffer coming or going is no change.
		if used < last-100_000 || used > last+100_000 {
			last, same = used, 0
		}
		same++
		return same >= steady, err
	})
	return last, err
}
