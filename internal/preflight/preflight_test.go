package preflight

import (
	"fmt"
	"strings"
	"testing"

	"go.uber.org/goleak"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// info returns an INFO reply with some of the fields of a server that is set up well.
// changed holds names and values of fields that differ; an empty value leaves its field
// out.
func info(changed ...string) string {
	fields := map[string]string{
		"redis_version":    "7.0.15",
		"maxmemory":        "0",
		"maxmemory_policy": "noeviction",
		"aof_enabled":      "1",
	}
	for i := 0; i < len(changed); i += 2 {
		if changed[i+1] == "" {
			delete(fields, changed[i])
		} else {
			fields[changed[i]] = changed[i+1]
		}
	}
	var b strings.Builder
	b.WriteString("# Everything\r\n\r\n")
	for name, value := range fields {
		fmt.Fprintf(&b, "%s:%s\r\n", name, value)
	}
	return b.String()
}

func TestCheck(t *testing.T) {
	t.Parallel()
	const (
		version     = "ERROR 6.2"
		eviction    = "WARN noeviction"
		persistence = "WARN appendonly yes"
	)
	none := map[string]string{"save": ""}
	points := map[string]string{"save": "3600 1 300 100"}
	for name, c := range map[string]struct {
		info   string
		config map[string]string
		want   []string // level and part of the message
	}{
		"a server that is set up well": {info: info(), config: none},
		"no reply at all":              {},
		"a reply without these fields": {info: "# Clients\nconnected_clients:1\n", config: map[string]string{}},
		"too old":                      {info: info("redis_version", "6.0.16"), want: []string{version}},
		"much too old":                 {info: info("redis_version", "5.0.14"), want: []string{version}},
		"just new enough":              {info: info("redis_version", "6.2.0")},
		"two digits":                   {info: info("redis_version", "10.0.1")},
		"Valkey":                       {info: info("redis_version", "7.2.4", "valkey_version", "8.1.0")},
		"built from the main branch":   {info: info("redis_version", "255.255.255")},
		"a version that is a name":     {info: info("redis_version", "stable")},
		"half a version":               {info: info("redis_version", "6")},
		"allkeys-lru":                  {info: info("maxmemory_policy", "allkeys-lru", "maxmemory", "1000"), want: []string{eviction}},
		"allkeys, not limited yet":     {info: info("maxmemory_policy", "allkeys-random"), want: []string{eviction}},
		"allkeys, of a later version":  {info: info("maxmemory_policy", "allkeys-lrm"), want: []string{eviction}},
		"volatile-lru":                 {info: info("maxmemory_policy", "volatile-lru", "maxmemory", "1000")},
		"policy not reported":          {info: info("maxmemory_policy", "")},
		"nothing on disk":              {info: info("aof_enabled", "0"), config: none, want: []string{persistence}},
		"save points":                  {info: info("aof_enabled", "0"), config: points},
		"AOF and save points":          {info: info(), config: points},
		"no AOF, CONFIG refused":       {info: info("aof_enabled", "0")},
		"no AOF, CONFIG without reply": {info: info("aof_enabled", "0"), config: map[string]string{}},
		"AOF not reported":             {info: info("aof_enabled", ""), config: none},
		"lines without carriage return": {
			info: strings.ReplaceAll(info("maxmemory_policy", "allkeys-lfu"), "\r", ""), want: []string{eviction},
		},
		"everything": {
			info:   info("redis_version", "4.0.0", "maxmemory_policy", "allkeys-lru", "aof_enabled", "0"),
			config: none, want: []string{version, eviction, persistence},
		},
	} {
		found := Check(c.info, c.config)
		if len(found) != len(c.want) {
			t.Errorf("%s: found %+v, want findings with %q", name, found, c.want)
			continue
		}
		for i, want := range c.want {
			level, text, _ := strings.Cut(want, " ")
			if f := found[i]; f.Level.String() != level || !strings.Contains(f.Message, text) || len(f.Args)%2 != 0 {
				t.Errorf("%s: found %v %s %v, want %s", name, f.Level, f.Message, f.Args, want)
			}
		}
	}
}
