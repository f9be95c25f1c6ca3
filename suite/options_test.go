package suite_test

import (
	"reflect"
	"strings"
	"testing"
	"time"

	"github.com/redis/go-redis/v9"

	"github.com/gin-lifecycle/lifecycle"
	"github.com/gin-lifecycle/lifecycle/internal/redistest"
)

// NewStore refuses wrong values. The error names the option and the value.
func TestOptionErrors(t *testing.T) {
	t.Parallel()
	rdb := shared(t).client(t, redistest.Prefix())
	for want, o := range map[string]lifecycle.Option{
		`WithPrefix("a{b}")`:  lifecycle.WithPrefix("a{b}"),
		`WithPrefix("")`:      lifecycle.WithPrefix(""),
		`WithBuckets(0)`:      lifecycle.WithBuckets(0),
		`WithIdleTimeout(0s)`: lifecycle.WithIdleTimeout(0),
		`WithAbsoluteTimeout(-1s): must be 0, or from 1ms to ten years`: lifecycle.WithAbsoluteTimeout(-time.Second),
		`WithMaxValuesSize(-1)`:                   lifecycle.WithMaxValuesSize(-1),
		`WithCodec(nil)`:                          lifecycle.WithCodec(nil),
		`WithRedisTimeout(1ns)`:                   lifecycle.WithRedisTimeout(1),
		`WithSecureCookie(7): must be SecureAuto`: lifecycle.WithSecureCookie(7),
		`WithLogger(nil)`:                         lifecycle.WithLogger(nil),
		`WithSessionName("a b")`:                  lifecycle.WithSessionName("a b"),
		`WithHookTimeout(0s)`:                     lifecycle.WithHookTimeout(0),
		`WithConcurrency(0)`:                      lifecycle.WithConcurrency(0),
		`WithLease(1ms)`:                          lifecycle.WithLease(time.Millisecond),
		`WithLookInterval(1h0m0s)`:                lifecycle.WithLookInterval(time.Hour),
		`WithRetry(0, ...)`:                       lifecycle.WithRetry(0, time.Second, time.Second),
		`WithRetry(1, 2s, 1s)`:                    lifecycle.WithRetry(1, 2*time.Second, time.Second),
		`WithRetry(1, 0s, 1s)`:                    lifecycle.WithRetry(1, 0, time.Second),
		`WithRetry(1, 1s, 25h0m0s)`:               lifecycle.WithRetry(1, time.Second, 25*time.Hour),
		`WithSessionName("")`:                     lifecycle.WithSessionName(""),
		`WithRequestHeaders("")`:                  lifecycle.WithRequestHeaders("X-Ok", ""),
		`WithRequestHeaders("a b")`:               lifecycle.WithRequestHeaders("a b"),
		`WithRequestHeaders("Cookie")`:            lifecycle.WithRequestHeaders("X-Ok", "cookie"),
		`WithRequestHeaders("Authorization")`:     lifecycle.WithRequestHeaders("authorization"),
		`WithErrorHandler(nil)`:                   lifecycle.WithErrorHandler(nil),
		`WithUnconfirmedTimeout(-1s)`:             lifecycle.WithUnconfirmedTimeout(-time.Second),
		`WithUnconfirmedTimeout(1ns)`:             lifecycle.WithUnconfirmedTimeout(1),
		`WithPreviousFor(25h0m0s)`:                lifecycle.WithPreviousFor(25 * time.Hour),
		`WithPreviousFor(-1ns)`:                   lifecycle.WithPreviousFor(-1),
		`WithRotationGrace(2h0m0s)`:               lifecycle.WithRotationGrace(2 * time.Hour),
		`WithRequestSummary(nil)`:                 lifecycle.WithRequestSummary(nil),
		`WithSkipper(nil)`:                        lifecycle.WithSkipper(nil),
		`WithCrossSite(nil)`:                      lifecycle.WithCrossSite(nil),
		`WithTokenHeader("")`:                     lifecycle.WithTokenHeader(""),
		`WithTokenHeader("a b")`:                  lifecycle.WithTokenHeader("a b"),
		`WithTokenHeader("cookie")`:               lifecycle.WithTokenHeader("cookie"),
		`WithTokenHeader("authorization")`:        lifecycle.WithTokenHeader("authorization"),
		`WithTokenHeader("vary")`:                 lifecycle.WithTokenHeader("vary"),
		`WithTokenHeader("sec-fetch-site")`:       lifecycle.WithTokenHeader("sec-fetch-site"),
	} {
		if _, err := lifecycle.NewStore(rdb, o); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%s: %v", want, err)
		}
	}
	for _, client := range []redis.UniversalClient{nil, (*redis.Client)(nil), (*redis.ClusterClient)(nil)} {
		if _, err := lifecycle.NewStore(client); err == nil || !strings.Contains(err.Error(), "the Redis client is nil") {
			t.Errorf("NewStore with the client (%T)(nil): %v", client, err)
		}
	}
	if _, err := lifecycle.NewStore(rdb, nil, lifecycle.WithPrefix(redistest.Prefix())); err != nil {
		t.Errorf("NewStore with a nil option: %v", err)
	}
	if _, err := lifecycle.New(nil); err == nil {
		t.Error("New has made a manager without a store")
	}
	if _, err := lifecycle.New(new(lifecycle.Store)); err == nil || !strings.Contains(err.Error(), "NewStore") {
		t.Errorf("New with a store that NewStore has not made: %v", err)
	}
}

// New refuses wrong values. It takes no options of the store: they have another type.
func TestManagerOptionErrors(t *testing.T) {
	t.Parallel()
	store, err := lifecycle.NewStore(shared(t).client(t, redistest.Prefix()), lifecycle.WithPrefix(redistest.Prefix()))
	if err != nil {
		t.Fatal(err)
	}
	if _, err := lifecycle.New(store, nil, lifecycle.WithConcurrency(0)); err == nil || !strings.Contains(err.Error(), "WithConcurrency(0)") {
		t.Errorf("New with a wrong value: %v", err)
	}
	if of := reflect.TypeFor[lifecycle.StoreOption](); of.AssignableTo(reflect.TypeFor[lifecycle.ManagerOption]()) {
		t.Error("New takes options of the store")
	}
}
