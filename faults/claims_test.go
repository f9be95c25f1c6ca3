package faults

import (
	"strconv"
	"time"

	"github.com/redis/go-redis/v9"
)

// note writes the claims and acks in Redis's replies to the journal, before the instance
// gets the replies. The time of a claim is when the call was sent: the instance counts
// its lease from that moment.
func (f *failpoints) note(sent time.Time, cmds ...redis.Cmder) {
	var lines []event
	for _, cmd := range cmds {
		for _, e := range claims(cmd) {
			e.at = sent
			lines = append(lines, e)
		}
		lines = append(lines, acks(cmd)...)
	}
	f.journal.write(lines...)
}

// claims returns the claims that a look, or the end of a session, has got.
func claims(cmd redis.Cmder) []event {
	var claims []event
	add := func(id, token any, claim any) {
		if fields, ok := claim.([]any); ok { // the form of a claim in the reply of look.lua
			claims = append(claims, event{kind: claimed, id: text(id), hook: text(token), attempt: number(fields[4])})
		}
	}
	switch args, reply := scriptCall(cmd); scriptName(cmd) {
	case "look":
		for i := 1; i < len(reply); i++ {
			add(args[1+i], args[0], reply[i])
		}
	case "end":
		if len(reply) > 2 {
			add(args[0], args[3], reply[2])
		}
	}
	return claims
}

// acks returns the ends whose acks Redis has accepted, with the present time.
func acks(cmd redis.Cmder) []event {
	if scriptName(cmd) != "ack" {
		return nil
	}
	var acks []event
	args, reply := scriptCall(cmd)
	for i, r := range reply {
		if number(r) == 1 {
			acks = append(acks, event{at: time.Now(), kind: acked, id: text(args[3+i])})
		}
	}
	return acks
}

// scriptCall returns the ARGV of a call of a script, and its reply, which is empty after an
// error.
func scriptCall(cmd redis.Cmder) (args, reply []any) {
	c, ok := cmd.(*redis.Cmd)
	if !ok || cmd.Err() != nil || scriptName(cmd) == "" {
		return nil, nil
	}
	args = cmd.Args()
	reply, _ = c.Val().([]any)
	return args[3+number(args[2]):], reply
}

// text returns a text from a reply.
func text(v any) string {
	s, _ := v.(string)
	return s
}

// number returns a number from a reply; Redis sends those from a hash as text.
func number(v any) int {
	switch v := v.(type) {
	case int:
		return v
	case int64:
		return int(v)
	case string:
		n, _ := strconv.Atoi(v)
		return n
	}
	return 0
}
