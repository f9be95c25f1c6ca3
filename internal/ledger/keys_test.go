package ledger

import (
	"strings"
	"testing"

	"github.com/gin-lifecycle/lifecycle/internal/token"
)

// parseLive accepts the names of live keys, with the right bucket, and no others.
func TestParseLive(t *testing.T) {
	t.Parallel()
	k := newKeys("p", 16)
	id := token.New(token.Mark{}, token.Timeouts{}).ID
	b := k.bucket(id)
	good := k.live(b, id, "proof")
	if got, ok := k.parseLive(good); !ok || got != id {
		t.Errorf("parseLive(%q) = %q, %v, want %q", good, got, ok, id)
	}
	for _, bad := range []string{
		"", "p", "x" + good, strings.Replace(good, "live", "session", 1), k.live((b+1)%16, id, "proof"),
		k.live(b, id[1:], "proof"), k.live(b, id[1:]+"*", "proof"), "p:{}:live:" + id + ":x", k.buckets[b] + "live:" + id,
		good + strings.Repeat("x", token.ProofLength+token.ProofLength),
	} {
		if _, ok := k.parseLive(bad); ok {
			t.Errorf("parseLive accepts %q", bad)
		}
	}
}
