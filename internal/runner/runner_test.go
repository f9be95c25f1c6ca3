package runner

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"slices"
	"testing"
	"time"

	"github.com/gin-lifecycle/lifecycle/internal/redistest"
)

// The note of what has succeeded counts for the instance that wrote it: another one may
// have other hooks.
func TestNoteOfHooksThatHaveSucceeded(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		note string
		want []int
	}{
		{formatDone("i", []int{0, 2}), []int{0, 2}},
		{formatDone("j", []int{0, 2}), nil},
		{formatDone("i", nil), nil},
		{"", nil},
		{"i", nil},
		{"i:", nil},
		{"i:1,x,3", []int{1, 3}}, // somebody has written to Redis
	} {
		if got := parseDone("i", c.note); !slices.Equal(got, c.want) {
			t.Errorf("%q: %v, want %v", c.note, got, c.want)
		}
	}
}

// An application may use very many reasons: they must not fill the memory.
func TestReasonsAreBounded(t *testing.T) {
	t.Parallel()
	var c counters
	for i := range 2 * maxReasons {
		c.ended(fmt.Sprint("reason ", i))
	}
	c.ended("reason 0")
	got := c.reasons()
	if len(got) != maxReasons+1 || got["reason 0"] != 2 || got[otherReasons] != maxReasons {
		t.Errorf("%d reasons, the first %d times, others %d", len(got), got["reason 0"], got[otherReasons])
	}
}

func TestCreatedHooks(t *testing.T) {
	t.Parallel()
	cause := errors.New("no")
	for required, want := range map[bool][]string{false: {"first", "second", "third"}, true: {"first", "second"}} {
		var log redistest.Log
		var ran []string
		hook := func(name string, err error) Hook[string] {
			return func(_ context.Context, s string) error {
				ran = append(ran, name)
				if s != "picture" {
					t.Errorf("%s got %q", name, s)
				}
				return err
			}
		}
		r := New(Config[string]{
			Created:         []Hook[string]{hook("first", nil), hook("second", cause), hook("third", nil)},
			CreatedRequired: required,
			Timeout:         time.Minute,
			Log:             slog.New(slog.NewTextHandler(&log, nil)),
		})
		err := r.Created(t.Context(), "id", "picture")
		if errors.Is(err, cause) != required || !slices.Equal(ran, want) {
			t.Errorf("required %v: ran %v, error %v", required, ran, err)
		}
		if f := r.Figures(); f.Created != 1 || f.Run != uint64(len(want)) || f.Failed != 1 || !log.Contains("hook=2 session=id error=no") {
			t.Errorf("required %v: figures %+v, log %s", required, f, &log)
		}
	}
}

// The destroyed hooks of a session wait for its created hooks, but not for those of others.
func TestDestroyedHooksWaitForCreatedOnes(t *testing.T) {
	t.Parallel()
	var r Runner[string]
	finish := r.Beginning("a")
	r.awaitCreated(t.Context(), "b") // returns
	over, cancel := context.WithCancel(t.Context())
	cancel()
	r.awaitCreated(over, "a") // returns, as its context has ended
	waited := make(chan struct{})
	go func() {
		defer close(waited)
		r.awaitCreated(t.Context(), "a")
	}()
	select {
	case <-waited:
		t.Error("did not wait")
	default:
	}
	finish()
	redistest.Receive(t, waited)
	r.awaitCreated(t.Context(), "a") // returns
}
