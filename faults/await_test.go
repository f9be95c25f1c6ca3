package faults

import (
	"fmt"
	"time"

	"github.com/gin-lifecycle/lifecycle"
	"github.com/gin-lifecycle/lifecycle/internal/redistest"
)

// What the rows wait for, and what they read in the journals.

// eventually polls until ok holds, and fails the test if it never does.
func (f *fleet) eventually(what string, ok func() bool) {
	f.t.Helper()
	redistest.Eventually(f.t, what, ok)
}

// awaitTime waits until it is later than t.
func (f *fleet) awaitTime(what string, t time.Time) {
	f.t.Helper()
	f.eventually(what, func() bool { return time.Now().After(t) })
}

// awaitRuns waits until the journals have exactly n lines of this kind about the last
// hook: those of one session, or of all sessions if id is empty.
func (f *fleet) awaitRuns(k kind, id string, n int) {
	f.t.Helper()
	of := "all sessions"
	if id != "" {
		of = "session " + id
	}
	f.eventually(fmt.Sprintf("the journals say %q %d times of the last hook of %s", k, n, of), func() bool { return f.runs(k, id) == n })
}

// awaitEnds waits until the hooks of at least n ends have succeeded.
func (f *fleet) awaitEnds(n int) {
	f.t.Helper()
	f.eventually(fmt.Sprintf("%d ends are handled", n), func() bool { return f.runs(done, "") >= n })
}

// awaitMoreEnds waits until the hooks of n more ends have succeeded.
func (f *fleet) awaitMoreEnds(n int) {
	f.t.Helper()
	f.awaitEnds(f.runs(done, "") + n)
}

// runs counts the lines of a kind about the last hook: those of one session, or of all
// sessions if id is empty.
func (f *fleet) runs(k kind, id string) int {
	f.t.Helper()
	n := 0
	for _, e := range f.eventsOf(k) {
		if e.hook == hooks[len(hooks)-1] && (id == "" || e.id == id) {
			n++
		}
	}
	return n
}

// events returns all lines that are in the journals so far.
func (f *fleet) events() []event {
	f.t.Helper()
	var all []event
	for _, p := range f.all() {
		all = append(all, readJournal(f.t, p)...)
	}
	return all
}

// eventsOf returns the lines of one kind that are in the journals so far.
func (f *fleet) eventsOf(k kind) []event {
	f.t.Helper()
	var some []event
	for _, e := range f.events() {
		if e.kind == k {
			some = append(some, e)
		}
	}
	return some
}

// hearsNotifications reports whether one of the instances gets notifications.
func hearsNotifications(ps []*process) bool {
	for _, p := range ps {
		if s, err := p.tryStats(); err == nil && s.Notifications == lifecycle.NotificationsOn {
			return true
		}
	}
	return false
}

// allReasons fails the test unless every destroyed hook got this reason.
func (f *fleet) allReasons(reason lifecycle.Reason) {
	f.t.Helper()
	for _, e := range f.eventsOf(started) {
		if e.reason != string(reason) {
			f.t.Errorf("session %s: hook %s got the reason %q, want %q", e.id, e.hook, e.reason, reason)
		}
	}
}

// allRunsOn fails the test unless every destroyed hook of a session ran on p, in this
// attempt.
func (f *fleet) allRunsOn(p *process, attempt int, id string) {
	f.t.Helper()
	for _, e := range f.eventsOf(started) {
		if e.id == id && (e.by != p || e.attempt != attempt) {
			f.t.Errorf("hook %s ran on %s at %s in attempt %d; want %s and attempt %d",
				e.hook, e.by.name, clock(e.at), e.attempt, p.name, attempt)
		}
	}
}

// Texts of the library's log that the rows look for.
const (
	logHeartbeatFails     = "cannot reach Redis at"
	logHeartbeatWorks     = "the heartbeat works again"
	logLookFails          = "looking for ended sessions fails"
	logLoginRefused       = "destroyed hooks will run when Redis accepts them again"
	logConfigRefused      = "Redis refuses CONFIG"
	logSubscriptionLost   = "the subscription to Redis at"
	logSubscribedAgain    = "lifecycle: subscribed again to Redis at"
	logNobodyDelivers     = "no instance runs destroyed hooks"
	logSomebodyDelivers   = "there is an instance again that runs destroyed hooks"
	logNotificationsOff   = "keyspace notifications are off"
	logDestroyedHookFails = "a destroyed hook failed"
	logAnyError           = " error=" // every line about a call that failed has it
)
