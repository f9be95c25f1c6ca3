package ledger

import (
	"strconv"
	"strings"

	"github.com/gin-lifecycle/lifecycle/internal/token"
)

// What is read from an end is what somebody may have written there. A number that
// none of ours can be is taken for one that is not known.
const (
	maxUnix    = 253_402_300_799_999 // the last millisecond of the year 9999, which time.Time can still tell
	maxAttempt = 1_000_000
	maxReason  = 256
)

// attemptOf reads which attempt an end is at, the first where that is not known.
func attemptOf(v any) int {
	if n := toInt(v); n > 1 && n <= maxAttempt {
		return int(n)
	}
	return 1
}

// timeOf reads a time in Unix ms, 0 where it is not known.
func timeOf(v any) int64 {
	if n := toInt(v); n > 0 && n <= maxUnix {
		return n
	}
	return 0
}

// leftOf reads how many ms of a time to live are left, -1 where it is not known.
func leftOf(v any) int64 {
	if n := toInt(v); v != nil && n >= 0 && n <= token.MaxTimeout.Milliseconds() {
		return n
	}
	return -1
}

// reasonOf reads the reason of an end.
func reasonOf(v any) string {
	s := toString(v)
	return strings.Clone(s[:min(len(s), maxReason)])
}

// toInt reads a number from a script's reply, which gives those that it had from
// Redis as text; 0 where there is none. What follows a whole number is left out.
func toInt(v any) int64 {
	switch v := v.(type) {
	case int64:
		return v
	case string:
		whole := strings.TrimPrefix(v, "-")
		end := strings.IndexFunc(whole, func(r rune) bool { return r < '0' || r > '9' })
		if end >= 0 {
			whole = whole[:end]
		}
		n, _ := strconv.ParseInt(whole, 10, 64) // of what is too large, the largest
		if len(whole) < len(v) && v[0] == '-' {
			n = -n
		}
		return n
	}
	return 0
}

func toString(v any) string {
	s, _ := v.(string)
	return s
}
