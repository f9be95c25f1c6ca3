package faults

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"strings"

	"github.com/gin-contrib/sessions"
	"github.com/gin-gonic/gin"
	"github.com/redis/go-redis/v9"

	"github.com/gin-lifecycle/lifecycle"
)

// statusWithheld is the status of a response to a request without a session in which
// no session may begin.
const statusWithheld = http.StatusForbidden

// adminName is the name of the cookie for the pages under adminPath.
const (
	adminName = "admin"
	adminPath = "/admin"
)

// routes returns the pages that visitors see. Each responds with the session's ID.
func (in *instance) routes(before ...gin.HandlerFunc) *gin.Engine {
	router := gin.New()
	router.Use(append(before, in.manager.Middleware())...)
	page := func(path string, do func(c *lifecycle.Context) error) {
		router.Match([]string{http.MethodGet, http.MethodPost, http.MethodOptions}, path, lifecycle.Handler(func(c *lifecycle.Context) {
			s := c.Session()
			if s == nil {
				c.String(statusWithheld, lifecycle.ErrSessionWithheld.Error())
				return
			}
			id := s.ID
			if err := do(c); err != nil {
				status := http.StatusServiceUnavailable
				if errors.Is(err, lifecycle.ErrSessionEnded) {
					status = http.StatusGone
				}
				c.String(status, err.Error())
				return
			}
			c.String(http.StatusOK, id)
		}))
	}
	page("/", func(*lifecycle.Context) error { return nil })
	page("/save", func(c *lifecycle.Context) error {
		s := sessions.Default(c.Context)
		for k, v := range c.Request.URL.Query() {
			s.Set(k, v[0])
		}
		return s.Save()
	})
	// Its handler sends the header, and runs until the visitor goes away.
	page("/wait", func(c *lifecycle.Context) error {
		c.Writer.Flush()
		<-c.Request.Context().Done()
		return nil
	})
	page("/forget", func(c *lifecycle.Context) error {
		s := sessions.Default(c.Context)
		s.Delete(c.Query("key"))
		return s.Save()
	})
	page("/hold", func(c *lifecycle.Context) error {
		n, s := c.Query("n"), c.Session()
		_, err := c.OnSessionDestroyed(func(_ context.Context, s *lifecycle.Session) error {
			in.note(closure, s, n)
			return nil
		})
		if err == nil {
			in.note(held, s, n)
		}
		return err
	})
	page("/rotate", func(c *lifecycle.Context) error { return c.RotateSession() })
	page("/destroy", func(c *lifecycle.Context) error { return c.DestroySession() })
	return router
}

// handler serves the visitors' pages, and under /-/ the test's controls.
func (in *instance) handler() http.Handler {
	mux := http.NewServeMux()
	mux.Handle("/", in.router)
	mux.Handle(adminPath+"/", http.StripPrefix(adminPath, in.admin))
	mux.HandleFunc("/-/arm", func(_ http.ResponseWriter, r *http.Request) { in.points.arm(r.FormValue("point")) })
	mux.HandleFunc("/-/reached", closed(in.points.reached, "the failpoint was not reached"))
	mux.HandleFunc("/-/release", func(_ http.ResponseWriter, r *http.Request) { in.points.release(r.FormValue("next")) })
	mux.HandleFunc("/-/lose", func(_ http.ResponseWriter, r *http.Request) { in.points.reply.await(r.FormValue("script")) })
	mux.HandleFunc("/-/lost", closed(in.points.reply.happened, "no reply was lost"))
	mux.HandleFunc("/-/gate", func(http.ResponseWriter, *http.Request) { in.openGate() })
	mux.HandleFunc("/-/warm", in.warm)
	mux.HandleFunc("/-/stats", func(w http.ResponseWriter, _ *http.Request) {
		_ = json.NewEncoder(w).Encode(in.manager.Stats())
	})
	mux.HandleFunc("/-/dead", in.dead)
	mux.HandleFunc("/-/drop", func(w http.ResponseWriter, r *http.Request) {
		if err := in.manager.DropDead(r.Context(), r.FormValue("id")); err != nil {
			http.Error(w, err.Error(), http.StatusConflict)
		}
	})
	return mux
}

// closed returns a control that responds once a channel is closed, and with
// complaint if the test gives up before.
func closed(ch func() <-chan struct{}, complaint string) http.HandlerFunc {
	return func(w http.ResponseWriter, r *http.Request) {
		if waitFor(r.Context(), ch()) != nil {
			http.Error(w, complaint, http.StatusRequestTimeout)
		}
	}
}

// warm opens eight connections to Redis, which are idle in the pool afterwards.
func (in *instance) warm(_ http.ResponseWriter, r *http.Request) {
	for range 8 {
		conn := in.rdb.(*redis.Client).Conn()
		defer func() { _ = conn.Close() }()
		_ = conn.Ping(r.Context())
	}
}

// dead lists the dead set, one end a line.
func (in *instance) dead(w http.ResponseWriter, r *http.Request) {
	for d, err := range in.manager.Dead(r.Context()) {
		if err != nil {
			http.Error(w, err.Error(), http.StatusServiceUnavailable)
			return
		}
		_, _ = fmt.Fprintf(w, "%s %d %s\n", d.Session.ID, d.Attempts, strings.ReplaceAll(d.Error, "\n", " "))
	}
}
