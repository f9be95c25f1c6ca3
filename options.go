package lifecycle

import (
	"fmt"
	"strings"
	"time"

	"github.com/gin-lifecycle/lifecycle/internal/token"
)

// duration returns an error if the value of an option is out of range.
func duration(option string, d, least, most time.Duration) error {
	if d < least || d > most {
		return fmt.Errorf("%s(%v): must be from %s to %s", option, d, readable(least), readable(most))
	}
	return nil
}

// durationOrOff is duration for an option that 0 switches off.
func durationOrOff(option string, d, most time.Duration) error {
	if d == 0 || d >= time.Millisecond && d <= most {
		return nil
	}
	return fmt.Errorf("%s(%v): must be 0, or from %s to %s", option, d, readable(time.Millisecond), readable(most))
}

// readable returns the text of a bound: "24h" and not "24h0m0s".
func readable(d time.Duration) string {
	if d == token.MaxTimeout {
		return "ten years"
	}
	text := d.String()
	if strings.HasSuffix(text, "m0s") {
		text = strings.TrimSuffix(text, "0s")
	}
	if strings.HasSuffix(text, "h0m") {
		text = strings.TrimSuffix(text, "0m")
	}
	return text
}
