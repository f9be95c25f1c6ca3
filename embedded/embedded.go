package embedded

import (
	"errors"
	"fmt"
	"log/slog"

	"github.com/alicebob/miniredis/v2"
	"github.com/redis/go-redis/v9"
)

// Client is a client of an in-process Redis. It is safe for concurrent use.
type Client struct {
	*redis.Client
	server *miniredis.Miniredis
}

// Start starts an in-process Redis, on a free port of the loopback interface, and returns a client of
// it. The caller must close the client, which also stops the Redis. Start logs a warning to slog's
// default logger, because an in-process Redis is for development only. It returns an error if it
// cannot listen on a port.
func Start() (*Client, error) {
	server := miniredis.NewMiniRedis()
	server.ClockTTL(true) // miniredis expires keys only if this is set
	if err := server.Start(); err != nil {
		return nil, fmt.Errorf("embedded: %w", err)
	}
	slog.Warn("lifecycle: an in-process Redis is in use, for development only: sessions end with this process and no other instance sees them",
		"addr", server.Addr())
	return &Client{
		Client: redis.NewClient(&redis.Options{Addr: server.Addr()}),
		server: server,
	}, nil
}

// Close closes the client and stops the in-process Redis. All sessions are lost. Further calls do
// nothing and return nil.
func (c *Client) Close() error {
	err := c.Client.Close()
	c.server.Close()
	if errors.Is(err, redis.ErrClosed) {
		return nil
	}
	return err
}
