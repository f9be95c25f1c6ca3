package docs

import (
	"bufio"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/cookiejar"
	"net/url"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"
)

// Every program does what its transcript says.
func TestPrograms(t *testing.T) {
	t.Parallel()
	count := 0
	for _, d := range documents(t) {
		for _, b := range d.blocks {
			if b.language != "go" || !isProgram(b) {
				continue
			}
			count++
			t.Run(fmt.Sprintf("%s:%d", d.path, b.line), func(t *testing.T) {
				t.Parallel()
				if err := play(t, d, b); err != nil {
					t.Error(err)
				}
			})
		}
	}
	if count == 0 {
		t.Error("no document has a program")
	}
}

// A program that does something else is noticed.
func TestWrongPrograms(t *testing.T) {
	t.Parallel()
	readme := read(t, "README.md")
	for name, change := range map[string][2]string{
		"another line of the program":     {"log.Printf(\"session %s: began at %s\"", "log.Printf(\"session %s: started at %s\""},
		"another response":                {`"visit %d\n"`, `"visit no. %d\n"`},
		"a line more":                     {"\tselect {\n", "\tlog.Print(\"ready\")\n\tselect {\n"},
		"a cleanup with every request":    {"if visits == 0 {", "if visits >= 0 {"},
		"a line of the transcript less":   {"$ curl -c jar -b jar localhost:8080\nvisit 2\n", ""},
		"another reason":                  {"ended after visit 2: idle timeout", "ended after visit 2: destroyed"},
		"another session":                 {"GLz1SMG1ML0l4TUptxi5Kw: began", "o76tDScLFegV6bQA2PHgRg: began"},
		"no cookies":                      {"$ curl -c jar -b jar localhost:8080\nvisit 2\n", "$ curl localhost:8080\nvisit 2\n"},
		"an end with an error":            {"rdb.Close())", "rdb.Close(), errors.New(\"broken\"))"},
		"an option that the test ignores": {"$ curl -c jar -b jar localhost:8080\nvisit 2\n", "$ curl -k -c jar -b jar localhost:8080\nvisit 2\n"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			source := strings.Replace(string(readme.source), change[0], change[1], 1)
			if source == string(readme.source) {
				t.Fatalf("the README has no %q", change[0])
			}
			d := parse("README.md", []byte(source))
			if err := play(t, d, programOf(t, d)); err == nil {
				t.Error("nothing is noticed")
			} else {
				t.Log(err)
			}
		})
	}
}

func programOf(t *testing.T, d *document) block {
	t.Helper()
	i := slices.IndexFunc(d.blocks, func(b block) bool { return b.language == "go" && isProgram(b) })
	if i < 0 {
		t.Fatalf("%s has no program", d.path)
	}
	return d.blocks[i]
}

// play runs a program and does what its transcript says. It returns how what came differs
// from the transcript.
func play(t *testing.T, d *document, b block) error {
	t.Helper()
	steps, err := transcript(d, b)
	if err != nil {
		return err
	}
	if len(steps) < 2 {
		return fmt.Errorf("the program has no transcript")
	}
	binary, err := programs.build(t, b.text)
	if err != nil {
		return err
	}
	p := &process{binary: binary, address: freeAddress(t)}
	c := &client{address: p.address, jars: map[string]http.CookieJar{}}
	var got, want []string // IDs
	for _, s := range steps {
		lines, err := s.perform(t, p, c)
		if err != nil {
			return fmt.Errorf("%s:%d: %w", d.path, s.line, err)
		}
		for i := range max(len(lines), len(s.see)) {
			if i >= len(lines) || i >= len(s.see) || plain(lines[i], &got) != plain(s.see[i], &want) {
				return fmt.Errorf("%s:%d: this came:\n%s\nand not:\n%s", d.path, s.line, strings.Join(lines, "\n"), strings.Join(s.see, "\n"))
			}
		}
	}
	if more := p.more(); len(more) > 0 {
		return fmt.Errorf("the program wrote more: %q", more)
	}
	return nil
}

// programs are those that have been built.
var programs = builder{dirs: map[string]string{}}

// builder builds each program once.
type builder struct {
	mu   sync.Mutex
	dirs map[string]string // the program, by its source
}

// addressEnv holds the address at which a program is to listen.
const addressEnv = "LIFECYCLE_DOCS_ADDRESS"

