package suite_test

import (
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/gin-lifecycle/lifecycle"
	"github.com/gin-lifecycle/lifecycle/internal/record"
	"github.com/gin-lifecycle/lifecycle/internal/redistest"
	"github.com/gin-lifecycle/lifecycle/internal/token"
)

// earlier does to a session what Save does in the release before sessions had timeouts of their
// own: it puts the idle timeout of the store in force, keeps the fields of the record that it does
// not know, and writes "1" as the value of the live key.
func (a *app) earlier(id string, v *visitor, idle time.Duration) {
	a.t.Helper()
	ctx := redistest.Within(a.t)
	name, value, _ := strings.Cut(v.cookie, "=")
	tok, ok := token.Parse(value, token.MarkOf(a.prefix, name))
	packed, err := a.admin.Get(ctx, a.key("session:"+id)).Bytes()
	rec, broken := record.Unpack(packed)
	if !ok || err != nil || broken != nil {
		a.t.Fatalf("the session %s of %s: %v, %v", id, v.cookie, err, broken)
	}
	rec.Timeouts.Idle = idle
	tok = tok.WithTimeouts(rec.Timeouts)
	rec.Proof = tok.Proof()
	live := fmt.Sprintf("%s:{%s}:live:%s:%s", a.prefix, a.bucket(id), id, token.ProofText(rec.Proof))
	pipe := a.admin.TxPipeline()
	pipe.Rename(ctx, a.liveKey(id), live)
	pipe.Set(ctx, live, "1", idle)
	pipe.Set(ctx, a.key("session:"+id), record.Pack(rec), 0)
	pipe.ZAddLT(ctx, fmt.Sprintf("%s:{%s}:due", a.prefix, a.bucket(id)), zAt(id, float64(time.Now().Add(idle).UnixMilli())))
	if _, err := pipe.Exec(ctx); err != nil {
		a.t.Fatal(err)
	}
	v.cookie = name + "=" + tok.String()
}

// During a rolling update an instance of an earlier release has saved a session with timeouts of
// its own. The next request, or the save that it got in the way of, puts them in force again.
func TestTimeoutsAreRestoredAfterAnEarlierRelease(t *testing.T) {
	t.Parallel()
	const week = 7 * 24 * time.Hour
	a := newApp(t, shared(t), redistest.Prefix(), lifecycle.WithIdleTimeout(30*time.Minute))
	a.get("/remember", func(c *lifecycle.Context) { a.answer(c, c.SetTimeouts(week, 4*week)) })
	var between func()
	a.get("/slow", func(c *lifecycle.Context) {
		between()
		a.answer(c, save(c, "slow", "yes"))
	})
	a.ages()
	a.router.GET("/poll", lifecycle.Passive(), lifecycle.Handler(func(c *lifecycle.Context) { a.answer(c, nil) }))
	remembered := func(id, when string) {
		t.Helper()
		if left := a.left(id); left < week-time.Minute || left > week {
			t.Errorf("%s: the session lives for %v, want a week", when, left)
		}
	}
	id, v := a.begin()
	a.ok(v, "/remember")
	a.ok(v, "/set?user=alice")
	a.earlier(id, v, 30*time.Minute)
	before := v.cookie
	if a.ok(v, "/poll"); a.left(id) > time.Hour || v.cookie != before {
		t.Errorf("a passive request has prolonged the session to %v", a.left(id))
	}
	if got := a.ok(v, "/"); got != id {
		t.Errorf("the session is %s, want %s", got, id)
	}
	remembered(id, "after a request")
	if v.cookie == before {
		t.Error("the browser has not got the new token")
	}
	stale := visitor{before}
	if got := a.ok(&stale, "/"); got != id {
		t.Errorf("with the token of the earlier release the session is %s, want %s", got, id)
	}
	between = func() { a.earlier(id, &visitor{v.cookie}, 30*time.Minute) }
	a.ok(v, "/slow")
	remembered(id, "after a save")
	if values := a.values(id); values["user"] != "alice" || values["slow"] != "yes" {
		t.Errorf("the values are %v", values)
	}
	between = func() {}
	a.ok(v, "/age?n=3600")
	a.ok(v, "/")
	if left := a.left(id); left > time.Hour {
		t.Errorf("after a Save with another MaxAge the session lives for %v, want an hour", left)
	}
}
