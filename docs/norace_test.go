//go:build !race

package docs

var raceFlags []string
