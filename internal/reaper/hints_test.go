package reaper

import (
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"log/slog"
	"os"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/redis/go-redis/v9"

	"github.com/gin-lifecycle/lifecycle/internal/ledger"
	"github.com/gin-lifecycle/lifecycle/internal/record"
	"github.com/gin-lifecycle/lifecycle/internal/redistest"
	"github.com/gin-lifecycle/lifecycle/internal/token"
)

func TestMain(m *testing.M) { os.Exit(redistest.Run(m)) }

// sink takes up to room claims and counts them by session.
type sink struct {
	mu   sync.Mutex
	room int
	held string // a session whose claim is held
	got  map[string]int
}

// Holds does not count what was submitted: that takes a delivery.
func (s *sink) Holds(id string) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.held == id
}

func (s *sink) Reserve(int) int {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.room
}

func (*sink) Unreserve(int) {}

func (*sink) Ready() <-chan struct{} { return nil }

func (s *sink) Submit(claims []*ledger.Claim) {
	s.mu.Lock()
	defer s.mu.Unlock()
	for _, c := range claims {
		s.room--
		s.got[c.ID]++
	}
}

// kit is a reaper that does not run by itself, on sessions of its own.
type kit struct {
	*Reaper
	t      *testing.T
	rdb    *redis.Client
	sink   *sink
	prefix string
	watch  func(redis.Hook) // what the ledger sends
}

const buckets = 4

func newKit(t *testing.T, addr string, room int) *kit {
	t.Helper()
	k := &kit{t: t, rdb: redistest.Client(t, addr), sink: &sink{room: room, got: make(map[string]int)}}
	k.prefix = "t" + strings.ToLower(rand.Text()[:10])
	rdb := redis.NewClient(&redis.Options{Addr: addr, ContextTimeoutEnabled: true}) // else the ledger uses a clone
	t.Cleanup(func() { _ = rdb.Close() })
	k.watch = rdb.AddHook
	l := ledger.New(rdb, ledger.Config{Prefix: k.prefix, Buckets: buckets, Timeout: 10 * time.Second})
	if err := l.Open(context.Background()); err != nil {
		t.Fatal(err)
	}
	k.Reaper = newReaper(Config{
		Ledger: l, Sink: k.sink, Instance: "i", Interval: time.Minute, Lease: time.Minute,
		Log: slog.New(slog.DiscardHandler),
	}, new(shared))
	return k
}

// begin begins a session that lives for an hour.
func (k *kit) begin() string {
	k.t.Helper()
	timeouts := token.Timeouts{Idle: time.Hour}
	s := token.New(token.Mark{}, timeouts)
	rec := record.Pack(record.Record{Proof: s.Proof(), Created: k.c.Ledger.ClockOf(s.ID).Unix(), Timeouts: timeouts})
	if ok, err := k.c.Ledger.Create(context.Background(), s, s.Timeouts().Idle, rec); err != nil || !ok {
		k.t.Fatalf("create: %v, %v", ok, err)
	}
	return s.ID
}

// end begins a session and deletes its live key.
func (k *kit) end() string {
	k.t.Helper()
	id := k.begin()
	ctx := context.Background()
	keys, err := k.rdb.Keys(ctx, fmt.Sprintf("%s:{*}:live:%s:*", k.prefix, id)).Result()
	if err != nil || len(keys) != 1 {
		k.t.Fatalf("live key: %v, %v", keys, err)
	}
	if err := k.rdb.Del(ctx, keys[0]).Err(); err != nil {
		k.t.Fatal(err)
	}
	return id
}

// round does what Run does when it is woken.
func (k *kit) round() (blocked bool) {
	k.t.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), 30*time.Second)
	defer cancel()
	blocked, err := k.look(ctx)
	if err != nil || ctx.Err() != nil {
		k.t.Fatalf("no end of a round: %v", err)
	}
	return blocked
}

func (k *kit) waiting() int {
	k.mu.Lock()
	defer k.mu.Unlock()
	return k.gone.len() + k.expired.len()
}

// A hint makes the reaper look, at any bucket: what has ended is claimed once,
// however often it is said, and what lives or is unknown is let be.
func TestHintsLeadToOneClaim(t *testing.T) {
	t.Parallel()
	k := newKit(t, redistest.Shared(t), 1000)
	ended, alive := k.end(), k.begin()
	deleted, expired := k.end(), k.end()
	for range 3 {
		k.suspect(ended, ledger.Deleted)
		k.suspect(alive, ledger.Evicted)
		k.suspect(deleted, ledger.Evicted)
		k.suspect(expired, ledger.Expired)
		k.suspect(token.New(token.Mark{}, token.Timeouts{Idle: time.Hour}).ID, ledger.Deleted)
		if k.round() {
			t.Error("blocked")
		}
	}
	if len(k.sink.got) != 3 || k.sink.got[ended] != 1 || k.sink.got[deleted] != 1 || k.sink.got[expired] != 1 {
		t.Errorf("claims: %v", k.sink.got)
	}
	if n := k.waiting(); n != 0 {
		t.Errorf("%d hints wait", n)
	}
}

