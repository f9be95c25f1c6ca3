package engine

import (
	"log/slog"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/gin-lifecycle/lifecycle/internal/redistest"
)

// The log says once that nobody runs global hooks, after three heartbeats, and once that
// somebody does again. While Redis is away it is not known.
func TestNobodyDeliversIsLoggedOnce(t *testing.T) {
	t.Parallel()
	const (
		nobody   = "no instance runs destroyed hooks"
		somebody = "there is an instance again"
	)
	const fails = -1 // a heartbeat that fails; other numbers are the deliverers that it finds
	for name, c := range map[string]struct {
		beats []int
		want  []string
	}{
		"one":                   {[]int{1, 1, 1, 1, 1, 1}, nil},
		"away for two":          {[]int{1, 0, 0, 0, 1, 0, 0, 0, 2}, nil},
		"away":                  {[]int{1, 0, 0, 0, 0, 0, 0, 2, 2}, []string{nobody, somebody}},
		"never there, and then": {[]int{0, 0, 0, 0, 0, 1, 1}, []string{nobody, somebody}},
		"twice":                 {[]int{0, 0, 0, 0, 1, 1, 0, 0, 0, 0, 0, 1, 1}, []string{nobody, somebody, nobody, somebody}},
		"Redis fails between":   {[]int{0, 0, fails, 0, 0, fails, 0, 0, 1, 1}, nil},
		"Redis fails after":     {[]int{0, 0, 0, 0, fails, fails, 0, 0, 0, 0, 1, 1}, []string{nobody, somebody}},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			synctest.Test(t, func(t *testing.T) { // with a clock that moves only while everything waits
				var text redistest.Log
				log := slog.New(slog.NewTextHandler(&text, nil))
				var d deliverers
				for _, n := range c.beats {
					if n == fails {
						d.unknown()
					} else {
						d.check(log, time.Second, 7)
						d.alive.Store(int64(n)) // the list is read after the check
					}
					<-time.After(time.Second)
				}
				var got []string
				for line := range strings.Lines(text.String()) {
					switch {
					case strings.Contains(line, nobody) && strings.Contains(line, "instances=7"):
						got = append(got, nobody)
					case strings.Contains(line, somebody):
						got = append(got, somebody)
					default:
						t.Errorf("another line: %s", line)
					}
				}
				if strings.Join(got, ", ") != strings.Join(c.want, ", ") {
					t.Errorf("the log says %q, want %q", got, c.want)
				}
			})
		})
	}
}
