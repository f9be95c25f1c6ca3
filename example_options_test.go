package lifecycle_test

import (
	"bytes"
	"compress/flate"
	"context"
	"errors"
	"fmt"
	"io"
	"log"
	"net/http"
	"net/http/httptest"
	"time"

	"github.com/gin-contrib/sessions"
	"github.com/gin-gonic/gin"
	"github.com/redis/go-redis/v9"

	"github.com/gin-lifecycle/lifecycle"
)

func ExampleNewStore() {
	client := redis.NewClient(&redis.Options{Addr: "127.0.0.1:6379"})
	defer client.Close()

	_, err := lifecycle.NewStore(client,
		lifecycle.WithPrefix("shop"),
		lifecycle.WithIdleTimeout(20*time.Minute),
		lifecycle.WithAbsoluteTimeout(12*time.Hour),
		lifecycle.WithSecureCookie(lifecycle.SecureAlways),
	)
	fmt.Println(err)

	_, err = lifecycle.NewStore(client, lifecycle.WithIdleTimeout(-time.Second))
	fmt.Println(err)
	// Output:
	// <nil>
	// lifecycle: WithIdleTimeout(-1s): must be from 1ms to ten years
}

// With lazy creation a visitor for whom nothing is saved has no session.
func ExampleWithLazyCreation() {
	manager, stop := newManager(lifecycle.WithLazyCreation())
	defer stop()
	manager.OnSessionCreated(func(_ context.Context, s *lifecycle.Session) error {
		fmt.Println("created by", s.Request.URI)
		return nil
	})
	router := shop(manager)

	fmt.Println("cookies:", len(visit(router, "/get").Result().Cookies()))
	fmt.Println("cookies:", len(visit(router, "/set?user=ann").Result().Cookies()))
	// Output:
	// cookies: 0
	// created by /set?user=ann
	// cookies: 1
}

// With required created hooks, a hook can refuse the session and the request.
func ExampleWithCreatedHooksRequired() {
	manager, stop := newManager(lifecycle.WithCreatedHooksRequired(), quiet)
	defer stop()
	manager.OnSessionCreated(func(context.Context, *lifecycle.Session) error {
		return errors.New("no seat is free")
	})
	ended := make(chan lifecycle.Reason, 1)
	manager.OnSessionDestroyed(func(_ context.Context, s *lifecycle.Session) error {
		ended <- s.Reason
		return nil
	})
	router := gin.New()
	router.Use(manager.Middleware())
	router.GET("/", func(*gin.Context) { fmt.Println("never reached") })

	fmt.Println(visit(router, "/").Code)
	fmt.Println(<-ended)
	// Output:
	// 500
	// destroyed
}

// Redis keeps nothing of a session whose end is finished.
func ExampleWithPreviousFor() {
	manager, stop := newManager(lifecycle.WithPreviousFor(0))
	defer stop()
	router := gin.New()
	router.Use(manager.Middleware())
	router.GET("/", lifecycle.Handler(func(c *lifecycle.Context) {
		_, ok := c.Previous()
		c.String(http.StatusOK, "%v", ok)
	}))
	router.GET("/id", lifecycle.Handler(func(c *lifecycle.Context) { c.String(http.StatusOK, c.Session().ID) }))

	first := visit(router, "/id")
	if err := manager.Destroy(context.Background(), first.Body.String(), lifecycle.ReasonRevoked); err != nil {
		log.Fatal(err)
	}
	fmt.Println(visit(router, "/", first.Result().Cookies()...).Body)
	// Output: false
}

func ExampleWithErrorHandler() {
	client := redis.NewClient(&redis.Options{Addr: "127.0.0.1:1", MaxRetries: -1}) // nobody listens there
	defer client.Close()
	store, err := lifecycle.NewStore(client, lifecycle.WithErrorHandler(func(c *gin.Context, err error) {
		if errors.Is(err, lifecycle.ErrUnavailable) {
			c.String(http.StatusServiceUnavailable, "please come back in a minute")
			return
		}
		c.Status(http.StatusInternalServerError)
	}))
	if err != nil {
		log.Fatal(err)
	}
	manager, err := lifecycle.New(store)
	if err != nil {
		log.Fatal(err)
	}
	defer shutdown(manager)
	router := gin.New()
	router.Use(manager.Middleware())
	router.GET("/", func(*gin.Context) { fmt.Println("never reached") })

	response := visit(router, "/")
	fmt.Println(response.Code, response.Body)
	// Output: 503 please come back in a minute
}

