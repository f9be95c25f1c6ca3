// Command bench measures the library beside its peers on a Redis server that
// it starts itself. It prints Markdown tables; with -out it writes the figures as
// one flat JSON object too.
package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"log/slog"
	"os"
	"os/signal"
	"runtime/pprof"
	"slices"
	"strconv"
	"strings"
	"syscall"
	"time"

	"github.com/gin-gonic/gin"
)

// sizes are how much is measured.
type sizes struct {
	anew, rounds, requests int // of the request path: new connections, rounds with each, requests per contestant and round

	live       []int         // numbers of live sessions beside which lag is measured
	expiring   int           // sessions that expire evenly over the window
	window     time.Duration // of the lag
	nativeWait time.Duration // how long Redis's own events are waited for after the last deadline

	burst  int // sessions that end within one second beside the last of live
	memory int // sessions

	cookieless int // requests

	costs int   // operations of each kind whose cost is measured
	moves []int // sessions of buckets that move to another server

	instances []int         // of a fleet
	fleetIdle time.Duration // over which an idle fleet's commands are counted
	fleetEnds int           // sessions that end over the window

	scaleLive   []int // numbers of live sessions, on a single server
	scaleBeside int   // live sessions beside which clusters are measured
	masters     []int // of these clusters

	operations int           // of which commands are counted
	idle       time.Duration // over which an idle instance's commands are counted
}

var (
	fullSizes = sizes{
		anew: 24, rounds: 6, requests: 300,
		live: []int{0, 10_000, 100_000, 1_000_000}, expiring: 2_000, window: 10 * time.Second, nativeWait: 30 * time.Second,
		burst: 100_000, memory: 200_000, cookieless: 100_000,
		instances: []int{1, 4, 16, 64}, fleetIdle: 15 * time.Second, fleetEnds: 4_000,
		operations: 2_000, idle: 10 * time.Second,
		costs: 20_000, moves: []int{25_000, 400_000},
		scaleLive: []int{10_000, 100_000, 1_000_000, 5_000_000}, scaleBeside: 100_000, masters: []int{1, 2, 3, 6},
	}
	quickSizes = sizes{
		anew: 2, rounds: 3, requests: 50,
		live: []int{0, 2_000}, expiring: 200, window: 2 * time.Second, nativeWait: 2 * time.Second,
		burst: 2_000, memory: 4_000, cookieless: 2_000,
		instances: []int{1, 4}, fleetIdle: 2 * time.Second, fleetEnds: 200,
		operations: 200, idle: 2 * time.Second,
		costs: 1_000, moves: []int{1_000, 4_000},
		scaleLive: []int{1_000, 4_000}, scaleBeside: 1_000, masters: []int{1, 2},
	}
)

// bench is what all measurements share.
type bench struct {
	servers *servers
	sizes   sizes
	report  *report
	log     *slog.Logger
	plots   string      // directory, "" for none
	pop     *population // nil until lag or burst needs one
}

// measurements, in the order in which they run. Those with many live sessions
// come last: lag builds them up and burst finds them there.
var measurements = []struct {
	name string
	run  func(*bench, context.Context) error
}{
	{"request", (*bench).measureRequest},
	{"commands", (*bench).measureCommands},
	{"memory", (*bench).measureMemory},
	{"cookieless", (*bench).measureCookieless},
	{"fleet", (*bench).measureFleet},
	{"cost", (*bench).measureCost},
	{"lag", (*bench).measureLag},
	{"burst", (*bench).measureBurst},
	{scale, (*bench).measureScale},
}

// scale takes long, and gigabytes: it is measured if it is named, and with -quick.
const scale = "scale"

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	err := run(ctx, os.Args[1:])
	stop()
	if err != nil && !errors.Is(err, flag.ErrHelp) {
		fmt.Fprintln(os.Stderr, "bench:", err)
		os.Exit(1)
	}
}

