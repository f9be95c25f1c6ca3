package docs

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"go/ast"
	"go/format"
	"go/parser"
	"go/token"
	"maps"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"
)

// patience bounds every wait. It is no expectation: what is slower than this is broken.
const patience = 5 * time.Minute

// imports are the packages that a fragment may use, by the name under which it does.
var imports = map[string]string{
	"context":   "context",
	"embedded":  "github.com/gin-lifecycle/lifecycle/embedded",
	"errors":    "errors",
	"fmt":       "fmt",
	"gin":       "github.com/gin-gonic/gin",
	"http":      "net/http",
	"io":        "io",
	"lifecycle": "github.com/gin-lifecycle/lifecycle",
	"log":       "log",
	"net":       "net",
	"os":        "os",
	"redis":     "github.com/redis/go-redis/v9",
	"sessions":  "github.com/gin-contrib/sessions",
	"signal":    "os/signal",
	"slog":      "log/slog",
	"strings":   "strings",
	"sync":      "sync",
	"syscall":   "syscall",
	"time":      "time",
}

// Every fragment compiles, and those that package fragments runs work.
func TestFragments(t *testing.T) {
	t.Parallel()
	files := map[string]string{}
	var keys []string
	for _, d := range documents(t) {
		seen := map[string]int{}
		for _, b := range d.blocks {
			if b.language != "go" || isProgram(b) {
				continue
			}
			if formatted, err := format.Source([]byte(b.text)); err == nil && string(formatted) != b.text {
				t.Errorf("%s:%d: not formatted, gofmt writes:\n%s", d.path, b.line, formatted)
			}
			// In main.go a fragment is the n-th one under its heading.
			seen[b.section]++
			key := fmt.Sprintf("%s#%s %d", d.path, b.section, seen[b.section])
			source, err := fragment(key, d, b, len(files))
			if err != nil {
				t.Errorf("%s:%d: %v", d.path, b.line, err)
				continue
			}
			files[fmt.Sprintf("fragments/fragment_%d.go", len(files))] = source
			keys = append(keys, key)
		}
	}
	if len(keys) < 10 {
		t.Errorf("only %d fragments: %q", len(keys), keys)
	}
	binary := build(t, "./fragments", files)
	if t.Failed() {
		return
	}
	ctx, cancel := context.WithTimeout(t.Context(), patience)
	defer cancel()
	cmd := exec.CommandContext(ctx, binary)
	cmd.Env = append(os.Environ(), "TMPDIR="+t.TempDir()) // some fragments leave files there
	if out, err := cmd.CombinedOutput(); err != nil {
		t.Errorf("the fragments: %v\n%s", err, out)
	}
}

// Wrong fragments do not compile.
func TestWrongFragments(t *testing.T) {
	t.Parallel()
	for name, text := range map[string]string{
		"unknown option":         "store, err := lifecycle.NewStore(rdb, lifecycle.WithNothing())\nif err != nil {\n\treturn err\n}\n",
		"wrong type":             "lifecycle.OnSessionCreated(func(s *lifecycle.Session) error { return nil })\n",
		"undeclared name":        "lifecycle.OnSessionDestroyed(nothing)\n",
		"text that is no format": "store, err := lifecycle.NewStore(rdb)\nif err != nil {\n\tlog.Fatal(err)\n}\nerr = lifecycle.Start(ctx, store)\nlog.Print(\"%d\", 1)\n",
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			d := parse("docs/x.md", []byte("# X\n\n```go\n"+text+"```\n"))
			source, err := fragment("x", d, d.blocks[0], 0)
			if err != nil {
				t.Fatal(err)
			}
			out, err := compile(t, "./fragments", map[string]string{"fragments/fragment_0.go": source})
			if err == nil {
				t.Fatal("it compiles")
			}
			if !strings.Contains(out, "x.md:") {
				t.Errorf("no line of the document in %s", out)
			}
		})
	}
	d := parse("x.md", []byte("```go\nif {\n```\n"))
	if _, err := fragment("x", d, d.blocks[0], 0); err == nil {
		t.Error("a fragment that is no Go is not noticed")
	}
}

func isProgram(b block) bool { return strings.HasPrefix(b.text, "package ") }