func (b *builder) build(t *testing.T, source string) (string, error) {
	t.Helper()
	b.mu.Lock()
	defer b.mu.Unlock()
	if binary := b.dirs[source]; binary != "" {
		return binary, nil
	}
	listens := strings.Replace(source, `"localhost:8080"`, fmt.Sprintf("os.Getenv(%q)", addressEnv), 1)
	if listens == source {
		return "", errors.New("the program does not listen at localhost:8080")
	}
	out, err := compile(t, "./internal/program", map[string]string{"internal/program/main.go": listens})
	if err != nil {
		return "", fmt.Errorf("%w\n%s", err, out)
	}
	// Its folder is this test's, others need it too.
	binary := filepath.Join(binaries, fmt.Sprintf("program%d", len(b.dirs)))
	if err := os.Rename(out, binary); err != nil {
		return "", err
	}
	b.dirs[source] = binary
	return binary, nil
}

var binaries string // a folder for all tests

func TestMain(m *testing.M) {
	dir, err := os.MkdirTemp("", "lifecycle-docs-")
	if err != nil {
		panic(err)
	}
	binaries = dir
	status := m.Run()
	_ = os.RemoveAll(dir)
	os.Exit(status)
}

// perform does what a step says and returns the lines that come: of a program as many as
// are expected.
func (s step) perform(t *testing.T, p *process, c *client) ([]string, error) {
	t.Helper()
	switch {
	case len(s.do) == 0:
		return p.read(len(s.see))
	case s.do[0] == "^C":
		if err := p.interrupt(); err != nil {
			return nil, err
		}
		lines, err := p.read(len(s.see))
		if err != nil {
			return lines, err
		}
		return lines, p.wait()
	case s.do[0] == "curl":
		return c.curl(t, s.do[1:])
	case strings.HasSuffix(strings.Join(s.do, " "), "go run ."):
		if err := p.start(t, s.do[:len(s.do)-3]); err != nil {
			return nil, err
		}
		return p.read(len(s.see))
	}
	return nil, fmt.Errorf("the test cannot do %q", s.do)
}

// freeAddress returns an address on which nobody listens.
func freeAddress(t *testing.T) string {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close() //nolint:errcheck // the program will say if it cannot listen
	return l.Addr().String()
}

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
	p.cmd.Dir, p.cmd.Env = t.TempDir(), append(append(os.Environ(), env...), addressEnv+"="+p.address)
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

// client does what curl does. Cookies are kept by the name of their file.
type client struct {
	address string // in the place of localhost:8080
	jars    map[string]http.CookieJar
}

// curl sends a request and returns the lines of the body.
func (c *client) curl(t *testing.T, args []string) ([]string, error) {
	t.Helper()
	method, form, target, send, keep := "", "", "", "", ""
	for ; len(args) > 0; args = args[1:] {
		into := map[string]*string{"-X": &method, "-d": &form, "-b": &send, "-c": &keep}[args[0]]
		switch {
		case into != nil && len(args) > 1:
			*into = args[1]
			args = args[1:]
		case strings.HasPrefix(args[0], "-") || target != "":
			return nil, fmt.Errorf("the test does not know curl's %q", args)
		default:
			target = args[0]
		}
	}
	if method == "" && form != "" {
		method = http.MethodPost
	}
	u, err := url.Parse("http://" + strings.TrimPrefix(target, "http://"))
	if err != nil {
		return nil, err
	}
	if u.Host != "localhost:8080" {
		return nil, fmt.Errorf("the program is at localhost:8080, not at %s", u.Host)
	}
	u.Host = c.address
	r, err := http.NewRequestWithContext(t.Context(), method, u.String(), strings.NewReader(form))
	if err != nil {
		return nil, err
	}
	if form != "" {
		r.Header.Set("Content-Type", "application/x-www-form-urlencoded")
	}
	if send != "" {
		for _, cookie := range c.jar(send).Cookies(u) {
			r.AddCookie(cookie)
		}
	}
	response, err := c.connect(r)
	if err != nil {
		return nil, err
	}
	defer response.Body.Close() //nolint:errcheck // only read
	body, err := io.ReadAll(response.Body)
	if err != nil {
		return nil, err
	}
	if keep != "" {
		c.jar(keep).SetCookies(u, response.Cookies())
	}
	if len(body) == 0 {
		return nil, nil
	}
	return strings.Split(strings.TrimSuffix(string(body), "\n"), "\n"), nil
}

// connect sends a request, again as long as nobody listens: a program says that it serves
// a moment before it does.
func (c *client) connect(r *http.Request) (*http.Response, error) {
	transport := &http.Transport{DisableKeepAlives: true}
	tick := time.NewTicker(10 * time.Millisecond)
	defer tick.Stop()
	for deadline := time.Now().Add(patience); ; <-tick.C {
		response, err := transport.RoundTrip(r)
		if err == nil || time.Now().After(deadline) || !errors.As(err, new(*net.OpError)) {
			return response, err
		}
	}
}

func (c *client) jar(file string) http.CookieJar {
	if c.jars[file] == nil {
		c.jars[file], _ = cookiejar.New(nil) // it returns no error
	}
	return c.jars[file]
}
