package clients

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"sync"
	"testing"

	"github.com/chromedp/cdproto/network"
	"github.com/chromedp/cdproto/storage"
	"github.com/chromedp/chromedp"

	"github.com/gin-lifecycle/lifecycle/internal/redistest"
)

// chromium is the browser that all tests share. The first test that needs it starts it.
var chromium sharedBrowser

// sharedBrowser is a browser process, or none yet.
type sharedBrowser struct {
	sync.Mutex
	ctx context.Context // nil: none has been started
	dir string
}

// preferences make the browser send cookies with requests of other sites' pages, unless their
// SameSite forbids it. Otherwise the tests would only see the browser's own protection.
const preferences = `{"profile": {"cookie_controls_mode": 0}}`

// start starts the browser, if it does not run yet, and returns its context.
func (b *sharedBrowser) start(t testing.TB) context.Context {
	t.Helper()
	path := needs(t, "chromium", "chromium-browser", "google-chrome")
	b.Lock()
	defer b.Unlock()
	if b.ctx != nil {
		return b.ctx
	}
	dir, err := os.MkdirTemp("", "lifecycle-chromium-")
	if err != nil {
		t.Fatal(err)
	}
	b.dir = dir
	err = errors.Join(os.Mkdir(filepath.Join(dir, "Default"), 0o700),
		os.WriteFile(filepath.Join(dir, "Default", "Preferences"), []byte(preferences), 0o600))
	if err != nil {
		t.Fatal(err)
	}
	ctx, _ := chromedp.NewExecAllocator(context.Background(), append(chromedp.DefaultExecAllocatorOptions[:],
		chromedp.ExecPath(path),
		chromedp.UserDataDir(dir),
		chromedp.NoSandbox,
		chromedp.DisableGPU,
		chromedp.IgnoreCertErrors,
		chromedp.Flag("disable-quic", true),
		chromedp.Flag("disable-component-update", true),
		chromedp.Flag("host-resolver-rules", "MAP * 127.0.0.1"),
	)...)
	ctx, cancel := chromedp.NewContext(ctx)
	if err := chromedp.Do(ctx); err != nil {
		cancel()
		t.Fatal(err)
	}
	b.ctx = ctx
	return ctx
}

// close ends the browser, waits until it is gone, and removes its files.
func (b *sharedBrowser) close() {
	b.Lock()
	defer b.Unlock()
	if b.ctx != nil {
		ctx, cancel := context.WithTimeout(b.ctx, patience)
		defer cancel()
		if err := chromedp.Cancel(ctx); err != nil {
			fmt.Fprintln(os.Stderr, "close the browser:", err)
		}
		b.ctx = nil
	}
	if b.dir == "" {
		return
	}
	// Again and again: children of the browser's process may write for a moment longer than it runs.
	var err error
	if redistest.Poll(patience, func() bool { err = os.RemoveAll(b.dir); return err == nil }) != nil {
		fmt.Fprintln(os.Stderr, "remove the browser's files:", err)
	}
}

// visitor is somebody with a browser: one tab, and cookies that nobody else has.
type visitor struct {
	t   testing.TB
	tab context.Context
}

// visit makes a visitor, whose browser context closes with the test.
func visit(t testing.TB) *visitor {
	t.Helper()
	ctx, cancel := chromedp.NewContext(chromium.start(t), chromedp.WithNewBrowserContext())
	t.Cleanup(cancel)
	if err := chromedp.Do(ctx); err != nil {
		t.Fatal(err)
	}
	return &visitor{t: t, tab: ctx}
}

// within returns a context for one command to the browser.
func (v *visitor) within() (context.Context, context.CancelFunc) {
	return context.WithTimeout(v.tab, patience)
}

// open opens a page of the shop, whose status must be 200, and returns who the visitor is there.
func (v *visitor) open(url string) who {
	v.t.Helper()
	v.navigate(url)
	return whoIs(v.t, run[string](v, "document.body.innerText"))
}

