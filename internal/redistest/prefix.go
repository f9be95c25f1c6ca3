package redistest

import (
	"crypto/rand"
	"strings"
)

// Prefix returns a random prefix for the keys of one test. Tests that share a server
// use different prefixes, so that no test sees the keys of another.
func Prefix() string { return "t" + strings.ToLower(rand.Text()[:10]) }
