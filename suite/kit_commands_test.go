package suite_test

import (
	"context"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"

	"github.com/redis/go-redis/v9"

	"github.com/gin-lifecycle/lifecycle/internal/redistest"
)

// roundTrip is what a client sends to Redis at once: one command, or a pipeline.
type roundTrip struct {
	commands []redis.Cmder
	pipeline bool
}

// onRoundTrip is a hook of go-redis. Its functions are called before and after each
// round trip of a client, unless they are nil.
type onRoundTrip struct{ before, after func(roundTrip) }

func (onRoundTrip) DialHook(next redis.DialHook) redis.DialHook { return next }

func (h onRoundTrip) ProcessHook(next redis.ProcessHook) redis.ProcessHook {
	return func(ctx context.Context, cmd redis.Cmder) error {
		return h.around(roundTrip{[]redis.Cmder{cmd}, false}, func() error { return next(ctx, cmd) })
	}
}

func (h onRoundTrip) ProcessPipelineHook(next redis.ProcessPipelineHook) redis.ProcessPipelineHook {
	return func(ctx context.Context, cmds []redis.Cmder) error {
		return h.around(roundTrip{cmds, true}, func() error { return next(ctx, cmds) })
	}
}

func (h onRoundTrip) around(r roundTrip, send func() error) error {
	if h.before != nil {
		h.before(r)
	}
	err := send()
	if h.after != nil {
		h.after(r)
	}
	return err
}

// tripsOf returns a function that says how many round trips of an app have named a session
// since then.
func (a *app) tripsOf(id string) func() int {
	var n atomic.Int64
	a.rdb.AddHook(onRoundTrip{before: func(r roundTrip) {
		named := func(arg any) bool { s, ok := arg.(string); return ok && strings.Contains(s, id) }
		if slices.ContainsFunc(r.commands, func(c redis.Cmder) bool { return slices.ContainsFunc(c.Args(), named) }) {
			n.Add(1)
		}
	}})
	return func() int { return int(n.Load()) }
}

// frugal fails the test if the client of an app sends a command that the library must
// never send.
func frugal(t testing.TB) redis.Hook {
	return onRoundTrip{before: func(r roundTrip) {
		for _, cmd := range r.commands {
			if slices.Contains(redistest.Forbidden, strings.ToLower(cmd.Name())) {
				t.Errorf("the library sent %v", cmd.Args())
			}
		}
	}}
}

// sentCommands are the commands that a client has sent to Redis.
type sentCommands struct {
	mu       sync.Mutex
	n        int
	commands []string
}

// watch records what a client sends from now on. The client must have
// ContextTimeoutEnabled, as those of shared deployments have: a store makes a copy of
// other clients, and copies have no hooks.
func watch(rdb redis.UniversalClient) *sentCommands {
	s := new(sentCommands)
	rdb.AddHook(onRoundTrip{before: s.note})
	return s
}

func (s *sentCommands) note(r roundTrip) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.n++
	for _, cmd := range r.commands {
		s.commands = append(s.commands, cmd.String())
	}
}

// trips returns the number of round trips.
func (s *sentCommands) trips() int {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.n
}

// of returns the commands whose text begins with begin.
func (s *sentCommands) of(begin string) (commands []string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	for _, c := range s.commands {
		if strings.HasPrefix(c, begin) {
			commands = append(commands, c)
		}
	}
	return commands
}

// naming returns how many commands with this text were sent.
func (s *sentCommands) naming(text string) (n int) {
	for _, c := range s.of("") {
		if strings.Contains(c, text) {
			n++
		}
	}
	return n
}

func (s *sentCommands) reset() {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.n, s.commands = 0, nil
}
