package reply

import (
	"errors"
	"strings"

	"github.com/redis/go-redis/v9"
)

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
