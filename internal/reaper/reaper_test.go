package reaper

import (
	"context"
	"crypto/rand"
	"fmt"
	"log/slog"
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

// limitedSink takes so many claims.
type limitedSink struct {
	claims chan *ledger.Claim

	mu    sync.Mutex
	ready chan struct{}
	free  int
	most  int    // submitted at a time
	held  string // a session whose claim is held
}

func newSink(free int) *limitedSink {
	return &limitedSink{ready: make(chan struct{}), claims: make(chan *ledger.Claim, 1000), free: free}
}

// Holds does not count what was submitted: that takes a delivery.
func (s *limitedSink) Holds(id string) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.held == id
}

func (s *limitedSink) Reserve(int) int {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.free
}

func (*limitedSink) Unreserve(int) {}

func (s *limitedSink) Ready() <-chan struct{} {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.ready
}

func (s *limitedSink) Submit(claims []*ledger.Claim) {
	s.mu.Lock()
	s.free -= len(claims)
	s.most = max(s.most, len(claims))
	s.mu.Unlock()
	for _, c := range claims {
		s.claims <- c
	}
}

// grow makes room for n more.
func (s *limitedSink) grow(n int) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.free += n
	close(s.ready)
	s.ready = make(chan struct{})
}

func (s *limitedSink) next(t *testing.T) *ledger.Claim {
	t.Helper()
	select {
	case c := <-s.claims:
		return c
	case <-time.After(30 * time.Second):
		t.Fatal("no claim came")
		return nil
	}
}

// startReapers returns reapers of all buckets that run until the test ends.
func startReapers(t *testing.T, s *limitedSink, interval time.Duration) (*Reapers, *ledger.Ledger) {
	t.Helper()
	l := ledger.New(redistest.Client(t, redistest.Shared(t)),
		ledger.Config{Prefix: "t" + strings.ToLower(rand.Text()[:10]), Buckets: 4, Timeout: 10 * time.Second})
	if err := l.Open(context.Background()); err != nil {
		t.Fatal(err)
	}
	r := New(Config{Ledger: l, Sink: s, Instance: "i", Interval: interval, Lease: time.Minute, Log: slog.New(slog.DiscardHandler)})
	shards, err := l.Shards(context.Background())
	if err != nil {
		t.Fatal(err)
	}
	r.SetServers(shards)
	runs(t, r)
	return r, l
}

// runs runs reapers until the test ends.
func runs(t *testing.T, r *Reapers) {
	t.Helper()
	ctx, cancel := context.WithCancel(context.Background())
	ended := make(chan struct{})
	go func() {
		defer close(ended)
		r.Run(ctx)
	}()
	t.Cleanup(func() {
		cancel()
		<-ended
	})
}

func begin(t *testing.T, l *ledger.Ledger, idle time.Duration) token.Token {
	t.Helper()
	k := token.New(token.Mark{}, token.Timeouts{Idle: idle})
	rec := record.Pack(record.Record{Proof: k.Proof(), Timeouts: k.Timeouts()})
	if ok, err := l.Create(context.Background(), k, k.Timeouts().Idle, rec); err != nil || !ok {
		t.Fatalf("begun %v, %v", ok, err)
	}
	return k
}

// Ends are claimed when they are due, in all buckets, without a word from anybody.
func TestFindsWhatIsDue(t *testing.T) {
	s := newSink(1000)
	r, l := startReapers(t, s, 20*time.Millisecond)
	r.SetBuckets([]int{0, 1, 2, 3})
	want := make(map[string]bool)
	for range 50 {
		want[begin(t, l, 100*time.Millisecond).ID] = true
	}
	for range 50 {
		c := s.next(t)
		if !want[c.ID] || c.Reason != ledger.Expired {
			t.Errorf("claimed %s, %s", c.ID, c.Reason)
		}
		delete(want, c.ID)
	}
}

// A bucket that is another instance's is left alone; a hint is followed in any.
func TestLooksAfterItsOwnBuckets(t *testing.T) {
	s := newSink(1000)
	r, l := startReapers(t, s, 20*time.Millisecond)
	var other token.Token
	for other.ID == "" || l.Bucket(other.ID) == 0 {
		other = begin(t, l, 50*time.Millisecond)
	}
	r.SetBuckets([]int{0})
	mine := begin(t, l, time.Minute)
	for l.Bucket(mine.ID) != 0 {
		mine = begin(t, l, time.Minute)
	}
	sooner := begin(t, l, 100*time.Millisecond)
	for l.Bucket(sooner.ID) != 0 {
		sooner = begin(t, l, 100*time.Millisecond)
	}
	for c := s.next(t); c.ID != sooner.ID; c = s.next(t) {
		if l.Bucket(c.ID) != 0 {
			t.Errorf("claimed %s of bucket %d", c.ID, l.Bucket(c.ID))
		}
	}
	r.Suspect(other.ID, ledger.Expired)
	if c := s.next(t); c.ID != other.ID {
		t.Errorf("claimed %s, want the one that was hinted at", c.ID)
	}
}

