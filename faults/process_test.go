package faults

import (
	"context"
	"encoding/json"
	"fmt"
	"net/http"
	"net/url"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"syscall"
	"time"

	"github.com/gin-lifecycle/lifecycle"
)

// process is a child process that runs an instance.
type process struct {
	f       *fleet
	name    string
	setup   setup
	journal string // path
	log     string // path
	addr    string
	cmd     *exec.Cmd
	exited  chan struct{} // closed once the process has ended

	mu       sync.Mutex
	stops    []stop
	shutdown time.Time // when the test told the process to shut down; zero until then
}

// stop is a time in which a process did not run.
type stop struct {
	from, to time.Time
	killed   bool // the process never ran again
}

// end makes sure that the process is gone. For the checker that is no kill.
func (p *process) end() {
	if p.cmd == nil || p.cmd.Process == nil {
		return
	}
	_ = p.cmd.Process.Kill()
	<-p.exited
}

// printLog copies the last lines of the process's log to the log of the test.
func (p *process) printLog() {
	log, _ := os.ReadFile(p.log)
	var lines []string
	for line := range strings.Lines(string(log)) {
		// Not the hooks that are meant to fail, and not go-redis's messages about a server that is away.
		if !strings.Contains(line, logDestroyedHookFails) && !strings.Contains(line, "pool.go") {
			lines = append(lines, line)
		}
	}
	p.f.t.Logf("%s, its last lines:\n%s", filepath.Base(p.log), strings.Join(lines[max(len(lines)-30, 0):], ""))
}

// logged reports whether the log contains text.
func (p *process) logged(text string) bool { return p.countLogged(text) > 0 }

// countLogged counts how often the log contains text.
func (p *process) countLogged(text string) int {
	log, _ := os.ReadFile(p.log)
	return strings.Count(string(log), text)
}

// kill kills the process, as a crash would.
func (p *process) kill() {
	p.stopped(time.Now(), true)
	_ = p.cmd.Process.Kill()
	<-p.exited
}

// stopped tells the checker that the process does not run from this moment on.
func (p *process) stopped(at time.Time, killed bool) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.stops = append(p.stops, stop{from: at, to: at.Add(24 * time.Hour), killed: killed})
}

// freeze stops the process: it exists and does nothing.
func (p *process) freeze() {
	p.stopped(time.Now(), false)
	_ = p.cmd.Process.Signal(syscall.SIGSTOP)
}

// thaw lets a frozen process go on.
func (p *process) thaw() {
	_ = p.cmd.Process.Signal(syscall.SIGCONT)
	p.mu.Lock()
	defer p.mu.Unlock()
	p.stops[len(p.stops)-1].to = time.Now()
}

// killed reports whether the process was killed.
func (p *process) killed() bool {
	p.mu.Lock()
	defer p.mu.Unlock()
	return slices.ContainsFunc(p.stops, func(s stop) bool { return s.killed })
}

// killedBefore reports whether the process was killed before t.
func (p *process) killedBefore(t time.Time) bool {
	p.mu.Lock()
	defer p.mu.Unlock()
	return slices.ContainsFunc(p.stops, func(s stop) bool { return s.killed && s.from.Before(t) })
}

// shuttingDown reports whether the test had told the process to shut down by t.
func (p *process) shuttingDown(t time.Time) bool {
	p.mu.Lock()
	defer p.mu.Unlock()
	return !p.shutdown.IsZero() && !t.Before(p.shutdown)
}

// stoppedBetween reports whether the process was killed or frozen at any time between
// a and b.
func (p *process) stoppedBetween(a, b time.Time) bool {
	p.mu.Lock()
	defer p.mu.Unlock()
	for _, s := range p.stops {
		if s.from.Before(b) && s.to.After(a) {
			return true
		}
	}
	return false
}

// shutDown ends the process as a deployment does. It returns an error unless the
// process exits with status 0, which means that it shut down in order and found no
// goroutine left behind.
func (p *process) shutDown() error {
	p.mu.Lock()
	p.shutdown = time.Now()
	p.mu.Unlock()
	_ = p.cmd.Process.Signal(syscall.SIGTERM)
	select {
	case <-p.exited:
	case <-time.After(patience):
		return fmt.Errorf("%s does not shut down", p.name)
	}
	if code := p.cmd.ProcessState.ExitCode(); code != 0 {
		p.printLog()
		return fmt.Errorf("%s: exit status %d", p.name, code)
	}
	return nil
}

// ask calls one of the instance's controls and fails the test if that returns an error.
func (p *process) ask(path string, query ...string) {
	p.f.t.Helper()
	if err := p.tryAsk(path, query...); err != nil {
		p.f.t.Fatal(err)
	}
}

// tryAsk calls one of the instance's controls.
func (p *process) tryAsk(path string, query ...string) error {
	_, err := p.control(path, query...)
	return err
}

// control calls one of the instance's controls and returns the body of the response.
func (p *process) control(path string, query ...string) (string, error) {
	values := url.Values{}
	for i := 0; i+1 < len(query); i += 2 {
		values.Set(query[i], query[i+1])
	}
	status, body, err := p.f.get(context.Background(), "http://"+p.addr+"/-/"+path+"?"+values.Encode(), nil)
	if err == nil && status != http.StatusOK {
		err = fmt.Errorf("%s %s: %d %s", p.name, path, status, body)
	}
	return body, err
}

// deadEnds returns the dead set, a line for each end: ID, attempts, error text.
func (p *process) deadEnds() []string {
	p.f.t.Helper()
	body, err := p.control("dead")
	if err != nil {
		p.f.t.Fatal(err)
	}
	return strings.FieldsFunc(body, func(r rune) bool { return r == '\n' })
}

// arm makes the process stop at a failpoint the next time that it comes there.
func (p *process) arm(point string) { p.f.t.Helper(); p.ask("arm", "point", point) }

// reached waits until the process has stopped at the failpoint.
func (p *process) reached() { p.f.t.Helper(); p.ask("reached") }

// release lets the process go on, to stop again at the failpoint next if that is not
// empty.
func (p *process) release(next string) { p.f.t.Helper(); p.ask("release", "next", next) }

// openGate lets the hooks that block go on.
func (p *process) openGate() { p.f.t.Helper(); p.ask("gate") }

// stats returns the instance's statistics.
func (p *process) stats() lifecycle.Stats {
	p.f.t.Helper()
	s, err := p.tryStats()
	if err != nil {
		p.f.t.Fatal(err)
	}
	return s
}

// tryStats returns the instance's statistics, or an error if it does not respond.
func (p *process) tryStats() (s lifecycle.Stats, err error) {
	body, err := p.control("stats")
	if err == nil {
		err = json.Unmarshal([]byte(body), &s)
	}
	return s, err
}
