package ledger

import (
	"cmp"
	"context"
	"errors"
	"sync"
	"time"

	"github.com/redis/go-redis/v9"

	"github.com/gin-lifecycle/lifecycle/internal/token"
)

// loadClockLife is how old the sample of a clock may be before Load takes a new one.
const loadClockLife = time.Minute

// Loaded is the result of Load for one token.
type Loaded struct {
	// Live is true if the session is live and the token is good for it. The session has
	// then been prolonged.
	Live bool
	// Record is the record of the session with the token's ID, even if the token is not
	// good for it. It is empty if there is none, or if a key was overwritten.
	Record []byte
	// Err is set if Redis did not answer, or answered with an error, other than that a key
	// was overwritten.
	Err error
}

// Load reads the records of the sessions that tokens name, and prolongs those that are
// live. Result i is that of tokens[i]. The cost is one round trip, and no script.
//
// The timeouts in a token come from the client. They reach Redis as a time to live only if
// the token is good, because the name of the live key depends on every byte of them.
//
// In a cluster Load asks the servers at the same time, each by itself: go-redis gives all
// commands of a pipeline the error of a server that does not answer.
func (l *Ledger) Load(ctx context.Context, tokens ...token.Token) []Loaded {
	if len(tokens) == 1 || !l.Clustered() {
		return l.loadTogether(ctx, tokens)
	}
	byServer := make(map[*knownServer][]int)
	for i, t := range tokens {
		x := l.servers.get(l.keys.bucket(t.ID))
		byServer[x] = append(byServer[x], i)
	}
	results := make([]Loaded, len(tokens))
	var wg sync.WaitGroup
	for _, at := range byServer {
		wg.Go(func() {
			some := make([]token.Token, len(at))
			for j, i := range at {
				some[j] = tokens[i]
			}
			for j, x := range l.loadTogether(ctx, some) {
				results[at[j]] = x
			}
		})
	}
	wg.Wait()
	return results
}

// loadTogether is Load in one pipeline.
func (l *Ledger) loadTogether(ctx context.Context, tokens []token.Token) []Loaded {
	ctx, cancel := l.withTimeout(ctx)
	defer cancel()

	pipe := l.rdb.Pipeline()
	takeSample := l.refreshClock(ctx, pipe, l.keys.bucket(tokens[0].ID), loadClockLife)
	touches := make([]*redis.StringCmd, len(tokens))
	gets := make([]*redis.StringCmd, len(tokens))
	for i, t := range tokens {
		b := l.keys.bucket(t.ID)
		unit, end := liveUntil(t.Timeouts(), l.Clock(b).Unix())
		touches[i] = redis.NewStringCmd(ctx, "getex", l.keys.live(b, t.ID, t.Proof()), unit, end)
		_ = pipe.Process(ctx, touches[i])
		gets[i] = pipe.Get(ctx, l.keys.session(b, t.ID))
	}
	execute(ctx, pipe)
	_ = takeSample() // without a new sample the old one will do
	results := make([]Loaded, len(tokens))
	for i := range tokens {
		x := &results[i]
		for _, err := range []error{touches[i].Err(), gets[i].Err()} {
			if err != nil && !errors.Is(err, redis.Nil) && !IsOverwritten(err) {
				l.reloadAfter(err)
				x.Err = cmp.Or(x.Err, err)
			}
		}
		x.Record, _ = gets[i].Bytes()
		x.Live = touches[i].Err() == nil && gets[i].Err() == nil
	}
	return results
}

// Live reports whether there is a live session that t is good for. It does not prolong
// the session.
func (l *Ledger) Live(ctx context.Context, t token.Token) (bool, error) {
	ctx, cancel := l.withTimeout(ctx)
	defer cancel()
	n, err := l.rdb.Exists(ctx, l.keys.live(l.keys.bucket(t.ID), t.ID, t.Proof())).Result()
	l.reloadAfter(err)
	return n == 1, err
}

// liveUntil returns the option of a Redis command, unit and number, that says until when a
// request keeps a session alive: for the idle timeout, but not beyond the absolute
// deadline. Redis applies either by its own clock. now, the estimated time of the server,
// only decides which of the two comes first.
func liveUntil(t token.Timeouts, now int64) (unit string, end int64) {
	if t.Deadline != 0 && now+t.Idle.Milliseconds() >= t.Deadline {
		return "PXAT", t.Deadline
	}
	return "PX", t.Idle.Milliseconds()
}

// Create begins the session of t, with rec as its record. The session lives for first
// unless it is prolonged. ok is false if the session has ended already, or its deadline is
// over.
func (l *Ledger) Create(ctx context.Context, t token.Token, first time.Duration, rec []byte) (ok bool, err error) {
	b := l.keys.bucket(t.ID)
	return l.runBool(ctx, createScript,
		[]string{l.keys.due(b), l.keys.session(b, t.ID), l.keys.live(b, t.ID, t.Proof())},
		t.ID, rec, first.Milliseconds(), t.Timeouts().Deadline, l.keys.wake(b))
}

// Save replaces the record of the live session of t by rec, and prolongs the session, by
// idle at most. From then on next is the session's token. next may differ from t in its
// timeouts, and in nothing else. ok is false if the session is not live, or t is not its
// token.
func (l *Ledger) Save(ctx context.Context, t, next token.Token, idle time.Duration, rec []byte) (ok bool, err error) {
	b := l.keys.bucket(t.ID)
	timeouts := next.Timeouts()
	timeouts.Idle = min(timeouts.Idle, idle)
	unit, end := liveUntil(timeouts, l.Clock(b).Unix())
	return l.runBool(ctx, saveScript,
		[]string{l.keys.due(b), l.keys.session(b, t.ID), l.keys.live(b, t.ID, t.Proof()), l.keys.live(b, t.ID, next.Proof())},
		t.ID, rec, unit, end, l.keys.wake(b))
}

// Rotate replaces the secret of a live session: its token was old, and is next from then
// on. For remember, the record notes that the old secret was rotated away. rotated is the
// content of the record's rotated field after that, see record.UnpackRotated. ok is false
// if the session is not live, or old is not its token.
func (l *Ledger) Rotate(ctx context.Context, old, next token.Token, remember time.Duration) (rotated []byte, ok bool, err error) {
	ctx, cancel := l.withTimeout(ctx)
	defer cancel()
	b := l.keys.bucket(old.ID)
	reply, err := rotateScript.Run(ctx, l.rdb,
		[]string{l.keys.session(b, old.ID), l.keys.live(b, old.ID, old.Proof()), l.keys.live(b, old.ID, next.Proof())},
		next.Proof(), old.SecretProof(), remember.Milliseconds()).Slice()
	if err != nil {
		l.reloadAfter(err)
		return nil, false, err
	}
	if len(reply) < 2 {
		return nil, false, nil
	}
	return []byte(toString(reply[1])), true, nil
}

// Watch makes instance a watcher of the session: it notes that instance holds closures of
// it. ok is false if no session is live under this ID and proof.
func (l *Ledger) Watch(ctx context.Context, id, proof, instance string) (ok bool, err error) {
	b := l.keys.bucket(id)
	return l.runBool(ctx, watchScript, []string{l.keys.live(b, id, proof), l.keys.watch(b, id)}, instance)
}

// runBool runs a script that replies 1 for true or 0 for false.
func (l *Ledger) runBool(ctx context.Context, s *redis.Script, keys []string, args ...any) (bool, error) {
	ctx, cancel := l.withTimeout(ctx)
	defer cancel()
	n, err := s.Run(ctx, l.rdb, keys, args...).Int()
	l.reloadAfter(err)
	return n == 1, err
}
