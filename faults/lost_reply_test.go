package faults

import (
	"bytes"
	"net"
	"sync"
	"sync/atomic"
)

// lostReply notices that a connection breaks while the instance waits on it for the reply
// to a script. Otherwise the test could not know: the client repeats the call silently.
type lostReply struct {
	mu   sync.Mutex
	sha  []byte // of the script; empty: no reply is to be lost
	lost chan struct{}
}

// await says that the next reply to the script is to be lost.
func (l *lostReply) await(script string) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.sha, l.lost = []byte(scriptSHA(script)), make(chan struct{})
}

// happened returns a channel that is closed when the reply has been lost.
func (l *lostReply) happened() <-chan struct{} {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.lost
}

// sends reports whether these bytes, which are written to Redis, call the script.
func (l *lostReply) sends(written []byte) bool {
	l.mu.Lock()
	defer l.mu.Unlock()
	return len(l.sha) > 0 && bytes.Contains(written, l.sha)
}

// broke notes that the reply has been lost.
func (l *lostReply) broke() {
	l.mu.Lock()
	defer l.mu.Unlock()
	if len(l.sha) > 0 {
		l.sha = nil
		close(l.lost)
	}
}

// observedConn is a connection to Redis that tells lostReply about lost replies.
type observedConn struct {
	*net.TCPConn
	reply  *lostReply
	awaits atomic.Bool // the script was sent, and its reply has not come
}

// Write notes whether the script is sent.
func (c *observedConn) Write(b []byte) (int, error) {
	if c.reply.sends(b) {
		c.awaits.Store(true)
	}
	return c.TCPConn.Write(b)
}

// Read notes whether the reply to the script comes or is lost.
func (c *observedConn) Read(b []byte) (int, error) {
	n, err := c.TCPConn.Read(b)
	if awaited := c.awaits.Swap(false); awaited && err != nil {
		c.reply.broke()
	}
	return n, err
}
