package suite_test

import (
	"net/http"
	"strings"
	"testing"

	"github.com/gin-lifecycle/lifecycle"
)

// While a slot is on its way from one server to another, visitors of its bucket's
// sessions are served, new sessions begin in other buckets, and what cannot be done
// says why.
func TestMovingSlot(t *testing.T) {
	t.Parallel()
	c := startCluster(t)
	a := newApp(t, onCluster(t, c), prefix()).start()
	bucket := func(id string) string {
		_, rest, _ := strings.Cut(a.liveKey(id), "{")
		b, _, _ := strings.Cut(rest, "}")
		return b
	}
	id, v := a.begin()
	moving := bucket(id)
	slot := int(a.rdb.ClusterKeySlot(within(t), "{"+moving+"}").Val())
	to := c.Nodes[0]
	if to.Addr == c.MasterOf(within(t), slot).Addr {
		to = c.Nodes[1]
	}
	first := true
	err := c.MoveSlot(within(t), slot, to, func() {
		if !first {
			return
		}
		first = false
		if got := a.ok(v, "/"); got != id {
			t.Errorf("read: session %s, want %s", got, id)
		}
		// One in eight would fall into the bucket.
		for range 40 {
			if other, _ := a.begin(); bucket(other) == moving {
				t.Errorf("session %s began in the bucket that is moving", other)
			}
		}
		// All keys of this one are still here, so that it can be saved; a hook of its
		// handlers would be its first, and its key is nowhere.
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
