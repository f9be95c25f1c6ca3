package lifecycle_test

import (
	"context"
	"fmt"
	"io"
	"log"
	"net"
	"net/http"
	"os"
	"os/signal"
	"syscall"
	"time"

	"github.com/gin-gonic/gin"
	"github.com/redis/go-redis/v9"

	"github.com/gin-lifecycle/lifecycle"
	"github.com/gin-lifecycle/lifecycle/embedded"
)

// The whole program around a router: it serves until a signal comes, and stops in the right
// order.
func ExampleRun() {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer stop()

	client := redis.NewClient(&redis.Options{Addr: "127.0.0.1:6379", ContextTimeoutEnabled: true})
	defer client.Close()
	store, err := lifecycle.NewStore(client)
	if err != nil {
		log.Fatal(err)
	}
	router := gin.Default() // with sessions.Sessions, lifecycle.Middleware and the pages
	server := &http.Server{Addr: ":8080", Handler: router}
	if err := lifecycle.Run(ctx, server, store); err != nil {
		log.Print(err)
	}
}

// A page sends events for as long as it is open. When the program stops, the stream's context
// ends first. The closure comes afterwards, and has time of its own.
func ExampleManager_Run() {
	manager, stop := newManager()
	defer stop()
	router := gin.New()
	router.Use(manager.Middleware())
	router.GET("/events", lifecycle.Handler(func(c *lifecycle.Context) {
		_, err := c.OnSessionDestroyed(func(ctx context.Context, s *lifecycle.Session) error {
			fmt.Println("closed:", s.Reason, ctx.Err())
			return nil
		})
		if err != nil {
			c.AbortWithStatus(http.StatusServiceUnavailable)
			return
		}
		c.String(http.StatusOK, "data: hello\n\n")
		c.Writer.Flush()
		ctx := c.Request.Context()
		<-ctx.Done() // and other channels, from which events come
		fmt.Println("stream ended:", context.Cause(ctx))
	}))
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		log.Fatal(err)
	}

	ctx, cancel := context.WithCancel(context.Background()) // in a program: signal.NotifyContext
	go func() {
		page, err := http.Get("http://" + listener.Addr().String() + "/events")
		if err != nil {
			log.Print(err)
			return
		}
		cancel() // the stream has begun
		_, _ = io.Copy(io.Discard, page.Body)
		_ = page.Body.Close()
		http.DefaultClient.CloseIdleConnections()
	}()
	err = manager.Run(ctx, &http.Server{Handler: router},
		lifecycle.WithListener(listener), // without it, Run listens on the server's Addr
		lifecycle.WithRequestGrace(10*time.Millisecond))
	fmt.Println("Run:", err)
	// Output:
	// stream ended: http: Server closed
	// closed: shutdown <nil>
	// Run: <nil>
}

// A worker serves no pages: it runs the hooks of the sessions that end, also of those that
// other programs with the same prefix have begun.
func ExampleManager_Run_worker() {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer stop()

	client := redis.NewClient(&redis.Options{Addr: "127.0.0.1:6379", ContextTimeoutEnabled: true})
	defer client.Close()
	store, err := lifecycle.NewStore(client, lifecycle.WithPrefix("shop"))
	if err != nil {
		log.Fatal(err)
	}
	worker, err := lifecycle.New(store)
	if err != nil {
		log.Fatal(err)
	}
	worker.OnSessionDestroyed(func(_ context.Context, s *lifecycle.Session) error {
		log.Printf("session %s ended: %s", s.ID, s.Reason)
		return nil
	})
	if err := worker.Run(ctx, nil); err != nil {
		log.Print(err)
	}
}

// A server with certificates whose requests and hooks take long. The orchestrator that stops
// it must wait for longer than both times together.
func ExampleWithServerGrace() {
	manager, stop := newManager()
	defer stop()
	serve := func(ctx context.Context, handler http.Handler) error {
		return manager.Run(ctx, &http.Server{Addr: ":8443", Handler: handler},
			lifecycle.WithTLSFiles("cert.pem", "key.pem"),
			lifecycle.WithRequestGrace(20*time.Second), // then the requests' contexts end
			lifecycle.WithServerGrace(30*time.Second),  // then their connections are closed
			lifecycle.WithHookGrace(time.Minute))
	}
	_ = serve

	fmt.Println(manager.Run(context.Background(), new(http.Server), lifecycle.WithServerGrace(-time.Second)))
	// Output: lifecycle: Run: WithServerGrace(-1s): must be from 0s to 1h
}

// The web process only serves. The worker, mostly another program, runs the destroyed hooks.
func ExampleWithoutDelivery() {
	client, err := embedded.Start()
	if err != nil {
		log.Fatal(err)
	}
	defer client.Close()
	store, err := lifecycle.NewStore(client)
	if err != nil {
		log.Fatal(err)
	}
	web, err := lifecycle.New(store, lifecycle.WithoutDelivery())
	if err != nil {
		log.Fatal(err)
	}
	defer shutdown(web)
	worker, err := lifecycle.New(store)
	if err != nil {
		log.Fatal(err)
	}
	defer shutdown(worker)
	ended := make(chan *lifecycle.Session, 1)
	worker.OnSessionDestroyed(func(_ context.Context, s *lifecycle.Session) error {
		ended <- s
		return nil
	})
	if err := worker.Start(context.Background()); err != nil {
		log.Fatal(err)
	}

	router := shop(web)
	login := visit(router, "/set?user=ann")
	visit(router, "/logout", login.Result().Cookies()...)
	s := <-ended
	fmt.Println("on the worker:", s.Get("user"), s.Reason)
	fmt.Println("delivering:", web.Stats().Delivering, worker.Stats().Delivering)
	// Output:
	// on the worker: ann destroyed
	// delivering: false true
}
