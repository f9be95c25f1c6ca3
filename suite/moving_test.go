package suite_test

import (
	"net/http"
	"strings"
	"testing"

	"github.com/gin-lifecycle/lifecycle"
	"github.com/gin-lifecycle/lifecycle/internal/redistest"
)

// While a slot moves from one server to another, visitors whose sessions are in this slot
// are served. New sessions begin in other slots. What cannot be done meanwhile fails with
// an error that says why.
func TestMovingSlot(t *testing.T) {
	t.Parallel()
	c := startCluster(t)
	a := newApp(t, onCluster(t, c), redistest.Prefix()).start()
	id, v := a.begin()
	moving := a.bucket(id)
	slot := int(a.rdb.ClusterKeySlot(redistest.Within(t), "{"+moving+"}").Val())
	first := true
	err := c.MoveSlot(redistest.Within(t), slot, otherMaster(t, c, slot), func() {
		if !first {
			return
		}
		first = false
		if got := a.ok(v, "/"); got != id {
			t.Errorf("read: session %s, want %s", got, id)
		}
		// Without care one in eight would begin in the bucket that is moving.
		for range 40 {
			if other, _ := a.begin(); a.bucket(other) == moving {
				t.Errorf("session %s began in the bucket that is moving", other)
			}
		}
		// All keys of the session are still on the old server, so it can be saved. A logout
		// also asks for a key that no server has, and Redis refuses that.
		a.ok(v, "/set?user=alice")
		if w := a.visit(v, "/destroy"); w.Code != http.StatusConflict || !strings.Contains(w.Body.String(), "TRYAGAIN") {
			t.Errorf("logout: %d %s", w.Code, w.Body)
		}
	})
	if err != nil {
		t.Fatal(err)
	}
	if user := a.ok(v, "/get?key=user"); user != "alice" {
		t.Errorf("user %s", user)
	}
	a.ok(v, "/destroy")
	if s := a.nextDestroyed(); s.ID != id || s.Reason != lifecycle.ReasonDestroyed {
		t.Errorf("ended: %s, %s", s.ID, s.Reason)
	}
}
