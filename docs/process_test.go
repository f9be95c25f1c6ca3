package docs

import (
	"bufio"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"testing"
	"time"
)

// process is a run of a program.
type process struct {
	binary, address string

	cmd   *exec.Cmd
	lines chan string // what it has written; closed at its end
}

// start starts the program with variables of the environment.
func (p *process) start(t *testing.T, env []string) error {
	t.Helper()
	if p.cmd != nil {
		return errors.New("the program has been started before")
	}
	r, w, err := os.Pipe()
	if err != nil {
		return err
	}
	defer w.Close() //nolint:errcheck // the program's now
	p.cmd, p.lines = exec.Command(p.binary), make(chan string, 1000)
	p.cmd.Dir = t.TempDir()
	p.cmd.Env = append(append(os.Environ(), env...), addressEnv+"="+p.address, "TMPDIR="+p.cmd.Dir)
	p.cmd.Stdout, p.cmd.Stderr = w, w
	if err := p.cmd.Start(); err != nil {
		return err
	}
	done := make(chan struct{})
	go func() {
		defer close(done)
		defer close(p.lines)
		defer r.Close() //nolint:errcheck // only read
		for s := bufio.NewScanner(r); s.Scan(); {
			p.lines <- s.Text()
		}
	}()
	t.Cleanup(func() {
		_ = p.cmd.Process.Kill() // mostly it is gone
		_ = p.cmd.Wait()
		for range p.lines {
			continue // nobody reads the rest
		}
		<-done
	})
	return nil
}

// read returns the next n lines of the program.
func (p *process) read(n int) ([]string, error) {
	if p.cmd == nil {
		return nil, errors.New("the program has not been started")
	}
	var lines []string
	late := time.After(patience)
	for len(lines) < n {
		select {
		case line, ok := <-p.lines:
			if !ok {
				return lines, fmt.Errorf("the program has ended; it wrote %q", lines)
			}
			lines = append(lines, line)
		case <-late:
			return lines, fmt.Errorf("the program writes nothing more; it wrote %q", lines)
		}
	}
	return lines, nil
}

// more returns what the program has written and nobody has read.
func (p *process) more() []string {
	var lines []string
	for {
		select {
		case line, ok := <-p.lines:
			if !ok {
				return lines
			}
			lines = append(lines, line)
		default:
			return lines
		}
	}
}

func (p *process) interrupt() error {
	if p.cmd == nil {
		return errors.New("the program has not been started")
	}
	return p.cmd.Process.Signal(os.Interrupt)
}

// wait waits for the program's end, which must be one without an error, and without
// another word.
func (p *process) wait() error {
	late := time.AfterFunc(patience, func() { _ = p.cmd.Process.Kill() })
	defer late.Stop()
	var rest []string
	for line := range p.lines {
		rest = append(rest, line)
	}
	if err := p.cmd.Wait(); err != nil {
		return fmt.Errorf("the program's end: %w; it wrote %q", err, rest)
	}
	if len(rest) > 0 {
		return fmt.Errorf("the program wrote %q at its end", rest)
	}
	return nil
}
