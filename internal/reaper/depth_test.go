package reaper

import (
	"context"
	"testing"
	"time"

	"github.com/redis/go-redis/v9"

	"github.com/gin-lifecycle/lifecycle/internal/redistest"
)

// depths is a go-redis hook that notes how many entries of a due-index are read at a time.
type depths struct {
	most int64
}

func (d *depths) ProcessPipelineHook(next redis.ProcessPipelineHook) redis.ProcessPipelineHook {
	return func(ctx context.Context, cmds []redis.Cmder) error {
		for _, cmd := range cmds {
			if args := cmd.Args(); cmd.Name() == "zrange" {
				last, _ := args[3].(int64)
				d.most = max(d.most, last+1)
			}
		}
		return next(ctx, cmds)
	}
}

func (*depths) DialHook(next redis.DialHook) redis.DialHook          { return next }
func (*depths) ProcessHook(next redis.ProcessHook) redis.ProcessHook { return next }

// A look reads few entries where few were due the last time, and more where more were.
func TestDepthOfALook(t *testing.T) {
	t.Parallel()
	k := newKit(t, redistest.Shared(t), 10_000)
	d := new(depths)
	k.watch(d)
	k.setBuckets([]int{0, 1, 2, 3})
	claimed := func(n int) {
		t.Helper()
		d.most = 0
		k.rounds("all ended sessions are claimed", func() bool { return len(k.sink.got) == n })
	}
	begin(t, k.c.Ledger, time.Millisecond)
	claimed(1)
	if d.most > minDepth+1 {
		t.Errorf("a look read %d entries where one session was due, want %d at most", d.most, minDepth+1)
	}
	for range 2000 {
		begin(t, k.c.Ledger, time.Millisecond)
	}
	claimed(2001)
	if d.most != batch+1 {
		t.Errorf("looks read up to %d entries where 2,000 sessions were due, want %d", d.most, batch+1)
	}
}
