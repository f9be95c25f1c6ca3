package reaper

import (
	"context"
	"fmt"
	"log/slog"
	"math"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/redis/go-redis/v9"

	"github.com/gin-lifecycle/lifecycle/internal/redistest"
	"github.com/gin-lifecycle/lifecycle/internal/token"
)

// logging makes the kit's reaper log to what it returns.
func (k *kit) logging() *strings.Builder {
	log := new(strings.Builder) // of the goroutine that looks alone
	k.c.Log = slog.New(slog.NewTextHandler(log, nil))
	return log
}

// idIn returns a new ID in bucket b.
func (k *kit) idIn(b int) string {
	id := token.New(token.Mark{}, token.Timeouts{}).ID
	for k.c.Ledger.Bucket(id) != b {
		id = token.New(token.Mark{}, token.Timeouts{}).ID
	}
	return id
}

// put adds a session that is lost to the due-index of its bucket.
func (k *kit) put(id string, at float64) {
	k.t.Helper()
	due := fmt.Sprintf("%s:{%d}:due", k.prefix, k.c.Ledger.Bucket(id))
	if err := k.rdb.ZAdd(context.Background(), due, redis.Z{Score: at, Member: id}).Err(); err != nil {
		k.t.Fatal(err)
	}
}

// rounds looks at everything, again and again, until ok holds.
func (k *kit) rounds(what string, ok func() bool) {
	k.t.Helper()
	for end := time.Now().Add(30 * time.Second); !ok(); {
		if time.Now().After(end) {
			k.t.Fatalf("never: %s", what)
		}
		k.lookAtAll()
		k.round()
	}
}

// Sessions whose ends others have overwritten hide nobody, however many there are,
// and are told of once. When the key is deleted the session ends.
func TestManyUnreadableEnds(t *testing.T) {
	t.Parallel()
	k := newKit(t, redistest.Shared(t), 1000)
	log := k.logging()
	k.keep([]int{0, 1, 2, 3})
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
		t.Errorf("claimed in one round: %v", k.sink.got)
	}
	again := 0
	k.rounds("they are looked at again", func() bool {
		due := k.rdb.ZCount(ctx, k.prefix+":{0}:due", "-inf", fmt.Sprint(time.Now().UnixMilli())).Val()
		if due > 0 {
			again++
		}
		return again > 3
	})
	for _, id := range broken {
		if n := strings.Count(log.String(), "session="+id); n != 1 {
			t.Errorf("session %s is told of %d times", id, n)
		}
	}
	for _, word := range []string{"overwritten", "delete that one", "keys=" + k.prefix + ":{0}:*:" + broken[0] + "*", "WRONGTYPE"} {
		if !strings.Contains(log.String(), word) {
			t.Errorf("the log lacks %q", word)
		}
	}
	k.rdb.Del(ctx, fmt.Sprintf("%s:{0}:end:%s", k.prefix, broken[0]))
	k.rounds("it is claimed once its key is gone", func() bool { return k.sink.got[broken[0]] == 1 })
}

// So do due entries with times that cannot be, at either end of the due-index; the
// sessions themselves end late, and are told of once.
func TestManyMisdatedEntries(t *testing.T) {
	t.Parallel()
	for name, at := range map[string]float64{
		"before everything": math.Inf(-1), "far before": -1e300, "just before": -1, "at the beginning": 0,
		"far behind": 1e300, "behind everything": math.Inf(1),
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			k := newKit(t, redistest.Shared(t), 1_000_000) // they are claimed again and again
			log := k.logging()
			k.c.Interval = time.Millisecond
			var ids []string
			for range batch + 10 {
				ids = append(ids, k.idIn(0))
				k.put(ids[len(ids)-1], at)
			}
			behind := k.idIn(0)
			k.put(behind, 1000)
			k.keep([]int{0, 1, 2, 3})
			if k.round(); k.sink.got[behind] != 1 {
				t.Errorf("claimed in one round: %v", k.sink.got)
			}
			k.c.Lease = time.Millisecond // what was put off by a lease of before is not due before
			for _, id := range ids {
				k.put(id, at)
			}
			k.rounds("all are claimed", func() bool {
				return !slices.ContainsFunc(ids, func(id string) bool { return k.sink.got[id] == 0 })
			})
			for _, id := range ids {
				if n := strings.Count(log.String(), "session="+id); n != 1 {
					t.Errorf("session %s is told of %d times", id, n)
				}
			}
		})
	}
}
