package docs

import (
	"fmt"
	"strings"
	"testing"
	"unicode"
)

// anchor returns the anchor that GitHub gives to a heading: letters in lower case, marks,
// digits, hyphens and underscores, and a hyphen for each space.
func anchor(heading string) string {
	return strings.Map(func(r rune) rune {
		switch {
		case r == ' ':
			return '-'
		case r == '-', r == '_', unicode.IsLetter(r), unicode.IsMark(r), unicode.IsDigit(r):
			return unicode.ToLower(r)
		}
		return -1
	}, strings.TrimSpace(heading))
}

// addAnchor adds the anchor of a heading and returns it. Of several headings with the same
// anchor the second one gets "-1" behind it, the third one "-2".
func (d *document) addAnchor(heading string) string {
	first := anchor(heading)
	a := first
	for n := 1; d.anchors[a]; n++ {
		a = fmt.Sprintf("%s-%d", first, n)
	}
	d.anchors[a] = true
	return a
}

func TestAnchors(t *testing.T) {
	t.Parallel()
	d := parse("x.md", []byte("# Start-up `checks`\n\n## What happens, and when\n\n## [A](b) + c / snake_case\n\n"+
		"## 100 million (live)\n\n## Again\n\n## Again\n\nAgain\n=====\n\n```\n# no heading\n```\n"))
	for _, want := range []string{
		"start-up-checks", "what-happens-and-when", "a--c--snake_case", "100-million-live", "again", "again-1", "again-2",
	} {
		if !d.anchors[want] {
			t.Errorf("no anchor %q in %v", want, d.anchors)
		}
	}
	if len(d.anchors) != 7 {
		t.Errorf("%d anchors, want 7: %v", len(d.anchors), d.anchors)
	}
}