func run(ctx context.Context, args []string) (err error) {
	flags := flag.NewFlagSet("bench", flag.ContinueOnError)
	out := flags.String("out", "", "write the figures to this file, as one flat JSON object")
	only := flags.String("only", "", "measure only these: "+strings.Join(names(), ","))
	quick := flags.Bool("quick", false, "small sizes: does everything work? The figures mean little")
	live := flags.String("live", "", "numbers of live sessions for lag and scale, and the last of them for burst, such as 0,100000")
	plots := flags.String("plots", "", "write the plots of scale to this directory")
	topology := flags.String("topology", "single", "single: one Redis server; cluster: a cluster without replicas")
	masters := flags.Int("masters", 3, "of the cluster")
	profile := flags.String("cpuprofile", "", "write a CPU profile to this file; its samples are labelled, for -tagfocus=\"request=lifecycle /read\"")
	if err := flags.Parse(args); err != nil {
		return err
	}
	b := &bench{
		sizes:  fullSizes,
		report: &report{out: os.Stdout, figures: make(map[string]float64)},
		log:    slog.New(slog.NewTextHandler(os.Stderr, &slog.HandlerOptions{Level: slog.LevelWarn})),
	}
	b.plots = *plots
	if *quick {
		b.sizes = quickSizes
	}
	if *live != "" {
		if b.sizes.live, err = numbers(*live); err != nil {
			return fmt.Errorf("-live: %w", err)
		}
		b.sizes.scaleLive = b.sizes.live
	}
	n := 0
	switch {
	case *topology == "cluster" && *masters > 0:
		n = *masters
	case *topology != "single":
		return fmt.Errorf("-topology %s -masters %d: there are single, and cluster with at least one master", *topology, *masters)
	}
	wanted, err := choose(*only, *quick)
	if err != nil {
		return err
	}
	if *profile != "" {
		f, err := os.Create(*profile)
		if err != nil {
			return err
		}
		defer func() { _ = f.Close() }()
		if err := pprof.StartCPUProfile(f); err != nil {
			return err
		}
		defer pprof.StopCPUProfile()
	}

	gin.SetMode(gin.ReleaseMode)
	if b.servers, err = startServers(ctx, n); err != nil {
		return err
	}
	defer func() { err = errors.Join(err, b.servers.stop()) }()
	_, _ = fmt.Fprintf(b.report.out, "Measured on %s%s.\n", machine(b.servers.version), b.servers.suffix())
	if n > 0 {
		b.report.set("masters", float64(n))
	}
	for _, m := range measurements {
		if !wanted[m.name] {
			continue
		}
		if err := m.run(b, ctx); err != nil {
			return fmt.Errorf("%s: %w", m.name, err)
		}
	}
	if *out != "" {
		return b.report.save(*out)
	}
	return nil
}

func names() (all []string) {
	for _, m := range measurements {
		all = append(all, m.name)
	}
	return all
}

// choose reads -only.
func choose(only string, quick bool) (map[string]bool, error) {
	wanted := make(map[string]bool)
	for _, name := range names() {
		wanted[name] = only == "" && (quick || name != scale)
	}
	if only == "" {
		return wanted, nil
	}
	for name := range strings.SplitSeq(only, ",") {
		if !slices.Contains(names(), name) {
			return nil, fmt.Errorf("-only %s: there are %s", name, strings.Join(names(), ","))
		}
		wanted[name] = true
	}
	return wanted, nil
}

// numbers reads a list of rising numbers.
func numbers(list string) ([]int, error) {
	var out []int
	for text := range strings.SplitSeq(list, ",") {
		n, err := strconv.Atoi(text)
		if err != nil {
			return nil, err
		}
		if n < 0 || len(out) > 0 && n <= out[len(out)-1] {
			return nil, fmt.Errorf("%d: the numbers must rise from 0 or more", n)
		}
		out = append(out, n)
	}
	return out, nil
}

// progress tells what is going on.
func (b *bench) progress(format string, args ...any) {
	fmt.Fprintf(os.Stderr, "%s %s\n", time.Now().Format(time.TimeOnly), fmt.Sprintf(format, args...))
}
