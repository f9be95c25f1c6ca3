package reply

import (
	"errors"
	"strings"
	"unicode"

	"github.com/redis/go-redis/v9"
)

// Overwritten reports whether err is the answer of a server that has found in a key what
// lifecycle cannot have written: a value of another type or, in a script, a text where a
// number is expected. The same call fails until somebody deletes the key; calls for other
// sessions do not fail. It is false for an answer about the server itself (out of memory,
// read only, busy, a missing right), even if the answer comes from a script.
func Overwritten(err error) bool {
	var answer redis.Error
	if !errors.As(err, &answer) {
		return false
	}
	text := answer.Error()
	if strings.Contains(text, "WRONGTYPE Operation against a key") {
		return true
	}
	if !strings.Contains(text, "user_script") {
		return false
	}
	text = unwrapped(text)
	if code := codeOf(text); code != "" && code != "ERR" {
		return false
	}
	for _, refusal := range refusals {
		if strings.Contains(text, refusal) {
			return false
		}
	}
	return true
}

// unwrapped returns what went wrong in a script, without what Redis 6.2 puts around it:
//
//	ERR Error running script (call to f_<sha>): @user_script:7: WRONGTYPE Operation ...
//	ERR Error running script (call to f_<sha>): @user_script:7: @user_script: 7: -OOM command ...
//	ERR Error running script (call to f_<sha>): @user_script:7: user_script:7: attempt to ...
//
// Redis 7 begins with the error's own code, and names the script behind it:
//
//	OOM command not allowed when used memory > 'maxmemory'. script: <sha>, on @user_script:7.
//	ERR user_script:7: attempt to ... script: <sha>, on @user_script:7.
func unwrapped(text string) string {
	if !strings.HasPrefix(text, "ERR Error running script") {
		return text
	}
	for {
		_, rest, ok := strings.Cut(text, "@user_script:")
		if !ok {
			return strings.TrimPrefix(text, "-")
		}
		_, text, _ = strings.Cut(rest, ": ")
	}
}

// codeOf returns the code at the beginning of an error's text, "" if it has none.
func codeOf(text string) string {
	word, _, _ := strings.Cut(text, " ")
	if strings.ContainsFunc(word, func(r rune) bool { return !unicode.IsUpper(r) }) {
		return ""
	}
	return word
}

// refusals are the texts, without a code of their own, of errors that say that the server
// refuses what a script asks for.
var refusals = []string{
	"The user executing the script", // the user lacks a right
	"ACL failure in script",
	"Unknown Redis command called from", // it may have been renamed
	"command is not allowed from",
	"Script killed by user",
	"access a non local key",
	"access keys that do not hash to the same slot",
	"not enough memory",
}
