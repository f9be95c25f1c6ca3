package preflight

import (
	"log/slog"
	"strconv"
	"strings"
)

// Finding is a setting of the server that breaks a guarantee.
type Finding struct {
	Level   slog.Level
	Message string // what the setting leads to, and what to do about it
	Args    []any  // the setting, as slog takes it
}

// The oldest version of Redis that has all the commands needed. The newest of these
// commands is GETEX.
const (
	oldestMajor = 6
	oldestMinor = 2
)

// Check judges what a server reports about itself. info is the reply to INFO; config is
// the reply to CONFIG GET save, or nil if there is none. What the server does not report
// is not judged. Check returns one finding at most for each setting, and none for a
// server that is set up well.
func Check(info string, config map[string]string) []Finding {
	fields := parse(info)
	var found []Finding
	// Valkey reports here the version of Redis that it is compatible with.
	if v := fields["redis_version"]; tooOld(v) {
		found = append(found, Finding{
			Level:   slog.LevelError,
			Message: "this Redis is too old: it lacks commands that every request needs, so requests will fail; upgrade it to 6.2 or later",
			Args:    []any{"redis_version", v},
		})
	}
	// Also where maxmemory is not set: the policy counts from the day that it is.
	if p := fields["maxmemory_policy"]; strings.HasPrefix(p, "allkeys-") {
		found = append(found, Finding{
			Level: slog.LevelWarn,
			Message: "when its memory is full this Redis may delete any key, also those that say which hooks are to run: " +
				"some destroyed hooks will never run then; set maxmemory-policy noeviction, or a volatile-* policy",
			Args: []any{"maxmemory-policy", p, "maxmemory", fields["maxmemory"]},
		})
	}
	if save, ok := config["save"]; ok && noAOF(fields) && strings.TrimSpace(save) == "" {
		found = append(found, Finding{
			Level: slog.LevelWarn,
			Message: "this Redis writes nothing to disk: when it restarts all sessions are gone, and destroyed hooks that have not run yet never will; " +
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

// tooOld reports whether a version, such as "7.0.15", is known to be too old. A version
// that it cannot read is not.
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

// noAOF reports whether the server says that its append-only file is off.
func noAOF(fields map[string]string) bool { return fields["aof_enabled"] == "0" }
