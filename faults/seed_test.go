package faults

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"time"

	"github.com/redis/go-redis/v9"

	"github.com/gin-lifecycle/lifecycle/internal/ledger/ledgertest"
	"github.com/gin-lifecycle/lifecycle/internal/token"
)

// To seed a session is to write it to Redis without a request to an instance. No created
// hook runs for it.

// seededIdle is the idle timeout of seeded sessions. They end before it, at their absolute
// timeout.
const seededIdle = time.Hour

// seededLife is a time to live that is over before most tests end.
const seededLife = 25 * time.Second

// seeder is a client of Redis, or one of its connections.
type seeder interface{ Pipeline() redis.Pipeliner }

// seedSafe seeds n sessions with this time to live, and notes for the checker that there is
// no excuse if Redis loses them. If in has any buckets, the sessions are in these.
func (f *fleet) seedSafe(life time.Duration, rdb seeder, n int, in ...int) {
	f.t.Helper()
	f.loadScripts()
	ids, err := f.seed(rdb, n, time.Now().Add(life), in...)
	if err != nil {
		f.t.Fatal(err)
	}
	f.known.keptSafe(ids)
}

// seed seeds n sessions that end at deadline, in one round trip, and returns their IDs.
// Redis must know the scripts. If in has any buckets, the sessions are in these.
func (f *fleet) seed(rdb seeder, n int, deadline time.Time, in ...int) ([]string, error) {
	create := scriptSHA("create")
	from := time.Now()
	pipe := rdb.Pipeline()
	ids := make([]string, n)
	for i := range ids {
		t := token.New(token.Mark{}, token.Timeouts{Idle: seededIdle, Deadline: deadline.UnixMilli()})
		for len(in) > 0 && !slices.Contains(in, token.Bucket(t.ID, f.setup.Buckets)) {
			t = token.New(token.Mark{}, t.Timeouts())
		}
		ids[i] = t.ID
		f.known.seeding(t.ID, deadline)
		p := fmt.Sprintf("%s:{%d}:", f.setup.Prefix, token.Bucket(t.ID, f.setup.Buckets))
		pipe.EvalSha(context.Background(), create,
			[]string{p + "due", p + "session:" + t.ID, p + "live:" + t.ID + ":" + token.ProofText(t.Proof())},
			t.ID, ledgertest.Record(t, from, nil), seededIdle.Milliseconds(), deadline.UnixMilli(), p+"wake")
	}
	begun, err := pipe.Exec(context.Background())
	for i, cmd := range begun {
		if ok, _ := cmd.(*redis.Cmd).Bool(); ok {
			f.known.seeded(ids[i], from)
		} else if err == nil {
			err = errors.New("the deadline passed before all sessions had begun")
		}
	}
	return ids, err
}
