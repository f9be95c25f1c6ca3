package main

import (
	"fmt"
	"net"
	"net/http"
	"os"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/gin-lifecycle/lifecycle"
	"github.com/gin-lifecycle/lifecycle/internal/redistest"
)

// wantClosed fails the test unless the workspace's file is gone and both hooks have reported the end:
// first the closure, then the global hook, both with the user and the reason.
func wantClosed(t *testing.T, p *process, session, user, file string, reason lifecycle.Reason) {
	t.Helper()
	ends := p.ends(t, session)
	if len(ends) != 2 || ends[0].Event != eventClosed || ends[1].Event != eventDestroyed {
		t.Fatalf("the hooks reported %+v, want %q and %q", ends, eventClosed, eventDestroyed)
	}
	for _, e := range ends {
		if e.User != user || e.Detail != string(reason) || e.Lag == nil {
			t.Errorf("%s: user %q, reason %q, lag %v; want %q, %q and a lag", e.Event, e.User, e.Detail, e.Lag, user, reason)
		}
	}
	if _, err := os.Stat(file); !os.IsNotExist(err) {
		t.Errorf("the workspace's file is still there: %v", err)
	}
	if _, live := p.events(t, session); live {
		t.Error("the session is still live")
	}
}

func TestSignInAndOut(t *testing.T) {
	t.Parallel()
	for name, args := range map[string]func(t *testing.T) []string{
		"in-process Redis": func(*testing.T) []string { return nil },
		"real Redis": func(t *testing.T) []string {
			return []string{"-redis", "redis://" + redistest.Start(t).Addr + "/0"}
		},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			p := start(t, time.Minute, time.Hour, args(t)...)
			v := visit(t, p)

			first := v.get()
			if first.status != http.StatusOK || !strings.Contains(first.html, "Not signed in") {
				t.Fatalf("GET /: %d %s", first.status, first.html)
			}
			events, live := p.events(t, first.session)
			if !live || len(events) != 1 || events[0].Event != eventCreated ||
				events[0].Session != first.session || events[0].Detail != "GET / from 127.0.0.1" {
				t.Errorf("after the first page: live %v, %+v", live, events)
			}

			before := v.cookie()
			in, file := v.signIn("Ann <b>")
			if in.session != first.session {
				t.Errorf("signing in changed the ID from %s to %s", first.session, in.session)
			}
			if v.cookie() == before {
				t.Error("signing in left the cookie as it was")
			}
			if !strings.Contains(in.html, "Ann &lt;b&gt;") || strings.Contains(in.html, "Ann <b>") {
				t.Error("the name is not shown, or not escaped")
			}

			noted := v.post("/notes", "note", "  buy\n milk ")
			if !strings.Contains(noted.html, "<li>buy milk</li>") {
				t.Errorf("the note is not shown: %d %s", noted.status, noted.html)
			}
			if text, err := os.ReadFile(file); string(text) != "buy milk\n" {
				t.Errorf("the workspace holds %q, %v", text, err)
			}

			out := v.post("/sign-out", "", "")
			if out.session == first.session || !strings.Contains(out.html, "Not signed in") {
				t.Errorf("after signing out: session %s, %s", out.session, out.html)
			}
			wantClosed(t, p, first.session, "Ann <b>", file, lifecycle.ReasonDestroyed)
		})
	}
}

func TestIdleTimeout(t *testing.T) {
	t.Parallel()
	p := start(t, 2*time.Second, time.Hour)
	v := visit(t, p)
	in, file := v.signIn("Ann")
	// wantClosed requests the events all the time. That must not prolong the session.
	wantClosed(t, p, in.session, "Ann", file, lifecycle.ReasonIdleTimeout)

	late := v.post("/notes", "note", "too late")
	if late.status != http.StatusUnauthorized || late.session == in.session {
		t.Errorf("a note after the end: %d, session %s", late.status, late.session)
	}
	if files := p.workspaces(t); len(files) > 0 {
		t.Errorf("the late note opened the workspaces %q", files)
	}
}

func TestAbsoluteTimeout(t *testing.T) {
	t.Parallel()
	p := start(t, time.Hour, 2*time.Second)
	v := visit(t, p)
	in, file := v.signIn("Ann")
	redistest.Eventually(t, "the absolute timeout", func() bool { return v.get().session != in.session })
	wantClosed(t, p, in.session, "Ann", file, lifecycle.ReasonAbsoluteTimeout)
}

