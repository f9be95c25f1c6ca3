// Package embedded runs an in-process Redis, so that an application can be
// tried and developed without a server. It is not for production: sessions die
// with the process, other instances cannot see them, and it is slow.
//
//	client, err := embedded.Start()
//	store, err := lifecycle.NewStore(client, lifecycle.WithNotifications(false))
//
// It is miniredis (github.com/alicebob/miniredis): it has no keyspace
// notifications and no CONFIG, which lifecycle does not need; the option saves a
// line in the log that says so. The root package does not import it.
package embedded

import (
	"errors"
	"fmt"
	"log/slog"

	"github.com/alicebob/miniredis/v2"
	"github.com/redis/go-redis/v9"
)

// Client is a client of an in-process Redis. Close ends both.
type Client struct {
	*redis.Client
	server *miniredis.Miniredis
}

// Start runs an in-process Redis on a free port of the loopback interface and
// returns its client. It says in slog's default log that this is for development
// only. Close the client to end it.
func Start() (*Client, error) {
	server := miniredis.NewMiniRedis()
	server.ClockTTL(true) // keys expire as time passes
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

// Close closes the client and ends the in-process Redis, and with it all sessions.
func (c *Client) Close() error {
	err := c.Client.Close()
	c.server.Close()
	if errors.Is(err, redis.ErrClosed) {
		return nil
	}
	return err
}
