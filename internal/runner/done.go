package runner

import (
	"strconv"
	"strings"
)

// Which global hooks have succeeded is noted in Redis between two attempts, with the
// instance that ran them: "<instance>:0,2". Another instance ignores the note and runs
// all hooks again, because its list of hooks may be another one.

func formatDone(instance string, done []int) string {
	if len(done) == 0 {
		return ""
	}
	text := make([]string, len(done))
	for i, n := range done {
		text[i] = strconv.Itoa(n)
	}
	return instance + ":" + strings.Join(text, ",")
}

func parseDone(instance, note string) []int {
	by, list, ok := strings.Cut(note, ":")
	if !ok || by != instance {
		return nil
	}
	var done []int
	for text := range strings.SplitSeq(list, ",") {
		if n, err := strconv.Atoi(text); err == nil {
			done = append(done, n)
		}
	}
	return done
}
