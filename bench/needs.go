package main

import (
	"fmt"

	"github.com/gin-lifecycle/lifecycle"
)

// What docs/scale.md assumes about an application with very many sessions.
const (
	needLive     = 100_000_000
	needLife     = 40 * 60 // seconds from the beginning of a session to its end: 10 minutes of use, 30 of idle timeout
	needRequests = 20      // of each session, including its first visit
	needSaves    = 0.1     // of all requests
	needLogouts  = 0.1     // of all ends
	needBusy     = 0.5     // of the one core that the server with most buckets has
	needHook     = 0.010   // seconds that the hooks of one end take
	needSweep    = 30      // seconds between two sweeps of the library; it is no option
	needHeadroom = 1.5     // memory for buffers, and for copies while a snapshot is written
)

// bucketChoices are the numbers of buckets for which it is computed.
var bucketChoices = []int{256, 1024, 4096, 16384}

// need is what needLive sessions need with a number of buckets.
type need struct {
	buckets, masters int
	total            opCost  // of all servers in a second
	fullest          float64 // share of all buckets on the server that has most
	busy             float64 // share of its core
	memory           float64 // bytes of its memory
}

// needEnds is how many sessions end in a second, and begin.
var needEnds = float64(needLive) / needLife

// need computes it.
func (c *costs) need(buckets int) need {
	n := need{buckets: buckets}
	n.total = c.visit.times(needEnds).
		plus(c.read.times(needEnds * (needRequests - 1))).
		plus(c.save.times(needEnds * needRequests * needSaves)).
		plus(c.destroy.times(needEnds * needLogouts)).
		plus(c.expire.times(needEnds * (1 - needLogouts))).
		plus(c.idle.times(float64(buckets) / lifecycle.DefaultBuckets))
	const most = 1000 // the largest cluster that Redis recommends
	for n.masters = 1; n.masters < most; n.masters++ {
		n.fullest = spread(buckets, n.masters) / float64(n.masters)
		n.busy = n.total.cpu / 1e6 * n.fullest
		if n.busy <= needBusy {
			break
		}
	}
	n.memory = needLive * c.resident * needHeadroom * n.fullest
	return n
}

// reportNeeds prints what needLive sessions need.
func (b *bench) reportNeeds(c *costs) {
	head := []string{"buckets"}
	var needs []need
	for _, n := range bucketChoices {
		head = append(head, count(n))
		needs = append(needs, c.need(n))
	}
	largest := c.moves[len(c.moves)-1]
	moved := func(seconds float64, n need) float64 {
		return seconds / float64(largest.sessions) * needLive / float64(n.buckets)
	}
	var rows [][]string
	row := func(name string, of func(need) string) {
		r := []string{name}
		for _, n := range needs {
			r = append(r, of(n))
		}
		rows = append(rows, r)
	}
	row("Redis CPU of all, cores", func(n need) string { return fixed(n.total.cpu/1e6, 1) })
	row("network in / out of all, MB a second", func(n need) string {
		return fixed(n.total.in/1e6, 0) + " / " + fixed(n.total.out/1e6, 0)
	})
	row("resident memory of all, one copy, GB", func(need) string { return fixed(needLive*c.resident/1e9, 0) })
	row(fmt.Sprintf("masters, for at most %.0f %% of the fullest one's core", 100*needBusy), func(n need) string { return count(n.masters) })
	row("- load of the fullest, fair shares", func(n need) string { return fixed(n.fullest*float64(n.masters), 2) })
	row("- its core, % busy", func(n need) string { return fixed(100*n.busy, 0) })
	row(fmt.Sprintf("- its memory, %.1f times what is resident, GB", needHeadroom), func(n need) string { return fixed(n.memory/1e9, 1) })
	row("- its ends a second", func(n need) string { return count(int(needEnds * n.fullest)) })
	row("sessions in a bucket", func(n need) string { return count(needLive / n.buckets) })
	row("- moving it, s", func(n need) string { return fixed(moved(largest.keys.Seconds(), n), 1) })
	row("- of which its server answers nobody, ms", func(n need) string { return fixed(1000*moved(largest.due.Seconds(), n), 0) })
	for _, n := range needs {
		b.report.set(fmt.Sprintf("need_masters_%d", n.buckets), float64(n.masters))
		b.report.set(fmt.Sprintf("need_cores_%d", n.buckets), n.total.cpu/1e6)
	}
	b.report.table(fmt.Sprintf("What %s live sessions need, %s requests and %s ends a second (computed from the tables above)",
		count(needLive), count(int(needEnds*needRequests)), count(int(needEnds))), head, rows)

	plain := needs[0]
	messages := 1e5 / c.publishOther // a tenth of a second is 1e5 µs
	b.report.table("And, whatever the number of buckets", []string{"", "figure"}, [][]string{
		{fmt.Sprintf("live sessions that one server bears at %.0f %% of its core", 100*needBusy),
			count(int(needLive * needBusy * 1e6 / plain.total.cpu))},
		{fmt.Sprintf("cores, further, if each session had a closure: asked for every %d s", needSweep),
			fixed(c.fate.cpu*needLive/needSweep/1e6, 1)},
		{"instances whose workers suffice, hooks of " + fixed(1000*needHook, 0) + " ms, " + count(lifecycle.DefaultConcurrency) + " at a time",
			fixed(needEnds*needHook/lifecycle.DefaultConcurrency, 1)},
		{"messages a second that take a tenth of each server's core", count(int(messages))},
		{"- as a share of all ends, %", fixed(100*messages/needEnds, 1)},
	})
}
