//go:build race

package docs

// raceFlags make programs that look for races if this test does.
var raceFlags = []string{"-race"}
