package lifecycle

import "github.com/gin-lifecycle/lifecycle/internal/ledger"

// startKeeping keeps the session alive from now on: until the request is over, or its session
// has ended. The caller has the lock.
func (b *binding) startKeeping() {
	b.keeping.End()
	k := b.hooks.keeper()
	if k == nil || !b.bound || b.passive || b.closed || b.state != live {
		return
	}
	k.Begin(&b.keeping, b.touching(), b.idle(b.record.Timeouts.Idle))
}

// shortened tells what runs for the session on this instance that its idle timeout is shorter
// now. A message has told the other instances.
func (b *binding) shortened() {
	if k := b.hooks.keeper(); k != nil {
		k.Shortened(b.token.ID)
	}
}

// keepAlive is Context.KeepAlive.
func (b *binding) keepAlive() (stop func(), err error) {
	if err := b.needLive(); err != nil {
		return nil, err
	}
	k := b.hooks.keeper()
	if k == nil {
		return nil, ErrShutdown
	}
	return k.Hold(b.touching()), nil
}

func (b *binding) touching() ledger.Touching {
	return ledger.Touching{ID: b.token.ID, Proof: b.token.Proof(), Timeouts: b.record.Timeouts}
}
