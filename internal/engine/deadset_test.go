package engine

import (
	"math"
	"slices"
	"testing"
)

func TestShareOf(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		limit, own, all int
		want            int64
	}{
		{10_000, 256, 256, 10_000},
		{10_000, 100, 256, 3_907}, // 3,906.25
		{1, 3, 8, 1},
		{7, 0, 8, 0},
		{math.MaxInt, 16384, 16384, math.MaxInt},
	} {
		if got := shareOf(c.limit, c.own, c.all); got != c.want {
			t.Errorf("%+v: %d", c, got)
		}
	}
}

func TestKeepOf(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]struct {
		sizes []int64
		share int64
		want  []int64 // of the sorted sizes
	}{
		"none":                 {nil, 5, nil},
		"empty":                {[]int64{0, 0}, 5, []int64{0, 0}},
		"within, uneven":       {[]int64{100, 0, 3}, 103, []int64{0, 3, 100}},
		"the fullest gives":    {[]int64{3, 9, 4}, 12, []int64{3, 4, 5}},
		"the two fullest give": {[]int64{9, 1, 9}, 12, []int64{1, 5, 6}},
		"less than buckets":    {[]int64{1, 1, 1}, 1, []int64{0, 0, 1}},
		"nothing may stay":     {[]int64{4, 1}, 0, []int64{0, 0}},
	} {
		sizes := make([]bucketSize, len(c.sizes))
		for i, n := range c.sizes {
			sizes[i] = bucketSize{i, n}
		}
		got := keepOf(sizes, c.share)
		if !slices.Equal(got, c.want) {
			t.Errorf("%s: %v, want %v", name, got, c.want)
		}
		for i := range sizes {
			sizes[i].size = got[i]
		}
		if again := keepOf(sizes, c.share); !slices.Equal(again, got) {
			t.Errorf("%s: a second time %v", name, again)
		}
	}
}
