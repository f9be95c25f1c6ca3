package integrations

import (
	"strings"
	"testing"

	"github.com/gin-lifecycle/lifecycle"
)

// socket is one end of a WebSocket, of either library.
type socket interface {
	read() (string, error)
	write(text string) error
	close()
}

// library is a WebSocket library. The functions are what an application writes with it.
type library struct {
	accept func(c *lifecycle.Context) (socket, error)
	dial   func(b *browser, path string) socket
}

// serveSockets adds a page that answers each message: "id" with the ID of the session, "save"
// with nothing if a key and a value could be saved, and else with the error. before is called
// before the upgrade.
func (s *site) serveSockets(path string, l library, before func(c *lifecycle.Context) error) {
	s.router.GET(path, lifecycle.Handler(func(c *lifecycle.Context) {
		if err := before(c); err != nil {
			answer(c, err)
			return
		}
		ws, err := l.accept(c)
		if err != nil {
			return // the library has answered
		}
		defer ws.close()
		for {
			text, err := ws.read()
			if err != nil || ws.write(obey(c, text)) != nil {
				return
			}
		}
	}))
}

func obey(c *lifecycle.Context, text string) string {
	switch words := strings.Fields(text); words[0] {
	case "id":
		return idOf(c)
	case "save":
		c.Values().Set(words[1], words[2])
		if err := c.Values().Save(); err != nil {
			return err.Error()
		}
		return ""
	case "end":
		if err := c.DestroySession(); err != nil {
			return err.Error()
		}
		return ""
	}
	return "unknown: " + text
}

// ask sends a message and returns the answer.
func ask(t testing.TB, s socket, text string) string {
	t.Helper()
	if err := s.write(text); err != nil {
		t.Fatal(err)
	}
	answer, err := s.read()
	if err != nil {
		t.Fatal(err)
	}
	return answer
}

func nothing(*lifecycle.Context) error { return nil }
