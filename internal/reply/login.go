package reply

import (
	"errors"
	"strings"

	"github.com/redis/go-redis/v9"
)

// LoginRefused reports whether err is the answer of a server that refuses the client's user
// name or password. go-redis logs in with every new connection, and returns that answer in
// the place of the command's own answer: the server has not executed the command. Somebody
// may put the password right at any moment, so trying again may help.
//
// A user who has logged in but lacks a right (NOPERM) is another matter: see Refuses.
func LoginRefused(err error) bool {
	var answer redis.Error
	if !errors.As(err, &answer) {
		return false
	}
	if redis.IsAuthError(answer) {
		return true
	}
	for _, text := range loginRefusals {
		if strings.HasPrefix(answer.Error(), text) {
			return true
		}
	}
	return false
}

// loginRefusals are how the answers to AUTH begin that have no code of their own. Redis
// gives the first one, if its user default has no password. Proxies that speak like an
// older Redis give the others.
var loginRefusals = []string{
	"ERR AUTH <password> called without any password configured",
	"ERR Client sent AUTH, but no password is set",
	"ERR invalid password",
	"ERR invalid username-password pair",
}
