package faults

import (
	"bufio"
	"fmt"
	"os"
	"strconv"
	"strings"
	"testing"
	"time"
)

// kind is what a line of a journal tells.
type kind string

const (
	created kind = "created" // a created hook has run
	started kind = "started" // a destroyed hook was called
	done    kind = "done"    // it returned nil
	failed  kind = "failed"  // it returned an error, or panicked
	alive   kind = "alive"   // it asked for its session and was told that it lives
	held    kind = "held"    // a handler's OnSessionDestroyed returned nil
	closure kind = "closure" // what it registered was called
	claimed kind = "claimed" // Redis gave it the claim, for which it had asked at that time
	acked   kind = "acked"   // Redis had told it that its ack was good
)

// event is a line of a journal, and for lines read the journal's instance.
type event struct {
	at      time.Time
	kind    kind
	id      string
	hook    string // name of the hook; of closures a number given by the visitor; of claims their token
	attempt int
	reason  string
	ended   time.Time
	value   string // that the session held under keptKey
	by      *process
}

// keptKey is the key of the session's value that the journal keeps.
const keptKey = "kept"

// journal is a file that one process writes to, what belongs together with one
// write: a killed process leaves whole lines, and all or none.
type journal struct{ file *os.File }

func openJournal(path string) (*journal, error) {
	f, err := os.OpenFile(path, os.O_CREATE|os.O_APPEND|os.O_WRONLY, 0o600)
	return &journal{f}, err
}

func (j *journal) write(events ...event) {
	if len(events) == 0 {
		return
	}
	var lines []byte
	for _, e := range events {
		lines = fmt.Appendf(lines, "%d\t%s\t%s\t%s\t%d\t%s\t%d\t%s\n",
			e.at.UnixMicro(), e.kind, e.id, e.hook, e.attempt, e.reason, e.ended.UnixMilli(), e.value)
	}
	if _, err := j.file.Write(lines); err != nil {
		panic(err)
	}
}

// readJournal reads what a process has written so far.
func readJournal(t testing.TB, p *process) []event {
	t.Helper()
	f, err := os.Open(p.journal)
	if os.IsNotExist(err) {
		return nil
	}
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = f.Close() }()
	var events []event
	for r := bufio.NewReader(f); ; {
		line, err := r.ReadString('\n')
		if err != nil { // without its end: it is being written
			return events
		}
		field := strings.Split(strings.TrimSuffix(line, "\n"), "\t")
		if len(field) != 8 {
			t.Fatalf("%s: not a line: %q", p.journal, line)
		}
		number := func(i int) int64 {
			n, err := strconv.ParseInt(field[i], 10, 64)
			if err != nil {
				t.Fatalf("%s: %q: %v", p.journal, line, err)
			}
			return n
		}
		events = append(events, event{
			at:      time.UnixMicro(number(0)),
			kind:    kind(field[1]),
			id:      field[2],
			hook:    field[3],
			attempt: int(number(4)),
			reason:  field[5],
			ended:   time.UnixMilli(number(6)),
			value:   field[7],
			by:      p,
		})
	}
}
