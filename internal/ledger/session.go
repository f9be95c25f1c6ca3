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

// An estimate of the clock older than this is renewed along with a load.
const clockLife = time.Minute

// Loaded is what a token found. Record is empty where there is none, or where a key was
// overwritten with something else.
type Loaded struct {
	Live   bool // under this very token; the session was prolonged
	Record []byte
	Err    error // Redis did not tell
}

// Load reads the records of the sessions that tokens name and prolongs those that are
// live, in one round trip. What a token says reaches Redis as a time to live only
// where the token is good: it is a part of what names the live key.
//
// In a cluster the servers are asked apart, at the same time: go-redis gives all commands
// of a pipeline the error of a server that does not answer.
func (l *Ledger) Load(ctx context.Context, tokens ...token.Token) []Loaded {
	if len(tokens) == 1 || !l.Clustered() {
		return l.load(ctx, tokens)
	}
	of := make(map[*server][]int)
	for i, t := range tokens {
		x := l.shards.get(l.keys.bucket(t.ID))
		of[x] = append(of[x], i)
	}
	found := make([]Loaded, len(tokens))
	var wg sync.WaitGroup
	for _, at := range of {
		wg.Go(func() {
			some := make([]token.Token, len(at))
			for j, i := range at {
				some[j] = tokens[i]
			}
			for j, x := range l.load(ctx, some) {
				found[at[j]] = x
			}
		})
	}
	wg.Wait()
	return found
}

func (l *Ledger) load(ctx context.Context, tokens []token.Token) []Loaded {
	ctx, cancel := l.bound(ctx)
	defer cancel()

	pipe := l.rdb.Pipeline()
	taken := l.sampling(ctx, pipe, l.keys.bucket(tokens[0].ID), clockLife)
	touches := make([]*redis.StringCmd, len(tokens))
	gets := make([]*redis.StringCmd, len(tokens))
	for i, t := range tokens {
		b := l.keys.bucket(t.ID)
		unit, end := liveUntil(t.Timeouts(), l.Clock(b).Unix())
		touches[i] = redis.NewStringCmd(ctx, "getex", l.keys.live(b, t.ID, t.Proof()), unit, end)
		_ = pipe.Process(ctx, touches[i])
		gets[i] = pipe.Get(ctx, l.keys.session(b, t.ID))
	}
	_, _ = pipe.Exec(ctx) // each has its own error
	_ = taken()           // as good as what was known
	found := make([]Loaded, len(tokens))
	for i := range tokens {
		x := &found[i]
		for _, err := range []error{touches[i].Err(), gets[i].Err()} {
			if err != nil && !errors.Is(err, redis.Nil) && !IsOverwritten(err) {
				l.noticed(err)
				x.Err = cmp.Or(x.Err, err)
			}
		}
		x.Record, _ = gets[i].Bytes()
		x.Live = touches[i].Err() == nil && gets[i].Err() == nil
	}
	return found
}

// Live reports whether a session is live under t. It does not prolong it.
func (l *Ledger) Live(ctx context.Context, t token.Token) (bool, error) {
	ctx, cancel := l.bound(ctx)
	defer cancel()
	n, err := l.rdb.Exists(ctx, l.keys.live(l.keys.bucket(t.ID), t.ID, t.Proof())).Result()
	l.noticed(err)
	return n == 1, err
}

// liveUntil says, in Redis's words, until when a request keeps a session alive:
// for the idle timeout, but not beyond the absolute deadline. Redis judges both by
// its own clock; the estimate in now only says which of them comes first.
func liveUntil(t token.Timeouts, now int64) (unit string, end int64) {
	if t.Deadline != 0 && now+t.Idle.Milliseconds() >= t.Deadline {
		return "PXAT", t.Deadline
	}
	return "PX", t.Idle.Milliseconds()
}

// Create begins the session; it lives for first unless it is prolonged. ok is false if
// its time is already over.
func (l *Ledger) Create(ctx context.Context, t token.Token, first time.Duration, rec []byte) (ok bool, err error) {
	b := l.keys.bucket(t.ID)
	return l.yes(ctx, createScript,
		[]string{l.keys.due(b), l.keys.session(b, t.ID), l.keys.live(b, t.ID, t.Proof())},
		t.ID, rec, first.Milliseconds(), t.Timeouts().Deadline, l.keys.wake(b))
}

// Save replaces the record of a live session and prolongs it, by idle at most. The
// session is live under t, from now on under next, which differs in its timeouts at
// most. ok is false if the session is not live under t.
func (l *Ledger) Save(ctx context.Context, t, next token.Token, idle time.Duration, rec []byte) (ok bool, err error) {
	b := l.keys.bucket(t.ID)
	timeouts := next.Timeouts()
	timeouts.Idle = min(timeouts.Idle, idle)
	unit, end := liveUntil(timeouts, l.Clock(b).Unix())
	return l.yes(ctx, saveScript,
		[]string{l.keys.due(b), l.keys.session(b, t.ID), l.keys.live(b, t.ID, t.Proof()), l.keys.live(b, t.ID, next.Proof())},
		t.ID, rec, unit, end, l.keys.wake(b))
}

// Rotate replaces the secret of old by that of next, a token of the same session. The
// record notes for remember that the old one is no good any more; rotated is its
// content of that kind, as package record packs it. ok is false if the session is not
// live under old.
func (l *Ledger) Rotate(ctx context.Context, old, next token.Token, remember time.Duration) (rotated []byte, ok bool, err error) {
	ctx, cancel := l.bound(ctx)
	defer cancel()
	b := l.keys.bucket(old.ID)
	reply, err := rotateScript.Run(ctx, l.rdb,
		[]string{l.keys.session(b, old.ID), l.keys.live(b, old.ID, old.Proof()), l.keys.live(b, old.ID, next.Proof())},
		next.Proof(), old.SecretProof(), remember.Milliseconds()).Slice()
	if err != nil {
		l.noticed(err)
		return nil, false, err
	}
	if len(reply) < 2 {
		return nil, false, nil
	}
	return []byte(toString(reply[1])), true, nil
}

// Watch notes that instance holds closures of the session. ok is false if it
// is not live under proof.
func (l *Ledger) Watch(ctx context.Context, id, proof, instance string) (ok bool, err error) {
	b := l.keys.bucket(id)
	return l.yes(ctx, watchScript, []string{l.keys.live(b, id, proof), l.keys.watch(b, id)}, instance)
}

// yes runs a script that replies 1 or 0.
func (l *Ledger) yes(ctx context.Context, s *redis.Script, keys []string, args ...any) (bool, error) {
	ctx, cancel := l.bound(ctx)
	defer cancel()
	n, err := s.Run(ctx, l.rdb, keys, args...).Int()
	l.noticed(err)
	return n == 1, err
}
