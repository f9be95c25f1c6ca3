package reply

import (
	"errors"
	"fmt"
	"testing"

	"github.com/gin-lifecycle/lifecycle/internal/redistest"
)

// The texts are replies of Redis 7.0.15 and 6.2.16.
func TestOverwritten(t *testing.T) {
	t.Parallel()
	const (
		v7 = " script: 21c241a40c87a05fb4abb40db7761445c908b8ba, on @user_script:1."
		v6 = "ERR Error running script (call to f_21c241a40c87a05fb4abb40db7761445c908b8ba): @user_script:1: "
	)
	for text, want := range map[string]bool{
		"WRONGTYPE Operation against a key holding the wrong kind of value":                      true,
		"WRONGTYPE Operation against a key holding the wrong kind of value" + v7:                 true,
		v6 + "WRONGTYPE Operation against a key holding the wrong kind of value":                 true,
		"ERR user_script:1: attempt to perform arithmetic on field '?' (a string value)" + v7:    true,
		v6 + "user_script:1: attempt to perform arithmetic on field '?' (a string value)":        true,
		"ERR user_script:1: attempt to compare table with number" + v7:                           true,
		v6 + "user_script:1: bad argument #1 to 'sub' (string expected, got nil)":                true,
		"ERR value is not a valid float" + v7:                                                    true,
		v6 + "ERR value is not a valid float":                                                    true,
		"OOM command not allowed when used memory > 'maxmemory'." + v7:                           false,
		v6 + "@user_script: 1: -OOM command not allowed when used memory > 'maxmemory'.":         false,
		"READONLY You can't write against a read only replica." + v7:                             false,
		v6 + "@user_script: 1: -READONLY You can't write against a read only replica.":           false,
		"MISCONF Redis is configured to save RDB snapshots, but it is currently not able" + v7:   false,
		v6 + "@user_script: 1: -MISCONF Redis is configured to save RDB snapshots":               false,
		"NOREPLICAS Not enough good replicas to write." + v7:                                     false,
		v6 + "@user_script: 1: -NOREPLICAS Not enough good replicas to write.":                   false,
		"TRYAGAIN Multiple keys request during rehashing of slot" + v7:                           false,
		"ERR The user executing the script can't run this command or subcommand" + v7:            false,
		v6 + "@user_script: 1: The user executing the script can't publish to the channel":       false,
		"NOPERM ACL failure in script: User can't run this command" + v7:                         false,
		"ERR Unknown Redis command called from script" + v7:                                      false,
		v6 + "@user_script: 1: Unknown Redis command called from Lua script":                     false,
		"ERR Script killed by user with SCRIPT KILL..." + v7:                                     false,
		v6 + "Script killed by user with SCRIPT KILL...":                                         false,
		v6 + "@user_script: 1: Lua script attempted to access a non local key in a cluster node": false,
		"ERR Script attempted to access keys that do not hash to the same slot" + v7:             false,
		"OOM command not allowed when used memory > 'maxmemory'.":                                false,
		"BUSY Redis is busy running a script. You can only call SCRIPT KILL":                     false,
		"NOSCRIPT No matching script. Please use EVAL.":                                          false,
		"LOADING Redis is loading the dataset in memory":                                         false,
		"MOVED 3999 127.0.0.1:6381":                                                              false,
		"ERR max number of clients reached":                                                      false,
	} {
		for _, err := range []error{redistest.ErrorReply(text), fmt.Errorf("look: %w", redistest.ErrorReply(text))} {
			if got := Overwritten(err); got != want {
				t.Errorf("Overwritten(%v) = %v, want %v", err, got, want)
			}
		}
	}
	for _, err := range []error{nil, errors.New("dial tcp: user_script: connection refused")} {
		if Overwritten(err) {
			t.Errorf("Overwritten(%v) = true, though it is no answer", err)
		}
	}
}
