package reply

import (
	"errors"
	"strings"

	"github.com/redis/go-redis/v9"
)

// IsReply reports whether err is an error that a server has replied with, and not one of the
// connection or of a deadline.
func IsReply(err error) bool {
	var reply redis.Error
	return errors.As(err, &reply)
}

// Refuses reports whether err is the answer of a server that does not have the command, or
// does not allow it, so that trying again is of no use. It is false if there was no answer,
// if the answer means that the server cannot serve the command now, and if the server has
// refused the client's login: then it has not executed the command.
func Refuses(err error) bool {
	var answer redis.Error
	if !errors.As(err, &answer) {
		return false
	}
	for _, later := range []func(error) bool{
		redis.IsLoadingError, redis.IsMasterDownError, redis.IsClusterDownError, redis.IsTryAgainError, redis.IsMaxClientsError,
		LoginRefused,
	} {
		if later(answer) {
			return false
		}
	}
	return !strings.HasPrefix(answer.Error(), "BUSY ")
}
