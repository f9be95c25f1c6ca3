package faults

import (
	"context"
	"net/http"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/redis/go-redis/v9"

	"github.com/gin-lifecycle/lifecycle/internal/redistest"
)

// The old master is cut off together with one instance, and the rest goes on with a
// new one, until the network is whole again. No end of a session that had been
// replicated is lost. A master that wants replicas for its writes ends nothing on its
// own; without that it ends, for its instance, what lives on elsewhere, and all that
// it was told is forgotten: what the instance on that side did meanwhile is excused.
func TestRow14SplitBrain(t *testing.T) {
	t.Parallel()
	t.Run("replicas needed", func(t *testing.T) {
		t.Parallel()
		s := newSplit(t, "--min-replicas-to-write", "1", "--min-replicas-max-lag", "1")
		s.begin()
		refused := func() int {
			_, n, _ := strings.Cut(info(t.Context(), s.old, "errorstats", "errorstat_NOREPLICAS"), "=")
			count, _ := strconv.Atoi(n)
			return count
		}
		s.f.known.losing(time.Second, func() {
			s.cut()
			s.f.eventually("the old master wants its replicas", func() bool {
				return info(t.Context(), s.old, "replication", "min_slaves_good_slaves") == "0"
			})
		})
		s.majorityGoesOn()
		if status, body := (&visitor{f: s.f}).visit(s.minority, "/"); status != http.StatusServiceUnavailable {
			t.Errorf("a visit on the wrong side: %d %s", status, body)
		}
		s.f.eventually("their times are over there", func() bool {
			live, err := s.old.Keys(t.Context(), s.f.setup.Prefix+":{*}:live:*").Result()
			return err == nil && !slices.ContainsFunc(live, func(key string) bool {
				return slices.ContainsFunc(s.ids, func(id string) bool { return strings.Contains(key, id) })
			})
		})
		before := refused()
		s.f.eventually("the minority wants to end them, and may not", func() bool { return refused() >= before+3 && s.minority.logged("looking for ended sessions fails") })
		s.heal()
		v := s.finish()
		if v.torn > 0 {
			t.Errorf("%d runs excused", v.torn)
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
				s.f.eventually("the minority ends what lives elsewhere", func() bool {
					for _, e := range s.f.events() {
						if e.kind == started && e.by == s.minority && slices.Contains(s.ids, e.id) {
							return true
						}
					}
					return false
				})
				s.heal()
			})
		})
		v := s.finish()
		if v.torn == 0 {
			t.Error("the minority ran no hook")
		}
	})
}

// split is a fleet whose network can be cut in two: the old master and one instance
// here, everything else there.
type split struct {
	t        *testing.T
	f        *fleet
	old      *redis.Client // of the old master, past the network
	between  []*proxy      // all ways from one side to the other
	minority *process
	majority *process
	stayers  []*visitor // who visit the majority all the time
	ids      []string   // of their sessions
	claimed  string     // a session whose end the minority has claimed, and runs a hook of
	cookie   string     // of the first
	stop     func() int
}

func newSplit(t *testing.T, args ...string) *split {
	t.Helper()
	s := &split{t: t}
	way := func(to string) string {
		p := newProxy(t, to)
		s.between = append(s.between, p)
		return p.addr
	}
	args = append(args, "--repl-diskless-sync-delay", "0")
	master := redistest.Start(t, args...)
	// By this name all but the minority's instance know the master.
	name := way(master.Addr)
	host, port, _ := strings.Cut(name, ":")
	via := map[string]string{name: master.Addr}
	for range 2 {
		r := redistest.Start(t, append(args, "--replicaof", host+" "+port)...)
		replica := redistest.Client(t, r.Addr)
		if err := poll(patience, func() bool {
			return info(t.Context(), replica, "replication", "master_link_status") == "up"
		}); err != nil {
			t.Fatalf("the replica is in sync: %v", err)
		}
		via[r.Addr] = way(r.Addr)
	}
	sentinels := redistest.StartSentinels(t, 3, 2, name)
	for _, addr := range sentinels {
		via[addr] = way(addr)
	}
	s.old = redistest.Client(t, master.Addr)

	f := newFleet(t, master)
	s.f = f
	_ = f.rdb.Close()
	f.rdb = redis.NewFailoverClient(&redis.FailoverOptions{MasterName: redistest.SentinelMaster, SentinelAddrs: sentinels})
	f.setup.Sentinels = sentinels
	f.setup.RedisTimeout = time.Second
	f.setup.Idle = 10 * time.Second // more than it takes to have another master
	f.setup.HookTimeout = time.Minute
	s.majority = f.start("majority")
	f.setup.Via = via
	s.minority = f.start("minority")
	f.setup.Via = nil
	f.knowEachOther(s.majority, s.minority)
	return s
}

