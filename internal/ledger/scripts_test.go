package ledger

import (
	"fmt"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"

	"github.com/gin-lifecycle/lifecycle/internal/redistest"
)

// A cluster refuses a script that uses a key of another slot, but only when the script
// comes to this command. Some managed offerings refuse a script that uses a key which is
// not declared. So this test reads the sources: each key that a script uses must be one of
// KEYS.
func TestScriptsDeclareTheirKeys(t *testing.T) {
	t.Parallel()
	files, err := filepath.Glob("lua/*.lua")
	if err != nil || len(files) < 10 {
		t.Fatalf("scripts: %v, %v", files, err)
	}
	for _, f := range files {
		src, err := os.ReadFile(f)
		if err != nil {
			t.Fatal(err)
		}
		for _, problem := range undeclared(string(src)) {
			t.Errorf("%s: %s", filepath.Base(f), problem)
		}
	}
	// The test must find a problem in each of these.
	for _, src := range []string{
		`redis.call('GET', 'life:x')`,
		`redis.call('GET', ARGV[1])`,
		`redis.call('GET', KEYS[1] .. 'x')`,
		`redis.call("GET", ARGV[1])`,
		`redis.pcall('GET', ARGV[1])`,
		`redis.call('DEL', KEYS[1], ARGV[1])`,
		`redis.call('DEL', unpack(ARGV))`,
		`redis.call('RENAME', KEYS[1], ARGV[1])`,
		`local k = ARGV[1] redis.call('GET', k)`,
		"local k = KEYS[1]\nk = ARGV[1]\nredis.call('GET', k)",
		"local k, l = KEYS[1], ARGV[1]\nredis.call('GET', l)",
		"local ks = {}\nks[#ks + 1] = ARGV[1]\nredis.call('DEL', unpack(ks))",
		"local ks = {ARGV[1]}\nredis.call('DEL', unpack(ks))",
		`redis.call('FLUSHALL')`,
		`redis.call('KEYS', '*')`,
		`redis.call(ARGV[1], KEYS[1])`,
		`local call = redis.call`,
	} {
		if len(undeclared(src)) == 0 {
			t.Errorf("the test finds no problem in: %s", src)
		}
	}
}

// keyless are commands of scripts that have no key. PUBLISH has a channel.
var keyless = []string{"TIME", "PUBLISH"}

// allKeys are commands whose arguments are all keys. Of other commands only the first
// argument is a key.
var allKeys = []string{"EXISTS", "DEL", "UNLINK", "MGET", "RENAME"}

var (
	luaComment = regexp.MustCompile(`--[^\n]*`)
	luaCall    = regexp.MustCompile(`redis\.p?call\('([A-Z]+)'`)
	luaKey     = regexp.MustCompile(`^(KEYS\[[^\]]+\]|unpack\(KEYS(, [^()]+)?\))$`)
	luaName    = regexp.MustCompile(`^[a-z]+$`)
	luaList    = regexp.MustCompile(`^unpack\(([a-z]+)\)$`)
)

// undeclared returns the calls in a script that may use a key which is not one of KEYS.
func undeclared(src string) (problems []string) {
	src = luaComment.ReplaceAllString(src, "")
	calls := luaCall.FindAllStringSubmatchIndex(src, -1)
	if strings.Count(src, "redis.") != len(calls) {
		problems = append(problems, "the script calls Redis in a way that this test does not understand")
	}
	for _, at := range calls {
		command := src[at[2]:at[3]]
		args := luaArguments(src[at[3]+1:])
		switch {
		case slices.Contains(redistest.Forbidden, strings.ToLower(command)):
			problems = append(problems, command)
			continue
		case slices.Contains(keyless, command):
			continue
		case len(args) == 0:
			problems = append(problems, command+" without a key")
			continue
		case !slices.Contains(allKeys, command):
			args = args[:1]
		}
		for _, arg := range args {
			if !declared(src, arg) {
				problems = append(problems, fmt.Sprintf("%s of %s", command, arg))
			}
		}
	}
	return problems
}

// luaArguments returns the arguments of a call that are in rest, up to its closing
// parenthesis.
func luaArguments(rest string) (args []string) {
	depth, from := 1, 0
	for i, c := range rest {
		switch {
		case strings.ContainsRune("([{", c):
			depth++
		case strings.ContainsRune(")]}", c):
			depth--
		}
		if depth == 0 || depth == 1 && c == ',' {
			if arg := strings.TrimSpace(rest[from:i]); arg != "" {
				args = append(args, arg)
			}
			from = i + 1
		}
		if depth == 0 {
			break
		}
	}
	return args
}

// declared reports whether an argument is one of KEYS, or a name or a list that contains
// only such keys.
func declared(src, arg string) bool {
	if luaKey.MatchString(arg) {
		return true
	}
	if luaName.MatchString(arg) {
		return onlyKeys(assigned(src, arg))
	}
	list := luaList.FindStringSubmatch(arg)
	if list == nil {
		return false
	}
	items := regexp.MustCompile(`\b`+list[1]+`\[#`+list[1]+` \+ 1\] = ([^\n]+)`).FindAllStringSubmatch(src, -1)
	var values []string
	for _, item := range items {
		values = append(values, strings.TrimSpace(item[1]))
	}
	for _, v := range assigned(src, list[1]) {
		// The list begins empty. It may later be replaced by the reply to a call with its keys.
		if v != "{}" && !strings.HasPrefix(v, "redis.call('") {
			values = append(values, v)
		}
	}
	return onlyKeys(values)
}

func onlyKeys(values []string) bool {
	return len(values) > 0 && !slices.ContainsFunc(values, func(v string) bool { return !luaKey.MatchString(v) })
}

// assigned returns all values that a name is set to.
func assigned(src, name string) (values []string) {
	for line := range strings.Lines(src) {
		left, right, ok := strings.Cut(strings.TrimSpace(line), " = ")
		if _, rest, found := strings.Cut(left, " then "); found {
			left = rest
		}
		names := strings.Split(strings.TrimPrefix(left, "local "), ", ")
		i := slices.Index(names, name)
		if !ok || i < 0 {
			continue
		}
		if all := luaArguments(right + ")"); i < len(all) {
			values = append(values, all[i])
		}
	}
	return values
}
