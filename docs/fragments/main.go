// Command fragments runs those fragments of Go code in the documents that can be run as
// they are. The test of package docs adds the fragments as files of this package: each one
// is a function, and enters itself into the map fragments.
package main

import (
	"fmt"
	"log/slog"
	"os"

	"github.com/gin-gonic/gin"
)

// fragments are those of the documents, by document, anchor of the heading above, and
// number under that heading.
var fragments = map[string]func() error{}

func main() {
	gin.SetMode(gin.ReleaseMode)
	slog.SetDefault(slog.New(slog.DiscardHandler))
	status := 0
	for name, check := range checks {
		if err := check(); err != nil {
			status = 1
			fmt.Printf("%s: %v\n", name, err)
		}
	}
	os.Exit(status)
}

// run runs a fragment.
func run(name string) error {
	f := fragments[name]
	if f == nil {
		return fmt.Errorf("no document has the fragment %q", name)
	}
	if err := f(); err != nil {
		return fmt.Errorf("%s: %w", name, err)
	}
	return nil
}
