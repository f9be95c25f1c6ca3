package ledger

import (
	"context"
	"strconv"

	"github.com/redis/go-redis/v9"

	"github.com/gin-lifecycle/lifecycle/internal/token"
)

// LiveSession is a live session that Get or Scan has found.
type LiveSession struct {
	ID     string
	Record []byte
	Left   int64 // how many ms of its time to live are left; -1 if the live key has no time to live
}

// Get reads a session without prolonging it. ok is false if it is not live.
func (l *Ledger) Get(ctx context.Context, id string) (f LiveSession, ok bool, err error) {
	fs, err := l.readLive(ctx, l.keys.bucket(id), []string{id})
	if err != nil || len(fs) == 0 {
		return LiveSession{}, false, err
	}
	return fs[0], true, nil
}

// readLive reads the live ones among sessions of bucket b.
func (l *Ledger) readLive(ctx context.Context, b int, ids []string) (found []LiveSession, err error) {
	ctx, cancel := l.withTimeout(ctx)
	defer cancel()
	proofs := make(map[string]string)
	for len(ids) > 0 {
		var gone []string
		found, gone, err = l.readLiveOnce(ctx, b, ids, proofs, found)
		if err != nil {
			return nil, err
		}
		// Where the live key is gone, a rotation may have renamed it between the reading of
		// the record and that of the live key. Then the record has another proof by now.
		ids = gone
	}
	return found, nil
}

// readLiveOnce appends the live ones among ids to found. proofs has the proofs with which
// the live keys of sessions were looked for. gone are the sessions without a live key that
// were looked for with a new proof; the caller calls again for them.
func (l *Ledger) readLiveOnce(ctx context.Context, b int, ids []string, proofs map[string]string, found []LiveSession) (all []LiveSession, gone []string, err error) {
	names := make([]string, len(ids))
	for i, id := range ids {
		names[i] = l.keys.session(b, id)
	}
	records, err := l.rdb.MGet(ctx, names...).Result()
	if err != nil {
		return nil, nil, err
	}
	pipe := l.rdb.Pipeline()
	left := make([]*redis.Cmd, len(ids))
	for i, id := range ids {
		rec := toString(records[i])
		if len(rec) <= token.ProofLength {
			continue
		}
		if proof := rec[:token.ProofLength]; proofs[id] != proof {
			proofs[id] = proof
			left[i] = pipe.Do(ctx, "pttl", l.keys.live(b, id, rec[:token.ProofLength]))
		}
	}
	if pipe.Len() == 0 {
		return found, nil, nil
	}
	if _, err := pipe.Exec(ctx); err != nil {
		return nil, nil, err
	}
	for i, id := range ids {
		if left[i] == nil {
			continue
		}
		if ms, _ := left[i].Int64(); ms != -2 {
			found = append(found, LiveSession{ID: id, Record: []byte(toString(records[i])), Left: ms})
		} else {
			gone = append(gone, id)
		}
	}
	return found, gone, nil
}

// Scan reads the next page of a bucket's live sessions. The caller begins with cursor 0,
// passes the cursor that Scan returned to the next call, and is done when Scan returns 0.
// The same session may appear twice. A bucket whose due-index was overwritten has none.
func (l *Ledger) Scan(ctx context.Context, b int, cursor uint64, count int64) ([]LiveSession, uint64, error) {
	bctx, cancel := l.withTimeout(ctx)
	entries, next, err := l.rdb.ZScan(bctx, l.keys.due(b), cursor, "", count).Result()
	cancel()
	if IsOverwritten(err) {
		return nil, 0, nil
	}
	if err != nil || len(entries) == 0 {
		return nil, next, err
	}
	ids := make([]string, 0, len(entries)/2)
	for i := 0; i+1 < len(entries); i += 2 {
		ids = append(ids, entries[i])
	}
	found, err := l.readLive(ctx, b, ids)
	return found, next, err
}

// Count returns how many entries of all due-indexes are due in the future. A due-index that
// was overwritten has none. The cost is one round trip.
func (l *Ledger) Count(ctx context.Context) (int64, error) {
	ctx, cancel := l.withTimeout(ctx)
	defer cancel()
	pipe := l.rdb.Pipeline()
	cmds := make([]*redis.IntCmd, l.Buckets())
	for b := range cmds {
		cmds[b] = pipe.ZCount(ctx, l.keys.due(b), strconv.FormatInt(l.Clock(b).Unix(), 10), "+inf")
	}
	execute(ctx, pipe)
	var n int64
	for _, c := range cmds {
		if err := c.Err(); err != nil && !IsOverwritten(err) {
			return 0, err
		}
		n += c.Val()
	}
	return n, nil
}