// fragment returns a file that holds a fragment as a function, and enters it into the map
// that package fragments runs fragments from.
func fragment(key string, d *document, b block, n int) (string, error) {
	name := fmt.Sprintf("fragment%d", n)
	head := fmt.Sprintf("package main\n\nfunc %s() error {\n", name)
	f, err := parser.ParseFile(token.NewFileSet(), "", head+b.text+"return nil\n}\n", parser.SkipObjectResolution)
	if err != nil {
		return "", fmt.Errorf("it is no list of statements: %w", err)
	}
	var out bytes.Buffer
	fmt.Fprintf(&out, "package main\n\nimport (\n")
	for _, path := range slices.Sorted(maps.Keys(used(f))) {
		fmt.Fprintf(&out, "\t%q\n", path)
	}
	source, err := filepath.Abs(filepath.Join(root, filepath.FromSlash(d.path)))
	if err != nil {
		return "", err
	}
	fmt.Fprintf(&out, ")\n\nfunc init() { fragments[%q] = %s }\n\nfunc %s() error {\n", key, name, name)
	fmt.Fprintf(&out, "//line %s:%d\n%s", source, b.line, b.text)
	// A document shows how a value is made, and not always what becomes of it.
	for _, v := range declared(f.Decls[0].(*ast.FuncDecl).Body) {
		fmt.Fprintf(&out, "_ = &%s\n", v)
	}
	fmt.Fprintf(&out, "return nil\n}\n")
	return out.String(), nil
}

// used returns the paths of the packages that a file uses.
func used(f *ast.File) map[string]bool {
	paths := map[string]bool{}
	ast.Inspect(f, func(n ast.Node) bool {
		if s, ok := n.(*ast.SelectorExpr); ok {
			if x, ok := s.X.(*ast.Ident); ok && imports[x.Name] != "" {
				paths[imports[x.Name]] = true
			}
		}
		return true
	})
	return paths
}

// declared returns the names that the statements of a block declare, but not those of
// blocks within it.
func declared(body *ast.BlockStmt) []string {
	names := map[string]bool{}
	for _, s := range body.List {
		switch s := s.(type) {
		case *ast.AssignStmt:
			for _, e := range s.Lhs {
				if x, ok := e.(*ast.Ident); ok && s.Tok == token.DEFINE {
					names[x.Name] = true
				}
			}
		case *ast.DeclStmt:
			for _, spec := range s.Decl.(*ast.GenDecl).Specs {
				if v, ok := spec.(*ast.ValueSpec); ok {
					for _, x := range v.Names {
						names[x.Name] = true
					}
				}
			}
		}
	}
	delete(names, "_")
	return slices.Sorted(maps.Keys(names))
}

// build compiles a package of this module, to which files have been added, and returns the
// program.
func build(t *testing.T, pkg string, files map[string]string) string {
	t.Helper()
	binary, err := compile(t, pkg, files)
	if err != nil {
		t.Fatalf("%v\n%s", err, binary)
	}
	return binary
}

// compile is build, but returns the error with what the compiler has said. Nothing is
// written into the repository: the go command is given the files as an overlay. It vets
// the package, too.
func compile(t *testing.T, pkg string, files map[string]string) (string, error) {
	t.Helper()
	dir := t.TempDir()
	replace := map[string]string{}
	for path, source := range files {
		virtual, err := filepath.Abs(filepath.FromSlash(path))
		if err != nil {
			t.Fatal(err)
		}
		replace[virtual] = filepath.Join(dir, filepath.Base(path))
		if err := os.WriteFile(replace[virtual], []byte(source), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	overlay, err := json.Marshal(map[string]any{"Replace": replace})
	if err != nil {
		t.Fatal(err)
	}
	overlayFile, binary := filepath.Join(dir, "overlay.json"), filepath.Join(dir, "program")
	if err := os.WriteFile(overlayFile, overlay, 0o600); err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithTimeout(t.Context(), patience)
	defer cancel()
	// The statements that are added behind a fragment may be unreachable.
	for _, args := range [][]string{{"vet", "-unreachable=false"}, {"build", "-o", binary}} {
		args = append(append(args, raceFlags...), "-overlay="+overlayFile, pkg)
		if out, err := exec.CommandContext(ctx, "go", args...).CombinedOutput(); err != nil {
			return string(out), fmt.Errorf("go %s: %w", args[0], err)
		}
	}
	return binary, nil
}
