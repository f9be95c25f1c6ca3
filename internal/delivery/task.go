package delivery

import (
	"context"
	"time"

	"github.com/gin-lifecycle/lifecycle/internal/ledger"
)

// task is a claim, or a piece of news, from Submit until nothing is left to do for it. Of
// news that is until its hooks have run; of a claim until it is settled, or another
// instance has it. Its fields are guarded by the delivery's mu.
type task struct {
	claim     *ledger.Claim
	leaseEnd  time.Time               // its lease lasts at least until then
	cancel    context.CancelCauseFunc // ends the context of its hooks; nil while it waits
	abandoned bool                    // nothing is to be done for it any more, though it may be in the queue still
}

// ref returns what names the claim of the task.
func (t *task) ref() ledger.ClaimRef { return refOf(t.claim) }

// isNews reports whether the task is a piece of news, and not a claim.
func (t *task) isNews() bool { return t.claim.Token == "" }

func refOf(c *ledger.Claim) ledger.ClaimRef { return ledger.ClaimRef{ID: c.ID, Token: c.Token} }

// add makes a task of a claim or of a piece of news, and puts it into the queue. The
// caller holds mu.
func (d *Delivery) add(c *ledger.Claim) {
	ref := refOf(c)
	if t := d.tasks[ref]; t != nil && t.cancel == nil {
		return // the same news again, while the first still waits
	}
	t := &task{claim: c, leaseEnd: c.Asked.Add(d.c.Lease)}
	if d.tasks[ref] == nil && !t.isNews() {
		d.claims[ref.ID]++
	}
	d.tasks[ref] = t
	d.queue = append(d.queue, t)
	d.wake.Signal()
}

// abandon takes a task off the list without settling it. The caller holds mu.
func (d *Delivery) abandon(t *task) {
	t.abandoned = true
	if d.tasks[t.ref()] == t {
		d.remove(t.ref())
	}
	d.signalMoreRoom()
}

// remove takes a task off the list. The caller holds mu.
func (d *Delivery) remove(ref ledger.ClaimRef) {
	if d.tasks[ref] == nil {
		return
	}
	delete(d.tasks, ref)
	if ref.Token == "" {
		return
	}
	if d.claims[ref.ID]--; d.claims[ref.ID] == 0 {
		delete(d.claims, ref.ID)
	}
}

// removeSettled takes tasks off the list whose settlements Redis has answered.
func (d *Delivery) removeSettled(refs []ledger.ClaimRef) {
	d.mu.Lock()
	defer d.mu.Unlock()
	for _, ref := range refs {
		d.remove(ref)
	}
	d.signalMoreRoom()
}
