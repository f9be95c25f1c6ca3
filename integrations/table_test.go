package integrations

import (
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"
)

var (
	linked   = regexp.MustCompile(`^\[[^]]+\]\(https://pkg\.go\.dev/(\S+)\)$`)
	required = regexp.MustCompile(`(?m)^\t(\S+) (v\S+)( // indirect)?$`)
	testFunc = regexp.MustCompile(`(?m)^func (Test(?:With|Pattern)\w+)\(`)
	named    = regexp.MustCompile("`(Test\\w+)`")
)

// needed are the modules that are not the subject of a row. casbin is that of authz.
var needed = []string{
	"github.com/casbin/casbin/v2", "github.com/gin-contrib/sessions", "github.com/gin-lifecycle/lifecycle", "github.com/redis/go-redis/v9",
}

// The tables of docs/integrations.md and the tests name one another, and the versions are those
// of go.mod. Each module that go.mod requires has a row.
func TestTable(t *testing.T) {
	t.Parallel()
	versions := make(map[string]string)
	missing := make(map[string]bool)
	for _, m := range required.FindAllStringSubmatch(contents(t, "go.mod"), -1) {
		versions[m[1]] = m[2]
		missing[m[1]] = m[3] == "" && !slices.Contains(needed, m[1])
	}
	tests := make(map[string]int) // in how many rows each is
	files, err := filepath.Glob("*_test.go")
	if err != nil {
		t.Fatal(err)
	}
	for _, file := range files {
		for _, m := range testFunc.FindAllStringSubmatch(contents(t, file), -1) {
			tests[m[1]] = 0
		}
	}
	for line := range strings.Lines(contents(t, "../docs/integrations.md")) {
		cells := strings.Split(strings.Trim(strings.TrimSpace(line), "|"), "|")
		rowTests := named.FindAllStringSubmatch(cells[len(cells)-1], -1)
		if len(rowTests) == 0 {
			continue
		}
		for _, m := range rowTests {
			if _, ok := tests[m[1]]; !ok {
				t.Errorf("there is no test %s", m[1])
			}
			tests[m[1]]++
		}
		if strings.HasPrefix(rowTests[0][1], "TestPattern") {
			continue
		}
		if len(cells) != 5 {
			t.Errorf("a row has %d cells: %s", len(cells), line)
			continue
		}
		module := linked.FindStringSubmatch(strings.TrimSpace(cells[0]))
		if module == nil {
			t.Errorf("a row links to no module: %s", cells[0])
			continue
		}
		missing[module[1]] = false
		if version := strings.TrimSpace(cells[1]); versions[module[1]] != version {
			t.Errorf("%s %s: go.mod has %q", module[1], version, versions[module[1]])
		}
	}
	for name, n := range tests {
		if n != 1 {
			t.Errorf("%s is in %d rows", name, n)
		}
	}
	for module, is := range missing {
		if is {
			t.Errorf("no row is about %s", module)
		}
	}
	if len(tests) < 10 {
		t.Errorf("only %d tests", len(tests))
	}
}

func contents(t *testing.T, path string) string {
	t.Helper()
	text, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	return string(text)
}
