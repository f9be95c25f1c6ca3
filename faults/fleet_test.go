package faults

import (
	"bufio"
	"encoding/json"
	"fmt"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/redis/go-redis/v9"

	"github.com/gin-lifecycle/lifecycle"
	"github.com/gin-lifecycle/lifecycle/internal/redistest"
)

// patience is how long a test waits for anything at most.
const patience = redistest.Patience

// fleet is the instances of one application, the Redis that they share, and what the
// test knows about their sessions.
type fleet struct {
	t       testing.TB
	setup   setup // of the next instance that is started
	redis   *redistest.Server
	cluster *redistest.Cluster    // instead of redis; nil for a single server
	rdb     redis.UniversalClient // the test's own client; it goes past any proxy
	dir     string                // of the journals and logs
	known   *evidence
	client  *http.Client
	liveKey string // see liveKeyChanged

	mu        sync.Mutex
	processes []*process

	running sync.Mutex // a fault that stops Redis holds it, and so does flush
}

// newFleet starts a redis-server with these arguments, and returns a fleet on it that
// has no instances yet.
func newFleet(t testing.TB, args ...string) *fleet {
	t.Helper()
	return newFleetOn(t, redistest.Start(t, args...))
}

// newFleetOn returns a fleet without instances on a server.
func newFleetOn(t testing.TB, server *redistest.Server) *fleet {
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
			Prefix:       redistest.Prefix(),
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

// use makes rdb the test's own client.
func (f *fleet) use(rdb redis.UniversalClient) {
	_ = f.rdb.Close()
	f.rdb = rdb
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

// launch starts an instance with this setup and waits until it serves.
func (f *fleet) launch(name string, s setup) (*process, error) {
	p := f.newProcess(name, s)
	config, err := json.Marshal(p.setup)
	if err != nil {
		return nil, err
	}
	log, err := os.Create(p.log)
	if err != nil {
		return nil, err
	}
	defer func() { _ = log.Close() }()
	p.cmd = exec.Command(os.Args[0])
	p.cmd.Env = append(os.Environ(), instanceEnv+"="+string(config))
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
		for s.Scan() { // read to the end: Wait closes the pipe
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

// newProcess adds a process to the fleet, which is not running yet.
func (f *fleet) newProcess(name string, s setup) *process {
	f.mu.Lock()
	defer f.mu.Unlock()
	file := filepath.Join(f.dir, fmt.Sprintf("%s.%d", name, len(f.processes)))
	s.Journal = file + ".journal"
	p := &process{f: f, name: name, setup: s, journal: s.Journal, log: file + ".log", exited: make(chan struct{})}
	f.processes = append(f.processes, p)
	return p
}

// all returns all processes that were ever started.
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

// together starts instances and waits until each knows all of them.
func (f *fleet) together(names ...string) []*process {
	f.t.Helper()
	var ps []*process
	for _, n := range names {
		ps = append(ps, f.start(n))
	}
	f.knowEachOther(ps...)
	return ps
}

// knowEachOther waits until each of these instances knows that they are the whole
// fleet, and has its subscription.
func (f *fleet) knowEachOther(ps ...*process) {
	f.t.Helper()
	f.eventually("the instances know each other", func() bool {
		for _, p := range ps {
			if s, err := p.tryStats(); err != nil || s.Instances != len(ps) || s.Notifications == lifecycle.NotificationsDisconnected {
				return false
			}
		}
		return true
	})
}
