package docs

import (
	"errors"
	"fmt"
	"net/http"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"

	"github.com/gin-lifecycle/lifecycle/internal/redistest"
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
		"a line more":                     {"\tserver := ", "\tlog.Print(\"ready\")\n\tserver := "},
		"a cleanup with every request":    {"}, lifecycle.Key(\"folder\"))", "}, nil)"},
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
	p := &process{binary: binary, address: fmt.Sprintf("127.0.0.1:%d", redistest.FreePort(t))}
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
	out, err := compile(t, "./program", map[string]string{"program/main.go": listens})
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
