package lifecycle_test

import (
	"context"
	"errors"
	"fmt"
	"log"
	"net/http"
	"sync/atomic"
	"time"

	"github.com/gin-contrib/sessions"
	"github.com/gin-gonic/gin"

	"github.com/gin-lifecycle/lifecycle"
	"github.com/gin-lifecycle/lifecycle/embedded"
)

// A second manager beside the default one. Its middleware needs no sessions.Sessions
// before it.
func ExampleNew() {
	client, err := embedded.Start()
	if err != nil {
		log.Fatal(err)
	}
	defer client.Close()
	store, err := lifecycle.NewStore(client)
	if err != nil {
		log.Fatal(err)
	}
	manager, err := lifecycle.New(store, lifecycle.WithSessionName("admin"))
	if err != nil {
		log.Fatal(err)
	}
	defer shutdown(manager)

	router := gin.New()
	router.Use(manager.Middleware())
	router.GET("/", func(c *gin.Context) { c.String(http.StatusOK, "hello") })

	response := visit(router, "/")
	fmt.Println(response.Body, response.Result().Cookies()[0].Name)
	// Output: hello admin
}

func ExampleManager_Get() {
	manager, stop := newManager()
	defer stop()
	id := visit(shop(manager), "/set?user=ann").Body.String()

	ctx := context.Background()
	s, err := manager.Get(ctx, id)
	if err != nil {
		log.Fatal(err)
	}
	fmt.Println(s.Get("user"))

	_, err = manager.Get(ctx, "unknown")
	fmt.Println(err)
	// Output:
	// ann
	// lifecycle: the session has ended
}

func ExampleManager_All() {
	manager, stop := newManager()
	defer stop()
	router := shop(manager)
	visit(router, "/set?user=ann")
	visit(router, "/set?user=bob")

	for s, err := range manager.All(context.Background()) {
		if err != nil {
			log.Print(err)
			continue
		}
		fmt.Println(s.Get("user"))
	}
	// Unordered output:
	// ann
	// bob
}

func ExampleManager_Count() {
	manager, stop := newManager()
	defer stop()
	router := shop(manager)
	visit(router, "/get")
	visit(router, "/get")

	n, err := manager.Count(context.Background())
	fmt.Println(n, err)
	// Output: 2 <nil>
}

// An administrator can end a session, with a reason of the application.
func ExampleManager_Destroy() {
	manager, stop := newManager()
	defer stop()
	const banned lifecycle.Reason = "banned"
	ended := make(chan *lifecycle.Session, 1)
	manager.OnSessionDestroyed(func(_ context.Context, s *lifecycle.Session) error {
		ended <- s
		return nil
	})
	id := visit(shop(manager), "/set?user=ann").Body.String()

	ctx := context.Background()
	fmt.Println(manager.Destroy(ctx, id, banned))
	s := <-ended
	fmt.Println(s.Get("user"), s.Reason)
	fmt.Println(manager.Destroy(ctx, id, banned))
	// Output:
	// <nil>
	// ann banned
	// lifecycle: the session has ended
}

// Start handles the sessions that ended while no instance was running.
func ExampleManager_Start() {
	client, err := embedded.Start()
	if err != nil {
		log.Fatal(err)
	}
	defer client.Close()
	store, err := lifecycle.NewStore(client, lifecycle.WithIdleTimeout(10*time.Millisecond))
	if err != nil {
		log.Fatal(err)
	}
	// No instance is running: the store alone runs no hooks.
	router := gin.New()
	router.Use(sessions.Sessions("session", store))
	router.GET("/", func(c *gin.Context) {
		session := sessions.Default(c)
		session.Set("user", "ann")
		if err := session.Save(); err != nil {
			c.AbortWithStatus(http.StatusServiceUnavailable)
		}
	})
	visit(router, "/")

	manager, err := lifecycle.New(store)
	if err != nil {
		log.Fatal(err)
	}
	defer shutdown(manager)
	ended := make(chan *lifecycle.Session, 1)
	manager.OnSessionDestroyed(func(_ context.Context, s *lifecycle.Session) error {
		ended <- s
		return nil
	})
	if err := manager.Start(context.Background()); err != nil {
		log.Fatal(err)
	}
	s := <-ended
	fmt.Println(s.Get("user"), s.Reason)
	// Output: ann idle timeout
}

