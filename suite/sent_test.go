package suite_test

import (
	"context"
	"strings"
	"sync"

	"github.com/redis/go-redis/v9"
)

// sentCommands are what a client has sent to Redis.
type sentCommands struct {
	mu       sync.Mutex
	n        int
	commands []string
}

// watch records what a client sends from now on. A store uses clients of tests that run on
// shared deployments as they are, and not clones, which have no hooks.
func watch(rdb redis.UniversalClient) *sentCommands {
	s := new(sentCommands)
	rdb.AddHook(s)
	return s
}

// trips returns how many round trips there were.
func (s *sentCommands) trips() int {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.n
}

// of returns the commands whose text begins so.
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

func (s *sentCommands) reset() {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.n, s.commands = 0, nil
}

func (s *sentCommands) note(cmds ...redis.Cmder) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.n++
	for _, cmd := range cmds {
		s.commands = append(s.commands, cmd.String())
	}
}

func (s *sentCommands) DialHook(next redis.DialHook) redis.DialHook { return next }

func (s *sentCommands) ProcessHook(next redis.ProcessHook) redis.ProcessHook {
	return func(ctx context.Context, cmd redis.Cmder) error {
		s.note(cmd)
		return next(ctx, cmd)
	}
}

func (s *sentCommands) ProcessPipelineHook(next redis.ProcessPipelineHook) redis.ProcessPipelineHook {
	return func(ctx context.Context, cmds []redis.Cmder) error {
		s.note(cmds...)
		return next(ctx, cmds)
	}
}
