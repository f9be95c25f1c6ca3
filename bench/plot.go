package main

import (
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

// plotScale draws lag above throughput. The same points give the same file.
func plotScale(path, xLabel string, points []scalePoint, x func(scalePoint) int, logX bool) error {
	var at []float64 // a logarithm has no place for none
	var kept []scalePoint
	for _, p := range points {
		if x(p) > 0 {
			at, kept = append(at, float64(x(p))), append(kept, p)
		}
	}
	if len(kept) == 0 {
		return fmt.Errorf("%s: there is nothing to draw", path)
	}
	curve := func(p *plot.Plot, name string, c color.Color, of func(scalePoint) float64) error {
		xy := make(plotter.XYs, len(kept))
		for i, k := range kept {
			xy[i] = plotter.XY{X: at[i], Y: of(k)}
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
	panel := func(yLabel string) *plot.Plot {
		p := plot.New()
		p.Add(plotter.NewGrid())
		p.Y.Label.Text = yLabel
		ticks := make([]plot.Tick, len(at))
		for i, v := range at {
			ticks[i] = plot.Tick{Value: v, Label: short(v)}
		}
		p.X.Tick.Marker = plot.ConstantTicks(ticks)
		if logX {
			p.X.Scale = plot.LogScale{}
		}
		p.Legend.Top = true
		p.Legend.XOffs = -vg.Points(12)
		return p
	}

	lag := panel("lag after the deadline, ms (log)")
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
		if err := curve(lag, q.name, q.c, q.of); err != nil {
			return err
		}
		for _, k := range kept {
			most = max(most, q.of(k))
		}
	}
	// Whole decades, or there may be a single tick.
	lag.Y.Min = math.Min(1, math.Pow(10, math.Floor(math.Log10(lag.Y.Min))))
	lag.Y.Max = math.Max(100, math.Pow(10, math.Ceil(math.Log10(most))))

	rate := panel("ends handled per second")
	rate.X.Label.Text = xLabel
	if err := curve(rate, "", blue, func(p scalePoint) float64 { return p.burst.rate() }); err != nil {
		return err
	}
	rate.Y.Min, rate.Y.Max = 0, rate.Y.Max*1.2
	if !logX {
		for _, p := range []*plot.Plot{lag, rate} {
			p.X.Min, p.X.Max = 0, at[len(at)-1]+0.5
		}
	}

	c := vgsvg.New(16*vg.Centimeter, 14*vg.Centimeter)
	dc := draw.New(c)
	dc.SetColor(color.White) // readers' pages may be dark
	dc.Fill(dc.Path())
	tiles := draw.Tiles{Rows: 2, Cols: 1, PadTop: 10, PadBottom: 6, PadLeft: 6, PadRight: 14, PadY: 8}
	panels := [][]*plot.Plot{{lag}, {rate}}
	for i, canvas := range plot.Align(panels, tiles, dc) {
		panels[i][0].Draw(canvas[0])
	}
	f, err := os.Create(path)
	if err != nil {
		return err
	}
	if _, err := c.WriteTo(f); err != nil {
		_ = f.Close()
		return err
	}
	return f.Close()
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