// At the shutdown the hooks run that handlers of this instance have registered. The session
// goes on, so the global hooks do not run.
func ExampleManager_Shutdown() {
	manager, stop := newManager()
	defer stop()
	manager.OnSessionDestroyed(func(context.Context, *lifecycle.Session) error {
		fmt.Println("never reached")
		return nil
	})
	router := gin.New()
	router.Use(manager.Middleware())
	router.GET("/", lifecycle.Handler(func(c *lifecycle.Context) {
		_, err := c.OnSessionDestroyed(func(_ context.Context, s *lifecycle.Session) error {
			fmt.Println("engine closed:", s.Reason)
			return nil
		})
		if err != nil {
			log.Print(err)
		}
	}))
	visit(router, "/")

	ctx, cancel := context.WithTimeout(context.Background(), 10*time.Second)
	defer cancel()
	fmt.Println(manager.Shutdown(ctx))
	n, err := manager.Count(ctx)
	fmt.Println("live:", n, err)
	// Output:
	// engine closed: shutdown
	// <nil>
	// live: 1 <nil>
}

func ExampleManager_Stats() {
	manager, stop := newManager()
	defer stop()
	ended := make(chan struct{})
	manager.OnSessionDestroyed(func(context.Context, *lifecycle.Session) error {
		close(ended)
		return nil
	})
	router := shop(manager)
	visit(router, "/get")
	visit(router, "/logout")
	<-ended

	stats := manager.Stats()
	fmt.Println("created:", stats.Created)
	fmt.Println("destroyed:", stats.Ended[lifecycle.ReasonDestroyed])
	fmt.Println("hooks run:", stats.HooksRun, "failed:", stats.HooksFailed)
	// Output:
	// created: 2
	// destroyed: 1
	// hooks run: 1 failed: 0
}

// The hooks have failed for good. Fix the cause, and then retry every end in the dead set.
func ExampleManager_RetryDead() {
	manager, stop := newManager(lifecycle.WithRetry(1, time.Second, time.Second), quiet)
	defer stop()
	var mended atomic.Bool
	done := make(chan struct{})
	manager.OnSessionDestroyed(func(_ context.Context, s *lifecycle.Session) error {
		if !mended.Load() {
			return errors.New("the database is away")
		}
		fmt.Println("attempt", s.Attempt, "for", s.Get("user"))
		close(done)
		return nil
	})
	router := shop(manager)
	cookies := visit(router, "/set?user=ann").Result().Cookies()
	visit(router, "/logout", cookies...)
	waitForDead(manager)

	mended.Store(true)
	ctx := context.Background()
	for dead, err := range manager.Dead(ctx) {
		if err != nil {
			log.Fatal(err)
		}
		fmt.Println(dead.Session.Get("user"), dead.Session.Reason, dead.Attempts, dead.Error)
		err := manager.RetryDead(ctx, dead.Session.ID)
		if err != nil && !errors.Is(err, lifecycle.ErrNotDead) { // another instance was faster
			log.Fatal(err)
		}
	}
	<-done
	// Output:
	// ann destroyed 1 destroyed hook 1: the database is away
	// attempt 2 for ann
}

// Drop the ends that are too old to matter.
func ExampleManager_DropDead() {
	manager, stop := newManager(lifecycle.WithRetry(1, time.Second, time.Second), quiet)
	defer stop()
	manager.OnSessionDestroyed(func(context.Context, *lifecycle.Session) error {
		return errors.New("no such seat")
	})
	visit(shop(manager), "/logout")
	id := waitForDead(manager)

	ctx := context.Background()
	fmt.Println(manager.DropDead(ctx, id))
	fmt.Println(errors.Is(manager.DropDead(ctx, id), lifecycle.ErrNotDead))
	// Output:
	// <nil>
	// true
}

// waitForDead waits until an end is in the dead set, and returns its ID.
func waitForDead(manager *lifecycle.Manager) string {
	ctx, cancel := context.WithTimeout(context.Background(), 10*time.Second)
	defer cancel()
	for {
		for dead, err := range manager.Dead(ctx) {
			if err != nil {
				log.Fatal(err)
			}
			return dead.Session.ID
		}
	}
}

// A hook that fails is called again after a pause. The hooks that have succeeded are not.
func ExampleWithRetry() {
	manager, stop := newManager(lifecycle.WithRetry(3, 10*time.Millisecond, time.Second), quiet)
	defer stop()
	manager.OnSessionDestroyed(func(_ context.Context, s *lifecycle.Session) error {
		fmt.Println("first hook, attempt", s.Attempt)
		return nil
	})
	done := make(chan struct{})
	manager.OnSessionDestroyed(func(_ context.Context, s *lifecycle.Session) error {
		fmt.Println("second hook, attempt", s.Attempt)
		if s.Attempt == 1 {
			return errors.New("the database is away")
		}
		close(done)
		return nil
	})
	visit(shop(manager), "/logout")
	<-done
	// Output:
	// first hook, attempt 1
	// second hook, attempt 1
	// second hook, attempt 2
}
