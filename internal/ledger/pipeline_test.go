package ledger

import (
	"testing"
	"time"

	"github.com/redis/go-redis/v9"

	"github.com/gin-lifecycle/lifecycle/internal/ledger/ledgertest"
	"github.com/gin-lifecycle/lifecycle/internal/redistest"
	"github.com/gin-lifecycle/lifecycle/internal/token"
)

// The server refuses the client's login while the application runs. Every call says so, and
// none takes it for an answer.
func TestRefusedLogin(t *testing.T) {
	t.Parallel()
	server := redistest.Start(t)
	admin := redistest.Client(t, server.Addr)
	ctx := redistest.Within(t)
	acl := func(args ...any) {
		t.Helper()
		if err := admin.Do(ctx, append([]any{"ACL", "SETUSER", "app"}, args...)...).Err(); err != nil {
			t.Fatal(err)
		}
	}
	acl("reset", "on", ">old", "~*", "&*", "+@all")
	rdb := redis.NewClient(&redis.Options{Addr: server.Addr, Username: "app", Password: "old", ContextTimeoutEnabled: true})
	t.Cleanup(func() { _ = rdb.Close() })
	l := ledgertest.Open(t, New(rdb, Config{Prefix: redistest.Prefix(), Buckets: 1, Timeout: time.Second}))
	acl(">new", "<old")
	if err := admin.Do(ctx, "CLIENT", "KILL", "USER", "app").Err(); err != nil {
		t.Fatal(err)
	}
	tok := token.New(token.Mark{}, token.Timeouts{Idle: time.Minute})
	for name, call := range map[string]func() error{
		"Load":      func() error { return l.Load(ctx, tok)[0].Err },
		"Fates":     func() error { return l.Fates(ctx, []string{tok.ID})[0].Err },
		"Count":     func() error { _, err := l.Count(ctx); return err },
		"Heads":     func() error { _, err := l.Heads(ctx, []int{0}, 1); return err },
		"Tails":     func() error { _, err := l.Tails(ctx, []int{0}, 1); return err },
		"DeadSizes": func() error { _, err := l.DeadSizes(ctx, []int{0}); return err },
		"LastDead":  func() error { _, err := l.LastDead(ctx); return err },
		"Look": func() error {
			_, err := l.Look(ctx, []int{0}, [][]Suspect{{{ID: tok.ID}}}, ClaimTerms{"i:1", time.Minute})
			return err
		},
		"Settle": func() error {
			return l.Settle(ctx, "i", []Settlement{{ClaimRef: ClaimRef{tok.ID, "i:1"}}}, time.Minute)[0].Err
		},
		"Renew": func() error { return l.Renew(ctx, []ClaimRef{{tok.ID, "i:1"}}, time.Minute)[0].Err },
		"Postpone": func() error {
			return l.Postpone(ctx, []int{0}, [][]string{{tok.ID}}, time.Minute)
		},
	} {
		if err := call(); !redis.HasErrorPrefix(err, "WRONGPASS") {
			t.Errorf("%s: %v", name, err)
		}
	}
}
