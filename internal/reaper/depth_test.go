package reaper

import (
	"context"
	"testing"
	"time"

	"github.com/redis/go-redis/v9"

	"github.com/gin-lifecycle/lifecycle/internal/redistest"
)

// depths notes how many entries of due-indexes are asked for.
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

// A look reads few entries where few are due, and more as it finds more.
func TestDepthOfALook(t *testing.T) {
	t.Parallel()
	k := newKit(t, redistest.Shared(t), 10_000)
	d := new(depths)
	k.watch(d)
	k.keep([]int{0, 1, 2, 3})
	claimed := func(n int) {
		t.Helper()
		d.most = 0
		for len(k.sink.got) < n { // the last of them may have a millisecond to live
			k.lookAtAll()
			k.round()
		}
	}
	begin(t, k.c.Ledger, time.Millisecond)
	claimed(1)
	if d.most > minDepth+1 {
		t.Errorf("%d entries were read where one was due", d.most)
	}
	for range 2000 {
		begin(t, k.c.Ledger, time.Millisecond)
	}
	claimed(2001)
	if d.most != batch+1 {
		t.Errorf("%d entries were read at a time where 2,000 were due", d.most)
	}
}
