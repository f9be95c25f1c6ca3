package listener

import (
	"testing"

	"go.uber.org/goleak"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// What is set stays; what is needed is added.
func TestMissingFlags(t *testing.T) {
	t.Parallel()
	for flags, want := range map[string]string{
		"":       "Exeg",
		"KA":     "E",
		"AE":     "",
		"gxeE":   "",
		"Ex":     "eg",
		"Kl":     "Exeg",
		"g$lshE": "xe",
	} {
		if got := missing(flags); got != want {
			t.Errorf("%q: %q, want %q", flags, got, want)
		}
	}
}
