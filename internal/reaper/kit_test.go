package reaper

import (
	"context"
	"fmt"
	"log/slog"
	"os"
	"sync"
	"testing"
	"time"

	"github.com/redis/go-redis/v9"

	"github.com/gin-lifecycle/lifecycle/internal/ledger"
	"github.com/gin-lifecycle/lifecycle/internal/ledger/ledgertest"
	"github.com/gin-lifecycle/lifecycle/internal/redistest"
	"github.com/gin-lifecycle/lifecycle/internal/token"
)

func TestMain(m *testing.M) { os.Exit(redistest.Run(m)) }

// sink is a Sink that keeps the claims that it gets, as many as it has room for.
type sink struct {
	mu       sync.Mutex
	room     int
	most     int             // the most claims of one Submit
	own      string          // a session whose claim it says it still works on
	claims   []*ledger.Claim // those that next has not returned yet
	got      map[string]int  // by session: how many claims have come
	moreRoom chan struct{}
}

func newSink(room int) *sink {
	return &sink{room: room, got: make(map[string]int), moreRoom: make(chan struct{})}
}

// HasClaim knows nothing of the claims that were submitted: a sink runs no hooks.
func (s *sink) HasClaim(id string) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.own == id
}

func (s *sink) Reserve(int) int {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.room
}

func (*sink) Unreserve(int) {}

func (s *sink) MoreRoom() <-chan struct{} {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.moreRoom
}

func (s *sink) Submit(claims []*ledger.Claim) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.room -= len(claims)
	s.most = max(s.most, len(claims))
	s.claims = append(s.claims, claims...)
	for _, c := range claims {
		s.got[c.ID]++
	}
}

// grow makes room for n more claims.
func (s *sink) grow(n int) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.room += n
	close(s.moreRoom)
	s.moreRoom = make(chan struct{})
}

// waiting returns how many claims next has not returned yet.
func (s *sink) waiting() int {
	s.mu.Lock()
	defer s.mu.Unlock()
	return len(s.claims)
}

// next returns the next claim, and waits until there is one.
func (s *sink) next(t *testing.T) *ledger.Claim {
	t.Helper()
	redistest.Eventually(t, "a claim comes", func() bool { return s.waiting() > 0 })
	s.mu.Lock()
	defer s.mu.Unlock()
	c := s.claims[0]
	s.claims = s.claims[1:]
	return c
}

// buckets is how many buckets there are on a single server.
const buckets = 4

// newLedger returns a ledger on rdb.
func newLedger(t *testing.T, rdb redis.UniversalClient, prefix string, buckets int, timeout time.Duration) *ledger.Ledger {
	t.Helper()
	return ledgertest.Open(t, ledger.New(rdb, ledger.Config{Prefix: prefix, Buckets: buckets, Timeout: timeout}))
}

// config returns the configuration of reapers on l.
func config(l *ledger.Ledger, s *sink, interval time.Duration) Config {
	return Config{Ledger: l, Sink: s, Instance: "i", Interval: interval, Lease: time.Minute, Log: slog.New(slog.DiscardHandler)}
}

// startReapers returns running reapers on a single server, without buckets.
func startReapers(t *testing.T, s *sink, interval time.Duration) (*Reapers, *ledger.Ledger) {
	t.Helper()
	l := newLedger(t, redistest.Client(t, redistest.Shared(t)), redistest.Prefix(), buckets, 10*time.Second)
	r := New(config(l, s, interval))
	servers, err := l.Servers(context.Background())
	if err != nil {
		t.Fatal(err)
	}
	r.SetServers(servers)
	redistest.Background(t, r.Run)
	return r, l
}

// newID returns the ID of a session that does not exist.
func newID() string { return token.New(token.Mark{}, token.Timeouts{Idle: time.Hour}).ID }

// begin begins a session.
func begin(t *testing.T, l *ledger.Ledger, idle time.Duration) token.Token {
	t.Helper()
	k, _ := ledgertest.Begin(t, l, token.Timeouts{Idle: idle})
	return k
}

// beginIn begins a session of a bucket.
func beginIn(t *testing.T, l *ledger.Ledger, bucket int, idle time.Duration) token.Token {
	t.Helper()
	k, _ := ledgertest.BeginIn(t, l, bucket, token.Timeouts{Idle: idle})
	return k
}

// kit is a reaper on a single server that looks when the test says so, and not by itself.
type kit struct {
	*Reaper
	t      *testing.T
	rdb    *redis.Client
	sink   *sink
	prefix string
	watch  func(redis.Hook) // adds a hook to what the ledger sends
}

func newKit(t *testing.T, addr string, room int) *kit {
	t.Helper()
	k := &kit{t: t, rdb: redistest.Client(t, addr), sink: newSink(room), prefix: redistest.Prefix()}
	// Without ContextTimeoutEnabled the ledger would use a clone, which has no hooks.
	rdb := redis.NewClient(&redis.Options{Addr: addr, ContextTimeoutEnabled: true})
	t.Cleanup(func() { _ = rdb.Close() })
	k.watch = rdb.AddHook
	l := newLedger(t, rdb, k.prefix, buckets, 10*time.Second)
	k.Reaper = newReaper(config(l, k.sink, time.Minute), new(shared))
	return k
}

// logging makes the reaper log to what it returns.
func (k *kit) logging() *redistest.Log {
	log := new(redistest.Log)
	k.c.Log = slog.New(slog.NewTextHandler(log, nil))
	return log
}

// deleted begins a session and deletes its live key.
func (k *kit) deleted() string {
	k.t.Helper()
	tok := begin(k.t, k.c.Ledger, time.Hour)
	if n, err := k.rdb.Del(context.Background(), ledgertest.LiveKey(k.c.Ledger, k.prefix, tok)).Result(); err != nil || n != 1 {
		k.t.Fatalf("DEL of the live key of %s: %d, %v", tok.ID, n, err)
	}
	return tok.ID
}

// idIn returns the ID of a session of a bucket that does not exist.
func (k *kit) idIn(bucket int) string {
	return ledgertest.TokenIn(k.c.Ledger, bucket, token.Timeouts{Idle: time.Hour}).ID
}

// due returns the name of a bucket's due-index.
func (k *kit) due(bucket int) string { return fmt.Sprintf("%s:{%d}:due", k.prefix, bucket) }

// put writes an entry into the due-index for a session that does not exist. A look at it
// finds that the session is lost, and claims its end.
func (k *kit) put(id string, at float64) {
	k.t.Helper()
	if err := k.rdb.ZAdd(context.Background(), k.due(k.c.Ledger.Bucket(id)), redis.Z{Score: at, Member: id}).Err(); err != nil {
		k.t.Error(err)
	}
}

// round looks until there is nothing more to look at, once, as run does when it wakes up.
func (k *kit) round() (full bool) {
	k.t.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), redistest.Patience)
	defer cancel()
	full, err := k.look(ctx)
	if err != nil || ctx.Err() != nil {
		k.t.Fatalf("a look does not end: %v", err)
	}
	return full
}

// rounds looks at all buckets, again and again, until ok returns true.
func (k *kit) rounds(what string, ok func() bool) {
	k.t.Helper()
	redistest.Eventually(k.t, what, func() bool {
		if ok() {
			return true
		}
		k.lookAtAll()
		k.round()
		return false
	})
}

// hints returns how many hints wait.
func (k *kit) hints() int {
	k.mu.Lock()
	defer k.mu.Unlock()
	return k.removed.len() + k.expired.len()
}
