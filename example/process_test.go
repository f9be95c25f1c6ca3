package main

import (
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/http/cookiejar"
	"net/url"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/gin-lifecycle/lifecycle/internal/redistest"
)

// timeoutsEnv is the environment variable that makes this test binary the application. Its value is
// "<idle timeout> <absolute timeout>". The tests start the application as a process of its own and use
// it as its users do, with HTTP requests and signals.
const timeoutsEnv = "LIFECYCLE_EXAMPLE_TIMEOUTS"

func TestMain(m *testing.M) {
	if timeouts := os.Getenv(timeoutsEnv); timeouts != "" {
		i, a, _ := strings.Cut(timeouts, " ")
		idle, err1 := time.ParseDuration(i)
		absolute, err2 := time.ParseDuration(a)
		if err := errors.Join(err1, err2); err != nil {
			panic(err)
		}
		os.Exit(program(os.Args[1:], os.Stdout, os.Stderr, idle, absolute))
	}
	os.Exit(redistest.Run(m))
}

// process is a process that runs the application.
type process struct {
	cmd    *exec.Cmd
	out    redistest.Log // both streams
	tmp    string        // the process's directory for temporary files
	done   chan struct{}
	status int // the exit status, once done is closed; -1 after a signal

	url string
}

// launch starts the application with these timeouts and arguments. It does not wait until the
// application serves.
func launch(t *testing.T, idle, absolute time.Duration, args ...string) *process {
	t.Helper()
	p := &process{tmp: t.TempDir(), done: make(chan struct{})}
	p.cmd = exec.Command(os.Args[0], args...)
	p.cmd.Env = append(os.Environ(), "TMPDIR="+p.tmp, fmt.Sprintf("%s=%v %v", timeoutsEnv, idle, absolute))
	p.cmd.Stdout, p.cmd.Stderr = &p.out, &p.out
	if err := p.cmd.Start(); err != nil {
		t.Fatal(err)
	}
	go func() {
		defer close(p.done)
		_ = p.cmd.Wait() // the exit status says the same
		p.status = p.cmd.ProcessState.ExitCode()
	}()
	t.Cleanup(func() {
		_ = p.cmd.Process.Kill() // it fails if the process is gone
		<-p.done
		if t.Failed() {
			t.Logf("the application wrote:\n%s", &p.out)
		}
	})
	return p
}

var openURL = regexp.MustCompile(`open (http://\S+)`)

// start starts the application on a free port and waits until it serves.
func start(t *testing.T, idle, absolute time.Duration, args ...string) *process {
	t.Helper()
	p := launch(t, idle, absolute, append([]string{"-addr", "127.0.0.1:0"}, args...)...)
	redistest.Eventually(t, "the application serves", func() bool {
		if m := openURL.FindStringSubmatch(p.out.String()); m != nil {
			p.url = m[1]
		}
		return p.url != "" || p.exited()
	})
	if p.url == "" {
		t.Fatal("the application exited at once")
	}
	return p
}

// exited reports whether the process has exited.
func (p *process) exited() bool {
	select {
	case <-p.done:
		return true
	default:
		return false
	}
}

// wait waits until the process has exited and returns the status.
func (p *process) wait(t *testing.T) int {
	t.Helper()
	redistest.Receive(t, p.done)
	return p.status
}

// signal sends a signal to the process.
func (p *process) signal(t *testing.T, s syscall.Signal) {
	t.Helper()
	if err := p.cmd.Process.Signal(s); err != nil {
		t.Fatal(err)
	}
}

// workspaces returns the paths of the workspaces' files.
func (p *process) workspaces(t *testing.T) []string {
	t.Helper()
	files, err := filepath.Glob(filepath.Join(p.tmp, "lifecycle-example-*", "*"))
	if err != nil {
		t.Fatal(err)
	}
	return files
}

// events returns the journal, newest first, and whether the session is live.
func (p *process) events(t *testing.T, session string) (events []entry, live bool) {
	t.Helper()
	r, err := http.Get(p.url + "/events?session=" + url.QueryEscape(session))
	if err != nil {
		t.Fatal(err)
	}
	defer r.Body.Close() //nolint:errcheck // only read
	if cookies := r.Header.Values("Set-Cookie"); len(cookies) > 0 {
		t.Errorf("GET /events set cookies: %q", cookies)
	}
	var answer struct {
		Session *left
		Events  []entry
	}
	if err := json.NewDecoder(r.Body).Decode(&answer); err != nil {
		t.Fatalf("GET /events: %v: %v", r.Status, err)
	}
	return answer.Events, answer.Session != nil
}

// ends waits until the global destroyed hook has run for a session, and returns what the hooks have
// reported about the session's end, oldest first.
func (p *process) ends(t *testing.T, session string) []entry {
	t.Helper()
	var ends []entry
	redistest.Eventually(t, "the destroyed hook runs", func() bool {
		ends = nil
		events, _ := p.events(t, session)
		for _, e := range events {
			if e.Session == session && (e.Event == eventClosed || e.Event == eventDestroyed) {
				ends = append([]entry{e}, ends...)
			}
		}
		return len(ends) > 0 && ends[len(ends)-1].Event == eventDestroyed
	})
	return ends
}

// visitor is somebody with a browser.
type visitor struct {
	t *testing.T
	p *process
	http.Client
}

// visit returns a visitor without cookies.
func visit(t *testing.T, p *process) *visitor {
	t.Helper()
	jar, err := cookiejar.New(nil)
	if err != nil {
		t.Fatal(err)
	}
	return &visitor{t: t, p: p, Client: http.Client{Jar: jar, Timeout: redistest.Patience}}
}

// page is what a visitor sees.
type page struct {
	status  int
	session string // the ID
	html    string
}

var pageSession = regexp.MustCompile(`data-session="([^"]+)"`)

// read reads a page from a response.
func (v *visitor) read(r *http.Response, err error) page {
	v.t.Helper()
	if err != nil {
		v.t.Fatal(err)
	}
	defer r.Body.Close() //nolint:errcheck // only read
	body, err := io.ReadAll(r.Body)
	if err != nil {
		v.t.Fatal(err)
	}
	p := page{status: r.StatusCode, html: string(body)}
	if m := pageSession.FindSubmatch(body); m != nil {
		p.session = string(m[1])
	}
	return p
}

// get opens the home page.
func (v *visitor) get() page {
	v.t.Helper()
	return v.read(v.Get(v.p.url + "/"))
}

// post sends a form of one field and follows the redirect.
func (v *visitor) post(path, field, value string) page {
	v.t.Helper()
	return v.read(v.PostForm(v.p.url+path, url.Values{field: {value}}))
}

// cookie returns the value of the session's cookie, "" if there is none.
func (v *visitor) cookie() string {
	v.t.Helper()
	u, err := url.Parse(v.p.url)
	if err != nil {
		v.t.Fatal(err)
	}
	for _, c := range v.Jar.Cookies(u) {
		if c.Name == sessionName {
			return c.Value
		}
	}
	return ""
}

// signIn signs the visitor in. It returns the page and the path of the workspace's file.
func (v *visitor) signIn(name string) (signedIn page, file string) {
	v.t.Helper()
	signedIn = v.post("/sign-in", "name", name)
	if signedIn.status != http.StatusOK || !strings.Contains(signedIn.html, "Signed in as") {
		v.t.Fatalf("POST /sign-in: %d %s", signedIn.status, signedIn.html)
	}
	files := v.p.workspaces(v.t)
	if len(files) != 1 {
		v.t.Fatalf("after the sign-in there are the workspaces %q, want one", files)
	}
	return signedIn, files[0]
}
