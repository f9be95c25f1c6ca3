package faults

import (
	"bufio"
	"context"
	"crypto/rand"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/redis/go-redis/v9"

	"github.com/gin-lifecycle/lifecycle"
	"github.com/gin-lifecycle/lifecycle/internal/redistest"
)

// patience bounds every wait. It is no expectation: what is slower than this is
// broken.
const patience = 30 * time.Second

// fleet is the instances of one application, the Redis that they share, and what
// the test knows of their sessions.
type fleet struct {
	t       testing.TB
	setup   setup // of the next instance
	redis   *redistest.Server
	cluster *redistest.Cluster    // instead of redis, nil if there is none
	rdb     redis.UniversalClient // past any proxy
	dir     string
	known   *evidence
	client  *http.Client
	liveKey string // see liveKeyChanged

	mu        sync.Mutex
	processes []*process

	running sync.Mutex // held while Redis must go on, or does not
}

// newFleet makes a fleet without instances on server.
func newFleet(t testing.TB, server *redistest.Server) *fleet {
	t.Helper()
	f := &fleet{
		t:     t,
		redis: server,
		rdb:   redis.NewClient(&redis.Options{Addr: server.Addr}),
		dir:   t.TempDir(),
		known: newEvidence(),
		client: &http.Client{
			Transport: &http.Transport{MaxIdleConnsPerHost: 512},
			Timeout:   patience,
		},
		setup: setup{
			Redis:        server.Addr,
			Prefix:       "f" + strings.ToLower(rand.Text()[:8]),
			Buckets:      16,
			Idle:         2 * time.Second,
			Lease:        10 * time.Second,
			Look:         200 * time.Millisecond,
			RedisTimeout: 5 * time.Second,
			HookTimeout:  10 * time.Second,
			Heartbeat:    100 * time.Millisecond,
			Concurrency:  16,
			Attempts:     20,
			Backoff:      20 * time.Millisecond,
			Ask:          1,
		},
	}
	t.Cleanup(func() {
		for i, p := range f.all() {
			p.end()
			if t.Failed() && i >= len(f.all())-3 {
				p.printLog()
			}
		}
		f.client.CloseIdleConnections()
		_ = f.rdb.Close()
	})
	return f
}

// start starts an instance and waits until it serves.
func (f *fleet) start(name string) *process {
	f.t.Helper()
	p, err := f.launch(name, f.setup)
	if err != nil {
		f.t.Fatal(err)
	}
	return p
}

func (f *fleet) launch(name string, s setup) (*process, error) {
	f.mu.Lock()
	file := filepath.Join(f.dir, fmt.Sprintf("%s.%d", name, len(f.processes)))
	p := &process{f: f, name: name, journal: file + ".journal", log: file + ".log", exited: make(chan struct{}), born: time.Now()}
	s.Journal = p.journal
	p.setup = s
	f.processes = append(f.processes, p)
	f.mu.Unlock()

	told, err := json.Marshal(s)
	if err != nil {
		return nil, err
	}
	log, err := os.Create(p.log)
	if err != nil {
		return nil, err
	}
	defer func() { _ = log.Close() }()
	p.cmd = exec.Command(os.Args[0])
	p.cmd.Env = append(os.Environ(), instanceEnv+"="+string(told))
	p.cmd.SysProcAttr = &syscall.SysProcAttr{Pdeathsig: syscall.SIGKILL}
	p.cmd.Stderr = log
	out, err := p.cmd.StdoutPipe()
	if err != nil {
		return nil, err
	}
	if err := p.cmd.Start(); err != nil {
		return nil, err
	}
	addr := make(chan string, 1)
	go func() {
		defer close(p.exited)
		s := bufio.NewScanner(out)
		if s.Scan() {
			addr <- s.Text()
		}
		for s.Scan() { // to its end: Wait closes the pipe
		}
		_ = p.cmd.Wait()
	}()
	select {
	case p.addr = <-addr:
		return p, nil
	case <-p.exited:
	case <-time.After(patience):
	}
	p.end()
	p.printLog()
	return nil, fmt.Errorf("instance %s does not serve", name)
}

func (f *fleet) all() []*process {
	f.mu.Lock()
	defer f.mu.Unlock()
	return append([]*process(nil), f.processes...)
}