// The event of an end that was found here is not looked at again, for a while.
func TestEchoOfAnEnd(t *testing.T) {
	t.Parallel()
	k := newKit(t, redistest.Shared(t), 1000)
	id := k.end()
	k.suspect(id, ledger.Deleted)
	k.round()
	k.suspect(id, ledger.Deleted)
	k.suspect(id, ledger.Expired)
	if n := k.waiting(); n != 0 {
		t.Errorf("%d hints wait", n)
	}
	// It is remembered for one turn, and forgotten with the next.
	for turn, want := range []int{0, 1} {
		k.mu.Lock()
		k.turned = time.Time{}
		k.mu.Unlock()
		k.remember(nil)
		k.suspect(id, ledger.Deleted)
		if n := k.waiting(); n != want {
			t.Errorf("turn %d: %d hints wait, want %d", turn, n, want)
		}
	}
}

// A hint whose end was found before its turn came is not looked at any more.
func TestHintsOfWhatWasFoundMeanwhile(t *testing.T) {
	t.Parallel()
	k := newKit(t, redistest.Shared(t), 1000)
	for _, hint := range []string{ledger.Expired, ledger.Deleted} {
		k.suspect("found by a look at what is due "+hint, hint)
		k.suspect("news "+hint, hint)
		k.remember([]*ledger.Claim{{End: ledger.End{ID: "found by a look at what is due " + hint}}})
		k.mu.Lock()
		q := k.queueOf(hint)
		k.mu.Unlock()
		if got := k.takeHints(q, 10); len(got) != 1 || got[0].ID != "news "+hint {
			t.Errorf("%s: %v", hint, got)
		}
	}
}

// No more is claimed than the sink wants; the rest of the hints wait for it.
func TestHintsWaitForTheSink(t *testing.T) {
	t.Parallel()
	k := newKit(t, redistest.Shared(t), 3)
	for range 10 {
		k.suspect(k.end(), ledger.Deleted)
	}
	if blocked := k.round(); !blocked || len(k.sink.got) != 3 || k.waiting() != 7 {
		t.Errorf("blocked %v, %d claims, %d hints wait; want true, 3, 7", blocked, len(k.sink.got), k.waiting())
	}
	k.sink.room = 1000
	if blocked := k.round(); blocked || len(k.sink.got) != 10 || k.waiting() != 0 {
		t.Errorf("blocked %v, %d claims, %d hints wait; want false, 10, 0", blocked, len(k.sink.got), k.waiting())
	}
}

// What is said while Redis is away is not lost.
func TestHintsOutliveAFailure(t *testing.T) {
	t.Parallel()
	server := redistest.Start(t, "--appendonly", "yes", "--appendfsync", "always")
	k := newKit(t, server.Addr, 1000)
	id := k.end()
	k.suspect(id, ledger.Evicted)
	server.Kill()
	if _, err := k.look(context.Background()); err == nil || errors.Is(err, redis.Nil) {
		t.Errorf("away: %v", err)
	}
	if n := k.waiting(); n != 1 {
		t.Fatalf("%d hints wait, want 1", n)
	}
	server.Restart(t)
	if k.round(); k.sink.got[id] != 1 {
		t.Errorf("claims: %v", k.sink.got)
	}
}

// A flood of hints is bounded: what is dropped is found when due. One of one kind
// drops none of the other.
func TestHintsAreBounded(t *testing.T) {
	t.Parallel()
	r := newReaper(Config{}, new(shared))
	for i := range maxHints + 10 {
		r.suspect(fmt.Sprint(i), ledger.Deleted)
	}
	r.suspect("a", ledger.Evicted)
	r.suspect("b", ledger.Expired)
	if gone, expired := r.gone.len(), r.expired.len(); gone != maxHints || expired != 1 {
		t.Errorf("%d and %d hints wait, want %d and 1", gone, expired, maxHints)
	}
}

// Hints are taken in their order, one for each session, and what is said later of it
// counts. More of a bucket than one call looks at are looked at all the same.
func TestHintsAreTakenInTheirOrder(t *testing.T) {
	t.Parallel()
	q := newQueue()
	for _, s := range []ledger.Suspect{{ID: "a", Hint: "1"}, {ID: "b", Hint: "2"}, {ID: "a", Hint: "3"}, {ID: "c", Hint: "4"}} {
		q.add(s)
	}
	if got := q.take(2); !slices.Equal(got, []ledger.Suspect{{ID: "a", Hint: "3"}, {ID: "b", Hint: "2"}}) {
		t.Errorf("taken: %v", got)
	}
	if got := q.take(2); !slices.Equal(got, []ledger.Suspect{{ID: "c", Hint: "4"}}) || q.len() != 0 || len(q.hints) != 0 {
		t.Errorf("then: %v; %d wait", got, q.len())
	}

	k := newKit(t, redistest.Shared(t), 1000)
	const many = batch + 10
	for range many {
		id := k.end()
		for k.c.Ledger.Bucket(id) != 0 {
			id = k.end()
		}
		k.suspect(id, ledger.Deleted)
	}
	if k.round(); len(k.sink.got) != many {
		t.Errorf("%d claims, want %d", len(k.sink.got), many)
	}
}
