package closures

import (
	"errors"
	"slices"
	"testing"

	"github.com/gin-lifecycle/lifecycle/internal/ledger"
)

func returns(record string, err error) func() ([]byte, error) {
	return func() ([]byte, error) { return []byte(record), err }
}

// unwatched returns closures that keep the sessions which Redis must forget.
func unwatched() (c *Closures[string], ids *[]string) {
	ids = new([]string)
	return &Closures[string]{Unwatch: func(id string) { *ids = append(*ids, id) }}, ids
}

// register registers one hook, and returns what takes it back.
func register(t *testing.T, c *Closures[string], id, hook string, o Options) (remove func() bool) {
	t.Helper()
	remove, ended, err := c.Register(id, hook, o, returns("record", nil))
	if ended != nil || err != nil {
		t.Fatalf("%s, %s: ended %v, error %v", id, hook, ended, err)
	}
	return remove
}

// hold registers hooks of one session.
func hold(t *testing.T, c *Closures[string], id string, hooks ...string) {
	t.Helper()
	for _, h := range hooks {
		register(t, c, id, h, Options{})
	}
}

func TestHooksAreTakenOnce(t *testing.T) {
	t.Parallel()
	var c Closures[string]
	hold(t, &c, "a", "1", "2")
	hold(t, &c, "b", "3")
	if !c.Has("a") || c.Has("c") || c.Count() != 3 || !slices.Equal(slices.Sorted(slices.Values(c.IDs())), []string{"a", "b"}) {
		t.Errorf("has %v, %d hooks", c.IDs(), c.Count())
	}
	hooks, record := c.Take(ledger.End{ID: "a"})
	if !slices.Equal(hooks, []string{"1", "2"}) || string(record) != "record" {
		t.Errorf("took %v, record %q", hooks, record)
	}
	if again, _ := c.Take(ledger.End{ID: "a"}); len(again) > 0 || c.Has("a") {
		t.Errorf("took %v again", again)
	}
	left := c.Close()
	if len(left) != 1 || left[0].ID != "b" || !slices.Equal(left[0].Hooks, []string{"3"}) || string(left[0].Record) != "record" {
		t.Errorf("left %+v", left)
	}
	if again := c.Close(); len(again) > 0 || c.Count() != 0 {
		t.Errorf("left again: %+v", again)
	}
}

// A session may end while the registration of a hook awaits Redis's reply.
func TestEndDuringARegistration(t *testing.T) {
	t.Parallel()
	var c Closures[string]
	hold(t, &c, "a", "1")
	end := ledger.End{ID: "a", Reason: "why"}
	_, ended, err := c.Register("a", "2", Options{}, func() ([]byte, error) {
		if hooks, _ := c.Take(end); !slices.Equal(hooks, []string{"1"}) {
			t.Errorf("took %v", hooks)
		}
		return nil, nil
	})
	if ended == nil || ended.Reason != "why" || err != nil {
		t.Fatalf("ended %v, error %v", ended, err)
	}
	if hooks, _ := c.Take(*ended); !slices.Equal(hooks, []string{"2"}) || c.Has("a") {
		t.Errorf("took %v, has it: %v", hooks, c.Has("a"))
	}
}

// A hook that Redis could not be told of is not held.
func TestRegistrationThatFails(t *testing.T) {
	t.Parallel()
	var c Closures[string]
	cause := errors.New("away")
	if _, _, err := c.Register("a", "1", Options{}, returns("", cause)); !errors.Is(err, cause) || c.Has("a") {
		t.Errorf("error %v, has it: %v", err, c.Has("a"))
	}
	hold(t, &c, "b", "1")
	if _, _, err := c.Register("b", "2", Options{}, returns("", cause)); !errors.Is(err, cause) || c.Count() != 1 {
		t.Errorf("error %v, %d hooks", err, c.Count())
	}
}

func TestNothingIsHeldAfterClose(t *testing.T) {
	t.Parallel()
	c, forgotten := unwatched()
	hold(t, c, "a", "1")
	_, _, err := c.Register("a", "2", Options{}, func() ([]byte, error) {
		if left := c.Close(); len(left) != 1 || !slices.Equal(left[0].Hooks, []string{"1"}) {
			t.Errorf("left %+v", left)
		}
		return nil, nil
	})
	if !errors.Is(err, ErrClosed) {
		t.Errorf("closed during the registration: %v", err)
	}
	if !slices.Equal(*forgotten, []string{"a"}) {
		t.Errorf("closed during the registration: Redis forgets %v", *forgotten)
	}
	if _, _, err := c.Register("b", "1", Options{}, returns("", nil)); !errors.Is(err, ErrClosed) || c.Count() != 0 || c.Has("b") {
		t.Errorf("closed before the registration: %v", err)
	}
}

func TestRefuseKeepsWhatIsHeld(t *testing.T) {
	t.Parallel()
	c, forgotten := unwatched()
	hold(t, c, "a", "1")
	_, _, err := c.Register("a", "2", Options{}, func() ([]byte, error) {
		c.Refuse()
		return nil, nil
	})
	if !errors.Is(err, ErrClosed) || len(*forgotten) > 0 {
		t.Errorf("refused during the registration: %v, Redis forgets %v", err, *forgotten)
	}
	if _, _, err := c.Register("a", "2", Options{}, returns("", nil)); !errors.Is(err, ErrClosed) {
		t.Errorf("registered: %v", err)
	}
	if left := c.Close(); len(left) != 1 || !slices.Equal(left[0].Hooks, []string{"1"}) {
		t.Errorf("left %+v", left)
	}
}
