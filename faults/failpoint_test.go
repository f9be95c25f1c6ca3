package faults

import (
	"bytes"
	"context"
	"crypto/sha1" // Redis names a script by its SHA-1
	"encoding/hex"
	"net"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/redis/go-redis/v9"
)

// scriptNames maps the SHA-1 of each of the ledger's scripts to the script's name, and
// the script's source to its name too.
var scriptNames = sync.OnceValue(func() map[string]string {
	files, err := filepath.Glob("../internal/ledger/lua/*.lua")
	if err != nil || len(files) == 0 {
		panic("the ledger's scripts are not in ../internal/ledger/lua")
	}
	shared, err := os.ReadFile("../internal/ledger/lua/past.lua") // stands in front of the scripts that use it
	if err != nil {
		panic(err)
	}
	names := make(map[string]string)
	for _, f := range files {
		src, err := os.ReadFile(f)
		if err != nil {
			panic(err)
		}
		if !bytes.Equal(src, shared) && bytes.Contains(src, []byte("past(")) {
			src = slices.Concat(shared, src)
		}
		sum := sha1.Sum(src)
		name := strings.TrimSuffix(filepath.Base(f), ".lua")
		names[hex.EncodeToString(sum[:])], names[string(src)] = name, name
	}
	return names
})

// failpoints stops an instance just before or after it calls a script. The names of the
// failpoints are made of the script's name: "before:ack", "after:create". "after:claim"
// is after a look that has claimed something.
//
// An instance changes the state of sessions only by calling scripts. So a process that is
// killed at a failpoint stands for a process that is killed at any other moment.
//
// failpoints is a hook of the instance's Redis client. The library itself has no
// failpoints.
type failpoints struct {
	journal *journal // gets the claims and acks
	reply   lostReply

	mu    sync.Mutex
	armed string
	hit   chan struct{} // closed when a call has reached the armed failpoint
	open  chan struct{} // closed to let that call go on
}

// arm makes the next call that reaches the failpoint wait there.
func (f *failpoints) arm(point string) {
	if script := point[strings.IndexByte(point, ':')+1:]; script != "claim" {
		scriptSHA(script) // panics if the name is misspelt: that failpoint would never be reached
	}
	f.mu.Lock()
	defer f.mu.Unlock()
	f.armed, f.hit, f.open = point, make(chan struct{}), make(chan struct{})
}

// reached returns a channel that is closed when a call reaches the armed failpoint.
func (f *failpoints) reached() <-chan struct{} {
	f.mu.Lock()
	defer f.mu.Unlock()
	return f.hit
}

// release lets the call that waits at the failpoint go on. If next is not empty, it is
// armed first.
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

// pass waits if one of the commands has reached the armed failpoint.
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

// scriptName returns the name of the script that the command calls, "" if it calls none.
func scriptName(cmd redis.Cmder) string {
	args := cmd.Args()
	if len(args) < 2 || cmd.Name() != "evalsha" && cmd.Name() != "eval" {
		return ""
	}
	script, _ := args[1].(string)
	return scriptNames()[script]
}

// DialHook lets lostReply watch the connection.
func (f *failpoints) DialHook(next redis.DialHook) redis.DialHook {
	return func(ctx context.Context, network, addr string) (net.Conn, error) {
		conn, err := next(ctx, network, addr)
		if tcp, ok := conn.(*net.TCPConn); ok {
			return &observedConn{TCPConn: tcp, reply: &f.reply}, err
		}
		return conn, err
	}
}

// ProcessHook has the failpoints before and after a call.
func (f *failpoints) ProcessHook(next redis.ProcessHook) redis.ProcessHook {
	return func(ctx context.Context, cmd redis.Cmder) error {
		f.pass("before", cmd)
		sent := time.Now()
		err := next(ctx, cmd)
		cmd.SetErr(err) // go-redis sets it only after its hooks; until then the command has the error of an earlier attempt
		f.note(sent, cmd)
		if err == nil {
			f.pass("after", cmd)
		}
		return err
	}
}

// ProcessPipelineHook has the failpoints before and after several calls.
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

// scriptSHA returns the SHA-1 of one of the ledger's scripts.
func scriptSHA(name string) string {
	for key, n := range scriptNames() {
		if n == name && len(key) == 2*sha1.Size {
			return key
		}
	}
	panic("no script " + name)
}

// scriptSource returns the source of one of the ledger's scripts.
func scriptSource(name string) string {
	for key, n := range scriptNames() {
		if n == name && len(key) != 2*sha1.Size {
			return key
		}
	}
	panic("no script " + name)
}

// loadScripts loads the ledger's scripts into Redis, so that EVALSHA knows them.
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
