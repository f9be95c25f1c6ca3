package redistest

import (
	"context"
	"testing"
)

// Within returns a context for one call of a test. The context ends after Patience, so
// that the test fails instead of hanging. Unlike the context of the test it lives on
// while the test cleans up.
func Within(t testing.TB) context.Context {
	ctx, cancel := context.WithTimeout(context.Background(), Patience)
	t.Cleanup(cancel)
	return ctx
}
