// Package preflight reads at the start how Redis is set up, and says what of it
// the promises cannot hold with. It changes nothing.
package preflight

import (
	"log/slog"
	"strconv"
	"strings"
)

// Finding is a setting that promises cannot hold with.
type Finding struct {
	Level   slog.Level
	Message string // what it leads to, and what to do about it
	Args    []any  // the setting, as slog takes it
}

// The oldest version of Redis that has all commands needed; GETEX is the newest.
const (
	oldestMajor = 6
	oldestMinor = 2
)

// Check judges what a server tells of itself: the reply to INFO, and config, the
// reply to CONFIG GET save or nil. What the server does not tell is not judged.
// There is one finding for each setting at most, none for a server that will do.
func Check(info string, config map[string]string) []Finding {
	told := parse(info)
	var found []Finding
	// Valkey tells the version of Redis that it is compatible with.
	if v := told["redis_version"]; tooOld(v) {
		found = append(found, Finding{
			Level:   slog.LevelError,
			Message: "this Redis is too old: requests fail for want of commands; upgrade it to 6.2 or later",
			Args:    []any{"redis_version", v},
		})
	}
	// Also without a maxmemory: the policy counts from the day that there is one.
	if p := told["maxmemory_policy"]; strings.HasPrefix(p, "allkeys-") {
		found = append(found, Finding{
			Level: slog.LevelWarn,
			Message: "when its memory is full Redis evicts whatever it likes, records and the due-index too, and ends are lost; " +
				"set maxmemory-policy noeviction, or a volatile-* policy",
			Args: []any{"maxmemory-policy", p, "maxmemory", told["maxmemory"]},
		})
	}
	if save, ok := config["save"]; ok && noAOF(told) && strings.TrimSpace(save) == "" {
		found = append(found, Finding{
			Level: slog.LevelWarn,
			Message: "Redis keeps nothing on disk: when it restarts all sessions are gone, and so are ends that wait for their hooks; " +
				"set appendonly yes, or save points",
			Args: []any{"appendonly", "no", "save", save},
		})
	}
	return found
}

// parse returns the fields of an INFO reply.
func parse(info string) map[string]string {
	fields := make(map[string]string)
	for line := range strings.Lines(info) {
		if name, value, ok := strings.Cut(strings.TrimRight(line, "\r\n"), ":"); ok {
			fields[name] = value
		}
	}
	return fields
}

// tooOld reports whether a version, "7.0.15", is known to be too old.
func tooOld(version string) bool {
	first, rest, _ := strings.Cut(version, ".")
	second, _, _ := strings.Cut(rest, ".")
	major, err1 := strconv.Atoi(first)
	minor, err2 := strconv.Atoi(second)
	if err1 != nil || err2 != nil {
		return false
	}
	return major < oldestMajor || major == oldestMajor && minor < oldestMinor
}

func noAOF(told map[string]string) bool { return told["aof_enabled"] == "0" }
