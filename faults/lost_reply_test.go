package faults

import (
	"bytes"
	"net"
	"sync"
	"sync/atomic"
)

// lostReply tells when a connection broke while the reply to one script was awaited
// on it. The client repeats the call and says nothing.
type lostReply struct {
	mu   sync.Mutex
	sha  []byte // of the script; empty for none
	lost chan struct{}
}

// await notes that the next reply to the script is to be lost.
func (l *lostReply) await(script string) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.sha, l.lost = []byte(scriptSHA(script)), make(chan struct{})
}

// happened is closed when it is.
func (l *lostReply) happened() <-chan struct{} {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.lost
}

// sends reports whether what is written calls the script.
func (l *lostReply) sends(written []byte) bool {
	l.mu.Lock()
	defer l.mu.Unlock()
	return len(l.sha) > 0 && bytes.Contains(written, l.sha)
}

func (l *lostReply) broke() {
	l.mu.Lock()
	defer l.mu.Unlock()
	if len(l.sha) > 0 {
		l.sha = nil
		close(l.lost)
	}
}

// observedConn is a connection to Redis on which replies may be lost.
type observedConn struct {
	*net.TCPConn
	reply  *lostReply
	awaits atomic.Bool // the reply to the script
}

func (c *observedConn) Write(b []byte) (int, error) {
	if c.reply.sends(b) {
		c.awaits.Store(true)
	}
	return c.TCPConn.Write(b)
}

func (c *observedConn) Read(b []byte) (int, error) {
	n, err := c.TCPConn.Read(b)
	if awaited := c.awaits.Swap(false); awaited && err != nil {
		c.reply.broke()
	}
	return n, err
}
