package suite_test

import (
	"fmt"
	"os"
	"testing"

	"github.com/gin-gonic/gin"

	"github.com/gin-lifecycle/lifecycle/internal/redistest"
)

// The test binary is also the program of the child processes: see startChild.
func TestMain(m *testing.M) {
	gin.SetMode(gin.ReleaseMode)
	if err := checkTopology(); err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(2)
	}
	if os.Getenv(childEnv) != "" {
		runChild()
		return
	}
	os.Exit(redistest.Run(m, leftBehind()...))
}
