package main

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"net/http/httptest"
	"time"

	"github.com/gin-contrib/sessions"
	ginredis "github.com/gin-contrib/sessions/redis"
	"github.com/gin-gonic/gin"
	"github.com/redis/go-redis/v9"

	"github.com/gin-lifecycle/lifecycle"
	"github.com/gin-lifecycle/lifecycle/internal/ledger"
	"github.com/gin-lifecycle/lifecycle/internal/token"
)

const (
	cookieName = "session"
	userAgent  = "Mozilla/5.0 (X11; Linux x86_64; rv:128.0) Gecko/20100101 Firefox/128.0"
	user       = "alice@example.com"
)

// values are the values of every session of every contestant.
func values() map[any]any {
	return map[any]any{"user": user, "id": int64(42), "role": "admin"}
}

// contestant is an application on one of the session stores that are compared. All serve the
// same requests: GET /login sets and saves the values, /read reads one value, /save sets one
// value and saves.
type contestant struct {
	name   string
	engine *gin.Engine
	cookie string // that requests are sent with, "" for none
	close  func(context.Context) error
}

// routes adds the handlers of a contestant that uses gin-contrib's API.
func routes(e *gin.Engine) {
	e.GET("/login", func(c *gin.Context) {
		s := sessions.Default(c)
		for k, v := range values() {
			s.Set(k, v)
		}
		answer(c, user, s.Save())
	})
	e.GET("/read", func(c *gin.Context) {
		name, _ := sessions.Default(c).Get("user").(string)
		answer(c, name, nil)
	})
	e.GET("/save", func(c *gin.Context) {
		s := sessions.Default(c)
		s.Set("id", int64(42))
		answer(c, user, s.Save())
	})
}

// answer responds with text, or with an error.
func answer(c *gin.Context, text string, err error) {
	if err != nil {
		c.String(http.StatusInternalServerError, err.Error())
		return
	}
	c.String(http.StatusOK, text)
}

// ours starts an instance of lifecycle as README sets it up: a store, gin-contrib's middleware,
// and behind it the library's own.
func (b *bench) ours(ctx context.Context, rdb redis.UniversalClient, prefix string, opts ...lifecycle.Option) (*contestant, *lifecycle.Manager, error) {
	store, err := lifecycle.NewStore(rdb, append(opts, lifecycle.WithPrefix(prefix), lifecycle.WithLogger(b.log))...)
	if err != nil {
		return nil, nil, err
	}
	m, err := lifecycle.New(store)
	if err != nil {
		return nil, nil, err
	}
	c := &contestant{name: "lifecycle", engine: gin.New(), close: m.Shutdown}
	c.engine.Use(sessions.Sessions(cookieName, store), m.Middleware())
	routes(c.engine)
	if err := m.Start(ctx); err != nil {
		return nil, nil, err
	}
	return c, m, nil
}

// ginSessions is the contestant gin-contrib/sessions/redis.
func (b *bench) ginSessions() (*contestant, error) {
	store, err := ginredis.NewStore(10, "tcp", b.servers.nodes[0].Addr, "", "", []byte("0123456789abcdef0123456789abcdef"))
	if err != nil {
		return nil, err
	}
	inner, err := ginredis.GetRedisStore(store)
	if err != nil {
		return nil, err
	}
	c := &contestant{name: "gin-contrib/sessions/redis", engine: gin.New(), close: func(context.Context) error { return inner.Close() }}
	c.engine.Use(sessions.Sessions(cookieName, store))
	routes(c.engine)
	return c, nil
}

// floor is a contestant without a session store. Its requests send two plain commands through
// gin and go-redis, with keys as long and a record as large as the library's, and decode nothing.
// So its time is the least that such requests can take. Its save writes the record in a second
// round trip.
func (b *bench) floor(ctx context.Context, model *contestant) (*contestant, error) {
	rdb := b.servers.client()
	t, ok := token.Parse(model.cookie, token.MarkOf("request", cookieName))
	if !ok {
		return nil, errors.New("the library's cookie is not a token")
	}
	l := ledger.New(rdb, ledger.Config{Prefix: "request", Buckets: lifecycle.DefaultBuckets, Timeout: 3 * time.Second})
	record, err := l.Record(ctx, t.ID)
	if err != nil {
		return nil, err
	}
	// These keys are others, of the same length.
	live, session := liveKey("reqfloo", t), "reqfloo:{100}:session:"+t.ID
	if err := errors.Join(rdb.Set(ctx, live, 1, time.Hour).Err(), rdb.Set(ctx, session, record, 0).Err()); err != nil {
		return nil, err
	}
	read := func(c *gin.Context) error {
		pipe := rdb.Pipeline()
		pipe.GetEx(c.Request.Context(), live, 30*time.Minute)
		pipe.Get(c.Request.Context(), session)
		_, err := pipe.Exec(c.Request.Context())
		return err
	}
	f := &contestant{name: "two plain commands", engine: gin.New(), close: func(context.Context) error { return nil }}
	f.engine.GET("/login", func(c *gin.Context) { answer(c, user, nil) })
	f.engine.GET("/read", func(c *gin.Context) { answer(c, user, read(c)) })
	f.engine.GET("/save", func(c *gin.Context) {
		err := read(c)
		if err == nil {
			err = rdb.Set(c.Request.Context(), session, record, 0).Err()
		}
		answer(c, user, err)
	})
	return f, nil
}

// request returns a new request. No request is used twice: the stores keep sessions in it.
func (c *contestant) request(ctx context.Context, path string) *http.Request {
	r := httptest.NewRequestWithContext(ctx, http.MethodGet, path, nil)
	r.Header.Set("User-Agent", userAgent)
	if c.cookie != "" {
		r.Header.Set("Cookie", cookieName+"="+c.cookie)
	}
	return r
}

// do serves a request and returns the cookie that the response sets, "" for none.
func (c *contestant) do(r *http.Request) (cookie string, err error) {
	w := httptest.NewRecorder()
	c.engine.ServeHTTP(w, r)
	if w.Code != http.StatusOK {
		return "", fmt.Errorf("%s: %s: status %d: %s", c.name, r.URL, w.Code, w.Body)
	}
	resp := w.Result()
	defer func() { _ = resp.Body.Close() }()
	for _, k := range resp.Cookies() {
		if k.Name == cookieName {
			cookie = k.Value
		}
	}
	return cookie, nil
}

// login begins a session and keeps its cookie.
func (c *contestant) login(ctx context.Context) (err error) {
	c.cookie, err = c.do(c.request(ctx, "/login"))
	return err
}