func ExampleWithRequestHeaders() {
	manager, stop := newManager(lifecycle.WithRequestHeaders("Accept-Language"))
	defer stop()
	ended := make(chan *lifecycle.Session, 1)
	manager.OnSessionDestroyed(func(_ context.Context, s *lifecycle.Session) error {
		ended <- s
		return nil
	})
	router := gin.New()
	router.Use(manager.Middleware())
	router.GET("/", destroy)

	request := httptest.NewRequest(http.MethodGet, "/", nil)
	request.Header.Set("Accept-Language", "cy")
	router.ServeHTTP(httptest.NewRecorder(), request)
	fmt.Println((<-ended).Request.Header)
	// Output: map[Accept-Language:[cy]]
}

// Other programs can read JSON. Integers come back as int64, with all their digits.
func ExampleWithCodec() {
	manager, stop := newManager(lifecycle.WithCodec(lifecycle.JSON))
	defer stop()
	router := gin.New()
	router.Use(manager.Middleware())
	router.GET("/set", func(c *gin.Context) {
		session := sessions.Default(c)
		session.Set("count", 1<<53+1)
		session.Set("price", 2.0)
		fmt.Println(session.Save())
	})
	router.GET("/get", func(c *gin.Context) {
		session := sessions.Default(c)
		fmt.Printf("%T %v\n", session.Get("count"), session.Get("count"))
		fmt.Printf("%T %v\n", session.Get("price"), session.Get("price"))
	})

	first := visit(router, "/set")
	visit(router, "/get", first.Result().Cookies()...)
	// Output:
	// <nil>
	// int64 9007199254740993
	// float64 2
}

// Common types of the standard library and of gin need no gob.Register.
func ExampleGob() {
	manager, stop := newManager()
	defer stop()
	router := gin.New()
	router.Use(manager.Middleware())
	router.GET("/set", func(c *gin.Context) {
		session := sessions.Default(c)
		session.Set("cart", gin.H{"items": []any{"apple", 3}, "since": time.Unix(0, 0).UTC()})
		fmt.Println(session.Save())
	})
	router.GET("/get", func(c *gin.Context) {
		cart := sessions.Default(c).Get("cart").(gin.H)
		fmt.Println(cart["items"], cart["since"])
	})

	first := visit(router, "/set")
	visit(router, "/get", first.Result().Cookies()...)
	// Output:
	// <nil>
	// [apple 3] 1970-01-01 00:00:00 +0000 UTC
}

// compressed is a Codec of the application's own: gob, compressed.
type compressed struct{}

func (compressed) Encode(values map[any]any) ([]byte, error) {
	data, err := lifecycle.Gob.Encode(values)
	if err != nil {
		return nil, err
	}
	var out bytes.Buffer
	w, err := flate.NewWriter(&out, flate.BestSpeed)
	if err != nil {
		return nil, err
	}
	if _, err := w.Write(data); err != nil {
		return nil, err
	}
	if err := w.Close(); err != nil {
		return nil, err
	}
	return out.Bytes(), nil
}

func (compressed) Decode(data []byte) (map[any]any, error) {
	data, err := io.ReadAll(flate.NewReader(bytes.NewReader(data)))
	if err != nil {
		return nil, err
	}
	return lifecycle.Gob.Decode(data)
}

func ExampleCodec() {
	manager, stop := newManager(lifecycle.WithCodec(compressed{}))
	defer stop()
	router := shop(manager)

	first := visit(router, "/set?user=ann")
	fmt.Println(visit(router, "/get", first.Result().Cookies()...).Body)
	// Output: ann
}

