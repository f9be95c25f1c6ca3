package reply

import (
	"errors"
	"fmt"
	"testing"

	"github.com/redis/go-redis/v9"
	"go.uber.org/goleak"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// answer is an error reply of a Redis server.
type answer string

func (a answer) Error() string { return string(a) }
func (answer) RedisError()     {}

// Refuses is true for answers that trying again cannot change, and for no others.
func TestRefuses(t *testing.T) {
	t.Parallel()
	for err, want := range map[error]bool{
		nil:                                            false,
		errors.New("connection refused"):               false,
		answer("NOPERM no permissions"):                true,
		answer("ERR unknown command"):                  true,
		answer("NOAUTH required"):                      true,
		redis.ErrClosed:                                false,
		answer("BUSYKEY is something else"):            true,
		answer("BUSY Redis is busy running a script."): false,
		answer("LOADING Redis is loading the dataset in memory"):               false,
		answer("MASTERDOWN Link with MASTER is down"):                          false,
		answer("CLUSTERDOWN The cluster is down"):                              false,
		answer("TRYAGAIN Multiple keys request during rehashing of slot"):      false,
		answer("ERR max number of clients reached"):                            false,
		fmt.Errorf("read: %w", answer("LOADING Redis is loading the dataset")): false,
		fmt.Errorf("read: %w", answer("NOPERM no permissions")):                true,
	} {
		if got := Refuses(err); got != want {
			t.Errorf("Refuses(%v) = %v, want %v", err, got, want)
		}
	}
}
