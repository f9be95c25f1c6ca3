package main

import (
	"fmt"
	"math"

	"github.com/gin-lifecycle/lifecycle"
)

// fleetTable has a column for each fleet, and one that compares the last fleet with the first.
type fleetTable struct {
	report *report
	fleets []fleetCost
	rows   [][]string
}

func (t *fleetTable) first() fleetCost { return t.fleets[0] }
func (t *fleetTable) last() fleetCost  { return t.fleets[len(t.fleets)-1] }

// figures returns the name and a figure of each fleet, and sets the figures in the report. A
// figure that is not a number is left out.
func (t *fleetTable) figures(name, key string, digits int, of func(fleetCost) float64) []string {
	row := []string{name}
	for _, f := range t.fleets {
		v := of(f)
		if math.IsNaN(v) {
			row = append(row, "")
			continue
		}
		t.report.set(fmt.Sprintf("fleet_%s_%d", key, f.instances), v)
		row = append(row, fixed(v, digits))
	}
	return row
}

// plain adds a row without a comparison.
func (t *fleetTable) plain(name, key, target string, digits int, of func(fleetCost) float64) {
	t.rows = append(t.rows, append(t.figures(name, key, digits, of), "", target))
}

// flat adds a row whose figures must not grow with the number of instances.
func (t *fleetTable) flat(name, key string, of func(fleetCost) float64) {
	const most = 1.5 // how many times the first figure the last may be
	ratio := of(t.last()) / of(t.first())
	t.report.set("fleet_"+key+"_ratio", ratio)
	t.rows = append(t.rows, append(t.figures(name, key, 2, of), fixed(ratio, 2), atMost(ratio, most)))
}

// messages adds a row of the messages for one end, which must be no more than target.
func (t *fleetTable) messages(name, key string, target float64, of func(fleetCost) calls) {
	most := 0.0
	for _, f := range t.fleets {
		most = max(most, of(f)["publish"])
	}
	t.plain(name, key, atMost(most, target), 2, func(f fleetCost) float64 { return of(f)["publish"] })
}

// reportFleet prints what was measured.
func (b *bench) reportFleet(beat calls, fleets []fleetCost) {
	expired := func(f fleetCost) calls { return f.expired }
	destroyed := func(f fleetCost) calls { return f.destroyed }
	held := func(f fleetCost) calls { return f.held }

	t := &fleetTable{report: b.report, fleets: fleets}
	t.plain("idle second, all commands", "idle", "", 1, func(f fleetCost) float64 { return f.beats + f.pings + f.idle.total() })
	t.plain(fmt.Sprintf("- heartbeats, %s each", fixed(beat.total(), 0)), "idle_heartbeats", "", 1, func(f fleetCost) float64 { return f.beats })
	t.plain("- PINGs of subscriptions", "idle_pings", "", 1, func(f fleetCost) float64 { return f.pings })
	t.flat(fmt.Sprintf("- the rest: looks at %d buckets", lifecycle.DefaultBuckets), "idle_rest", func(f fleetCost) float64 { return f.idle.total() })
	t.flat("end of a session that times out", "end_expired", func(f fleetCost) float64 { return f.expired.total() })
	t.flat("end of a session that is destroyed", "end_destroyed", func(f fleetCost) float64 { return f.destroyed.total() })
	t.plain("- with a closure on another instance", "end_held", "", 2, func(f fleetCost) float64 { return f.held.total() })
	t.messages("PUBLISH per end: timed out, no closure", "publish_expired", 0.01, expired)
	t.messages("PUBLISH per end: destroyed, no closure", "publish_destroyed", 0.01, destroyed)
	t.messages("PUBLISH per end: destroyed, one closure", "publish_held", 1, held)
	t.plain("buckets that move when one more instance comes, %", "joins", "1/(n+1)", 1, func(f fleetCost) float64 { return 100 * f.joins })
	t.plain("buckets that move when an instance goes, %", "leaves", "1/n", 1, func(f fleetCost) float64 { return 100 * f.leaves })

	head := []string{""}
	for _, f := range fleets {
		head = append(head, fmt.Sprintf("%d", f.instances))
	}
	head = append(head, fmt.Sprintf("%d : %d", t.last().instances, t.first().instances), "target")
	b.report.table("Redis commands of a fleet, those in scripts included, by the number of instances"+b.servers.suffix(), head, t.rows)
	b.reportFleetCommands(beat, t.first(), t.last())
}

// reportFleetCommands prints which commands the smallest and the largest fleet made Redis run.
func (b *bench) reportFleetCommands(beat calls, fleets ...fleetCost) {
	var rows [][]string
	for _, f := range fleets {
		of := fmt.Sprintf(", %d instances", f.instances)
		rows = append(rows,
			[]string{"idle second" + of, f.idle.list()},
			[]string{"end, timed out" + of, f.expired.list()},
			[]string{"end, destroyed" + of, f.destroyed.list()},
			[]string{"end, destroyed, with a closure" + of, f.held.list()})
	}
	rows = append(rows, []string{"heartbeat", beat.list()})
	b.report.table("Which commands these are", []string{"", "without heartbeats and PINGs"}, rows)
}
