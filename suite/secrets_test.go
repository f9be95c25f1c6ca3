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
	"time"

	"github.com/gin-gonic/gin"
	"github.com/redis/go-redis/v9"

	"github.com/gin-lifecycle/lifecycle"
	"github.com/gin-lifecycle/lifecycle/internal/redistest"
)

// A secret is in the cookie and nowhere else: not in what Redis receives (MONITOR), not in
// what Redis keeps (its dump and its append-only file), and not in the logs at their finest
// level: those of the library, of gin, of gin-contrib and of go-redis.
//
// The test is not parallel, because some of the loggers belong to the process.
func TestNoSecretLeaks(t *testing.T) {
	server := startServer(t, "--rdbcompression", "no", "--appendonly", "yes", "--appendfsync", "always", "--aof-use-rdb-preamble", "no")
	logs := logEverything(t)
	monitor := startMonitor(t, server.Addr)
	a := newLeakyApp(t, onServer(t, server), logs)
	a.start()
	secrets := leakSecrets(a)
	for dead, err := range a.m.Dead(redistest.Within(t)) {
		_, _ = fmt.Fprintln(logs, dead.Error, err)
	}
	_, v := a.begin()
	secrets = append(secrets, tokenOf(v))
	server.Kill() // go-redis and the library log that Redis is away
	a.visit(v, "/")
	server.Restart(t)
	if err := a.admin.Save(redistest.Within(t)).Err(); err != nil {
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
			t.Errorf("%s does not contain the hash of the secret: the test looks at the wrong place", place)
		}
	}
	if !strings.Contains(places["the logs"], "level=") || len(places) < 4 {
		t.Errorf("the test has looked only at %d places", len(places))
	}
	for _, s := range secrets {
		for form, secret := range secretForms(t, s) {
			for place, text := range places {
				if strings.Contains(text, secret) {
					t.Errorf("%s contains a secret, %s", place, form)
				}
			}
		}
	}
}

// logEverything makes the loggers of the process write to one log, until the test ends.
func logEverything(t *testing.T) *redistest.Log {
	t.Helper()
	logs := new(redistest.Log)
	usual := slog.Default()
	slog.SetDefault(finest(logs))
	redis.SetLogger(printer{log.New(logs, "", 0)})
	t.Cleanup(func() {
		slog.SetDefault(usual)
		redis.SetLogger(printer{log.New(os.Stderr, "redis: ", log.LstdFlags)})
	})
	return logs
}

func finest(logs *redistest.Log) *slog.Logger {
	return slog.New(slog.NewTextHandler(logs, &slog.HandlerOptions{Level: slog.LevelDebug, AddSource: true}))
}

// newLeakyApp makes an app that logs to logs. Its hooks fail with errors that have the ID.
func newLeakyApp(t *testing.T, d deployment, logs *redistest.Log) *app {
	t.Helper()
	a := newAppWithoutHooks(t, d, redistest.Prefix(), lifecycle.WithLogger(finest(logs)),
		lifecycle.WithRequestHeaders("X-Tag"), lifecycle.WithRetry(1, time.Millisecond, time.Millisecond))
	a.m.OnSessionCreated(func(_ context.Context, s *lifecycle.Session) error { return fmt.Errorf("created %+v", s.ID) })
	a.m.OnSessionDestroyed(func(_ context.Context, s *lifecycle.Session) error {
		a.destroyed <- s
		return errors.New("no")
	})
	logged := gin.New()
	logged.ContextWithFallback = true
	logged.Use(gin.LoggerWithWriter(logs), gin.RecoveryWithWriter(logs), a.m.Middleware())
	a.router = logged
	a.pages()
	a.get("/remember", func(c *lifecycle.Context) { a.answer(c, save(c, "k", "v")) })
	a.get("/panic", func(*lifecycle.Context) { panic("handler") })
	return a
}

// leakSecrets uses sessions in every way, and returns all tokens.
func leakSecrets(a *app) (tokens []string) {
	a.t.Helper()
	note := func(v *visitor) { tokens = append(tokens, tokenOf(v)) }
	for range 5 {
		id, v := a.begin()
		note(v)
		for _, page := range []string{"/set?user=alice", "/rotate", "/get?key=user", "/remember"} {
			a.ok(v, page)
			note(v)
		}
		for _, cookie := range forgeries(a.t, v) {
			a.ok(&visitor{cookie}, "/")
			note(&visitor{cookie})
		}
		a.visit(&visitor{v.cookie + "; session=eyJh; " + v.cookie}, "/panic")
		other, w := a.begin()
		note(w)
		a.spoil(other)
		a.visit(w, "/")
		a.ok(v, "/destroy")
		if s := a.nextDestroyed(); s.ID != id {
			a.t.Errorf("ended: %s, want %s", s.ID, id)
		}
	}
	redistest.Eventually(a.t, "all ends are dead", func() bool { return a.m.Stats().Buried == 5 })
	return tokens
}

func tokenOf(v *visitor) string { return strings.TrimPrefix(v.cookie, "session=") }

// secretForms returns the secret of a token in every form in which it could be printed.
func secretForms(t *testing.T, token string) map[string]string {
	t.Helper()
	_, half, _ := strings.Cut(token, ".")
	raw, err := base64.RawURLEncoding.DecodeString(half)
	if err != nil {
		t.Fatal(err)
	}
	raw = raw[:32]
	return map[string]string{
		"as in the cookie":     half[:42], // the next characters have bits of what follows the secret
		"raw":                  string(raw),
		"as Redis prints it":   redisRepr(raw),
		"as Go prints it":      fmt.Sprintf("%q", raw),
		"in hex":               hex.EncodeToString(raw),
		"as a list of numbers": strings.Trim(fmt.Sprintf("%v", raw), "[]"),
		"in base64":            base64.StdEncoding.EncodeToString(raw)[:42],
	}
}

// The log says what fails. It has no secrets and no values.
func TestLogTellsNoSecrets(t *testing.T) {
	t.Parallel()
	log := new(redistest.Log)
	a := newAppWithoutHooks(t, shared(t), redistest.Prefix(), lifecycle.WithRetry(1, time.Second, time.Second),
		lifecycle.WithLogger(finest(log)))
	a.m.OnSessionCreated(func(context.Context, *lifecycle.Session) error { return errors.New("created is broken") })
	a.m.OnSessionDestroyed(func(context.Context, *lifecycle.Session) error { panic("destroyed is broken") })
	id, v := a.begin()
	a.ok(v, "/set?pin=4711471147114711")
	a.ok(v, "/rotate")
	_, secret, _ := strings.Cut(v.cookie, ".")
	a.ok(v, "/destroy")
	redistest.Eventually(t, "the end is dead", func() bool { return a.m.Stats().Buried == 1 })
	text := log.String()
	for _, want := range []string{id, "created is broken", "destroyed is broken", "dead set"} {
		if !strings.Contains(text, want) {
			t.Errorf("the log does not contain %q", want)
		}
	}
	for _, bad := range []string{secret, secret[:20], "4711471147114711"} {
		if strings.Contains(text, bad) {
			t.Errorf("the log contains %q", bad)
		}
	}
}

// printer is a logger for go-redis.
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

// startMonitor records every command that a server receives. The function that it returns
// waits until the server ends, and returns the record.
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
		redistest.Receive(t, done)
		return all.String()
	}
}
