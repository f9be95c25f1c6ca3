package faults

import (
	"context"
	"crypto/sha1" // the name that Redis gives to a script
	"encoding/hex"
	"net"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"time"

	"github.com/redis/go-redis/v9"
)

// scriptNames maps the SHA-1 of each of the ledger's scripts, and its source, to
// its name.
var scriptNames = sync.OnceValue(func() map[string]string {
	files, err := filepath.Glob("../internal/ledger/lua/*.lua")
	if err != nil || len(files) == 0 {
		panic("the ledger's scripts are not where they were")
	}
	names := make(map[string]string)
	for _, f := range files {
		src, err := os.ReadFile(f)
		if err != nil {
			panic(err)
		}
		sum := sha1.Sum(src)
		name := strings.TrimSuffix(filepath.Base(f), ".lua")
		names[hex.EncodeToString(sum[:])], names[string(src)] = name, name
	}
	return names
})

// failpoints are the moments before and after an instance's calls to Redis, by
// the name of the script: "before:ack", "after:create"; "after:claim" is after a
// look that has claimed something. All that an instance does to the state of
// sessions are such calls, so a process killed at one of them is a process killed
// anywhere. They are a hook of the instance's Redis client: the library has none.
type failpoints struct {
	journal *journal // of what is claimed and acked
	reply   lostReply

	mu    sync.Mutex
	armed string
	hit   chan struct{} // closed when it is reached
	open  chan struct{} // closed to let it go on
}

// arm makes the next call that reaches point wait.
func (f *failpoints) arm(point string) {
	if script := point[strings.IndexByte(point, ':')+1:]; script != "claim" {
		scriptSHA(script) // panics: a misspelt point would never be reached
	}
	f.mu.Lock()
	defer f.mu.Unlock()
	f.armed, f.hit, f.open = point, make(chan struct{}), make(chan struct{})
}

// reached is closed when the armed failpoint is reached.
func (f *failpoints) reached() <-chan struct{} {
	f.mu.Lock()
	defer f.mu.Unlock()
	return f.hit
}

// release lets the call that waits go on, to wait again at the next point, if
// there is one.
func (f *failpoints) release(next string) {
	f.mu.Lock()
	open := f.open
	f.armed, f.open = "", nil
	f.mu.Unlock()
	if next != "" {
		f.arm(next)
	}
	if open != nil {
		close(open)
	}
}

func (f *failpoints) pass(when string, cmds ...redis.Cmder) {
	f.mu.Lock()
	if f.armed == "" {
		f.mu.Unlock()
		return
	}
	for _, cmd := range cmds {
		name := scriptName(cmd)
		if name == "" || when == "after" && cmd.Err() != nil {
			continue
		}
		if f.armed == when+":"+name || f.armed == when+":claim" && name == "look" && len(claims(cmd)) > 0 {
			open := f.open
			f.armed = ""
			close(f.hit)
			f.mu.Unlock()
			<-open
			return
		}
	}
	f.mu.Unlock()
}

func scriptName(cmd redis.Cmder) string {
	args := cmd.Args()
	if len(args) < 2 || cmd.Name() != "evalsha" && cmd.Name() != "eval" {
		return ""
	}
	script, _ := args[1].(string)
	return scriptNames()[script]
}

func (f *failpoints) DialHook(next redis.DialHook) redis.DialHook {
	return func(ctx context.Context, network, addr string) (net.Conn, error) {
		conn, err := next(ctx, network, addr)
		if tcp, ok := conn.(*net.TCPConn); ok {
			return &observedConn{TCPConn: tcp, reply: &f.reply}, err
		}
		return conn, err
	}
}

func (f *failpoints) ProcessHook(next redis.ProcessHook) redis.ProcessHook {
	return func(ctx context.Context, cmd redis.Cmder) error {
		f.pass("before", cmd)
		sent := time.Now()
		err := next(ctx, cmd)
		cmd.SetErr(err) // go-redis does it after its hooks: until then it is that of an earlier try
		f.note(sent, cmd)
		if err == nil {
			f.pass("after", cmd)
		}
		return err
	}
}

func (f *failpoints) ProcessPipelineHook(next redis.ProcessPipelineHook) redis.ProcessPipelineHook {
	return func(ctx context.Context, cmds []redis.Cmder) error {
		f.pass("before", cmds...)
		sent := time.Now()
		err := next(ctx, cmds)
		f.note(sent, cmds...)
		f.pass("after", cmds...)
		return err
	}
}

// scriptSHA returns the name that Redis gives to one of the ledger's scripts.
func scriptSHA(name string) string {
	for key, n := range scriptNames() {
		if n == name && len(key) == 2*sha1.Size {
			return key
		}
	}
	panic("no script " + name)
}

// scriptSource returns the text of one of the ledger's scripts.
func scriptSource(name string) string {
	for key, n := range scriptNames() {
		if n == name && len(key) != 2*sha1.Size {
			return key
		}
	}
	panic("no script " + name)
}

// loadScripts loads the ledger's scripts into Redis.
func (f *fleet) loadScripts() {
	f.t.Helper()
	for src, name := range scriptNames() {
		if len(src) == 2*sha1.Size {
			continue
		}
		if err := f.rdb.ScriptLoad(context.Background(), src).Err(); err != nil {
			f.t.Fatalf("%s: %v", name, err)
		}
	}
}
