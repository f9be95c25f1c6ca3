package docs

import (
	"fmt"
	"go/ast"
	"go/doc"
	"go/parser"
	"go/token"
	"io/fs"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"sync"
	"testing"
)

// What a document names in code exists: options, errors, reasons, members of types, tests
// and commands.
func TestNames(t *testing.T) {
	t.Parallel()
	checked := 0
	for _, d := range documents(t) {
		for _, c := range d.codes {
			kind, err := checkName(t, c.text)
			if err != nil {
				t.Errorf("%s:%d: `%s`: %v", d.path, c.line, c.text, err)
			}
			if kind != "" {
				checked++
			}
		}
	}
	if checked < 100 {
		t.Errorf("only %d names in all documents", checked)
	}
}

func TestWrongNames(t *testing.T) {
	t.Parallel()
	for _, code := range []string{
		"WithPrefix", "WithRetry(1, a, b)", "ErrNotDead", "ReasonLost", "lifecycle.NewStore", "Manager.Destroy",
		"Stats().Dead", "Session.Reason", "TestLinks", "TestRow03KilledAroundCreate/x", "ExampleNew", "FuzzParse",
		"make test", "make soak DURATION=10m SEED=1",
	} {
		if kind, err := checkName(t, code); kind == "" || err != nil {
			t.Errorf("`%s` is taken for %q: %v", code, kind, err)
		}
	}
	for _, code := range []string{
		"WithNothing", "WithNothing(1)", "ErrNothing", "ReasonNothing", "lifecycle.Nothing", "Manager.Nothing",
		"Stats().Nothing", "TestNothing", "FuzzNothing", "make nothing",
	} {
		if _, err := checkName(t, code); err == nil {
			t.Errorf("`%s` is not noticed", code)
		}
	}
	for _, code := range []string{"WithX", "context.WithTimeout", "go test", "Path", "http.Handle", "TestRow.."} {
		if kind, err := checkName(t, code); kind != "" || err != nil {
			t.Errorf("`%s` is taken for %q: %v", code, kind, err)
		}
	}
}

var (
	identifier = regexp.MustCompile(`^(?:lifecycle\.)?((?:With|Err|Reason)[A-Z][a-z]\w*)(?:\(.*\))?$`)
	qualified  = regexp.MustCompile(`^lifecycle\.([A-Z]\w*)(?:\(.*\))?$`)
	member     = regexp.MustCompile(`^(?:lifecycle\.)?(Context|DeadEnd|Manager|Session|Stats|Store)(?:\(\))?\.([A-Z]\w*)(?:\(.*\))?$`)
	testName   = regexp.MustCompile(`^((?:Test|Fuzz|Example)[A-Z_]\w*)(?:/.*)?$`)
	command    = regexp.MustCompile(`^make ([a-z-]+)(?: [A-Z]+=\S+)*$`)
)

// checkName returns what a piece of code names, "" if it is nothing that the test knows,
// and an error if there is no such thing.
func checkName(t *testing.T, code string) (kind string, err error) {
	if m := testName.FindStringSubmatch(code); m != nil {
		return "a test", mustHave(tests(t), m[1])
	}
	if m := command.FindStringSubmatch(code); m != nil {
		return "a command", mustHave(targets(t), m[1])
	}
	name := ""
	if m := identifier.FindStringSubmatch(code); m != nil {
		name = m[1]
	} else if m := qualified.FindStringSubmatch(code); m != nil {
		name = m[1]
	} else if m := member.FindStringSubmatch(code); m != nil {
		name = m[1] + "." + m[2]
	}
	if name == "" {
		return "", nil
	}
	names, err := exported("")
	if err != nil {
		t.Fatal(err)
	}
	return "an identifier", mustHave(names, name)
}

func mustHave(names map[string]bool, name string) error {
	if !names[name] {
		return fmt.Errorf("there is no %s", name)
	}
	return nil
}

var packages sync.Map // what exported has found, by folder

// exported returns what the package in a folder of the repository exports, as the anchors
// of its documentation.
func exported(dir string) (map[string]bool, error) {
	if names, ok := packages.Load(dir); ok {
		return names.(map[string]bool), nil
	}
	paths, err := filepath.Glob(filepath.Join(root, filepath.FromSlash(dir), "*.go"))
	if err != nil {
		return nil, err
	}
	fset := token.NewFileSet()
	var files []*ast.File
	for _, p := range paths {
		if strings.HasSuffix(p, "_test.go") {
			continue
		}
		f, err := parser.ParseFile(fset, p, nil, parser.ParseComments)
		if err != nil {
			return nil, err
		}
		files = append(files, f)
	}
	if len(files) == 0 {
		return nil, fmt.Errorf("there is no package in %q", dir)
	}
	p, err := doc.NewFromFiles(fset, files, "example.com/p")
	if err != nil {
		return nil, err
	}
	names := map[string]bool{}
	values := func(all []*doc.Value) {
		for _, v := range all {
			for _, n := range v.Names {
				names[n] = true
			}
		}
	}
	funcs := func(prefix string, all []*doc.Func) {
		for _, f := range all {
			names[prefix+f.Name] = true
		}
	}
	values(p.Consts)
	values(p.Vars)
	funcs("", p.Funcs)
	for _, typ := range p.Types {
		names[typ.Name] = true
		values(typ.Consts)
		values(typ.Vars)
		funcs("", typ.Funcs)
		funcs(typ.Name+".", typ.Methods)
		for _, f := range fields(typ) {
			names[typ.Name+"."+f] = true
		}
	}
	packages.Store(dir, names)
	return names, nil
}

