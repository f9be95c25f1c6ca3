package clients

import (
	"os"
	"testing"

	"github.com/gin-gonic/gin"

	"github.com/gin-lifecycle/lifecycle/internal/redistest"
)

func TestMain(m *testing.M) {
	gin.SetMode(gin.ReleaseMode)
	os.Exit(redistest.Run(tests{m}))
}

// tests are the tests of this package and the browser that they share.
type tests struct{ *testing.M }

func (m tests) Run() int {
	defer chromium.close()
	return m.M.Run()
}
