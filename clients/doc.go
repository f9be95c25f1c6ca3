// Package clients holds the tests of lifecycle's cookie against those that keep it:
// a real browser, a real shared cache and a page cache inside the application.
//
// The browser is Chromium, one for all tests; every visitor is a browser context of
// his own. All names lead to loopback, so that shop.example, app.shop.example and
// evil.example are a site, its subdomain and a foreign site to it. The shared cache
// is Apache's mod_cache, a child process of the test. The page cache is
// gin-contrib/cache.
//
// It is a module of its own, so that what it needs is no dependency of lifecycle.
package clients
