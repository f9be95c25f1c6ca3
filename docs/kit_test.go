package docs

import (
	"bytes"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/yuin/goldmark"
	"github.com/yuin/goldmark/ast"
	"github.com/yuin/goldmark/extension"
	"github.com/yuin/goldmark/text"
)

// root is the repository.
const root = ".."

// document is a parsed Markdown file.
type document struct {
	path   string // in the repository, with slashes
	source []byte

	anchors map[string]bool // of its headings, as GitHub makes them
	links   []span          // destinations of links and images
	codes   []span          // code within a line
	blocks  []block
	rows    [][]string // of all tables, their cells as text
}

// span is a piece of a line.
type span struct {
	text string
	line int
}

// block is a fenced block of code.
type block struct {
	language string
	text     string
	line     int    // of its first line of text
	section  string // the anchor of the heading above it
}

// documents returns all documents of the repository.
func documents(t *testing.T) []*document {
	t.Helper()
	paths, err := filepath.Glob("*.md")
	if err != nil || len(paths) == 0 {
		t.Fatalf("there are no documents here: %v", err)
	}
	for i, p := range paths {
		paths[i] = "docs/" + p
	}
	var all []*document
	for _, p := range append([]string{"README.md", "CONTRIBUTING.md", "CHANGELOG.md"}, paths...) {
		all = append(all, read(t, p))
	}
	return all
}

// read parses the document at path, in the repository.
func read(t *testing.T, path string) *document {
	t.Helper()
	source, err := os.ReadFile(filepath.Join(root, filepath.FromSlash(path)))
	if err != nil {
		t.Fatal(err)
	}
	return parse(path, source)
}

// parse parses a document as GitHub does.
func parse(path string, source []byte) *document {
	d := &document{path: path, source: source, anchors: map[string]bool{}}
	tree := goldmark.New(goldmark.WithExtensions(extension.GFM)).Parser().Parse(text.NewReader(source))
	section := ""
	_ = ast.Walk(tree, func(n ast.Node, entering bool) (ast.WalkStatus, error) { // the function returns no error
		if !entering {
			return ast.WalkContinue, nil
		}
		switch n := n.(type) {
		case *ast.Heading:
			section = d.addAnchor(d.textOf(n))
		case *ast.Link:
			d.links = append(d.links, span{string(n.Destination), d.lineOf(n)})
		case *ast.Image:
			d.links = append(d.links, span{string(n.Destination), d.lineOf(n)})
		case *ast.AutoLink:
			d.links = append(d.links, span{string(n.URL(source)), d.lineOf(n)})
		case *ast.CodeSpan:
			d.codes = append(d.codes, span{d.textOf(n), d.lineOf(n)})
		case *ast.FencedCodeBlock:
			d.blocks = append(d.blocks, block{
				language: string(n.Language(source)),
				text:     string(n.Lines().Value(source)),
				line:     d.lineOf(n),
				section:  section,
			})
		}
		if n.Kind().String() == "TableRow" {
			var cells []string
			for c := n.FirstChild(); c != nil; c = c.NextSibling() {
				cells = append(cells, d.textOf(c))
			}
			d.rows = append(d.rows, cells)
		}
		return ast.WalkContinue, nil
	})
	return d
}

// textOf returns the text of a node, without its markup.
func (d *document) textOf(n ast.Node) string {
	var b strings.Builder
	_ = ast.Walk(n, func(n ast.Node, entering bool) (ast.WalkStatus, error) { // the function returns no error
		if !entering {
			return ast.WalkContinue, nil
		}
		switch n := n.(type) {
		case *ast.Text:
			b.Write(n.Value(d.source))
			if n.SoftLineBreak() {
				b.WriteByte(' ')
			}
		case *ast.String:
			b.Write(n.Value)
		case *ast.AutoLink:
			b.Write(n.Label(d.source))
		}
		return ast.WalkContinue, nil
	})
	return b.String()
}

// lineOf returns the line at which a node begins: that of its first text, or of the block
// that it is in.
func (d *document) lineOf(n ast.Node) int {
	at := -1
	_ = ast.Walk(n, func(n ast.Node, entering bool) (ast.WalkStatus, error) { // the function returns no error
		if t, ok := n.(*ast.Text); ok && entering {
			at = t.Segment.Start
			return ast.WalkStop, nil
		}
		return ast.WalkContinue, nil
	})
	for ; at < 0 && n != nil; n = n.Parent() {
		if n.Type() == ast.TypeBlock && n.Lines().Len() > 0 {
			at = n.Lines().At(0).Start
		}
	}
	if at < 0 {
		return 1
	}
	return 1 + bytes.Count(d.source[:at], []byte("\n"))
}