// fields returns the fields of a struct, or the methods of an interface.
func fields(typ *doc.Type) []string {
	var names []string
	for _, spec := range typ.Decl.Specs {
		spec, ok := spec.(*ast.TypeSpec)
		if !ok || spec.Name.Name != typ.Name {
			continue
		}
		var list *ast.FieldList
		switch t := spec.Type.(type) {
		case *ast.StructType:
			list = t.Fields
		case *ast.InterfaceType:
			list = t.Methods
		default:
			continue
		}
		for _, f := range list.List {
			for _, n := range f.Names {
				names = append(names, n.Name)
			}
		}
	}
	return names
}

var testFunc = regexp.MustCompile(`(?m)^func ((?:Test|Fuzz|Example)\w*)\(`)

// tests returns the names of all tests, fuzz tests and examples of the repository.
var tests = once(func() (map[string]bool, error) {
	names := map[string]bool{}
	err := filepath.WalkDir(root, func(path string, e fs.DirEntry, err error) error {
		if err != nil || e.IsDir() || !strings.HasSuffix(path, "_test.go") {
			return err
		}
		source, err := os.ReadFile(path)
		if err != nil {
			return err
		}
		for _, m := range testFunc.FindAllSubmatch(source, -1) {
			names[string(m[1])] = true
		}
		return nil
	})
	return names, err
})

var target = regexp.MustCompile(`(?m)^([a-z-]+):`)

// targets returns the names of the Makefile's targets.
var targets = once(func() (map[string]bool, error) {
	source, err := os.ReadFile(filepath.Join(root, "Makefile"))
	names := map[string]bool{}
	for _, m := range target.FindAllSubmatch(source, -1) {
		names[string(m[1])] = true
	}
	return names, err
})

// once returns a function that calls find once, for all tests.
func once(find func() (map[string]bool, error)) func(t *testing.T) map[string]bool {
	find = sync.OnceValues(find)
	return func(t *testing.T) map[string]bool {
		t.Helper()
		names, err := find()
		if err != nil {
			t.Fatal(err)
		}
		return names
	}
}

var (
	required = regexp.MustCompile(`(?m)^\t(\S+) (v\S+)`)
	version  = regexp.MustCompile(`([\w./-]+)@(v[\w.-]+)`)
)

// The versions that people copy are those that the library is built and tested with.
func TestVersions(t *testing.T) {
	t.Parallel()
	source, err := os.ReadFile(filepath.Join(root, "go.mod"))
	if err != nil {
		t.Fatal(err)
	}
	versions := map[string]string{"github.com/gin-lifecycle/lifecycle": "v0.0.0"}
	for _, m := range required.FindAllStringSubmatch(string(source), -1) {
		versions[m[1]] = m[2]
	}
	found := 0
	for _, d := range documents(t) {
		for _, m := range version.FindAllStringSubmatch(string(d.source), -1) {
			found++
			if want := versions[m[1]]; m[2] != want {
				t.Errorf("%s: %s, go.mod has %q", d.path, m[0], want)
			}
		}
	}
	if found == 0 {
		t.Error("no document names a version")
	}
}

// The README's figures are those of the last measurement.
func TestReadmeFigures(t *testing.T) {
	t.Parallel()
	measured := read(t, "docs/figures.md").rows
	rows := 0
	for _, row := range read(t, "README.md").rows {
		if !strings.HasSuffix(row[len(row)-1], " of 2,000") {
			continue
		}
		rows++
		if !slices.ContainsFunc(measured, func(m []string) bool { return isWithin(row, m) }) {
			t.Errorf("docs/figures.md has no row with %q", row)
		}
	}
	if rows != 4 {
		t.Errorf("the README has %d rows of figures, want 4", rows)
	}
}

// isWithin reports whether row has the cells of part in this order, and perhaps others
// between them.
func isWithin(part, row []string) bool {
	for _, cell := range row {
		if len(part) > 0 && part[0] == cell {
			part = part[1:]
		}
	}
	return len(part) == 0
}

// A newcomer reads the README to its end.
func TestReadmeIsShort(t *testing.T) {
	t.Parallel()
	if n := len(read(t, "README.md").source); n > 12_000 {
		t.Errorf("the README has %d bytes", n)
	}
}
