package ledger

import (
	"cmp"
	"context"
	"fmt"
	"testing"
	"time"

	"github.com/redis/go-redis/v9"

	"github.com/gin-lifecycle/lifecycle/internal/ledger/ledgertest"
	"github.com/gin-lifecycle/lifecycle/internal/redistest"
	"github.com/gin-lifecycle/lifecycle/internal/token"
)

// between is a hook that does something once between two commands of a pipeline.
type between struct {
	n  int // how many commands come first
	do func()
}

func (x *between) DialHook(next redis.DialHook) redis.DialHook          { return next }
func (x *between) ProcessHook(next redis.ProcessHook) redis.ProcessHook { return next }

func (x *between) ProcessPipelineHook(next redis.ProcessPipelineHook) redis.ProcessPipelineHook {
	return func(ctx context.Context, cmds []redis.Cmder) error {
		do := x.do
		if x.do = nil; do == nil {
			return next(ctx, cmds)
		}
		first := next(ctx, cmds[:x.n])
		do()
		return cmp.Or(first, next(ctx, cmds[x.n:]))
	}
}

// newDisturbed returns a ledger that remembers ends for a minute, and a reader of the same data,
// which does what hook says after n commands of a pipeline.
func newDisturbed(t *testing.T, n int) (l, reader *Ledger, hook *between) {
	t.Helper()
	l, _ = newRemembering(t)
	hook = &between{n: n}
	rdb := redis.NewClient(&redis.Options{Addr: redistest.Shared(t), ContextTimeoutEnabled: true}) // so New keeps it, with its hook
	t.Cleanup(func() { _ = rdb.Close() })
	rdb.AddHook(hook)
	return l, ledgertest.Open(t, New(rdb, Config{Prefix: l.keys.prefix, Buckets: 4, Timeout: 10 * time.Second, Remember: time.Minute})), hook
}

// However the commands of Previous and an ack come one after the other, Previous tells of the
// end: a pipeline is not atomic.
func TestPreviousBesideAnAck(t *testing.T) {
	t.Parallel()
	const commands = 4
	for n := 1; n < commands; n++ {
		t.Run(fmt.Sprint(n), func(t *testing.T) {
			t.Parallel()
			l, reader, hook := newDisturbed(t, n)
			k, _ := ledgertest.Begin(t, l, token.Timeouts{Idle: time.Hour})
			end(t, l, k, "i:1", time.Minute)
			hook.do = func() { settle(t, l, Settlement{ClaimRef: ClaimRef{k.ID, "i:1"}}) }
			e, ok, err := reader.Previous(context.Background(), k)
			if !ok || err != nil || e.Reason != "why" || hook.do != nil {
				t.Errorf("Previous = %+v, %v, %v", e, ok, err)
			}
			remembered(t, l, k)
		})
	}
}

// A session ends, and its end is finished, while it is read: it is not live, and its past is no
// record.
func TestLoadBesideAnAck(t *testing.T) {
	t.Parallel()
	const commands = 3
	for n := 1; n < commands; n++ {
		t.Run(fmt.Sprint(n), func(t *testing.T) {
			t.Parallel()
			l, reader, hook := newDisturbed(t, n)
			k, _ := ledgertest.Begin(t, l, token.Timeouts{Idle: time.Hour})
			hook.do = func() {
				end(t, l, k, "i:1", time.Minute)
				settle(t, l, Settlement{ClaimRef: ClaimRef{k.ID, "i:1"}})
			}
			x := reader.Load(context.Background(), k)[0]
			if _, past := UnpackPast(x.Record); x.Live || x.Err != nil || !past || hook.do != nil {
				t.Errorf("Load = %+v", x)
			}
		})
	}
}