// begin begins sessions: some that end while the network is cut, some after, and some
// whose visitors come back all the time.
func (s *split) begin() {
	s.t.Helper()
	addr := s.old.Options().Addr
	s.f.seedReplicated(12*time.Second, addr, 50)
	s.f.seedReplicated(30*time.Second, addr, 50)
	s.stayers = s.f.crowd(30, s.majority, s.minority)
	v := s.f.begin(s.minority, "/?first=block")
	s.claimed = v.id
	v.ok(s.minority, "/destroy")
	s.f.eventually("the minority runs its hook", func() bool {
		return slices.ContainsFunc(s.f.events(), func(e event) bool { return e.kind == started && e.id == s.claimed })
	})
	s.f.seedReplicated(30*time.Second, addr, 1) // after which all this is replicated, too
	for _, v := range s.stayers {
		s.ids = append(s.ids, v.id)
	}
	s.cookie = s.stayers[0].cookie
	s.f.known.keptSafe(append(s.ids, s.claimed))
}

// cut cuts the network: what is sent from one side to the other is not heard of.
func (s *split) cut() {
	for _, p := range s.between {
		p.poison(silent)
		p.poison(deaf)
	}
}

// majorityGoesOn waits until the new master serves, and visits it from then on.
func (s *split) majorityGoesOn() {
	s.t.Helper()
	s.f.eventually("the majority is served by a new master", func() bool {
		status, _ := s.stayers[0].visit(s.majority, "/")
		return status == http.StatusOK
	})
	var all []func() (failed int)
	all = append(all, s.f.load(func() []*process { return []*process{s.majority} }))
	for _, v := range s.stayers {
		all = append(all, s.stay(v))
	}
	s.stop = func() (failed int) {
		for _, stop := range all {
			failed += stop()
		}
		return failed
	}
	handled := s.f.runs(done, "")
	s.f.eventually("its hooks go on", func() bool { return s.f.runs(done, "") >= handled+50 })
	s.f.eventually("it takes over what the minority had claimed", func() bool { return s.f.runs(done, s.claimed) > 0 })
}

// stay has a visitor come to the majority all the time; its session must live on.
func (s *split) stay(v *visitor) (stop func() (failed int)) {
	ctx, cancel := context.WithCancel(context.Background())
	ended := make(chan int)
	id := v.id
	go func() {
		failed := 0
		pace := time.NewTicker(500 * time.Millisecond)
		defer pace.Stop()
		for ctx.Err() == nil {
			<-pace.C
			if status, body := v.visit(s.majority, "/"); status != http.StatusOK {
				failed++
			} else if body != id {
				s.t.Errorf("session %s is %s now", id, body)
				id = body
			}
		}
		ended <- failed
	}()
	return func() int {
		cancel()
		return <-ended
	}
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
	s.minority.ask("gate") // its hook ends, of a claim that it has no more
	s.f.knowEachOther(s.majority, s.minority)
	s.f.eventually("a session is served on both sides", func() bool {
		v := &visitor{f: s.f, cookie: s.cookie}
		status, body := v.visit(s.minority, "/")
		return status == http.StatusOK && body == s.ids[0]
	})
}

func (s *split) finish() verdict {
	s.t.Helper()
	failed := s.stop()
	v := s.f.finish()
	s.t.Logf("%d sessions, %d excused, %d repeats, %d runs excused, %d visits failed",
		v.sessions, v.excused, v.repeats, v.torn, failed)
	return v
}
