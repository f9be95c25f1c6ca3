package faults

import (
	"fmt"
	"maps"
	"math/rand/v2"
	"net/http"
	"strconv"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/gin-lifecycle/lifecycle"
	"github.com/gin-lifecycle/lifecycle/internal/redistest"
)

// Fifty visitors with one session save at the same time, on two instances, while the network
// and the instances fail. What a visitor was told is saved is saved, whatever the others do.
func TestRow27SavesAtOnce(t *testing.T) {
	t.Parallel()
	f := newFleet(t)
	f.setup.Idle, f.setup.RedisTimeout = 5*time.Minute, shortRedisTimeout
	net := f.throughProxy()
	ps := f.together("a", "b")
	first := f.begin(ps[0], "/")
	var living atomic.Pointer[[]*process]
	living.Store(&ps)

	const visitors = 50
	stop := make(chan struct{})
	all := make([]*saver, visitors)
	var working sync.WaitGroup
	for n := range all {
		s := &saver{f: f, n: n, cookie: first.cookie, certain: make(map[string]string), possible: make(map[string][]string)}
		all[n] = s
		working.Go(func() { s.work(func() []*process { return *living.Load() }, stop) })
	}
	saved := func() (sum int) {
		for _, s := range all {
			sum += int(s.saved.Load())
		}
		return sum
	}
	goOn := func(why string, n int) {
		t.Helper()
		before := saved()
		f.eventually(why, func() bool { return saved() >= before+n })
	}
	goOn("visitors save", 200)
	for _, x := range []toxic{slow, reset, sliced, silent} {
		net.poison(x)
		f.awaitTime("calls have failed, or were slow", time.Now().Add(2*shortRedisTimeout))
		net.heal()
		goOn("visitors save afterwards", 100)
	}
	c := f.start("c")
	now := []*process{ps[1], c}
	living.Store(&now)
	ps[0].kill()
	goOn("visitors save after an instance was killed", 100)
	close(stop)
	working.Wait()
	f.checkSaves(first.id, all)
	t.Logf("%d saves", saved())
	first.ok(c, "/destroy")
	f.finish()
}

// saver is one of the visitors with one session. It sets and deletes keys of its own.
type saver struct {
	f      *fleet
	n      int
	cookie string
	saved  atomic.Int64

	certain  map[string]string   // what the last answer has said of each key; "" if it is not there
	possible map[string][]string // what requests without an answer may have made of it since
}

// work saves until stop is closed.
func (s *saver) work(living func() []*process, stop <-chan struct{}) {
	r := rand.New(rand.NewPCG(uint64(s.n), 1))
	for i := 0; ; i++ {
		select {
		case <-stop:
			return
		default:
		}
		key := fmt.Sprintf("k%d.%d", s.n, r.IntN(4))
		value, page := "", "/forget?key="+key
		if r.IntN(4) > 0 {
			value = strconv.Itoa(i + 1)
			page = "/save?" + key + "=" + value
		}
		ps := living()
		status := s.get(ps[r.IntN(len(ps))], page)
		if status == http.StatusOK {
			s.certain[key] = value
			delete(s.possible, key)
			s.saved.Add(1)
		} else {
			s.possible[key] = append(s.possible[key], value)
		}
	}
}

func (s *saver) get(p *process, page string) (status int) {
	v := &visitor{f: s.f, cookie: s.cookie}
	status, _ = v.visit(p, page)
	return status
}

// checkSaves compares the values of the session with what the visitors were told.
func (f *fleet) checkSaves(id string, all []*saver) {
	f.t.Helper()
	store, err := lifecycle.NewStore(f.rdb, lifecycle.WithPrefix(f.setup.Prefix), lifecycle.WithBuckets(f.setup.Buckets))
	if err != nil {
		f.t.Fatal(err)
	}
	m, err := lifecycle.New(store)
	if err != nil {
		f.t.Fatal(err)
	}
	session, err := m.Get(redistest.Within(f.t), id)
	if err != nil {
		f.t.Fatal(err)
	}
	values := maps.Clone(session.Values())
	for _, s := range all {
		for key, certain := range s.certain {
			got, _ := values[key].(string)
			delete(values, key)
			ok := got == certain
			for _, maybe := range s.possible[key] {
				ok = ok || got == maybe
			}
			if !ok {
				f.t.Errorf("%s is %q; the visitor was told that it is %q, and requests without an answer may have made it one of %q", key, got, certain, s.possible[key])
			}
		}
		for key := range s.possible {
			delete(values, key)
		}
	}
	if len(values) > 0 {
		f.t.Errorf("nobody has saved %v", values)
	}
}
