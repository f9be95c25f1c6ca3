package faults

import (
	"net/http"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/redis/go-redis/v9"

	"github.com/gin-lifecycle/lifecycle/internal/redistest"
)

// The old master is cut off together with one instance, the minority. The other instance,
// the majority, goes on with a new master until the network is whole again. No end of a
// replicated session is lost.
//
// If a master needs replicas for its writes, the minority ends nothing. If it does not, the
// minority ends sessions that are live for the majority. All that is written to the old
// master is lost afterwards, so the checker excuses what the minority did meanwhile.
func TestRow14SplitBrain(t *testing.T) {
	t.Parallel()
	t.Run("replicas needed", func(t *testing.T) {
		t.Parallel()
		s := newSplit(t, "--min-replicas-to-write", "1", "--min-replicas-max-lag", "1")
		s.begin()
		s.f.known.losing(time.Second, func() {
			s.cut()
			s.f.eventually("the old master misses its replicas", func() bool {
				return info(t.Context(), s.old, "replication", "min_slaves_good_slaves") == "0"
			})
		})
		s.majorityGoesOn()
		s.f.unavailable(s.minority)
		s.f.eventually("the sessions' timeouts have passed on the old master", s.timesAreOver)
		before := s.refused()
		s.f.eventually("the minority tries to end them, and the old master refuses", func() bool {
			return s.refused() >= before+3 && s.minority.logged(logLookFails)
		})
		s.heal()
		if v := s.finish(); v.cutOff > 0 {
			t.Errorf("%d runs on the minority", v.cutOff)
		}
	})
	t.Run("replicas not needed", func(t *testing.T) {
		t.Parallel()
		s := newSplit(t)
		s.begin()
		s.f.known.losing(time.Second, func() {
			s.f.known.splitting(s.minority, func() {
				s.cut()
				s.majorityGoesOn()
				s.f.eventually("the minority ends sessions that are live for the majority", func() bool {
					return slices.ContainsFunc(s.f.eventsOf(started), func(e event) bool {
						return e.by == s.minority && slices.Contains(s.ids, e.id)
					})
				})
				s.heal()
			})
		})
		if v := s.finish(); v.cutOff == 0 {
			t.Error("the minority ran no hook")
		}
	})
}

// split is a fleet whose network can be cut in two: on one side the old master and one
// instance, on the other side everything else.
type split struct {
	t        *testing.T
	f        *fleet
	old      *redis.Client // of the old master; it goes past the proxies
	between  []*proxy      // all ways from one side to the other
	minority *process
	majority *process
	stayers  []*visitor // they visit the majority all the time
	ids      []string   // of the stayers' sessions
	cookie   string     // of the first stayer
	claimed  string     // a session whose end the minority has claimed, and whose first hook blocks
	stop     func() int // ends all visits
}

func newSplit(t *testing.T, args ...string) *split {
	t.Helper()
	s := &split{t: t}
	way := func(to string) string { // the proxy on the way to an address
		p := newProxy(t, to)
		s.between = append(s.between, p)
		return p.addr
	}
	args = append(args, "--repl-diskless-sync-delay", "0")
	master := redistest.Start(t, args...)
	// Everybody knows the master by the address of its proxy. Only the minority goes to the
	// master directly, and through proxies to everything else.
	masterAddr := way(master.Addr)
	host, port, _ := strings.Cut(masterAddr, ":")
	via := map[string]string{masterAddr: master.Addr}
	for range 2 {
		r := redistest.Start(t, append(args, "--replicaof", host+" "+port)...)
		replica := redistest.Client(t, r.Addr)
		redistest.Eventually(t, "the replica is in sync", func() bool {
			return info(t.Context(), replica, "replication", "master_link_status") == "up"
		})
		via[r.Addr] = way(r.Addr)
	}
	sentinels := redistest.StartSentinels(t, 3, 2, masterAddr)
	for _, addr := range sentinels {
		via[addr] = way(addr)
	}
	s.old = redistest.Client(t, master.Addr)

	f := newFleetOn(t, master)
	s.f = f
	f.use(redis.NewFailoverClient(&redis.FailoverOptions{MasterName: redistest.SentinelMaster, SentinelAddrs: sentinels}))
	f.setup.Sentinels = sentinels
	f.setup.RedisTimeout = shortRedisTimeout
	f.setup.Idle = 10 * time.Second // longer than it takes until there is a new master
	f.setup.HookTimeout = time.Minute
	s.majority = f.start("majority")
	f.setup.Via = via
	s.minority = f.start("minority")
	f.setup.Via = nil
	f.knowEachOther(s.majority, s.minority)
	return s
}

