package integrations

import (
	"net/http"
	"time"

	"github.com/gin-contrib/sessions"
	"github.com/gin-gonic/gin"

	"github.com/gin-lifecycle/lifecycle"
)

// The shop is an application that was written for gin-contrib's cookie store. It knows
// sessions.Default, and nothing of lifecycle but what "remember me" needs.

const week = 7 * 24 * time.Hour

func shopRoutes(router gin.IRouter) {
	router.GET("/captcha", shopCaptcha)
	router.POST("/login", shopLogin)
	router.POST("/logout", shopLogout)
	router.GET("/me", requireLogin, func(c *gin.Context) {
		c.String(http.StatusOK, "%v", sessions.Default(c).Get("user"))
	})
	router.POST("/cart", shopCart)
	router.GET("/cart", func(c *gin.Context) {
		session := sessions.Default(c)
		flashes := session.Flashes()
		if err := session.Save(); err != nil {
			c.String(http.StatusInternalServerError, err.Error())
			return
		}
		c.JSON(http.StatusOK, gin.H{"flashes": flashes, "last": session.Get("last")})
	})
}

// shopCaptcha draws a captcha, and keeps its solution in the session.
func shopCaptcha(c *gin.Context) {
	session := sessions.Default(c)
	session.Set("captcha", c.Query("solution")) // a real one is drawn at random
	if err := session.Save(); err != nil {
		c.String(http.StatusInternalServerError, err.Error())
		return
	}
	c.Header("Cache-Control", "no-store")
	c.String(http.StatusOK, "a picture")
}

func shopLogin(c *gin.Context) {
	session := sessions.Default(c)
	want := session.Get("captcha")
	session.Delete("captcha") // it is good once
	if want == nil || want != c.PostForm("captcha") {
		session.AddFlash("wrong captcha")
		if err := session.Save(); err != nil {
			c.String(http.StatusInternalServerError, err.Error())
			return
		}
		c.Redirect(http.StatusSeeOther, "/cart")
		return
	}
	session.Set("user", c.PostForm("user"))
	session.Set("since", time.Now())
	remember := c.PostForm("remember") != ""
	if remember {
		session.Options(sessions.Options{Path: "/", MaxAge: int(week.Seconds())})
	}
	if err := session.Save(); err != nil {
		c.String(http.StatusInternalServerError, err.Error())
		return
	}
	if remember { // the session lives as long as the cookie, and for a month at most
		if err := lifecycle.From(c).SetTimeouts(week, 4*week); err != nil {
			c.String(http.StatusInternalServerError, err.Error())
			return
		}
	}
	c.Redirect(http.StatusSeeOther, "/me")
}

// shopLogout is the logout that most applications have.
func shopLogout(c *gin.Context) {
	session := sessions.Default(c)
	session.Clear()
	if err := session.Save(); err != nil {
		c.String(http.StatusInternalServerError, err.Error())
		return
	}
	if c.PostForm("flash") != "" {
		session.AddFlash("good bye")
		if err := session.Save(); err != nil {
			c.String(http.StatusInternalServerError, err.Error())
			return
		}
	}
	c.Redirect(http.StatusSeeOther, "/cart")
}

func shopCart(c *gin.Context) {
	session := sessions.Default(c)
	item := c.PostForm("item")
	session.Set("cart:"+item, 1)
	session.Set("last", item)
	session.AddFlash("added " + item)
	if err := session.Save(); err != nil {
		c.String(http.StatusInternalServerError, err.Error())
		return
	}
	c.Redirect(http.StatusSeeOther, "/cart")
}

func requireLogin(c *gin.Context) {
	if sessions.Default(c).Get("user") == nil {
		c.Redirect(http.StatusSeeOther, "/login")
		c.Abort()
	}
}