// A hint that is true gives the end its reason; one of a live session gives
// nothing.
func TestHints(t *testing.T) {
	s := newSink(1000)
	r, l := startReapers(t, s, time.Minute)
	r.SetBuckets([]int{0, 1, 2, 3})
	live, gone := begin(t, l, time.Minute), begin(t, l, time.Minute)
	rdb := redistest.Client(t, redistest.Shared(t))
	keys, err := rdb.Keys(context.Background(), "*live:"+gone.ID+":*").Result()
	if err != nil || len(keys) != 1 {
		t.Fatalf("live keys: %v, %v", keys, err)
	}
	if err := rdb.Del(context.Background(), keys[0]).Err(); err != nil {
		t.Fatal(err)
	}
	r.Suspect(live.ID, ledger.Deleted)
	r.Suspect(gone.ID, ledger.Evicted)
	if c := s.next(t); c.ID != gone.ID || c.Reason != ledger.Evicted {
		t.Errorf("claimed %s, %s; want %s, evicted", c.ID, c.Reason, gone.ID)
	}
	// The event of an end that was found here is not worth another look.
	r.Suspect(gone.ID, ledger.Expired)
	one := r.reaperOf(0)
	one.mu.Lock()
	waiting := one.expired.len() + one.gone.len()
	one.mu.Unlock()
	if waiting != 0 {
		t.Errorf("%d hints wait", waiting)
	}
	if len(s.claims) != 0 {
		t.Errorf("claimed %s", s.next(t).ID)
	}
}

// No more is claimed than the sink has room for, and the rest when it has.
func TestFullSink(t *testing.T) {
	s := newSink(3)
	r, l := startReapers(t, s, 20*time.Millisecond)
	for range 20 {
		begin(t, l, time.Millisecond)
	}
	r.SetBuckets([]int{0, 1, 2, 3})
	for range 3 {
		s.next(t)
	}
	for range 17 {
		if n := len(s.claims); n != 0 {
			t.Fatalf("%d claims too many", n)
		}
		s.grow(1)
		s.next(t)
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.most > 3 || s.free != 0 {
		t.Errorf("%d at a time, %d free", s.most, s.free)
	}
}

// What the sink still holds is not claimed again though its lease is over: Redis
// was away, and the renewal or the ack is on its way. Others are, in the same
// bucket too.
func TestWhatIsHeldIsNotClaimedAgain(t *testing.T) {
	t.Parallel()
	k := newKit(t, redistest.Shared(t), 1000)
	k.keep([]int{0, 1, 2, 3})
	claim := func() (id string) { // whose lease is over at once
		id = k.begin()
		rec, err := k.c.Ledger.Record(context.Background(), id)
		if err != nil {
			t.Fatal(err)
		}
		proof := string(rec[:token.ProofLength])
		lease := ledger.ClaimTerms{Token: "i:" + id, Lease: time.Millisecond}
		if _, ok, err := k.c.Ledger.End(context.Background(), id, proof, "why", lease); !ok || err != nil {
			t.Fatalf("end: %v, %v", ok, err)
		}
		return id
	}
	held := claim()
	k.sink.held = held
	other := claim()
	for k.c.Ledger.Bucket(other) != k.c.Ledger.Bucket(held) {
		other = claim()
	}
	k.rounds("the other one is claimed", func() bool { return k.sink.got[other] == 1 })
	k.suspect(held, ledger.Deleted)
	k.lookAtAll()
	k.round()
	if n := k.sink.got[held]; n != 0 {
		t.Errorf("claimed %d times while it was held", n)
	}
	if k.pause() > 2*heldPause*time.Millisecond {
		t.Error("it is not looked at again soon")
	}
	k.sink.held = ""
	k.rounds("it is claimed once nobody holds it", func() bool { return k.sink.got[held] == 1 })
}

// A due-index that others have overwritten, or written to, keeps nobody from the
// ends of the others, nor from those behind what they wrote.
func TestForeignEntries(t *testing.T) {
	t.Parallel()
	k := newKit(t, redistest.Shared(t), 1000)
	k.keep([]int{0, 1, 2, 3})
	ctx := context.Background()
	due := func(b int) string { return fmt.Sprintf("%s:{%d}:due", k.prefix, b) }
	if err := k.rdb.Set(ctx, due(0), "something else", 0).Err(); err != nil {
		t.Fatal(err)
	}
	ends := make(map[int]string)
	for len(ends) < 3 {
		id := token.New(token.Mark{}, token.Timeouts{}).ID
		b := k.c.Ledger.Bucket(id)
		if b == 0 || ends[b] != "" {
			continue
		}
		// Of a session that is lost: nothing but its due entry is left.
		ends[b] = id
		entries := []redis.Z{{Score: 1000, Member: id}}
		for i := range 2 * batch {
			entries = append(entries, redis.Z{Score: float64(i), Member: fmt.Sprint("nobody's ", i)})
		}
		if err := k.rdb.ZAdd(ctx, due(b), entries...).Err(); err != nil {
			t.Fatal(err)
		}
	}
	for range 10 { // each sees more of what is in the way
		k.lookAtAll()
		k.round()
	}
	for b, id := range ends {
		if k.sink.got[id] != 1 {
			t.Errorf("bucket %d: its end was claimed %d times", b, k.sink.got[id])
		}
	}
	if len(k.sink.got) != 3 {
		t.Errorf("claimed: %v", k.sink.got)
	}
}
