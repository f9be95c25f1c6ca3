package faults

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"net/http/httptest"
	"strconv"
	"time"

	"github.com/gin-lifecycle/lifecycle"
)

// What the hooks of an instance do. A visitor chooses it with the address of the
// session's first page.

// note writes to the journal that something happened to a session.
func (in *instance) note(k kind, s *lifecycle.Session, hook string) {
	at := time.Now()
	value, _ := s.Get(keptKey).(string)
	in.journal.write(event{at: at, kind: k, id: s.ID, hook: hook, attempt: s.Attempt, reason: string(s.Reason), ended: s.EndedAt, value: value})
}

// journalled returns a destroyed hook that calls h and writes its start and its outcome
// to the journal. Before it calls h, the hook may ask whether its session is live.
func (in *instance) journalled(name string, h lifecycle.Hook) lifecycle.Hook {
	return func(ctx context.Context, s *lifecycle.Session) (err error) {
		in.note(started, s, name)
		outcome := failed // also if h panics
		defer func() { in.note(outcome, s, name) }()
		if in.Ask > 0 && int(s.ID[0])%in.Ask == 0 {
			if _, err := in.manager.Get(ctx, s.ID); err == nil {
				in.note(alive, s, name)
			}
		}
		if err := h(ctx, s); err != nil {
			return err
		}
		outcome = done
		return nil
	}
}

// behave does what the session's first request asked for: "/?do=error&n=2" fails
// in the first two attempts, "/?do=block&from=2&n=3" blocks in the second and third.
func (in *instance) behave(ctx context.Context, s *lifecycle.Session) error {
	r, err := http.NewRequest(http.MethodGet, s.Request.URI, http.NoBody)
	if err != nil {
		return err
	}
	q := r.URL.Query()
	from, _ := strconv.Atoi(q.Get("from"))
	n, _ := strconv.Atoi(q.Get("n"))
	if s.Attempt < from || s.Attempt > n {
		return nil
	}
	switch q.Get("do") {
	case "error":
		return fmt.Errorf("attempt %d was to fail", s.Attempt)
	case "panic":
		panic(fmt.Sprintf("attempt %d was to panic", s.Attempt))
	case "hang": // goes on after its context has ended
		<-ctx.Done()
		in.note(failed, s, "h2") // now: the library counts it as failed from this moment on
		select {
		case <-in.gate:
		case <-after(q.Get("ms")):
		}
		return errors.New("too late")
	case "block":
		return waitFor(ctx, in.gate)
	case "slow":
		timer := time.NewTimer(20 * time.Millisecond)
		defer timer.Stop()
		return waitFor(ctx, timer.C)
	case "api":
		return in.useAPI(ctx, s)
	}
	return nil
}

// waitFor waits for ch, or for the end of the context, whose error it returns then.
func waitFor[T any](ctx context.Context, ch <-chan T) error {
	select {
	case <-ch:
		return nil
	case <-ctx.Done():
		return ctx.Err()
	}
}

// after returns a channel that delivers after so many milliseconds, and never if ms is
// no number.
func after(ms string) <-chan time.Time {
	n, err := strconv.Atoi(ms)
	if err != nil {
		return nil
	}
	return time.After(time.Duration(n) * time.Millisecond)
}

// useAPI calls the library from within a hook, as an application may. It begins
// another session and saves a value, finds that session with Get and with All, and ends
// it. It also tries to end the hook's own session, which has ended already.
func (in *instance) useAPI(ctx context.Context, s *lifecycle.Session) error {
	w := httptest.NewRecorder()
	in.router.ServeHTTP(w, httptest.NewRequest(http.MethodGet, "/save?from=hook", http.NoBody).WithContext(ctx))
	id := w.Body.String()
	if w.Code != http.StatusOK {
		return fmt.Errorf("begin and save: %d %s", w.Code, id)
	}
	other, err := in.manager.Get(ctx, id)
	if err != nil || other.Get("from") != "hook" {
		return fmt.Errorf("get: %v, %w", other, err)
	}
	found := false
	for other, err := range in.manager.All(ctx) {
		if err != nil {
			return fmt.Errorf("all: %w", err)
		}
		found = found || other.ID == id
	}
	if !found {
		return errors.New("all: the new session is missing")
	}
	if err := in.manager.Destroy(ctx, s.ID, ""); !errors.Is(err, lifecycle.ErrSessionEnded) {
		return fmt.Errorf("destroy the hook's own session: %w", err)
	}
	return in.manager.Destroy(ctx, id, byHook)
}

// openGate lets all hooks go on that wait at the gate, and those that come to it later.
func (in *instance) openGate() {
	in.mu.Lock()
	defer in.mu.Unlock()
	if !in.opened {
		in.opened = true
		close(in.gate)
	}
}
