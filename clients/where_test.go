package clients

import (
	"fmt"
	"testing"
	"time"

	"github.com/gin-contrib/sessions"

	"github.com/gin-lifecycle/lifecycle"
)

// twelveHours is the age that a login often gives its cookie, in seconds.
const twelveHours = 43200

// A login sets the cookie's age and no path: the visitor is logged in on all pages. The spelling of
// a domain does not matter either.
func TestLoginWithoutAPath(t *testing.T) {
	t.Parallel()
	for name, o := range map[string]sessions.Options{
		"age":                 {MaxAge: twelveHours},
		"domain with a dot":   {MaxAge: twelveHours, Domain: ".shop.example"},
		"domain in a capital": {MaxAge: twelveHours, Domain: "Shop.example"},
	} {
		for _, rotated := range []bool{false, true} {
			for _, before := range []bool{false, true} {
				t.Run(fmt.Sprintf("%s, rotated %v, visited before %v", name, rotated, before), func(t *testing.T) {
					t.Parallel()
					loginWithoutAPath(t, o, rotated, before)
				})
			}
		}
	}
}

func loginWithoutAPath(t *testing.T, o sessions.Options, rotated, before bool) {
	s := newShop(t)
	if rotated {
		s.saves("/account/login", o, rotates)
	} else {
		s.saves("/account/login", o)
	}
	s.listen()
	v := visit(t)
	at := "/account" + staticPage
	if before {
		at = "/account/form"
	}
	visited := v.open(s.url(at))
	in := v.post("/account/login")
	if in.ID == "" || in.User != "alice" || before && in.ID != visited.ID {
		t.Fatalf("the login shows %+v, was %+v", in, visited)
	}
	kept := v.cookie("session")
	domain := "shop.example"
	if o.Domain != "" {
		domain = ".shop.example"
	}
	if kept.Path != "/" || kept.Domain != domain {
		t.Errorf("the cookie is at %s%s, want %s/", kept.Domain, kept.Path, domain)
	}
	if left := time.Until(time.Unix(int64(kept.Expires), 0)); left < (twelveHours-60)*time.Second {
		t.Errorf("the cookie expires in %v", left)
	}
	for _, path := range []string{"/", "/shop/cart", "/account/orders/1"} {
		v.wantWho(s.url(path), in)
	}
	v.cookie("session")
	s.wantSessions(1)
}

// Several logins spell the same domain in different ways: all set the same cookie.
func TestLoginAgainWithTheDomainSpelledOtherwise(t *testing.T) {
	t.Parallel()
	s := newShop(t)
	spellings := []string{"shop.example", "Shop.example", ".shop.example", "SHOP.EXAMPLE"}
	for i, domain := range spellings {
		s.saves(fmt.Sprintf("/login/%d", i), sessions.Options{Path: "/", Domain: domain, MaxAge: twelveHours}, rotates)
	}
	s.listen()
	v := visit(t)
	first := v.open(s.url("/"))
	for i, domain := range spellings {
		v.post(fmt.Sprintf("/login/%d", i))
		if got := v.open(s.url("/cart")); got != (who{first.ID, "alice"}) {
			t.Errorf("after the login with %s: %+v, was %s", domain, got, first.ID)
		}
		if all := v.cookies("session"); len(all) != 1 {
			t.Errorf("after the login with %s: cookies %s", domain, describe(all))
		}
	}
}

// The store's options have no path: there is one cookie for all pages, and not one for each
// directory.
func TestStoreOptionsWithoutAPath(t *testing.T) {
	t.Parallel()
	for name, o := range map[string]sessions.Options{
		"age":      {MaxAge: 3600},
		"HttpOnly": {HttpOnly: true},
		"domain":   {Domain: ".shop.example", HttpOnly: true, MaxAge: 3600},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			s := newShop(t)
			s.store.Options(o)
			s.listen()
			v := visit(t)
			paths := []string{"/a/b", "/a/c", "/", "/x/y/z", "/a", "/x/", "/b/c", "/a/b/c/d", "/x/y"}
			first := v.open(s.url(paths[0]))
			for _, path := range paths[1:] {
				v.wantWho(s.url(path), first)
			}
			if kept := v.cookie("session"); kept.Path != "/" {
				t.Errorf("the cookie is at %s", kept.Path)
			}
			s.wantSessions(1)
		})
	}
}

// A login sets a path: the browser sends the cookie only there.
func TestLoginWithAPath(t *testing.T) {
	t.Parallel()
	s := newShop(t, lifecycle.WithLazyCreation())
	s.saves("/app/login", sessions.Options{Path: "/app", MaxAge: twelveHours}, rotates)
	s.listen()
	v := visit(t)
	v.open(s.url("/app/"))
	in := v.post("/app/login")
	if kept := v.cookie("session"); kept.Path != "/app" {
		t.Errorf("the cookie is at %s", kept.Path)
	}
	v.wantWho(s.url("/app/orders"), in)
	if got := v.open(s.url("/apple")); got != (who{}) {
		t.Errorf("elsewhere: %+v", got)
	}
}
