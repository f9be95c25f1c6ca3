package main

import (
	"errors"
	"flag"
	"fmt"
	"io"
	"log"
	"net"
	"net/url"
	"time"

	"github.com/redis/go-redis/v9"
	"github.com/redis/go-redis/v9/logging"

	"github.com/gin-lifecycle/lifecycle/embedded"
)

// config is how the application is to run.
type config struct {
	addr           string
	redis          *redis.Options // nil: a Redis inside the process
	idle, absolute time.Duration
}

// parse reads the arguments. If it returns an error, it has written to stderr what is wrong.
func parse(args []string, stderr io.Writer) (config, error) {
	flags := flag.NewFlagSet("example", flag.ContinueOnError)
	flags.SetOutput(stderr)
	addr := flags.String("addr", "127.0.0.1:8080", "`host:port` to listen on; port 0 takes a free one")
	var redisURL *string
	flags.Func("redis", "`URL` of a Redis server, as in redis://127.0.0.1:6379/0; default: an in-process one", func(s string) error {
		redisURL = &s
		return nil
	})
	if err := flags.Parse(args); err != nil {
		return config{}, err
	}
	wrong := func(format string, args ...any) (config, error) {
		err := fmt.Errorf(format, args...)
		log.New(stderr, "", 0).Printf("%v", err)
		flags.Usage()
		return config{}, err
	}
	if flags.NArg() > 0 {
		return wrong("unknown argument %q", flags.Arg(0))
	}
	if _, _, err := net.SplitHostPort(*addr); err != nil {
		return wrong("invalid value %q for flag -addr: it must be host:port", *addr)
	}
	c := config{addr: *addr}
	if redisURL != nil {
		options, err := redis.ParseURL(*redisURL)
		var noURL *url.Error
		if errors.As(err, &noURL) {
			err = errors.New("it is no URL") // noURL has the text of the URL, in which there may be a password
		}
		if err != nil {
			return wrong("invalid value for flag -redis: %v; it must be like redis://127.0.0.1:6379/0", err)
		}
		c.redis = options
	}
	return c, nil
}

// openRedis returns a client of Redis, and the name of its server for messages.
func openRedis(c config) (client redis.UniversalClient, name string, err error) {
	// go-redis logs each failed attempt to connect. That is not needed: lifecycle logs when Redis is
	// away and when it is back.
	logging.Disable()
	if c.redis != nil {
		return redis.NewClient(c.redis), "Redis at " + c.redis.Addr, nil
	}
	client, err = embedded.Start()
	return client, "the in-process Redis", err
}
