package main

import (
	"errors"
	"fmt"
	"image/color"
	"math"
	"os"
	"strings"

	"gonum.org/v1/plot"
	"gonum.org/v1/plot/plotter"
	"gonum.org/v1/plot/vg"
	"gonum.org/v1/plot/vg/draw"
	"gonum.org/v1/plot/vg/vgsvg"
)

var (
	blue   = color.RGBA{R: 0x1f, G: 0x77, B: 0xb4, A: 0xff}
	orange = color.RGBA{R: 0xd6, G: 0x5f, B: 0x00, A: 0xff}
)

// figure is one plot file: two panels above each other with the same points on the x axis.
type figure struct {
	points []scalePoint
	at     []float64 // where the points are on the x axis
	logX   bool
}

// plotScale draws the lag above the throughput. The same points give the same file. Points at
// 0 are left out, because a logarithmic axis has no place for them.
func plotScale(path, xLabel string, points []scalePoint, x func(scalePoint) int, logX bool) error {
	f := &figure{logX: logX}
	for _, p := range points {
		if x(p) > 0 {
			f.at, f.points = append(f.at, float64(x(p))), append(f.points, p)
		}
	}
	if len(f.points) == 0 {
		return fmt.Errorf("%s: there is nothing to draw", path)
	}
	lag, err := f.lagPanel()
	if err != nil {
		return err
	}
	rate, err := f.ratePanel(xLabel)
	if err != nil {
		return err
	}
	if !logX {
		for _, p := range []*plot.Plot{lag, rate} {
			p.X.Min, p.X.Max = 0, f.at[len(f.at)-1]+0.5
		}
	}
	return writePlots(path, lag, rate)
}

// lagPanel is the panel of the lag.
func (f *figure) lagPanel() (*plot.Plot, error) {
	lag := f.panel("lag after the deadline, ms (log)")
	lag.Y.Scale, lag.Y.Tick.Marker = plot.LogScale{}, plot.LogTicks{Prec: -1}
	most := 0.0
	for _, q := range []struct {
		name string
		c    color.Color
		of   func(scalePoint) float64
	}{
		{"p99", orange, func(p scalePoint) float64 { return max(p.p99, 0.1) }},
		{"p50", blue, func(p scalePoint) float64 { return max(p.p50, 0.1) }},
	} {
		if err := f.curve(lag, q.name, q.c, q.of); err != nil {
			return nil, err
		}
		for _, p := range f.points {
			most = max(most, q.of(p))
		}
	}
	// From one power of ten to another: otherwise the axis may have a single tick.
	lag.Y.Min = math.Min(1, math.Pow(10, math.Floor(math.Log10(lag.Y.Min))))
	lag.Y.Max = math.Max(100, math.Pow(10, math.Ceil(math.Log10(most))))
	return lag, nil
}

// ratePanel is the panel of the throughput.
func (f *figure) ratePanel(xLabel string) (*plot.Plot, error) {
	rate := f.panel("ends handled per second")
	rate.X.Label.Text = xLabel
	if err := f.curve(rate, "", blue, func(p scalePoint) float64 { return p.burst.rate() }); err != nil {
		return nil, err
	}
	rate.Y.Min, rate.Y.Max = 0, rate.Y.Max*1.2
	return rate, nil
}

// panel is an empty panel, with a tick for each point on the x axis.
func (f *figure) panel(yLabel string) *plot.Plot {
	p := plot.New()
	p.Add(plotter.NewGrid())
	p.Y.Label.Text = yLabel
	ticks := make([]plot.Tick, len(f.at))
	for i, v := range f.at {
		ticks[i] = plot.Tick{Value: v, Label: short(v)}
	}
	p.X.Tick.Marker = plot.ConstantTicks(ticks)
	if f.logX {
		p.X.Scale = plot.LogScale{}
	}
	p.Legend.Top = true
	p.Legend.XOffs = -vg.Points(12)
	return p
}

// curve adds a line through all points to a panel. Without a name it is not in the legend.
func (f *figure) curve(p *plot.Plot, name string, c color.Color, of func(scalePoint) float64) error {
	xy := make(plotter.XYs, len(f.points))
	for i, k := range f.points {
		xy[i] = plotter.XY{X: f.at[i], Y: of(k)}
	}
	line, dots, err := plotter.NewLinePoints(xy)
	if err != nil {
		return err
	}
	line.Color, line.Width = c, vg.Points(1.5)
	dots.Color, dots.Shape = c, draw.CircleGlyph{}
	p.Add(line, dots)
	if name != "" {
		p.Legend.Add(name, line, dots)
	}
	return nil
}

// writePlots writes two panels to a file, one above the other.
func writePlots(path string, upper, lower *plot.Plot) error {
	c := vgsvg.New(16*vg.Centimeter, 14*vg.Centimeter)
	dc := draw.New(c)
	dc.SetColor(color.White) // the page that shows the plot may be dark
	dc.Fill(dc.Path())
	tiles := draw.Tiles{Rows: 2, Cols: 1, PadTop: 10, PadBottom: 6, PadLeft: 6, PadRight: 14, PadY: 8}
	panels := [][]*plot.Plot{{upper}, {lower}}
	for i, canvas := range plot.Align(panels, tiles, dc) {
		panels[i][0].Draw(canvas[0])
	}
	f, err := os.Create(path)
	if err != nil {
		return err
	}
	_, err = c.WriteTo(f)
	return errors.Join(err, f.Close())
}

// short writes 100000 as 100k.
func short(v float64) string {
	unit := ""
	switch {
	case v >= 1e6:
		v, unit = v/1e6, "M"
	case v >= 1e3:
		v, unit = v/1e3, "k"
	}
	return strings.TrimSuffix(fmt.Sprintf("%.1f", v), ".0") + unit
}
