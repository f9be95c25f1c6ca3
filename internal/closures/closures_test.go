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

// hold registers hooks of one session.
func hold(t *testing.T, c *Closures[string], id string, hooks ...string) {
	t.Helper()
	for _, h := range hooks {
		if ended, err := c.Register(id, h, returns("record", nil)); ended != nil || err != nil {
			t.Fatalf("%s, %s: ended %v, error %v", id, h, ended, err)
		}
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
	ended, err := c.Register("a", "2", func() ([]byte, error) {
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
	if _, err := c.Register("a", "1", returns("", cause)); !errors.Is(err, cause) || c.Has("a") {
		t.Errorf("error %v, has it: %v", err, c.Has("a"))
	}
	hold(t, &c, "b", "1")
	if _, err := c.Register("b", "2", returns("", cause)); !errors.Is(err, cause) || c.Count() != 1 {
		t.Errorf("error %v, %d hooks", err, c.Count())
	}
}

func TestNothingIsHeldAfterClose(t *testing.T) {
	t.Parallel()
	var c Closures[string]
	hold(t, &c, "a", "1")
	_, err := c.Register("a", "2", func() ([]byte, error) {
		if left := c.Close(); len(left) != 1 || !slices.Equal(left[0].Hooks, []string{"1"}) {
			t.Errorf("left %+v", left)
		}
		return nil, nil
	})
	if !errors.Is(err, ErrClosed) {
		t.Errorf("closed during the registration: %v", err)
	}
	if _, err := c.Register("b", "1", returns("", nil)); !errors.Is(err, ErrClosed) || c.Count() != 0 || c.Has("b") {
		t.Errorf("closed before the registration: %v", err)
	}
}

func TestRefuseKeepsWhatIsHeld(t *testing.T) {
	t.Parallel()
	var c Closures[string]
	hold(t, &c, "a", "1")
	c.Refuse()
	if _, err := c.Register("a", "2", returns("", nil)); !errors.Is(err, ErrClosed) {
		t.Errorf("registered: %v", err)
	}
	if left := c.Close(); len(left) != 1 || !slices.Equal(left[0].Hooks, []string{"1"}) {
		t.Errorf("left %+v", left)
	}
}
