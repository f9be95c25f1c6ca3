package faults

import (
	"context"
	"testing"
	"time"

	"github.com/redis/go-redis/v9"

	"github.com/gin-lifecycle/lifecycle/internal/redistest"
)

// loginFault is a way in which Redis comes to refuse the instances' login.
type loginFault struct {
	user   string
	allow  []any // the command after which Redis accepts user and the password "right"
	refuse []any // the command after which Redis does not
}

// Redis refuses the instances' login under load: somebody has changed the password or removed
// the user, and has cut all connections. Sessions end meanwhile. Then the login is put right.
// The hooks of all ends run, and the log says what has happened, once.
func TestRow26LoginRefused(t *testing.T) {
	t.Parallel()
	rights := []any{"~*", "&*", "+@all"}
	for name, x := range map[string]loginFault{
		"password of a user": {"app", append([]any{"acl", "setuser", "app", "on", "resetpass", ">right"}, rights...),
			[]any{"acl", "setuser", "app", "resetpass", ">another"}},
		"user removed": {"app", append([]any{"acl", "setuser", "app", "on", ">right"}, rights...),
			[]any{"acl", "deluser", "app"}},
		"requirepass": {"", []any{"config", "set", "requirepass", "right"}, []any{"config", "set", "requirepass", "another"}},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			loginRefused(t, x)
		})
	}
}

func loginRefused(t *testing.T, x loginFault) {
	f := newFleet(t)
	f.do(append([]any{"acl", "setuser", "admin", "on", ">admin"}, "~*", "&*", "+@all")...)
	f.use(redis.NewClient(&redis.Options{Addr: f.redis.Addr, Username: "admin", Password: "admin"}))
	f.do(x.allow...)
	f.setup.User, f.setup.Password = x.user, "right"
	f.setup.RedisTimeout = shortRedisTimeout
	f.setup.Idle = 5 * time.Second
	f.setup.Sweep = time.Second // so that the instances ask for the sessions with closures while Redis refuses the login
	ps := f.together("a", "b")
	f.eventually("an instance gets notifications", func() bool { return hearsNotifications(ps) })
	stop := f.load(f.living)
	crowd := f.crowd(100, ps...)

	f.do(x.refuse...)
	f.do("client", "kill", "type", "normal")
	f.do("client", "kill", "type", "pubsub")
	f.awaitLogged(logLoginRefused, 1, ps...)
	f.awaitLogged(logSubscriptionLost, 1, ps...)
	f.unavailable(ps[0])
	crowd[99].turnedAway(ps[0])
	f.awaitTime("all timeouts have passed", time.Now().Add(f.setup.Idle))
	f.unavailable(ps[1])

	f.do(x.allow...)
	f.awaitLogged(logHeartbeatWorks, 1, ps...)
	f.awaitLogged(logSubscribedAgain, 1, ps...)
	f.awaitMoreEnds(50)
	if failed := stop(); failed == 0 {
		t.Error("no visit failed while Redis refused the login")
	}
	f.eventually("an instance gets notifications again", func() bool { return hearsNotifications(ps) })
	if v := f.finish(); v.ends < 150 || v.excused > 0 {
		t.Errorf("%d ends, %d excused", v.ends, v.excused)
	}
	for _, text := range []string{logLoginRefused, logHeartbeatWorks, logSubscriptionLost, logSubscribedAgain} {
		f.loggedExactly(text, 1, ps...)
	}
	f.loggedExactly(logConfigRefused, 0, ps...)
}

// do sends a command to Redis. While Redis cuts connections it tries again.
func (f *fleet) do(args ...any) {
	f.t.Helper()
	var err error
	if redistest.Poll(patience, func() bool { err = f.rdb.Do(context.Background(), args...).Err(); return err == nil }) != nil {
		f.t.Fatalf("%v: %v", args, err)
	}
}