// A session ends while the application is down. When the application is back, the hooks report the
// end, with the session's values.
func TestEndWhileDown(t *testing.T) {
	t.Parallel()
	server := "redis://" + redistest.Start(t).Addr + "/0"
	p := start(t, time.Second, time.Hour, "-redis", server)
	in, _ := visit(t, p).signIn("Ann")
	p.signal(t, syscall.SIGINT)
	if status := p.wait(t); status != 0 {
		t.Fatalf("exit status %d", status)
	}

	p = start(t, time.Second, time.Hour, "-redis", server)
	ends := p.ends(t, in.session)
	if len(ends) != 1 || ends[0].User != "Ann" || ends[0].Detail != string(lifecycle.ReasonIdleTimeout) {
		t.Errorf("the hooks reported %+v", ends)
	}
}

// With a real Redis, a session is still live after a restart of the application. Its workspace is
// opened again.
func TestRestart(t *testing.T) {
	t.Parallel()
	server := "redis://" + redistest.Start(t).Addr + "/0"
	first := start(t, time.Hour, time.Hour, "-redis", server)
	v := visit(t, first)
	in, _ := v.signIn("Ann")
	first.signal(t, syscall.SIGTERM)
	first.wait(t)

	second := start(t, time.Hour, time.Hour, "-redis", server)
	v.p = second // the cookie is for the host, whatever the port
	back := v.get()
	if back.session != in.session || !strings.Contains(back.html, "Signed in as") {
		t.Fatalf("after the restart: session %s, want %s signed in", back.session, in.session)
	}
	if noted := v.post("/notes", "note", "again"); !strings.Contains(noted.html, "<li>again</li>") {
		t.Errorf("the note is not shown: %d %s", noted.status, noted.html)
	}
}

func TestStop(t *testing.T) {
	t.Parallel()
	for _, s := range []syscall.Signal{syscall.SIGINT, syscall.SIGTERM} {
		t.Run(s.String(), func(t *testing.T) {
			t.Parallel()
			p := start(t, time.Minute, time.Hour)
			visit(t, p).signIn("Ann")
			p.signal(t, s)
			if status := p.wait(t); status != 0 {
				t.Errorf("exit status %d, want 0", status)
			}
			if left, err := os.ReadDir(p.tmp); err != nil || len(left) > 0 {
				t.Errorf("left in the temporary directory: %v, %v", left, err)
			}
			if out := p.out.String(); !strings.Contains(out, "open workspaces: 1") || !strings.Contains(out, "closing the in-process Redis") {
				t.Errorf("the application does not say what it does when it stops: %s", out)
			}
		})
	}
}

// A second Ctrl-C kills the application while a request is still under way.
func TestSecondInterrupt(t *testing.T) {
	t.Parallel()
	p := start(t, time.Minute, time.Hour)
	c, err := net.Dial("tcp", strings.TrimPrefix(p.url, "http://"))
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	// The handler waits for the rest of the body.
	if _, err := fmt.Fprintf(c, "POST /sign-in HTTP/1.1\r\nHost: x\r\nContent-Type: application/x-www-form-urlencoded\r\nContent-Length: 9\r\n\r\nname"); err != nil {
		t.Fatal(err)
	}
	redistest.Eventually(t, "the request has begun", func() bool {
		events, _ := p.events(t, "")
		return len(events) > 0
	})
	p.signal(t, syscall.SIGINT)
	redistest.Eventually(t, "the application finishes requests", func() bool { return p.out.Contains("finishing requests") })
	redistest.Eventually(t, "the application is killed", func() bool {
		_ = p.cmd.Process.Signal(syscall.SIGINT) // it fails once the process is gone
		return p.exited()
	})
	if ws, ok := p.cmd.ProcessState.Sys().(syscall.WaitStatus); !ok || !ws.Signaled() {
		t.Errorf("the application exited with %v, want an exit by the signal", p.cmd.ProcessState)
	}
}

