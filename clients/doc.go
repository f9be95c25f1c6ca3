// Package clients tests what happens to lifecycle's cookie outside the application: in a real
// browser, in a real shared cache, and in a page cache inside the application.
//
// The browser is Chromium. All tests share one browser process, and each visitor is a browser
// context with cookies of its own. The browser resolves every host name to loopback: shop.example
// is the application's site, app.shop.example a subdomain, and evil.example another site. The
// shared cache is Apache's mod_cache, a child process of the test. The page cache is
// gin-contrib/cache.
//
// The package is a module of its own, so that its dependencies are not those of lifecycle.
package clients
