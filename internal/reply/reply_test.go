package reply

import (
	"errors"
	"fmt"
	"testing"

	"github.com/redis/go-redis/v9"
	"go.uber.org/goleak"

	"github.com/gin-lifecycle/lifecycle/internal/redistest"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// Refuses is true for answers that trying again cannot change, and for no others.
func TestRefuses(t *testing.T) {
	t.Parallel()
	for err, want := range map[error]bool{
		nil:                              false,
		errors.New("connection refused"): false,
		redistest.ErrorReply("NOPERM no permissions"):                                        true,
		redistest.ErrorReply("ERR unknown command"):                                          true,
		redistest.ErrorReply("NOAUTH required"):                                              true,
		redis.ErrClosed:                                                                      false,
		redistest.ErrorReply("BUSYKEY is something else"):                                    true,
		redistest.ErrorReply("BUSY Redis is busy running a script."):                         false,
		redistest.ErrorReply("LOADING Redis is loading the dataset in memory"):               false,
		redistest.ErrorReply("MASTERDOWN Link with MASTER is down"):                          false,
		redistest.ErrorReply("CLUSTERDOWN The cluster is down"):                              false,
		redistest.ErrorReply("TRYAGAIN Multiple keys request during rehashing of slot"):      false,
		redistest.ErrorReply("ERR max number of clients reached"):                            false,
		fmt.Errorf("read: %w", redistest.ErrorReply("LOADING Redis is loading the dataset")): false,
		fmt.Errorf("read: %w", redistest.ErrorReply("NOPERM no permissions")):                true,
	} {
		if got := Refuses(err); got != want {
			t.Errorf("Refuses(%v) = %v, want %v", err, got, want)
		}
	}
}
