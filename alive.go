package lifecycle

import (
	"time"

	"github.com/gin-lifecycle/lifecycle/internal/keepalive"
	"github.com/gin-lifecycle/lifecycle/internal/ledger"
)

// startKeeping keeps the session alive from now on: until the request is over, or its session
// has ended. The caller has the lock.
func (b *binding) startKeeping() {
	if !b.bound || b.passive || b.state != live {
		return
	}
	third := keepalive.Third(b.idle(b.record.Timeouts.Idle))
	if b.keeping.timer == nil {
		b.keeping.timer = time.AfterFunc(third, b.keep)
		return
	}
	b.keeping.timer.Reset(third)
}

// keep is called when the handler has been running for a third of the idle timeout.
func (b *binding) keep() {
	b.mu.Lock()
	defer b.mu.Unlock()
	if b.closed || b.state != live || b.keeping.release != nil {
		return
	}
	// After Shutdown nothing is kept alive.
	b.keeping.release, _ = b.hooks.keep(b.touching())
}

// keepAlive is Context.KeepAlive.
func (b *binding) keepAlive() (stop func(), err error) {
	if err := b.needLive(); err != nil {
		return nil, err
	}
	return b.hooks.keep(b.touching())
}

func (b *binding) touching() ledger.Touching {
	return ledger.Touching{ID: b.token.ID, Proof: b.token.Proof(), Timeouts: b.record.Timeouts}
}
