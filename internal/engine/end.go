package engine

import (
	"context"
	"strconv"

	"github.com/gin-lifecycle/lifecycle/internal/ledger"
)

// End ends a live session, claims the end, and has its hooks run here; see
// ledger.Ledger.End for proof and ok. Once the engine stops, and where it only serves, it
// claims nothing: another instance finds the end at once. The closures of this instance do
// not wait for that.
func (e *Engine) End(ctx context.Context, id, proof, reason string) (ok bool, err error) {
	var terms ledger.ClaimTerms
	if !e.stopping.Load() && !e.c.ServesOnly {
		// The "d" keeps these names apart from those of the reapers' claims.
		terms.Token = ledger.ClaimToken(e.c.Instance, "d"+strconv.FormatInt(e.claims.Add(1), 10))
		terms.Lease = e.c.Lease
	}
	claim, ok, err := e.c.Ledger.End(ctx, id, proof, reason, terms)
	switch {
	case claim != nil:
		e.delivery.Submit([]*ledger.Claim{claim}) // which gives it back if the engine has stopped since
	case ok:
		e.sweeper.Query(id)
	}
	return ok, err
}

// SubmitNews has the closures of an end run for which another instance has the claim.
func (e *Engine) SubmitNews(end ledger.End) { e.delivery.Submit([]*ledger.Claim{{End: end}}) }
