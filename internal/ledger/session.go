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
	// Revision is that of the record, or an older one if the session was saved at this
	// moment; see Save. It is empty if the session is not live.
	Revision string
	// Left is how long the session would have lived without Load, if it is live. It is
	// negative if the live key had no time to live.
	Left time.Duration
	// Asked is the time of the session's server just before it was read, by the estimate of
	// its clock, in Unix ms.
	Asked int64
	// Err is set if Redis did not answer, or answered with an error, other than that a key
	// was overwritten.
	Err error

	answered time.Time
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
	return l.load(ctx, true, tokens)
}

// Peek is Load, but does not prolong the sessions.
func (l *Ledger) Peek(ctx context.Context, tokens ...token.Token) []Loaded {
	return l.load(ctx, false, tokens)
}

func (l *Ledger) load(ctx context.Context, prolong bool, tokens []token.Token) []Loaded {
	if len(tokens) == 1 || !l.Clustered() {
		return l.loadTogether(ctx, prolong, tokens)
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
			for j, x := range l.loadTogether(ctx, prolong, some) {
				results[at[j]] = x
			}
		})
	}
	wg.Wait()
	return results
}

// reading are the commands that read one session.
type reading struct {
	asked int64
	left  *redis.IntCmd
	live  *redis.StringCmd // reads the live key, and prolongs it
	rec   *redis.StringCmd
}

// loadTogether is load in one pipeline.
func (l *Ledger) loadTogether(ctx context.Context, prolong bool, tokens []token.Token) []Loaded {
	ctx, cancel := l.withTimeout(ctx)
	defer cancel()

	pipe := l.rdb.Pipeline()
	takeSample := l.refreshClock(ctx, pipe, l.keys.bucket(tokens[0].ID), loadClockLife)
	readings := make([]reading, len(tokens))
	for i, t := range tokens {
		b, x := l.keys.bucket(t.ID), &readings[i]
		x.asked = l.Clock(b).Unix()
		var live any = l.keys.live(b, t.ID, t.Proof())
		x.left = redis.NewIntCmd(ctx, "pttl", live)
		_ = pipe.Process(ctx, x.left)
		if prolong {
			unit, end := liveUntil(t.Timeouts(), x.asked)
			x.live = redis.NewStringCmd(ctx, "getex", live, unit, end)
			_ = pipe.Process(ctx, x.live)
		} else {
			x.live = redis.NewStringCmd(ctx, "get", live)
			_ = pipe.Process(ctx, x.live)
		}
		x.rec = pipe.Get(ctx, l.keys.session(b, t.ID))
	}
	execute(ctx, pipe)
	answered := time.Now()
	_ = takeSample() // without a new sample the old one will do
	results := make([]Loaded, len(tokens))
	for i, x := range readings {
		results[i] = x.loaded()
		results[i].Asked, results[i].answered = x.asked, answered
		l.reloadAfter(results[i].Err)
	}
	return results
}

// loaded returns what the commands have read.
func (x *reading) loaded() (r Loaded) {
	for _, err := range []error{x.live.Err(), x.rec.Err()} {
		if err != nil && !errors.Is(err, redis.Nil) && !IsOverwritten(err) {
			r.Err = cmp.Or(r.Err, err)
		}
	}
	r.Record, _ = x.rec.Bytes()
	_, past := UnpackPast(r.Record) // ended and finished after the live key was read
	r.Live = x.live.Err() == nil && x.rec.Err() == nil && !past
	if r.Live {
		r.Revision = x.live.Val()
		ms := x.left.Val() // 0 if Redis has not answered that
		r.Left = time.Duration(ms) * time.Millisecond
	}
	return r
}

// clockError is more than the estimate of a server's clock is off.
const clockError = 500 * time.Millisecond

// Restore takes back that Load has prolonged the session of t, unless another request has
// prolonged it since. x is what Load has returned. A request that Redis has served between
// Load and Load's reply, or while Restore was on its way, is not told from Load: what it has
// prolonged is taken back too.
func (l *Ledger) Restore(ctx context.Context, t token.Token, x Loaded) error {
	b := l.keys.bucket(t.ID)
	idle := t.Timeouts().Idle
	earliest, added := x.Asked+idle.Milliseconds(), idle-x.Left
	longest := idle - time.Since(x.answered) + restoreError
	if unit, end := liveUntil(t.Timeouts(), x.Asked); unit == "PXAT" {
		// Every request prolongs it until the same time.
		earliest, added = end, time.Duration(end-x.Asked)*time.Millisecond-x.Left
		longest = idle + clockError
	}
	_, err := l.runBool(ctx, restoreScript, []string{l.keys.due(b), l.keys.live(b, t.ID, t.Proof())},
		t.ID, max(added, 0).Milliseconds(), earliest-clockError.Milliseconds(), longest.Milliseconds(), l.keys.wake(b))
	return err
}

// restoreError is how much longer a session may live than a time measured here says: times in
// Redis are whole milliseconds.
const restoreError = 2 * time.Millisecond

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
