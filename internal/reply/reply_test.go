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
		redistest.ErrorReply("NOAUTH required"):                                              false,
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

// The texts are replies of Redis 7.0.15 and, for those with an ERR that Redis does not give,
// of proxies.
func TestLoginRefused(t *testing.T) {
	t.Parallel()
	for text, want := range map[string]bool{
		"WRONGPASS invalid username-password pair or user is disabled.": true,
		"NOAUTH Authentication required.":                               true,
		"NOAUTH HELLO must be called with the client already authenticated, otherwise the HELLO <proto> AUTH <user> <pass> option can be used": true,
		"ERR AUTH <password> called without any password configured for the default user. Are you sure your configuration is correct?":         true,
		"ERR Client sent AUTH, but no password is set":                            true,
		"ERR invalid password":                                                    true,
		"ERR invalid username-password pair":                                      true,
		"NOPERM User app has no permissions to run the 'info' command":            false,
		"NOPERM No permissions to access a channel":                               false,
		"ERR unknown command 'AUTH', with args beginning with: ":                  false,
		"ERR wrong number of arguments for 'auth' command":                        false,
		"LOADING Redis is loading the dataset in memory":                          false,
		"WRONGTYPE Operation against a key holding the wrong kind of value":       false,
		"ERR max number of clients reached":                                       false,
		"NOREPLICAS Not enough good replicas to write.":                           false,
		"ERR user_script:1: NOAUTH is what this script says: WRONGPASS script: 1": false,
	} {
		for _, err := range []error{redistest.ErrorReply(text), fmt.Errorf("failed to authenticate: %w", redistest.ErrorReply(text))} {
			if got := LoginRefused(err); got != want {
				t.Errorf("LoginRefused(%v) = %v, want %v", err, got, want)
			}
			if want && Refuses(err) {
				t.Errorf("Refuses(%v) = true, though only the login was refused", err)
			}
		}
	}
	for _, err := range []error{nil, redis.ErrClosed, errors.New("WRONGPASS says a proxy's page"), errors.New("dial tcp: connection refused")} {
		if LoginRefused(err) {
			t.Errorf("LoginRefused(%v) = true, though it is no answer", err)
		}
	}
}
