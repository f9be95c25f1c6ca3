package main

import (
	"encoding/json"
	"fmt"
	"io"
	"math"
	"os"
	"runtime"
	"slices"
	"strconv"
	"strings"
)

// report collects the figures and prints the tables.
type report struct {
	out     io.Writer
	figures map[string]float64
}

// set stores a figure for the JSON file.
func (r *report) set(key string, v float64) {
	r.figures[key] = math.Round(v*1000) / 1000
}

// table prints a Markdown table. The first column has text, the others have figures.
func (r *report) table(title string, head []string, rows [][]string) {
	var b strings.Builder
	fmt.Fprintf(&b, "\n### %s\n\n| %s |\n|---|%s\n", title, strings.Join(head, " | "), strings.Repeat("---:|", len(head)-1))
	for _, row := range rows {
		fmt.Fprintf(&b, "| %s |\n", strings.Join(row, " | "))
	}
	_, _ = io.WriteString(r.out, b.String())
}

// save writes the figures as one flat JSON object.
func (r *report) save(path string) error {
	text, err := json.MarshalIndent(r.figures, "", "  ")
	if err != nil {
		return err
	}
	return os.WriteFile(path, append(text, '\n'), 0o644)
}

// atMost formats a target, and whether the figure v meets it.
func atMost(v, target float64) string {
	verdict := "met"
	if v > target {
		verdict = "missed"
	}
	return fmt.Sprintf("≤ %s, %s", strconv.FormatFloat(target, 'f', -1, 64), verdict)
}

// fixed formats a number with so many digits after the point.
func fixed(v float64, digits int) string { return strconv.FormatFloat(v, 'f', digits, 64) }

// count formats a whole number with commas between the thousands.
func count(n int) string {
	s := strconv.Itoa(n)
	for i := len(s) - 3; i > 0; i -= 3 {
		s = s[:i] + "," + s[i:]
	}
	return s
}

// quantile returns the smallest value for which at least the share q of all values is not
// larger.
func quantile(values []float64, q float64) float64 {
	if len(values) == 0 {
		return 0
	}
	sorted := slices.Sorted(slices.Values(values))
	return sorted[max(int(math.Ceil(q*float64(len(sorted))))-1, 0)]
}

func median(values []float64) float64 { return quantile(values, 0.5) }

// ratios returns a[i]/b[i] for all i: two contestants compared round by round.
func ratios(a, b []float64) []float64 {
	out := make([]float64, len(a))
	for i := range a {
		out[i] = a[i] / b[i]
	}
	return out
}

// machine describes the machine, Go and Redis.
func machine(redisVersion string) string {
	model := runtime.GOARCH
	if text, err := os.ReadFile("/proc/cpuinfo"); err == nil {
		for line := range strings.Lines(string(text)) {
			if name, value, ok := strings.Cut(line, ":"); ok && strings.TrimSpace(name) == "model name" {
				model = strings.TrimSpace(value)
				break
			}
		}
	}
	return fmt.Sprintf("%s, %d CPUs, %s %s/%s, Redis %s on the same machine",
		model, runtime.NumCPU(), runtime.Version(), runtime.GOOS, runtime.GOARCH, redisVersion)
}
