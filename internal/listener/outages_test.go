package listener

import (
	"context"
	"errors"
	"log/slog"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/redis/go-redis/v9"

	"github.com/gin-lifecycle/lifecycle/internal/ledger"
	"github.com/gin-lifecycle/lifecycle/internal/redistest"
)

// outageLines are the lines about subscriptions in a log, each as the word that tells it
// from the others and the server.
func outageLines(log string) []string {
	var lines []string
	for line := range strings.Lines(log) {
		for text, word := range map[string]string{
			"is lost, or not possible yet":                        "lost",
			"refuses the user name or the password of the client": "login",
			"does not permit":                                     "forbidden",
			"lifecycle: subscribed again":                         "again",
			"is not needed any more":                              "gone",
		} {
			if !strings.Contains(line, text) {
				continue
			}
			_, rest, _ := strings.Cut(line, "Redis at ")
			server, _, _ := strings.Cut(rest, " ")
			lines = append(lines, word+" "+strings.TrimRight(server, `;,"`+"\n"))
		}
	}
	return lines
}

// An outage of a server is logged once, however many links it takes, and so is its end.
func TestOutagesAreLoggedOnce(t *testing.T) {
	t.Parallel()
	const (
		lost      = "lost"
		login     = "login"     // Redis refuses the login
		forbidden = "forbidden" // Redis does not permit the subscription
		works     = "works"
		stopped   = "stopped"
	)
	causes := map[string]error{
		lost: errors.New("EOF"), login: redistest.ErrorReply("WRONGPASS invalid"), forbidden: redistest.ErrorReply("NOPERM No permissions to access a channel"),
	}
	type step struct {
		link, what, server string
	}
	for name, c := range map[string]struct {
		steps []step
		want  []string
	}{
		"the first subscription": {[]step{{"m", works, "A"}}, nil},
		"one link": {
			[]step{{"m", works, "A"}, {"m", lost, "A"}, {"m", lost, "A"}, {"m", works, "A"}, {"m", lost, "A"}},
			[]string{"lost A", "again A", "lost A"},
		},
		"two links of a server": {
			[]step{{"m", works, "A"}, {"a", works, "A"}, {"a", lost, "A"}, {"m", lost, "A"}, {"m", works, "A"}, {"a", lost, "A"}, {"a", works, "A"}},
			[]string{"lost A", "again A"},
		},
		"two servers": {
			[]step{{"a", lost, "A"}, {"b", lost, "B"}, {"b", works, "B"}, {"a", works, "A"}},
			[]string{"lost A", "lost B", "again B", "again A"},
		},
		"the login is refused": {
			[]step{{"m", login, "A"}, {"a", login, "A"}, {"a", works, "A"}, {"m", works, "A"}},
			[]string{"login A", "again A"},
		},
		"messages come from another server": {
			[]step{{"m", works, "A"}, {"m", lost, "A"}, {"m", lost, "B"}, {"m", works, "C"}},
			[]string{"lost A", "lost B", "again C"},
		},
		"messages come from another server, events do not": {
			[]step{{"m", lost, "A"}, {"a", lost, "A"}, {"m", works, "B"}, {"a", works, "A"}},
			[]string{"lost A", "again A"},
		},
		"not permitted": {
			[]step{{"a", forbidden, "A"}, {"a", forbidden, "A"}, {"a", lost, "A"}, {"a", forbidden, "A"}, {"a", works, "A"}},
			[]string{"forbidden A", "again A"},
		},
		"not permitted any more": {
			[]step{{"m", works, "A"}, {"a", works, "A"}, {"m", lost, "A"}, {"a", lost, "A"}, {"a", forbidden, "A"}, {"m", works, "A"}},
			[]string{"lost A", "forbidden A", "again A"},
		},
		"not permitted after an outage": {
			[]step{{"m", lost, "A"}, {"m", forbidden, "A"}, {"m", works, "A"}},
			[]string{"lost A", "forbidden A", "again A"},
		},
		"not permitted at another server": {
			[]step{{"m", lost, "A"}, {"a", lost, "A"}, {"a", works, "A"}, {"m", forbidden, "B"}},
			[]string{"lost A", "again A", "forbidden B"},
		},
		"an outage while one is not permitted": {
			[]step{{"a", forbidden, "A"}, {"m", lost, "A"}, {"m", works, "A"}},
			[]string{"forbidden A", "lost A", "again A"},
		},
		"stopped with the outage": {[]step{{"a", lost, "A"}, {"a", stopped, "A"}}, []string{"lost A", "gone A"}},
		"stopped after the other link has come back": {
			[]step{{"a", lost, "A"}, {"m", lost, "A"}, {"m", works, "A"}, {"a", stopped, "A"}},
			[]string{"lost A", "again A"},
		},
		"stopped before the other link has come back": {
			[]step{{"a", lost, "A"}, {"m", lost, "A"}, {"a", stopped, "A"}, {"m", works, "A"}},
			[]string{"lost A", "again A"},
		},
		"stopped while it works": {[]step{{"a", works, "A"}, {"a", stopped, "A"}}, nil},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			var log strings.Builder
			o := newOutages(slog.New(slog.NewTextHandler(&log, nil)))
			links := map[string]*link{"m": {}, "a": {}, "b": {}}
			for _, s := range c.steps {
				switch k := links[s.link]; s.what {
				case works:
					o.subscribed(k, s.server)
				case stopped:
					o.stopped(k)
				default:
					o.failed(k, s.server, causes[s.what])
				}
			}
			if got := outageLines(log.String()); !slices.Equal(got, c.want) {
				t.Errorf("the lines are %q, want %q:\n%s", got, c.want, &log)
			}
		})
	}
}

