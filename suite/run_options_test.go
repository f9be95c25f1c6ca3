package suite_test

import (
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/gin-lifecycle/lifecycle"
	"github.com/gin-lifecycle/lifecycle/internal/redistest"
)

// A wrong option of Run is an error that names the option and the value.
func TestRunOptionErrors(t *testing.T) {
	t.Parallel()
	d := shared(t)
	for want, o := range map[string]lifecycle.RunOption{
		"WithListener(nil)":            lifecycle.WithListener(nil),
		`WithTLSFiles("", "key.pem")`:  lifecycle.WithTLSFiles("", "key.pem"),
		`WithTLSFiles("cert.pem", "")`: lifecycle.WithTLSFiles("cert.pem", ""),
		"WithRequestGrace(-1s)":        lifecycle.WithRequestGrace(-time.Second),
		"WithRequestGrace(11s)":        lifecycle.WithRequestGrace(11 * time.Second), // longer than the default of WithServerGrace
		"WithServerGrace(1h0m1s)":      lifecycle.WithServerGrace(time.Hour + time.Second),
		"WithHookGrace(0s)":            lifecycle.WithHookGrace(0),
	} {
		a := newApp(t, d, redistest.Prefix())
		a.cut = true
		if err := a.m.Run(redistest.Within(t), new(http.Server), o); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%s: %v", want, err)
		}
	}
}
