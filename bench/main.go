// Command bench measures lifecycle, and other session stores for comparison, on a Redis server
// that it starts itself. It prints Markdown tables. With -out it also writes the figures as one
// flat JSON object. The file main.go has the sizes; each other file is one measurement or one
// part of several.
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

// sizes say how much is measured.
type sizes struct {
	// Of requests: how often the contestants get new connections, how many rounds there are with
	// each, and how many requests each contestant serves in a round.
	anew, rounds, requests int

	live       []int         // numbers of live sessions with which the lag is measured
	expiring   int           // sessions that expire, evenly over the window
	window     time.Duration // of the lag
	nativeWait time.Duration // how long to wait for Redis's own events after the last deadline

	burst  int // sessions that end within one second, with the last number of live sessions
	memory int // sessions

	cookieless int // requests

	costs int   // operations of each kind whose cost is measured
	moves []int // numbers of sessions in a bucket that moves to another server

	instances []int         // numbers of instances in a fleet
	fleetIdle time.Duration // how long the commands of an idle fleet are counted
	fleetEnds int           // sessions that end, evenly over the window

	scaleLive   []int // numbers of live sessions, on a single server
	scaleBeside int   // live sessions with which clusters are measured
	masters     []int // numbers of masters of these clusters

	operations int           // of each kind, whose commands are counted
	idle       time.Duration // how long the commands of an idle instance are counted
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
	plots   string      // directory for the plots, "" for none
	pop     *population // nil until a measurement needs it
}

// measurements are in the order in which they run. Those with many live sessions come last:
// lag begins the sessions, and burst uses them again.
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

// scale takes long and needs gigabytes of memory. It runs only if -only names it, or with -quick.
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

// options are the values of the command line's flags.
type options struct {
	out, profile string // files, "" for none
	wanted       map[string]bool
	masters      int // of the cluster; 0 for a single server
}

// run measures what the arguments ask for.
func run(ctx context.Context, args []string) (err error) {
	b := &bench{
		sizes:  fullSizes,
		report: &report{out: os.Stdout, figures: make(map[string]float64)},
		log:    slog.New(slog.NewTextHandler(os.Stderr, &slog.HandlerOptions{Level: slog.LevelWarn})),
	}
	o, err := b.parse(args)
	if err != nil {
		return err
	}
	if o.profile != "" {
		var f *os.File
		if f, err = os.Create(o.profile); err != nil {
			return err
		}
		defer func() { err = errors.Join(err, f.Close()) }()
		if err := pprof.StartCPUProfile(f); err != nil {
			return err
		}
		defer pprof.StopCPUProfile()
	}

	gin.SetMode(gin.ReleaseMode)
	if b.servers, err = startServers(ctx, o.masters); err != nil {
		return err
	}
	defer func() { err = errors.Join(err, b.servers.stop()) }()
	_, _ = fmt.Fprintf(b.report.out, "Measured on %s%s.\n", machine(b.servers.version), b.servers.suffix())
	if o.masters > 0 {
		b.report.set("masters", float64(o.masters))
	}
	for _, m := range measurements {
		if !o.wanted[m.name] {
			continue
		}
		if err := m.run(b, ctx); err != nil {
			return fmt.Errorf("%s: %w", m.name, err)
		}
	}
	if o.out != "" {
		return b.report.save(o.out)
	}
	return nil
}

// parse reads the arguments. It also sets the sizes and the directory for plots.
func (b *bench) parse(args []string) (o options, err error) {
	flags := flag.NewFlagSet("bench", flag.ContinueOnError)
	flags.StringVar(&o.out, "out", "", "write the figures to this file, as one flat JSON object")
	only := flags.String("only", "", "measure only these: "+strings.Join(names(), ","))
	quick := flags.Bool("quick", false, "small sizes: does everything work? The figures mean little")
	live := flags.String("live", "", "numbers of live sessions for lag and scale, and the last of them for burst, such as 0,100000")
	flags.StringVar(&b.plots, "plots", "", "write the plots of scale to this directory")
	topology := flags.String("topology", "single", "single: one Redis server; cluster: a cluster without replicas")
	masters := flags.Int("masters", 3, "of the cluster")
	flags.StringVar(&o.profile, "cpuprofile", "", "write a CPU profile to this file; its samples are labelled, for -tagfocus=\"request=lifecycle /read\"")
	if err := flags.Parse(args); err != nil {
		return o, err
	}
	if *quick {
		b.sizes = quickSizes
	}
	if *live != "" {
		if b.sizes.live, err = numbers(*live); err != nil {
			return o, fmt.Errorf("-live: %w", err)
		}
		b.sizes.scaleLive = b.sizes.live
	}
	switch {
	case *topology == "cluster" && *masters > 0:
		o.masters = *masters
	case *topology != "single":
		return o, fmt.Errorf("-topology %s -masters %d: there are single, and cluster with at least one master", *topology, *masters)
	}
	o.wanted, err = choose(*only, *quick)
	return o, err
}

// names returns the names of all measurements.
func names() (all []string) {
	for _, m := range measurements {
		all = append(all, m.name)
	}
	return all
}

// choose returns which measurements to run; only is the value of -only.
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

// numbers parses a list of numbers, each of which must be larger than the one before.
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

// progress writes to stderr what happens at the moment.
func (b *bench) progress(format string, args ...any) {
	fmt.Fprintf(os.Stderr, "%s %s\n", time.Now().Format(time.TimeOnly), fmt.Sprintf(format, args...))
}
