package lifecycle

import (
	"errors"
	"fmt"
	"net"
	"time"
)

// RunOption is an option of Run. A nil RunOption does nothing.
type RunOption func(*runConfig) error

type runConfig struct {
	listener          net.Listener // nil: listen on the server's address
	certFile, keyFile string       // "": the server's TLSConfig decides
	requestGrace      time.Duration
	serverGrace       time.Duration
	hookGrace         time.Duration
}

// Defaults of the options of Run. Together the last two are less than the 30 seconds that
// Kubernetes waits before it kills a process.
const (
	DefaultRequestGrace = 3 * time.Second
	DefaultServerGrace  = 10 * time.Second
	DefaultHookGrace    = 15 * time.Second
)

func newRunConfig(opts []RunOption) (runConfig, error) {
	c := runConfig{requestGrace: -1, serverGrace: DefaultServerGrace, hookGrace: DefaultHookGrace}
	var errs []error
	for _, o := range opts {
		if o != nil {
			errs = append(errs, o(&c)) // the others too: Run closes the listener of WithListener
		}
	}
	if err := errors.Join(errs...); err != nil {
		return c, err
	}
	switch {
	case c.requestGrace < 0:
		c.requestGrace = min(DefaultRequestGrace, c.serverGrace)
	case c.requestGrace > c.serverGrace:
		return c, fmt.Errorf("WithRequestGrace(%v): must not be longer than the time of WithServerGrace, which is %v", c.requestGrace, c.serverGrace)
	}
	return c, nil
}

// WithListener makes Run accept connections of this listener instead of listening on the
// server's Addr. Run closes it. Default none.
func WithListener(l net.Listener) RunOption {
	return func(c *runConfig) error {
		if l == nil {
			return fmt.Errorf("WithListener(nil): a listener is needed")
		}
		c.listener = l
		return nil
	}
}

// WithTLSFiles makes Run serve HTTPS with the certificate and the key of these files, as
// http.Server.ServeTLS takes them. Default: Run serves HTTPS if the server's TLSConfig has
// certificates or says how to get one, and HTTP otherwise.
func WithTLSFiles(certFile, keyFile string) RunOption {
	return func(c *runConfig) error {
		if certFile == "" || keyFile == "" {
			return fmt.Errorf("WithTLSFiles(%q, %q): the names of two files are needed", certFile, keyFile)
		}
		c.certFile, c.keyFile = certFile, keyFile
		return nil
	}
}

// WithRequestGrace sets how long requests may go on undisturbed when Run stops. Then their
// contexts end, so that streams and other long requests return. Default 3 seconds, or
// WithServerGrace if that is shorter; from 0, which ends the contexts at once, to
// WithServerGrace.
func WithRequestGrace(d time.Duration) RunOption {
	return func(c *runConfig) error {
		c.requestGrace = max(d, 0)
		return duration("WithRequestGrace", d, 0, time.Hour)
	}
}

// WithServerGrace sets how long the HTTP server may take to stop, WithRequestGrace
// included. Then it closes the connections of the requests that still run. Default 10
// seconds; from 0, which closes the connections at once, to 1 hour.
func WithServerGrace(d time.Duration) RunOption {
	return func(c *runConfig) error {
		c.serverGrace = d
		return duration("WithServerGrace", d, 0, time.Hour)
	}
}

// WithHookGrace sets the time of Manager.Shutdown when Run stops: how long running hooks,
// and the closures that are left, may take. The time begins when the HTTP server has
// stopped. Default 15 seconds; from 1 ms to 1 hour.
func WithHookGrace(d time.Duration) RunOption {
	return func(c *runConfig) error {
		c.hookGrace = d
		return duration("WithHookGrace", d, time.Millisecond, time.Hour)
	}
}