// A slow request does not revive a session that has ended meanwhile: its Save fails.
func ExampleErrSessionEnded() {
	manager, stop := newManager()
	defer stop()
	router := gin.New()
	router.Use(manager.Middleware())
	router.GET("/slow", lifecycle.Handler(func(c *lifecycle.Context) {
		session := sessions.Default(c.Context)
		session.Set("report", "done")

		// Meanwhile, an administrator:
		if err := manager.Destroy(c.Request.Context(), c.Session().ID, lifecycle.ReasonRevoked); err != nil {
			log.Print(err)
		}

		if err := session.Save(); errors.Is(err, lifecycle.ErrSessionEnded) {
			c.String(http.StatusUnauthorized, "please log in")
		}
	}))

	response := visit(router, "/slow")
	fmt.Println(response.Code, response.Body)
	// Output: 401 please log in
}

func ExampleValuesTooLargeError() {
	manager, stop := newManager(lifecycle.WithMaxValuesSize(1024))
	defer stop()
	router := gin.New()
	router.Use(manager.Middleware())
	router.GET("/", func(c *gin.Context) {
		session := sessions.Default(c)
		session.Set("notes", make([]byte, 5000))
		var tooLarge *lifecycle.ValuesTooLargeError
		if err := session.Save(); errors.As(err, &tooLarge) {
			c.String(http.StatusRequestEntityTooLarge, "at most %d bytes", tooLarge.Limit)
		}
	})

	fmt.Println(visit(router, "/").Body)
	// Output: at most 1024 bytes
}

// A Redis server without memory for 100,000 records of ended sessions.
func ExampleWithDeadLimit() {
	manager, stop := newManager(lifecycle.WithDeadLimit(10_000))
	defer stop()
	stats := manager.Stats()
	fmt.Println("dead:", stats.Dead, "dropped:", stats.Dropped)
	// Output: dead: 0 dropped: 0
}

// Helpers of the examples.

// The logout of most gin applications clears the session. With this option it ends it, and the
// destroyed hook knows who has left.
func ExampleWithEndWhenCleared() {
	manager, stop := newManager(lifecycle.WithEndWhenCleared())
	defer stop()
	ended := make(chan any, 1)
	manager.OnSessionDestroyed(func(_ context.Context, s *lifecycle.Session) error {
		ended <- s.Get("user")
		return nil
	})
	router := shop(manager)
	router.GET("/clear", func(c *gin.Context) {
		session := sessions.Default(c)
		session.Clear()
		if err := session.Save(); err != nil {
			c.AbortWithStatus(http.StatusServiceUnavailable)
		}
	})

	login := visit(router, "/set?user=ann")
	visit(router, "/clear", login.Result().Cookies()...)
	fmt.Println(<-ended, "has left")
	// Output: ann has left
}

// After a deploy the values of old sessions cannot be decoded any more. Their visitors begin
// anew.
func ExampleWithEndUndecodable() {
	broken := &changing{Codec: lifecycle.Gob}
	manager, stop := newManager(lifecycle.WithCodec(broken), lifecycle.WithEndUndecodable())
	defer stop()
	ended := make(chan string, 1)
	manager.OnSessionDestroyed(func(_ context.Context, s *lifecycle.Session) error {
		ended <- fmt.Sprint("ended: ", s.Reason, ", ", errors.Is(s.Err(), lifecycle.ErrUndecodable))
		return nil
	})
	router := shop(manager)

	before := visit(router, "/set?user=ann")
	broken.Codec = lifecycle.JSON // a deploy
	after := visit(router, "/get", before.Result().Cookies()...)
	fmt.Println(after.Code, after.Body)
	fmt.Println(<-ended)
	// Output:
	// 200 <nil>
	// ended: undecodable, true
}

// changing is a codec that a deploy changes.
type changing struct{ lifecycle.Codec }

// A command-line tool has no cookies. It sends its token in a header field.
func ExampleWithTokenHeader() {
	manager, stop := newManager(lifecycle.WithTokenHeader("X-Session"))
	defer stop()
	router := shop(manager)

	first := sendWith(router, http.MethodGet, "/set?user=ann", http.Header{"X-Session": {"new"}})
	token := first.Header().Get("X-Session")
	again := sendWith(router, http.MethodGet, "/get", http.Header{"X-Session": {token}})
	fmt.Println(again.Body, len(first.Result().Cookies()))
	// Output: ann 0
}