func TestWrongArguments(t *testing.T) {
	t.Parallel()
	taken, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = taken.Close() }) // after the parallel subtests
	for name, c := range map[string]struct {
		args   []string
		status int
		says   string
	}{
		"help":            {[]string{"-h"}, 0, "Usage of example"},
		"unknown flag":    {[]string{"-x"}, 2, "flag provided but not defined: -x"},
		"argument":        {[]string{"now"}, 2, `unknown argument "now"`},
		"address":         {[]string{"-addr", "8080"}, 2, `invalid value "8080" for flag -addr`},
		"taken":           {[]string{"-addr", taken.Addr().String()}, 1, "address already in use (choose another address with -addr)"},
		"Redis's scheme":  {[]string{"-redis", "127.0.0.1:6379"}, 2, "invalid value for flag -redis"},
		"no Redis at all": {[]string{"-redis", ""}, 2, "invalid value for flag -redis"},
		"password in it":  {[]string{"-redis", "redis://me:sec/ret@127.0.0.1:6379"}, 2, "invalid value for flag -redis"},
		"Redis is away":   {[]string{"-addr", "127.0.0.1:0", "-redis", "redis://me:sec@127.0.0.1:1/0"}, 1, "Redis at 127.0.0.1:1: "},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			p := launch(t, time.Minute, time.Hour, c.args...)
			if status := p.wait(t); status != c.status {
				t.Errorf("exit status %d, want %d", status, c.status)
			}
			if out := p.out.String(); !strings.Contains(out, c.says) {
				t.Errorf("the output does not contain %q", c.says)
			} else if strings.Contains(out, ":sec") {
				t.Error("the output contains the password")
			}
		})
	}
}

func TestWrongRequests(t *testing.T) {
	t.Parallel()
	p := start(t, time.Minute, time.Hour)

	t.Run("names", func(t *testing.T) {
		t.Parallel()
		for _, name := range []string{"", "  ", strings.Repeat("a", maxName+1), "\xff", strings.Repeat("a", 1<<15)} {
			if got := visit(t, p).post("/sign-in", "name", name); got.status != http.StatusBadRequest {
				t.Errorf("a name of %d bytes: %d, want 400", len(name), got.status)
			}
		}
		v := visit(t, p)
		if got := v.post("/sign-in", "name", strings.Repeat("é", maxName)); got.status != http.StatusOK {
			t.Errorf("a name of %d characters: %d, want 200", maxName, got.status)
		}
		if got := v.post("/sign-in", "name", "Bob"); got.status != http.StatusConflict {
			t.Errorf("somebody else's session: %d, want 409", got.status)
		}
		if got := v.post("/notes", "note", strings.Repeat("a", maxNote+1)); got.status != http.StatusBadRequest {
			t.Errorf("a note too long: %d, want 400", got.status)
		}
		full := false
		for range maxWorkspace/maxNote + 1 {
			full = full || v.post("/notes", "note", strings.Repeat("a", maxNote)).status == http.StatusInsufficientStorage
		}
		if !full {
			t.Error("the notepad is never full")
		}
	})
	t.Run("not signed in", func(t *testing.T) {
		t.Parallel()
		if got := visit(t, p).post("/notes", "note", "hello"); got.status != http.StatusUnauthorized {
			t.Errorf("a note: %d, want 401", got.status)
		}
	})
	t.Run("another site", func(t *testing.T) {
		t.Parallel()
		v := visit(t, p)
		r, err := http.NewRequest(http.MethodPost, p.url+"/sign-in", strings.NewReader("name=Eve"))
		if err != nil {
			t.Fatal(err)
		}
		r.Header.Set("Content-Type", "application/x-www-form-urlencoded")
		r.Header.Set("Origin", "http://localhost:1")
		if got := v.read(v.Do(r)); got.status != http.StatusForbidden || v.cookie() != "" {
			t.Errorf("another site's form: %d, cookie %q; want 403 and none", got.status, v.cookie())
		}
	})
	t.Run("no such page", func(t *testing.T) {
		t.Parallel()
		v := visit(t, p)
		if got := v.read(v.Get(p.url + "/favicon.ico")); got.status != http.StatusNotFound || v.cookie() != "" {
			t.Errorf("%d, cookie %q; want 404 and no session", got.status, v.cookie())
		}
	})
}

func TestJournalIsBounded(t *testing.T) {
	t.Parallel()
	j := newJournal(3)
	for _, id := range []string{"a", "b", "c", "d", "e"} {
		j.Add(entry{Session: id})
	}
	got := ""
	for _, e := range j.Entries() {
		got += e.Session
	}
	if got != "edc" {
		t.Errorf("the entries are %q, want %q", got, "edc")
	}
}
