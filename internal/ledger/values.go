package ledger

import (
	"strconv"
	"strings"

	"github.com/gin-lifecycle/lifecycle/internal/token"
)

// Somebody else may have written anything into the hash of an end. A number that
// lifecycle cannot have written counts as not known.
const (
	maxUnix    = 253_402_300_799_999 // the last millisecond of the year 9999, the last year that has four digits
	maxAttempt = 1_000_000
	maxReason  = 256
)

// attemptOf reads the number of an end's attempt, 1 if it is not known.
func attemptOf(v any) int {
	if n := toInt(v); n > 1 && n <= maxAttempt {
		return int(n)
	}
	return 1
}

// timeOf reads a time in Unix ms, 0 if it is not known.
func timeOf(v any) int64 {
	if n := toInt(v); n > 0 && n <= maxUnix {
		return n
	}
	return 0
}

// leftOf reads how many ms of a time to live were left, -1 if that is not known.
func leftOf(v any) int64 {
	if n := toInt(v); v != nil && n >= 0 && n <= token.MaxTimeout.Milliseconds() {
		return n
	}
	return -1
}

// reasonOf reads the reason of an end, the first maxReason bytes of it.
func reasonOf(v any) string {
	s := toString(v)
	return strings.Clone(s[:min(len(s), maxReason)])
}

// toInt reads a whole number from a script's reply, 0 if there is none. A script returns
// numbers that it has read from Redis as text. Whatever follows the digits is ignored.
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
		n, _ := strconv.ParseInt(whole, 10, 64) // if it is too large, the largest there is
		if len(whole) < len(v) && v[0] == '-' {
			n = -n
		}
		return n
	}
	return 0
}

// toString reads a text from a script's reply, "" if there is none.
func toString(v any) string {
	s, _ := v.(string)
	return s
}
