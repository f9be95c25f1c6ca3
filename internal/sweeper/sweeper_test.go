package sweeper

import (
	"context"
	"os"
	"testing"
	"time"

	"github.com/gin-lifecycle/lifecycle/internal/closures"
	"github.com/gin-lifecycle/lifecycle/internal/ledger"
	"github.com/gin-lifecycle/lifecycle/internal/ledger/ledgertest"
	"github.com/gin-lifecycle/lifecycle/internal/redistest"
	"github.com/gin-lifecycle/lifecycle/internal/token"
)

func TestMain(m *testing.M) { os.Exit(redistest.Run(m)) }

// A message names a session whose first hook is still registering, and before the sweeper
// queries it, it is asked to query all sessions. It still queries the named one: the list
// of all sessions leaves out those whose first hook is registering.
func TestQueryOfAllKeepsTheNamedSession(t *testing.T) {
	t.Parallel()
	rdb := redistest.Client(t, redistest.Shared(t))
	l := ledgertest.Open(t, ledger.New(rdb, ledger.Config{Prefix: redistest.Prefix(), Buckets: 4, Timeout: 10 * time.Second}))
	var held closures.Closures[func()]
	taken := make(chan string, 10)
	s := New(Config{
		Ledger:   l,
		Instance: "i",
		Closures: &held,
		Submit: func(claims []*ledger.Claim) {
			for _, c := range claims {
				held.Take(c.End)
				taken <- c.ID
			}
		},
		Interval: time.Hour,
		Retry:    time.Hour,
	})
	id := token.New(token.Mark{}, token.Timeouts{}).ID // Redis has no such session: it is lost
	_, ended, err := held.Register(id, func() {}, closures.Options{}, func() ([]byte, error) {
		s.Query(id)
		s.QueryAll()
		ctx, cancel := context.WithCancel(t.Context())
		done := make(chan struct{})
		go func() {
			defer close(done)
			s.Run(ctx)
		}()
		if got := redistest.Receive(t, taken); got != id {
			t.Errorf("submitted %s, want %s", got, id)
		}
		cancel()
		<-done
		return nil, nil
	})
	if err != nil || ended == nil || ended.ID != id || ended.Reason != ledger.Lost {
		t.Errorf("ended %+v, error %v", ended, err)
	}
}