// living returns the processes that have not ended.
func (f *fleet) living() []*process {
	var living []*process
	for _, p := range f.all() {
		select {
		case <-p.exited:
		default:
			living = append(living, p)
		}
	}
	return living
}

// together starts instances and waits until each knows of all.
func (f *fleet) together(names ...string) []*process {
	f.t.Helper()
	var ps []*process
	for _, n := range names {
		ps = append(ps, f.start(n))
	}
	f.knowEachOther(ps...)
	return ps
}

func (f *fleet) knowEachOther(ps ...*process) {
	f.t.Helper()
	f.eventually("the instances know of each other", func() bool {
		for _, p := range ps {
			if s, err := p.tryStats(); err != nil || s.Instances != len(ps) || s.Notifications == lifecycle.NotificationsDisconnected {
				return false
			}
		}
		return true
	})
}

// events returns what all journals hold so far.
func (f *fleet) events() []event {
	f.t.Helper()
	var all []event
	for _, p := range f.all() {
		all = append(all, readJournal(f.t, p)...)
	}
	return all
}

// runs counts the lines of a kind about the last hook, for one session or, with
// an empty id, for all.
func (f *fleet) runs(k kind, id string) int {
	f.t.Helper()
	n := 0
	for _, e := range f.events() {
		if e.kind == k && e.hook == hooks[len(hooks)-1] && (id == "" || e.id == id) {
			n++
		}
	}
	return n
}

// eventually polls until ok holds.
func (f *fleet) eventually(what string, ok func() bool) {
	f.t.Helper()
	if err := poll(patience, ok); err != nil {
		f.t.Fatalf("%s: %v", what, err)
	}
}

var errNever = errors.New("never happened")

func poll(patience time.Duration, ok func() bool) error {
	tick := time.NewTicker(5 * time.Millisecond)
	defer tick.Stop()
	end := time.After(patience)
	for !ok() {
		select {
		case <-tick.C:
		case <-end:
			return errNever
		}
	}
	return nil
}

// settled reports whether no session lives and no end waits.
func (f *fleet) settled() bool {
	pipe := f.rdb.Pipeline()
	for b := range f.setup.Buckets {
		pipe.ZCard(context.Background(), fmt.Sprintf("%s:{%d}:due", f.setup.Prefix, b))
	}
	waiting, err := pipe.Exec(context.Background())
	if err != nil {
		return false
	}
	for _, n := range waiting {
		if n.(*redis.IntCmd).Val() > 0 {
			return false
		}
	}
	return f.keys("live:*") == 0
}

// finish waits until every session has ended, ends the instances in order, and
// has the checker judge.
func (f *fleet) finish() verdict {
	f.t.Helper()
	f.eventually("every session has ended and its end is handled", f.settled)
	return f.stopAndCheck()
}

func (f *fleet) stopAndCheck() verdict {
	f.t.Helper()
	for _, p := range f.living() {
		if err := p.shutDown(); err != nil {
			f.t.Error(err)
		}
	}
	f.leavesNothing()
	v := f.known.check(f.events(), f.setup.Idle)
	v.report(f.t)
	return v
}

// leavesNothing is invariant I8 for Redis; goroutines are the instances' own
// look as they end.
func (f *fleet) leavesNothing() {
	f.t.Helper()
	keys, err := f.keyNames("*")
	if err != nil {
		f.t.Errorf("I8: %v", err)
	}
	for _, k := range keys {
		if k == f.setup.Prefix+":buckets" || k == f.setup.Prefix+":instances" {
			continue
		}
		// For a killed instance's hooks of handlers a tombstone waits out its time.
		if left := f.rdb.PTTL(context.Background(), k).Val(); left < 0 || !f.killed() {
			f.t.Errorf("I8: left in Redis: %s, time to live %v", k, left)
		}
	}
	f.eventually("I8: all connections are closed", func() bool {
		n := f.connections()
		return n >= 0 && n <= int(f.rdb.PoolStats().TotalConns) // the test's own
	})
}

// killed reports whether any instance was killed.
func (f *fleet) killed() bool {
	return slices.ContainsFunc(f.all(), (*process).killed)
}
