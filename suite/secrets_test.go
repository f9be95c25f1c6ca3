package suite_test

import (
	"bufio"
	"context"
	"encoding/base64"
	"encoding/hex"
	"errors"
	"fmt"
	"log"
	"log/slog"
	"net"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/gin-gonic/gin"
	"github.com/redis/go-redis/v9"

	"github.com/gin-lifecycle/lifecycle"
)

// No secret is anywhere but in the cookie: not in what Redis is sent (MONITOR), not in
// what it keeps (its dump and its append-only file), and in no log at its finest level: the
// library's, gin's, gin-contrib's and go-redis's.
//
// It is not parallel: some of the loggers are the process's.
func TestNoSecretLeaks(t *testing.T) {
	server := startServer(t, "--rdbcompression", "no", "--appendonly", "yes", "--appendfsync", "always", "--aof-use-rdb-preamble", "no")
	d := onServer(t, server)
	logs := new(syncBuffer)
	fine := slog.New(slog.NewTextHandler(logs, &slog.HandlerOptions{Level: slog.LevelDebug, AddSource: true}))
	usual := slog.Default()
	slog.SetDefault(fine)
	redis.SetLogger(printer{log.New(logs, "", 0)})
	t.Cleanup(func() {
		slog.SetDefault(usual)
		redis.SetLogger(printer{log.New(os.Stderr, "redis: ", log.LstdFlags)})
	})
	monitor := startMonitor(t, server.Addr)

	a := newAppWithoutHooks(t, d, prefix(), lifecycle.WithLogger(fine), lifecycle.WithRequestHeaders("X-Tag"), lifecycle.WithRetry(1, 1e6, 1e6))
	failed := make(chan string, 100)
	a.m.OnSessionCreated(func(_ context.Context, s *lifecycle.Session) error { return fmt.Errorf("created %+v", s.ID) })
	a.m.OnSessionDestroyed(func(_ context.Context, s *lifecycle.Session) error {
		failed <- s.ID
		return errors.New("no")
	})
	logged := gin.New()
	logged.ContextWithFallback = true
	logged.Use(gin.LoggerWithWriter(logs), gin.RecoveryWithWriter(logs), a.m.Middleware())
	for _, r := range a.router.Routes() {
		logged.Handle(r.Method, r.Path, r.HandlerFunc)
	}
	logged.GET("/remember", lifecycle.Handler(func(c *lifecycle.Context) { a.answer(c, save(c, "k", "v")) }))
	logged.GET("/panic", func(*gin.Context) { panic("handler") })
	a.router = logged
	a.start()

	var secrets []string
	note := func(v *visitor) { secrets = append(secrets, strings.TrimPrefix(v.cookie, "session=")) }
	for range 5 {
		id, v := a.begin()
		note(v)
		for _, page := range []string{"/set?user=alice", "/rotate", "/get?key=user", "/remember"} {
			a.ok(v, page)
			note(v)
		}
		for _, cookie := range forgeries(t, a, v) {
			a.ok(&visitor{cookie}, "/")
			note(&visitor{cookie})
		}
		a.visit(&visitor{v.cookie + "; session=eyJh; " + v.cookie}, "/panic")
		// A record that cannot be decoded.
		other, w := a.begin()
		note(w)
		a.admin.SetRange(within(t), a.key("session:"+other), 16, "\xff")
		a.visit(w, "/")
		a.ok(v, "/destroy")
		if got := receive(t, failed); got != id {
			t.Errorf("ended: %s", got)
		}
	}
	eventually(t, "all are dead", func() bool { return a.m.Stats().Buried == 5 })
	for dead, err := range a.m.Dead(within(t)) {
		_, _ = fmt.Fprintln(logs, dead.Error, err)
	}
	_, v := a.begin()
	note(v)
	server.Kill() // go-redis logs that, and so does the library
	a.visit(v, "/")
	server.Restart(t)
	if err := a.admin.Save(within(t)).Err(); err != nil {
		t.Fatal(err)
	}

	places := map[string]string{"MONITOR": monitor(), "the logs": logs.String()}
	err := filepath.WalkDir(server.Dir, func(path string, e os.DirEntry, err error) error {
		if err != nil || e.IsDir() {
			return err
		}
		data, err := os.ReadFile(path)
		places[e.Name()] = string(data)
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	proof := a.keys("live:*")[0]
	proof = proof[strings.LastIndexByte(proof, ':')+1:]
	for _, place := range []string{"MONITOR", "dump.rdb"} {
		if !strings.Contains(places[place], proof) {
			t.Errorf("%s has not what it should have: the test sees nothing", place)
		}
	}
	if !strings.Contains(places["the logs"], "level=") || len(places) < 4 {
		t.Errorf("places: %d", len(places))
	}
	for _, s := range secrets {
		_, half, _ := strings.Cut(s, ".")
		raw, err := base64.RawURLEncoding.DecodeString(half)
		if err != nil {
			t.Fatal(err)
		}
		raw = raw[:32]
		forms := map[string]string{
			"as in the cookie": half[:42], // the last characters are not of the secret alone
			"raw":              string(raw), "as Redis prints it": redisRepr(raw), "as Go prints it": fmt.Sprintf("%q", raw),
			"in hex": hex.EncodeToString(raw), "as a list": strings.Trim(fmt.Sprintf("%v", raw), "[]"), "in base64": base64.StdEncoding.EncodeToString(raw)[:42],
		}
		for place, text := range places {
			for form, secret := range forms {
				if strings.Contains(text, secret) {
					t.Errorf("%s has a secret, %s", place, form)
				}
			}
		}
	}
}

type printer struct{ *log.Logger }

func (p printer) Printf(_ context.Context, format string, v ...any) { p.Logger.Printf(format, v...) }

// redisRepr returns bytes as MONITOR prints them, without the quotes.
func redisRepr(b []byte) string {
	var out strings.Builder
	for _, c := range b {
		switch {
		case c == '\\' || c == '"':
			out.WriteByte('\\')
			out.WriteByte(c)
		case c == '\n':
			out.WriteString(`\n`)
		case c == '\r':
			out.WriteString(`\r`)
		case c == '\t':
			out.WriteString(`\t`)
		case c == '\a':
			out.WriteString(`\a`)
		case c == '\b':
			out.WriteString(`\b`)
		case c >= ' ' && c < 0x7f:
			out.WriteByte(c)
		default:
			fmt.Fprintf(&out, `\x%02x`, c)
		}
	}
	return out.String()
}

// startMonitor records every command that a server gets. The function that it returns
// gives what was recorded until the server ended.
func startMonitor(t *testing.T, addr string) func() string {
	t.Helper()
	conn, err := net.Dial("tcp", addr)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = conn.Close() })
	if _, err := conn.Write([]byte("MONITOR\r\n")); err != nil {
		t.Fatal(err)
	}
	lines := bufio.NewReader(conn)
	if ok, err := lines.ReadString('\n'); err != nil || !strings.HasPrefix(ok, "+OK") {
		t.Fatal(ok, err)
	}
	all := new(strings.Builder)
	done := make(chan struct{})
	go func() {
		defer close(done)
		_, _ = lines.WriteTo(all)
	}()
	return func() string {
		receive(t, done)
		return all.String()
	}
}