// navigate opens a page, whose status must be 200.
func (v *visitor) navigate(url string) {
	v.t.Helper()
	ctx, cancel := v.within()
	defer cancel()
	resp, err := chromedp.Run(ctx, chromedp.NavigateResponse(url))
	if err != nil {
		v.t.Fatalf("open %s: %v", url, err)
	}
	if resp.Status != 200 {
		v.t.Fatalf("open %s: %d %s", url, resp.Status, resp.StatusText)
	}
}

// run runs JavaScript on the page, waits for its promise, and returns the result.
func run[T any](v *visitor, script string) T {
	v.t.Helper()
	ctx, cancel := v.within()
	defer cancel()
	got, err := chromedp.Run(ctx, chromedp.Evaluate[T](script, chromedp.EvalAwaitPromise))
	if err != nil {
		v.t.Fatalf("%s: %v", script, err)
	}
	return got
}

// post sends a POST with JavaScript from the page that is open. The status must be 200. It returns
// who the visitor is.
func (v *visitor) post(path string) who { v.t.Helper(); return whoIs(v.t, v.fetch("POST", path)) }

// fetch sends a request with JavaScript from the page that is open. The status must be 200. It
// returns the text of the response.
func (v *visitor) fetch(method, path string) string {
	v.t.Helper()
	return run[string](v, fmt.Sprintf(`fetch(%q, {method: %q}).then(async r => {
		if (!r.ok) throw new Error("status " + r.status + ": " + await r.text());
		return r.text();
	})`, path, method))
}

// cookies returns all cookies of this name that the browser has, of all hosts.
func (v *visitor) cookies(name string) []*network.Cookie {
	v.t.Helper()
	ctx, cancel := v.within()
	defer cancel()
	got, err := chromedp.CallBrowser(ctx, storage.GetCookies, storage.GetCookiesParams{
		BrowserContextID: chromedp.FromContext(ctx).BrowserContextID,
	})
	if err != nil {
		v.t.Fatal(err)
	}
	return slices.DeleteFunc(got.Cookies, func(c *network.Cookie) bool { return c.Name != name })
}

// cookie returns the only cookie of this name. It fails the test if there are more, or none.
func (v *visitor) cookie(name string) *network.Cookie {
	v.t.Helper()
	all := v.cookies(name)
	if len(all) != 1 {
		v.t.Fatalf("cookies: %s, want one", describe(all))
	}
	return all[0]
}

// keep puts a cookie into the browser.
func (v *visitor) keep(c network.CookieParam) {
	v.t.Helper()
	ctx, cancel := v.within()
	defer cancel()
	_, err := chromedp.CallBrowser(ctx, storage.SetCookies, storage.SetCookiesParams{
		Cookies:          []*network.CookieParam{&c},
		BrowserContextID: chromedp.FromContext(ctx).BrowserContextID,
	})
	if err != nil {
		v.t.Fatalf("keep %s: %v", c.Name, err)
	}
}

// describe lists cookies for a message.
func describe(cookies []*network.Cookie) string {
	var text []string
	for _, c := range cookies {
		text = append(text, fmt.Sprintf("%.12s... at %s%s", c.Value, c.Domain, c.Path))
	}
	return fmt.Sprint(len(text), " ", text)
}

// wantWho opens a page and fails the test unless the visitor is want there.
func (v *visitor) wantWho(url string, want who) {
	v.t.Helper()
	if got := v.open(url); got != want {
		v.t.Errorf("%s shows %+v, want %+v", url, got, want)
	}
}

// arrives waits until the tab has loaded a page of this host.
func (v *visitor) arrives(host string) {
	v.t.Helper()
	script := fmt.Sprintf(`location.hostname === %q && document.readyState === "complete"`, host)
	redistest.Eventually(v.t, "the tab is at "+host, func() bool {
		ctx, cancel := v.within()
		defer cancel()
		// While the tab loads, there may be no page that could run the script.
		there, err := chromedp.Run(ctx, chromedp.Evaluate[bool](script))
		return err == nil && there
	})
}
