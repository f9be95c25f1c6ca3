package suite_test

import (
	"bufio"
	"context"
	"encoding/json"
	"fmt"
	"net/http"
	"net/http/httptest"
	"os"
	"os/exec"
	"strings"
	"testing"
	"time"

	"github.com/gin-gonic/gin"

	"github.com/gin-lifecycle/lifecycle"
	"github.com/gin-lifecycle/lifecycle/internal/redistest"
)

// childEnv is the environment variable that makes the test binary a child process. Its
// value is an order, as JSON.
const childEnv = "LIFECYCLE_TEST_CHILD"

// order says what a child process does.
type order struct {
	At            address
	Notifications bool
	Prefix, Mode  string
}

// runChild is the program of a child process: an instance that a test can kill. It begins
// a session, then does what the mode of its order says. It prints a line for everything
// that it does, and the test waits for these lines.
func runChild() {
	must := func(err error) {
		if err != nil {
			fmt.Println("error", err)
			os.Exit(1)
		}
	}
	var o order
	must(json.Unmarshal([]byte(os.Getenv(childEnv)), &o))
	idle := time.Second
	if o.Mode == "run" {
		idle = time.Hour
	}
	store, err := lifecycle.NewStore(o.At.dial(), lifecycle.WithPrefix(o.Prefix), lifecycle.WithBuckets(8),
		lifecycle.WithNotifications(o.Notifications),
		lifecycle.WithLease(300*time.Millisecond), lifecycle.WithIdleTimeout(idle))
	must(err)
	m, err := lifecycle.New(store)
	must(err)
	m.OnSessionDestroyed(func(_ context.Context, s *lifecycle.Session) error {
		fmt.Println("hook", s.ID, s.Attempt)
		if o.Mode == "hang-in-hook" {
			select {}
		}
		return nil
	})
	m.OnSessionDestroyed(func(_ context.Context, s *lifecycle.Session) error {
		fmt.Println("second", s.ID, s.Attempt)
		return nil
	})
	router := gin.New()
	router.Use(m.Middleware())
	router.GET("/", lifecycle.Handler(func(c *lifecycle.Context) {
		must(register(c, func(ctx context.Context, s *lifecycle.Session) error {
			fmt.Println("closure", s.ID, s.Reason)
			return ctx.Err()
		}))
		fmt.Println("began", c.Session().ID)
	}))
	if o.Mode == "run" {
		must(runUntilSignal(m, router))
		return
	}
	must(m.Start(context.Background()))
	fmt.Println("started", m.Stats().Instances)
	if o.Mode != "idle" {
		w := httptest.NewRecorder()
		router.ServeHTTP(w, httptest.NewRequest(http.MethodGet, "/", nil))
	}
	select {} // until the test kills the process
}

// child is a child process.
type child struct {
	t     *testing.T
	cmd   *exec.Cmd
	lines chan string // what the process prints
}

// startChild starts this test binary as a child process. The process ends when the test
// ends, if the test does not kill it before.
func startChild(t *testing.T, d deployment, prefix, mode string) *child {
	t.Helper()
	c := &child{t: t, cmd: exec.Command(os.Args[0]), lines: make(chan string, 1000)}
	o, err := json.Marshal(order{d.address(t, prefix), d.notifications == lifecycle.NotificationsOn, prefix, mode})
	if err != nil {
		t.Fatal(err)
	}
	c.cmd.Env = append(os.Environ(), childEnv+"="+string(o))
	c.cmd.Stderr = os.Stderr
	out, err := c.cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := c.cmd.Start(); err != nil {
		t.Fatal(err)
	}
	read := make(chan struct{})
	go func() {
		defer close(read)
		for s := bufio.NewScanner(out); s.Scan(); {
			c.lines <- s.Text()
		}
	}()
	t.Cleanup(func() {
		_ = c.cmd.Process.Kill()
		<-read
		_ = c.cmd.Wait()
	})
	return c
}

// wait waits for a line that begins with word. It returns the other words of the line.
func (c *child) wait(word string) []string {
	c.t.Helper()
	for {
		fields := strings.Fields(redistest.Receive(c.t, c.lines))
		if len(fields) > 0 && fields[0] == "error" {
			c.t.Fatalf("child: %v", fields)
		}
		if len(fields) > 0 && fields[0] == word {
			return fields[1:]
		}
	}
}

func (c *child) kill() { _ = c.cmd.Process.Kill() }

// An instance is killed while it runs the hooks of an end. Another instance runs all hooks
// of this end, as the second attempt.
func TestKilledWhileRunningAHook(t *testing.T) {
	t.Parallel()
	d, p := shared(t), redistest.Prefix()
	c := startChild(t, d, p, "hang-in-hook")
	id := c.wait("began")[0]
	if got := c.wait("closure"); got[0] != id || got[1] != "idle" {
		t.Errorf("closure: %v", got)
	}
	if got := c.wait("hook"); got[0] != id || got[1] != "1" {
		t.Errorf("first attempt: %v", got)
	}
	a := newApp(t, d, p, lifecycle.WithLease(300*time.Millisecond)).start()
	c.kill()
	if s := a.nextDestroyed(); s.ID != id || s.Attempt < 2 || s.Reason != lifecycle.ReasonIdleTimeout {
		t.Errorf("on the other instance: %s, attempt %d, %s", s.ID, s.Attempt, s.Reason)
	}
	redistest.Eventually(t, "the end is finished", func() bool { return len(a.keys("due")) == 0 })
	a.quiet()
}

// A session ends while no instance runs. The next instance runs its hooks as soon as it
// starts, without a visitor.
func TestEndsWhileNobodyRuns(t *testing.T) {
	t.Parallel()
	d, p := shared(t), redistest.Prefix()
	c := startChild(t, d, p, "begin")
	id := c.wait("began")[0]
	c.kill() // the session is still live
	redistest.Eventually(t, "the session has timed out", func() bool { return len(d.keys(t, p+":{*}:live:*")) == 0 })
	a := newApp(t, d, p).start()
	s := a.nextDestroyed()
	if s.ID != id || s.Reason != lifecycle.ReasonIdleTimeout || s.Request.Method != http.MethodGet {
		t.Errorf("ended: %s, %s, %+v", s.ID, s.Reason, s.Request)
	}
}

// An instance is killed. The other instance takes over its share of the sessions.
func TestKilledInstanceIsReplaced(t *testing.T) {
	t.Parallel()
	d, p := shared(t), redistest.Prefix()
	c := startChild(t, d, p, "idle")
	c.wait("started")
	a := newApp(t, d, p, lifecycle.WithIdleTimeout(200*time.Millisecond)).start()
	redistest.Eventually(t, "two instances", func() bool { return a.m.Stats().Instances == 2 })
	c.kill()
	ids := make(map[string]bool)
	for range 32 { // enough to have some in the share of each instance
		id, _ := a.begin()
		ids[id] = true
	}
	for range ids {
		if s := a.nextDestroyed(); !ids[s.ID] {
			t.Errorf("unknown session %s", s.ID)
		}
	}
	redistest.Eventually(t, "one instance", func() bool { return a.m.Stats().Instances == 1 })
}
