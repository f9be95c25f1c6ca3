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

// kind says what a line of a journal reports.
type kind string

const (
	created kind = "created" // a created hook has run
	started kind = "started" // a destroyed hook was called
	done    kind = "done"    // the destroyed hook returned nil
	failed  kind = "failed"  // the destroyed hook returned an error, or panicked
	alive   kind = "alive"   // a destroyed hook asked for its session, and Get returned it as live
	held    kind = "held"    // a handler registered a hook for its session
	closure kind = "closure" // a closure was called
	claimed kind = "claimed" // Redis gave the instance a claim; the time is that of the instance's call
	acked   kind = "acked"   // Redis accepted the instance's ack
)

// event is a line of a journal.
type event struct {
	at      time.Time
	kind    kind
	id      string // of the session
	hook    string // the hook's name; for a closure the number that the visitor gave, for a claim its token
	attempt int
	reason  string
	ended   time.Time
	value   string   // the session's value under keptKey
	by      *process // whose journal it is
}

// keptKey is the key of the session's value that the journal records.
const keptKey = "kept"

// journal is a file to which one process appends. Lines that belong together are written
// in one write: a process that is killed leaves all of them or none, and no half line.
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

// readJournal reads the lines that a process has written so far.
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
		if err != nil { // no line end yet: the process is still writing
			return events
		}
		field := strings.Split(strings.TrimSuffix(line, "\n"), "\t")
		if len(field) != 8 {
			t.Fatalf("%s: not a line of a journal: %q", p.journal, line)
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
