package reaper

import (
	"context"
	"fmt"
	"math"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/redis/go-redis/v9"

	"github.com/gin-lifecycle/lifecycle/internal/redistest"
)

// Sessions whose ends were overwritten hide no other session, however many they are, and
// each is logged once. When the overwritten key is deleted, the session ends.
func TestManyUnreadableEnds(t *testing.T) {
	t.Parallel()
	k := newKit(t, redistest.Shared(t), 1000)
	log := k.logging()
	k.setBuckets([]int{0, 1, 2, 3})
	k.c.Interval = time.Millisecond
	ctx := context.Background()
	var broken []string
	for i := range 2*batch + 10 {
		id := k.idIn(0)
		broken = append(broken, id)
		k.put(id, float64(i+1))
		if err := k.rdb.Set(ctx, fmt.Sprintf("%s:{0}:end:%s", k.prefix, id), "something else", 0).Err(); err != nil {
			t.Fatal(err)
		}
	}
	behind, other := k.idIn(0), k.idIn(1)
	k.put(behind, 1000)
	k.put(other, 1000)
	if k.round(); k.sink.got[behind] != 1 || k.sink.got[other] != 1 || len(k.sink.got) != 2 {
		t.Errorf("claims by session after one round: %v", k.sink.got)
	}
	again := 0
	k.rounds("the overwritten ones are looked at again", func() bool {
		due := k.rdb.ZCount(ctx, k.due(0), "-inf", fmt.Sprint(time.Now().UnixMilli())).Val()
		if due > 0 {
			again++
		}
		return again > 3
	})
	for _, id := range broken {
		if n := strings.Count(log.String(), "session="+id); n != 1 {
			t.Errorf("session %s is logged %d times, want once", id, n)
		}
	}
	for _, word := range []string{"overwritten", "delete the key that has the wrong type", "keys=" + k.prefix + ":{0}:*:" + broken[0] + "*", "WRONGTYPE"} {
		if !log.Contains(word) {
			t.Errorf("the log does not contain %q", word)
		}
	}
	k.rdb.Del(ctx, fmt.Sprintf("%s:{0}:end:%s", k.prefix, broken[0]))
	k.rounds("the session is claimed when its key is deleted", func() bool { return k.sink.got[broken[0]] == 1 })
}

// Sessions whose entries have impossible times, at either end of the due-index, hide no
// other session either. They end late, and each is logged once.
func TestManyImpossibleTimes(t *testing.T) {
	t.Parallel()
	for name, at := range map[string]float64{
		"before everything": math.Inf(-1), "far before": -1e300, "just before": -1, "at the beginning": 0,
		"far behind": 1e300, "behind everything": math.Inf(1),
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			k := newKit(t, redistest.Shared(t), 1_000_000) // the sessions are claimed again and again
			log := k.logging()
			k.c.Interval = time.Millisecond
			var ids []string
			for range batch + 10 {
				ids = append(ids, k.idIn(0))
				k.put(ids[len(ids)-1], at)
			}
			behind := k.idIn(0)
			k.put(behind, 1000)
			k.setBuckets([]int{0, 1, 2, 3})
			if k.round(); k.sink.got[behind] != 1 {
				t.Errorf("claims by session after one round: %v", k.sink.got)
			}
			k.c.Lease = time.Second // the times that are corrected from now on are soon over, but not before a round ends
			for _, id := range ids {
				k.put(id, at)
			}
			k.rounds("all are claimed", func() bool {
				return !slices.ContainsFunc(ids, func(id string) bool { return k.sink.got[id] == 0 })
			})
			for _, id := range ids {
				if n := strings.Count(log.String(), "session="+id); n != 1 {
					t.Errorf("session %s is logged %d times, want once", id, n)
				}
			}
		})
	}
}

// A due-index that was overwritten, or that has entries of other programs, hides neither
// the ends of other buckets nor those behind these entries.
func TestEntriesOfNoSession(t *testing.T) {
	t.Parallel()
	k := newKit(t, redistest.Shared(t), 1000)
	k.setBuckets([]int{0, 1, 2, 3})
	ctx := context.Background()
	if err := k.rdb.Set(ctx, k.due(0), "something else", 0).Err(); err != nil {
		t.Fatal(err)
	}
	ends := make(map[int]string)
	for b := 1; b < buckets; b++ {
		ends[b] = k.idIn(b)
		k.put(ends[b], 1000)
		var entries []redis.Z
		for i := range 2 * batch {
			entries = append(entries, redis.Z{Score: float64(i), Member: fmt.Sprint("no session ", i)})
		}
		if err := k.rdb.ZAdd(ctx, k.due(b), entries...).Err(); err != nil {
			t.Fatal(err)
		}
	}
	for range 10 { // each reads more entries than the one before
		k.lookAtAll()
		k.round()
	}
	for b, id := range ends {
		if k.sink.got[id] != 1 {
			t.Errorf("bucket %d: its end was claimed %d times, want once", b, k.sink.got[id])
		}
	}
	if len(k.sink.got) != len(ends) {
		t.Errorf("claims by session: %v, want those of %d sessions", k.sink.got, len(ends))
	}
}
