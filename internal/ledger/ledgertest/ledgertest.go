package ledgertest

import (
	"context"
	"errors"
	"fmt"
	"testing"
	"time"

	"github.com/gin-lifecycle/lifecycle/internal/record"
	"github.com/gin-lifecycle/lifecycle/internal/redistest"
	"github.com/gin-lifecycle/lifecycle/internal/token"
)

// Ledger is what this package uses of a *ledger.Ledger.
type Ledger interface {
	Bucket(id string) int
	Create(ctx context.Context, t token.Token, life time.Duration, rec []byte) (bool, error)
}

// Values are the values in the records that Begin writes. They are no encoding of a codec.
const Values = "v"

// Open opens a ledger and returns it. It fails the test if that fails.
func Open[L interface{ Open(context.Context) error }](t testing.TB, l L) L {
	t.Helper()
	if err := l.Open(redistest.Within(t)); err != nil {
		t.Fatalf("opening the ledger: %v", err)
	}
	return l
}

// Record returns the record of a session that began at a time, with these values.
func Record(k token.Token, created time.Time, values []byte) []byte {
	return record.Pack(record.Record{Proof: k.Proof(), Created: created.UnixMilli(), Timeouts: k.Timeouts(), Values: values})
}

// TokenIn returns a new token whose ID is in a bucket. No session has it yet.
func TokenIn(l Ledger, bucket int, timeouts token.Timeouts) token.Token {
	for {
		if k := token.New(token.Mark{}, timeouts); l.Bucket(k.ID) == bucket {
			return k
		}
	}
}

// LiveKey returns the name of a session's live key. prefix is the prefix of the ledger's keys.
func LiveKey(l Ledger, prefix string, k token.Token) string {
	return fmt.Sprintf("%s:{%d}:live:%s:%s", prefix, l.Bucket(k.ID), k.ID, token.ProofText(k.Proof()))
}

// Begin begins a session with these timeouts. It returns the session's token and its record,
// and fails the test if the session does not begin.
func Begin(t testing.TB, l Ledger, timeouts token.Timeouts) (token.Token, []byte) {
	t.Helper()
	return begin(t, l, token.New(token.Mark{}, timeouts))
}

// BeginIn is Begin for a session in a bucket.
func BeginIn(t testing.TB, l Ledger, bucket int, timeouts token.Timeouts) (token.Token, []byte) {
	t.Helper()
	return begin(t, l, TokenIn(l, bucket, timeouts))
}

func begin(t testing.TB, l Ledger, k token.Token) (token.Token, []byte) {
	t.Helper()
	rec, err := create(redistest.Within(t), l, k)
	if err != nil {
		t.Fatalf("beginning a session: %v", err)
	}
	return k, rec
}

// TryBegin is Begin for tests in which Redis may be away: it returns an error if the session
// does not begin.
func TryBegin(ctx context.Context, l Ledger, timeouts token.Timeouts) (token.Token, error) {
	k := token.New(token.Mark{}, timeouts)
	_, err := create(ctx, l, k)
	return k, err
}

// create writes a session to Redis, and returns its record.
func create(ctx context.Context, l Ledger, k token.Token) ([]byte, error) {
	rec := Record(k, time.Now(), []byte(Values))
	ok, err := l.Create(ctx, k, k.Timeouts().Idle, rec)
	if err == nil && !ok {
		err = errors.New("its deadline had passed, or a session with its ID has ended")
	}
	return rec, err
}
