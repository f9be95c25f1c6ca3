package docs

import (
	"go/ast"
	"go/importer"
	"go/parser"
	"go/token"
	"go/types"
	"path/filepath"
	"slices"
	"strings"
	"testing"
)

// The files of the root package use one another one way, as packages do: no file uses
// anything of a file that uses it, not even by way of others.
func TestFilesOfTheRootUseEachOtherOneWay(t *testing.T) {
	t.Parallel()
	uses := usesBetweenFiles(t, root)
	if len(uses) < 10 {
		t.Fatalf("only %d files use others", len(uses))
	}
	if circle := circleIn(uses); circle != nil {
		t.Errorf("these files use one another in a circle: %s", strings.Join(circle, " -> "))
	}
}

func TestACircleIsFound(t *testing.T) {
	t.Parallel()
	uses := map[string][]string{"a": {"b", "c"}, "b": {"c"}, "c": {"d"}}
	if circle := circleIn(uses); circle != nil {
		t.Errorf("found %v", circle)
	}
	uses["d"] = []string{"b"}
	if circle := circleIn(uses); !slices.Equal(circle, []string{"b", "c", "d", "b"}) {
		t.Errorf("found %v", circle)
	}
}

// usesBetweenFiles returns, for each file of a package, the other files of the package whose
// declarations it uses.
func usesBetweenFiles(t *testing.T, dir string) map[string][]string {
	t.Helper()
	paths, err := filepath.Glob(filepath.Join(dir, "*.go"))
	if err != nil {
		t.Fatal(err)
	}
	fset := token.NewFileSet()
	var files []*ast.File
	for _, path := range paths {
		if strings.HasSuffix(path, "_test.go") {
			continue
		}
		f, err := parser.ParseFile(fset, path, nil, parser.SkipObjectResolution)
		if err != nil {
			t.Fatal(err)
		}
		files = append(files, f)
	}
	info := types.Info{Uses: map[*ast.Ident]types.Object{}}
	config := types.Config{Importer: importer.ForCompiler(fset, "source", nil)}
	pkg, err := config.Check("lifecycle", fset, files, &info)
	if err != nil {
		t.Fatal(err)
	}
	uses := map[string][]string{}
	for ident, object := range info.Uses {
		if object.Pkg() != pkg {
			continue
		}
		from, to := fset.File(ident.Pos()).Name(), fset.File(object.Pos()).Name()
		from, to = filepath.Base(from), filepath.Base(to)
		if from != to && !slices.Contains(uses[from], to) {
			uses[from] = append(uses[from], to)
		}
	}
	return uses
}

// circleIn returns a circle of names that use one another, or nil if there is none. The
// first name stands at the end again.
func circleIn(uses map[string][]string) []string {
	var way []string
	done := map[string]bool{}
	var visit func(name string) []string
	visit = func(name string) []string {
		if i := slices.Index(way, name); i >= 0 {
			return append(slices.Clone(way[i:]), name)
		}
		if done[name] {
			return nil
		}
		way = append(way, name)
		for _, next := range uses[name] {
			if circle := visit(next); circle != nil {
				return circle
			}
		}
		way = way[:len(way)-1]
		done[name] = true
		return nil
	}
	names := make([]string, 0, len(uses))
	for name := range uses {
		names = append(names, name)
	}
	slices.Sort(names)
	for _, name := range names {
		if circle := visit(name); circle != nil {
			return circle
		}
	}
	return nil
}
