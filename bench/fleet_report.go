package main

import (
	"fmt"
	"math"

	"github.com/gin-lifecycle/lifecycle"
)

// reportFleet prints a column for each fleet, and how the last compares to the first.
func (b *bench) reportFleet(beat calls, fleets []fleetCost) {
	first, last := fleets[0], fleets[len(fleets)-1]
	head := []string{""}
	for _, f := range fleets {
		head = append(head, fmt.Sprintf("%d", f.instances))
	}
	head = append(head, fmt.Sprintf("%d : %d", last.instances, first.instances), "target")

	var rows [][]string
	row := func(name, key string, digits int, of func(fleetCost) float64) []string {
		r := []string{name}
		for _, f := range fleets {
			v := of(f)
			if math.IsNaN(v) {
				r = append(r, "")
				continue
			}
			b.report.set(fmt.Sprintf("fleet_%s_%d", key, f.instances), v)
			r = append(r, fixed(v, digits))
		}
		return r
	}
	const flat = 1.5 // how much may be added from the first to the last
	grows := func(name, key string, of func(fleetCost) float64) {
		ratio := of(last) / of(first)
		b.report.set("fleet_"+key+"_ratio", ratio)
		rows = append(rows, append(row(name, key, 2, of), fixed(ratio, 2), atMost(ratio, flat)))
	}
	plain := func(name, key, target string, digits int, of func(fleetCost) float64) {
		rows = append(rows, append(row(name, key, digits, of), "", target))
	}
	messages := func(of func(fleetCost) calls) func(fleetCost) float64 {
		return func(f fleetCost) float64 { return of(f)["publish"] }
	}
	expired := func(f fleetCost) calls { return f.expired }
	destroyed := func(f fleetCost) calls { return f.destroyed }
	held := func(f fleetCost) calls { return f.held }

	plain("idle second, all commands", "idle", "", 1, func(f fleetCost) float64 { return f.beats + f.pings + f.idle.total() })
	plain(fmt.Sprintf("- heartbeats, %s each", fixed(beat.total(), 0)), "idle_heartbeats", "", 1, func(f fleetCost) float64 { return f.beats })
	plain("- PINGs of subscriptions", "idle_pings", "", 1, func(f fleetCost) float64 { return f.pings })
	grows(fmt.Sprintf("- the rest: looks at %d buckets", lifecycle.DefaultBuckets), "idle_rest", func(f fleetCost) float64 { return f.idle.total() })
	grows("end of a session that times out", "end_expired", func(f fleetCost) float64 { return f.expired.total() })
	grows("end of a session that is destroyed", "end_destroyed", func(f fleetCost) float64 { return f.destroyed.total() })
	plain("- with a handler's hook on another instance", "end_held", "", 2, func(f fleetCost) float64 { return f.held.total() })
	most := func(of func(fleetCost) calls, target float64) string {
		v := 0.0
		for _, f := range fleets {
			v = max(v, of(f)["publish"])
		}
		return atMost(v, target)
	}
	plain("PUBLISH per end: timed out, no handler's hook", "publish_expired", most(expired, 0.01), 2, messages(expired))
	plain("PUBLISH per end: destroyed, no handler's hook", "publish_destroyed", most(destroyed, 0.01), 2, messages(destroyed))
	plain("PUBLISH per end: destroyed, one handler's hook", "publish_held", most(held, 1), 2, messages(held))
	plain("buckets that move when one more instance comes, %", "joins", "1/(n+1)", 1, func(f fleetCost) float64 { return 100 * f.joins })
	plain("buckets that move when an instance goes, %", "leaves", "1/n", 1, func(f fleetCost) float64 { return 100 * f.leaves })
	b.report.table("Redis commands of a fleet, those in scripts included, by the number of instances"+b.servers.suffix(), head, rows)

	rows = nil
	for _, f := range []fleetCost{first, last} {
		of := fmt.Sprintf(", %d instances", f.instances)
		rows = append(rows,
			[]string{"idle second" + of, f.idle.list()},
			[]string{"end, timed out" + of, f.expired.list()},
			[]string{"end, destroyed" + of, f.destroyed.list()},
			[]string{"end, destroyed, with a handler's hook" + of, f.held.list()})
	}
	rows = append(rows, []string{"heartbeat", beat.list()})
	b.report.table("Which commands these are", []string{"", "without heartbeats and PINGs"}, rows)
}
