package suite_test

import (
	"bufio"
	"context"
	"fmt"
	"net"
	"net/http"
	"os/signal"
	"syscall"
	"testing"
	"time"

	"github.com/gin-gonic/gin"

	"github.com/gin-lifecycle/lifecycle"
	"github.com/gin-lifecycle/lifecycle/internal/redistest"
)

// runUntilSignal is the end of a child's program: it serves with Run until a signal comes.
func runUntilSignal(m *lifecycle.Manager, router *gin.Engine) error {
	router.GET("/stream", lifecycle.Handler(func(c *lifecycle.Context) {
		_, err := c.OnSessionDestroyed(func(ctx context.Context, s *lifecycle.Session) error {
			_, limited := ctx.Deadline()
			fmt.Println("hook", s.ID, s.Reason, ctx.Err(), limited)
			return nil
		})
		c.String(http.StatusOK, "data: %s %v\n\n", c.Session().ID, err)
		c.Writer.Flush()
		<-c.Request.Context().Done()
		fmt.Println("streamed", context.Cause(c.Request.Context()))
	}))
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return err
	}
	fmt.Println("serving", l.Addr())
	ctx, stop := signal.NotifyContext(context.Background(), syscall.SIGTERM)
	defer stop()
	err = m.Run(ctx, &http.Server{Handler: router}, lifecycle.WithListener(l), lifecycle.WithRequestGrace(100*time.Millisecond))
	if err == nil {
		fmt.Println("stopped in order")
	}
	return err
}

// A program with an open stream gets a SIGTERM. The stream ends, the hook at the shutdown has
// a context that lives and is limited, and the program ends in order.
func TestRunStopsAtASignal(t *testing.T) {
	t.Parallel()
	c := startChild(t, shared(t), redistest.Prefix(), "run")
	addr := c.wait("serving")[0]
	req, err := http.NewRequestWithContext(redistest.Within(t), http.MethodGet, "http://"+addr+"/stream", nil)
	if err != nil {
		t.Fatal(err)
	}
	transport := new(http.Transport)
	defer transport.CloseIdleConnections()
	resp, err := (&http.Client{Transport: transport}).Do(req)
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = resp.Body.Close() }()
	var id, registered string
	if line, err := bufio.NewReader(resp.Body).ReadString('\n'); err != nil {
		t.Fatal(err)
	} else if _, err = fmt.Sscanf(line, "data: %s %s", &id, &registered); err != nil || registered != "<nil>" {
		t.Fatalf("the stream began with %q, %v", line, err)
	}
	if err := c.cmd.Process.Signal(syscall.SIGTERM); err != nil {
		t.Fatal(err)
	}
	if got := c.wait("streamed"); fmt.Sprint(got) != "[http: Server closed]" {
		t.Errorf("the stream's context ended with %v", got)
	}
	if got := c.wait("hook"); fmt.Sprint(got) != fmt.Sprintf("[%s shutdown <nil> true]", id) {
		t.Errorf("the hook got %v", got)
	}
	c.wait("stopped")
}