// begin begins sessions: some that end while the network is cut, some that end later, and
// some whose visitors come back all the time.
func (s *split) begin() {
	s.t.Helper()
	master := s.old.Options().Addr
	s.f.seedReplicated(12*time.Second, master, 50)
	s.f.seedReplicated(30*time.Second, master, 50)
	s.stayers = s.f.crowd(30, s.majority, s.minority)
	v := s.f.begin(s.minority, "/?first=block")
	s.claimed = v.id
	v.ok(s.minority, "/destroy")
	s.f.eventually("the minority runs the first hook of the end that it has claimed", func() bool {
		return slices.ContainsFunc(s.f.eventsOf(started), func(e event) bool { return e.id == s.claimed })
	})
	s.f.seedReplicated(30*time.Second, master, 1) // it waits until all of the above is replicated, too
	for _, v := range s.stayers {
		s.ids = append(s.ids, v.id)
	}
	s.cookie = s.stayers[0].cookie
	s.f.known.keptSafe(append(s.ids, s.claimed))
}

// cut cuts the network: nothing arrives from the other side.
func (s *split) cut() {
	for _, p := range s.between {
		p.poison(silent)
		p.poison(deaf)
	}
}

// majorityGoesOn waits until the new master serves the majority, lets visitors come there
// from then on, and waits until the majority handles ends.
func (s *split) majorityGoesOn() {
	s.t.Helper()
	s.f.eventually("a new master serves the majority", func() bool {
		status, _ := s.stayers[0].visit(s.majority, "/")
		return status == http.StatusOK
	})
	stops := []func() int{s.f.load(func() []*process { return []*process{s.majority} })}
	for _, v := range s.stayers {
		stops = append(stops, s.stay(v))
	}
	s.stop = stopAll(stops)
	s.f.awaitMoreEnds(50)
	s.f.eventually("the majority takes over what the minority had claimed", func() bool { return s.f.runs(done, s.claimed) > 0 })
}

// stay lets a visitor come to the majority all the time. The visitor's session must stay
// live.
func (s *split) stay(v *visitor) (stop func() (failed int)) {
	id := v.id
	return every(500*time.Millisecond, func() (failed int) {
		status, body := v.visit(s.majority, "/")
		if status != http.StatusOK {
			return 1
		}
		if body != id {
			s.t.Errorf("the visitor of session %s has session %s now", id, body)
			id = body
		}
		return 0
	})
}

// timesAreOver reports whether the old master has no live key of the stayers' sessions any
// more.
func (s *split) timesAreOver() bool {
	live, err := s.old.Keys(s.t.Context(), s.f.setup.Prefix+":{*}:"+liveKeys).Result()
	return err == nil && !slices.ContainsFunc(live, func(key string) bool {
		return slices.ContainsFunc(s.ids, func(id string) bool { return strings.Contains(key, id) })
	})
}

// refused counts the writes that the old master has refused because it has no replicas.
func (s *split) refused() int {
	_, n, _ := strings.Cut(info(s.t.Context(), s.old, "errorstats", "errorstat_NOREPLICAS"), "=")
	count, _ := strconv.Atoi(n)
	return count
}

// heal makes the network whole, and waits until both sides are one fleet again.
func (s *split) heal() {
	s.t.Helper()
	for _, p := range s.between {
		p.heal()
	}
	s.f.eventually("the old master is a replica, in sync", func() bool {
		return info(s.t.Context(), s.old, "replication", "role") == "slave" &&
			info(s.t.Context(), s.old, "replication", "master_link_status") == "up"
	})
	s.minority.openGate() // the hook returns whose end the majority has taken over
	s.f.knowEachOther(s.majority, s.minority)
	s.f.eventually("both sides serve the same session", func() bool {
		v := &visitor{f: s.f, cookie: s.cookie}
		status, body := v.visit(s.minority, "/")
		return status == http.StatusOK && body == s.ids[0]
	})
}

func (s *split) finish() verdict {
	s.t.Helper()
	failed := s.stop()
	v := s.f.finish()
	s.t.Logf("%d sessions, %d excused, %d repeats, %d runs on the minority, %d visits failed",
		v.sessions, v.excused, v.repeats, v.cutOff, failed)
	return v
}