// startLeader starts the listener of an instance that leads, on a single server. It ends
// with the test.
func startLeader(t *testing.T, rdb *redis.Client, log *redistest.Log) *Listener {
	t.Helper()
	l := New(Config{
		Ledger:        ledger.New(rdb, ledger.Config{Prefix: "life", Buckets: 4, Timeout: 2 * time.Second}),
		Instance:      "i",
		Notifications: true,
		Log:           slog.New(slog.NewTextHandler(log, nil)),
		On:            Events{Message: func(ledger.Message) {}, Subscribed: func() {}},
	})
	ctx, cancel := context.WithCancel(context.Background())
	var wg sync.WaitGroup
	wg.Go(func() { l.Run(ctx) })
	t.Cleanup(func() {
		cancel()
		wg.Wait()
	})
	l.SetServers([]ledger.Server{{Client: rdb}})
	l.SetBuckets(ctx, []int{0, 1, 2, 3}, true)
	return l
}

// connections counts the links of a single server's leader that are connected.
func (l *Listener) connections() (n int) {
	l.mu.Lock()
	defer l.mu.Unlock()
	for _, e := range l.keyEvents {
		if e.link.connected() {
			n++
		}
	}
	if l.messages.connected() {
		n++
	}
	return n
}

// A server is killed and comes back. The leader has two subscriptions there.
func TestKilledServerIsLoggedOnce(t *testing.T) {
	t.Parallel()
	server := redistest.Start(t)
	var log redistest.Log
	l := startLeader(t, redistest.Client(t, server.Addr), &log)
	var want []string
	for range 2 {
		redistest.Eventually(t, "both links are connected", func() bool { return l.connections() == 2 })
		server.Kill()
		redistest.Eventually(t, "both links have noticed", func() bool { return l.connections() == 0 })
		server.Restart(t)
		want = append(want, "lost "+server.Addr, "again "+server.Addr)
		redistest.Eventually(t, "the log says that the server is back", func() bool { return len(outageLines(log.String())) >= len(want) })
	}
	if got := outageLines(log.String()); !slices.Equal(got, want) {
		t.Errorf("the lines are %q, want %q:\n%s", got, want, &log)
	}
}

// During an outage another instance becomes the leader. The outage ends for this instance
// though it never subscribes to notifications again.
func TestOutageEndsWithoutTheLeadership(t *testing.T) {
	t.Parallel()
	server := redistest.Start(t)
	var log redistest.Log
	l := startLeader(t, redistest.Client(t, server.Addr), &log)
	redistest.Eventually(t, "both links are connected", func() bool { return l.connections() == 2 })
	server.Kill()
	redistest.Eventually(t, "both links have noticed", func() bool { return l.connections() == 0 })
	l.SetBuckets(t.Context(), []int{0}, false)
	server.Restart(t)
	want := []string{"lost " + server.Addr, "again " + server.Addr}
	redistest.Eventually(t, "the log says that the server is back", func() bool { return len(outageLines(log.String())) >= len(want) })
	if got := outageLines(log.String()); !slices.Equal(got, want) {
		t.Errorf("the lines are %q, want %q:\n%s", got, want, &log)
	}
}

// The user of the client lacks a channel permission, from the beginning or since somebody
// has taken it away. The log says which one, once, and says when it is there.
func TestMissingChannelPermission(t *testing.T) {
	t.Parallel()
	const all, events = "&life:*", "&__keyevent@0__:del &__keyevent@0__:evicted &__keyevent@0__:expired"
	for name, c := range map[string]struct {
		missing string // channels that the user lacks
		has     string // channels that the user has meanwhile
		what    string // what the log says it must not subscribe to
	}{
		"messages":      {all, events, "the messages of other instances"},
		"notifications": {events, all, "keyspace notifications"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			server := redistest.Start(t)
			admin := redistest.Client(t, server.Addr)
			rights := func(channels string) {
				t.Helper()
				words := []string{"on", ">secret", "~*", "+@all", "resetchannels"}
				if err := admin.ACLSetUser(redistest.Within(t), "app", append(words, strings.Fields(channels)...)...).Err(); err != nil {
					t.Fatal(err)
				}
			}
			rights(c.has)
			rdb := redis.NewClient(&redis.Options{Addr: server.Addr, Username: "app", Password: "secret"})
			t.Cleanup(func() { _ = rdb.Close() })
			var log redistest.Log
			l := startLeader(t, rdb, &log)
			logged := func(text string, n int) {
				t.Helper()
				redistest.Eventually(t, "the log has enough lines with: "+text, func() bool { return strings.Count(log.String(), text) >= n })
			}
			for i := range 2 {
				logged("does not permit the client's user to subscribe to "+c.what, i+1)
				redistest.Eventually(t, "the other link is connected", func() bool { return l.connections() == 1 })
				rights(c.has + " " + c.missing)
				redistest.Eventually(t, "both links are connected", func() bool { return l.connections() == 2 })
				logged("subscribed again to Redis at "+server.Addr, i+1)
				rights(c.has) // which cuts off who is subscribed to the channels that are missing
			}
			logged("does not permit", 3)
			if n := strings.Count(log.String(), "does not permit"); n != 3 {
				t.Errorf("%d lines, want 3:\n%s", n, &log)
			}
			if n := strings.Count(log.String(), "give the user +subscribe and the channels "+c.missing+" "); n != 3 {
				t.Errorf("%d of 3 lines say what to do:\n%s", n, &log)
			}
		})
	}
}
