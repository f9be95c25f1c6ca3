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

// process is one life of an instance.
type process struct {
	f       *fleet
	name    string
	setup   setup
	journal string
	log     string
	addr    string
	cmd     *exec.Cmd
	born    time.Time
	exited  chan struct{}

	mu    sync.Mutex
	stops []stop
	told  time.Time // to shut down; zero until then
}

// stop is a time in which a process did not run.
type stop struct {
	from, to time.Time
	killed   bool // and never ran again
}

// end makes sure that the process is gone, without a word in the books.
func (p *process) end() {
	if p.cmd == nil || p.cmd.Process == nil {
		return
	}
	_ = p.cmd.Process.Kill()
	<-p.exited
}

func (p *process) printLog() {
	log, _ := os.ReadFile(p.log)
	var lines []string
	for line := range strings.Lines(string(log)) {
		// Hooks that fail as they were told, and the client about a server that is away.
		if !strings.Contains(line, "a destroyed hook failed") && !strings.Contains(line, "pool.go") {
			lines = append(lines, line)
		}
	}
	p.f.t.Logf("%s, its last lines:\n%s", filepath.Base(p.log), strings.Join(lines[max(len(lines)-30, 0):], ""))
}

// logged reports whether the log holds text.
func (p *process) logged(text string) bool { return p.countLogged(text) > 0 }

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

func (p *process) stopped(at time.Time, killed bool) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.stops = append(p.stops, stop{from: at, to: at.Add(24 * time.Hour), killed: killed})
}

// freeze stops the process: it is there and does nothing.
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

// toldToShutDown reports whether the process had been told to shut down at t.
func (p *process) toldToShutDown(t time.Time) bool {
	p.mu.Lock()
	defer p.mu.Unlock()
	return !p.told.IsZero() && !t.Before(p.told)
}

// stoppedBetween reports whether the process was killed or frozen in a time that
// overlaps that from a to b.
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

// shutDown ends the process as a deployment does, and reports how it went: it
// shuts down in order and finds no goroutine left behind.
func (p *process) shutDown() error {
	p.mu.Lock()
	p.told = time.Now()
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

// ask calls the test's side of an instance and fails with its error.
func (p *process) ask(path string, query ...string) {
	p.f.t.Helper()
	if err := p.tryAsk(path, query...); err != nil {
		p.f.t.Fatal(err)
	}
}

func (p *process) tryAsk(path string, query ...string) error {
	_, err := p.answer(path, query...)
	return err
}

func (p *process) answer(path string, query ...string) (string, error) {
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

// deadEnds returns the dead set, a line each: ID, attempts, error text.
func (p *process) deadEnds() []string {
	p.f.t.Helper()
	body, err := p.answer("dead")
	if err != nil {
		p.f.t.Fatal(err)
	}
	return strings.FieldsFunc(body, func(r rune) bool { return r == '\n' })
}

// arm makes the process wait at a failpoint, reached waits until it is there, and
// release lets it go on to the next point, if any.
func (p *process) arm(point string)    { p.f.t.Helper(); p.ask("arm", "point", point) }
func (p *process) reached()            { p.f.t.Helper(); p.ask("reached") }
func (p *process) release(next string) { p.f.t.Helper(); p.ask("release", "next", next) }

func (p *process) stats() lifecycle.Stats {
	p.f.t.Helper()
	s, err := p.tryStats()
	if err != nil {
		p.f.t.Fatal(err)
	}
	return s
}

func (p *process) tryStats() (s lifecycle.Stats, err error) {
	body, err := p.answer("stats")
	if err == nil {
		err = json.Unmarshal([]byte(body), &s)
	}
	return s, err
}
