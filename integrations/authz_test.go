package integrations

import (
	"net/http"
	"testing"

	"github.com/casbin/casbin/v2"
	"github.com/casbin/casbin/v2/model"
	"github.com/gin-contrib/authz"
	"github.com/gin-contrib/sessions"
	"github.com/gin-gonic/gin"

	"github.com/gin-lifecycle/lifecycle"
)

// rights are casbin's model: who may do what, and where.
const rights = `
[request_definition]
r = sub, obj, act
[policy_definition]
p = sub, obj, act
[policy_effect]
e = some(where (p.eft == allow))
[matchers]
m = r.sub == p.sub && keyMatch(r.obj, p.obj) && (r.act == p.act || p.act == "*")
`

// asUser tells authz, which knows users of HTTP Basic only, the user of the session. What the
// client says itself is not heeded.
func asUser(c *gin.Context) {
	user, _ := sessions.Default(c).Get("user").(string)
	if user == "" {
		user = "anonymous"
	}
	c.Request.SetBasicAuth(user, "")
}

// authz decides by the user of the session, in the request of the login's successor and until
// the logout.
func TestWithAuthz(t *testing.T) {
	t.Parallel()
	m, err := model.NewModelFromString(rights)
	if err != nil {
		t.Fatal(err)
	}
	e, err := casbin.NewEnforcer(m)
	if err != nil {
		t.Fatal(err)
	}
	for _, p := range [][]string{{"anonymous", "/", "GET"}, {"anonymous", "/set", "GET"}, {"ann", "/*", "*"}, {"bob", "/", "GET"}, {"bob", "/out", "GET"}} {
		if _, err := e.AddPolicy(p); err != nil {
			t.Fatal(err)
		}
	}
	s := newSite(t)
	s.use(s.m.Middleware(), asUser, authz.NewAuthorizer(e))
	s.router.GET("/admin", func(c *gin.Context) { c.String(http.StatusOK, "welcome") })
	s.router.GET("/out", lifecycle.Handler(func(c *lifecycle.Context) { answer(c, c.DestroySession()) }))
	server := s.serve()
	ann, bob := newBrowser(t, server), newBrowser(t, server)
	may := func(b *browser, want int) {
		t.Helper()
		if p := b.get("/admin"); p.status != want {
			t.Errorf("the page of administrators: %d, want %d", p.status, want)
		}
	}
	may(ann, http.StatusForbidden)
	ann.ok("/set?user=ann")
	bob.ok("/set?user=bob")
	may(ann, http.StatusOK)
	may(bob, http.StatusForbidden)
	bob.c.Transport = asAnn{bob.c.Transport}
	may(bob, http.StatusForbidden)
	ann.ok("/out")
	may(ann, http.StatusForbidden)
}

// asAnn is a client who says that it is Ann.
type asAnn struct{ http.RoundTripper }

func (x asAnn) RoundTrip(r *http.Request) (*http.Response, error) {
	r.SetBasicAuth("ann", "")
	return x.RoundTripper.RoundTrip(r)
}
