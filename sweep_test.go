package lifecycle_test

import (
	"context"
	"testing"

	"github.com/gin-lifecycle/lifecycle"
	"github.com/gin-lifecycle/lifecycle/internal/token"
)

// An end is told while the session's first hook is being registered, and before
// the sweep it was told to, all sessions are asked for: the told one is, too.
func TestSweepOfAllKeepsTheToldEnd(t *testing.T) {
	t.Parallel()
	a := newApp(t, shared(t), prefix()).start()
	id := token.New(token.Mark{}, token.Timeouts{}).ID // of a session that Redis knows nothing of
	a.m.BeginRegistration(id)
	a.m.TellAndAskAll(id)
	eventually(t, "the end is heard of", func() bool { return a.m.HasHeardOf(id) })
	hook := func(context.Context, *lifecycle.Session) error { return nil }
	if ended, ok := a.m.FinishRegistration(id, hook); ended != id || !ok {
		t.Errorf("registered: ended %q, %v", ended, ok)
	}
}
