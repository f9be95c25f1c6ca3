package docs

import (
	"fmt"
	"regexp"
	"slices"
	"strings"
	"testing"
)

// step is a part of a transcript: something that is done, and what is seen afterwards.
type step struct {
	line int      // in the document
	do   []string // the words of a command, or "^C", or nothing
	see  []string // lines
}

// transcript returns the steps of the console blocks that follow a program, up to the next
// heading.
func transcript(d *document, program block) ([]step, error) {
	var steps []step
	for _, b := range d.blocks {
		if b.language != "console" || b.section != program.section || b.line < program.line {
			continue
		}
		first := len(steps)
		for i, text := range strings.Split(strings.TrimSuffix(b.text, "\n"), "\n") {
			s := step{line: b.line + i}
			switch command, is := strings.CutPrefix(text, "$ "); {
			case is:
				words, err := split(command)
				if err != nil {
					return nil, fmt.Errorf("line %d: %w", s.line, err)
				}
				s.do = words
			case text == "^C":
				s.do = []string{text}
			case len(steps) == first:
				s.see = []string{text}
			default:
				last := &steps[len(steps)-1]
				last.see = append(last.see, text)
				continue
			}
			steps = append(steps, s)
		}
	}
	return steps, nil
}

// split splits a command into words, as a shell does. It knows quotes and nothing else.
func split(command string) ([]string, error) {
	if strings.ContainsAny(command, "\\$`|&;<>*?") && !strings.ContainsAny(command, `'"`) {
		return nil, fmt.Errorf("%s: a character that a shell does something with", command)
	}
	var words []string
	for rest := strings.TrimSpace(command); rest != ""; rest = strings.TrimSpace(rest) {
		var word strings.Builder
		for rest != "" && rest[0] != ' ' {
			if quote := rest[0]; quote == '\'' || quote == '"' {
				inside, after, ok := strings.Cut(rest[1:], string(quote))
				if !ok {
					return nil, fmt.Errorf("%s: a quote without an end", command)
				}
				word.WriteString(inside)
				rest = after
				continue
			}
			word.WriteByte(rest[0])
			rest = rest[1:]
		}
		words = append(words, word.String())
	}
	return words, nil
}

var (
	timestamp = regexp.MustCompile(`^\d{4}/\d\d/\d\d \d\d:\d\d:\d\d `)
	word      = regexp.MustCompile(`[A-Za-z0-9_-]+`)
	port      = regexp.MustCompile(`(localhost|127\.0\.0\.1):\d+`)
)

// idLength is how many characters a session's ID has.
const idLength = 22

// plain makes lines comparable: it leaves out times at their beginning and numbers the
// session IDs and the addresses. ids holds those of earlier lines.
func plain(line string, ids *[]string) string {
	line = timestamp.ReplaceAllString(line, "<time> ")
	line = port.ReplaceAllString(line, "$1:<port>")
	return word.ReplaceAllStringFunc(line, func(id string) string {
		if len(id) != idLength {
			return id
		}
		n := slices.Index(*ids, id)
		if n < 0 {
			n = len(*ids)
			*ids = append(*ids, id)
		}
		return fmt.Sprintf("<id %d>", n+1)
	})
}

func TestTranscript(t *testing.T) {
	t.Parallel()
	d := parse("x.md", []byte("# A\n\n```console\n$ other\n```\n\n# B\n\n```go\npackage main\n```\n\n```console\n$ go run .\none\ntwo\n```\n\n"+
		"```console\n$ curl -d 'a b' \"c d\"e\nthree\n$ curl f\n```\n\n```console\nfour\n^C\nfive\n```\n\n## C\n\n```console\n$ other\n```\n"))
	steps, err := transcript(d, d.blocks[1])
	if err != nil {
		t.Fatal(err)
	}
	want := []step{
		{14, []string{"go", "run", "."}, []string{"one", "two"}},
		{20, []string{"curl", "-d", "a b", "c de"}, []string{"three"}},
		{22, []string{"curl", "f"}, nil},
		{26, nil, []string{"four"}},
		{27, []string{"^C"}, []string{"five"}},
	}
	if got, want := fmt.Sprintf("%q", steps), fmt.Sprintf("%q", want); got != want {
		t.Errorf("got  %s\nwant %s", got, want)
	}
	if _, err := split("curl a | grep b"); err == nil {
		t.Error("a pipe is not noticed")
	}
	if _, err := split("curl 'a"); err == nil {
		t.Error("a quote without an end is not noticed")
	}
}

func TestPlain(t *testing.T) {
	t.Parallel()
	var ids []string
	for line, want := range map[string]string{
		"2026/11/28 12:00:00 session o76tDScLFegV6bQA2PHgRg: began": "<time> session <id 1>: began",
		"at http://localhost:8080/x":                                "at http://localhost:<port>/x",
		"visit 1":                                                   "visit 1",
	} {
		if got := plain(line, &ids); got != want {
			t.Errorf("%s: %s, want %s", line, got, want)
		}
	}
	if got := plain("-Lz1SMG1ML0l4TUptxi5K-: o76tDScLFegV6bQA2PHgRg", &ids); got != "<id 2>: <id 1>" {
		t.Errorf("other IDs: %s", got)
	}
}
