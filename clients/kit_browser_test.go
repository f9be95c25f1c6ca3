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
	"time"

	"github.com/chromedp/cdproto/network"
	"github.com/chromedp/cdproto/storage"
	"github.com/chromedp/chromedp"
)

// chromium is the browser that all tests share, started by the first that wants it.
var chromium sharedBrowser

type sharedBrowser struct {
	sync.Mutex
	ctx context.Context // nil: none has been started
	dir string
}

// preferences of the browser: what foreign sites' pages send brings cookies, unless
// their SameSite forbids it. Otherwise tests would see the browser's own protection.
const preferences = `{"profile": {"cookie_controls_mode": 0}}`

// start returns the context of the running browser.
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
	// Children of the browser's process may outlive it for a moment, and write.
	tick := time.NewTicker(10 * time.Millisecond)
	defer tick.Stop()
	end := time.After(patience)
	for {
		err := os.RemoveAll(b.dir)
		if err == nil {
			return
		}
		select {
		case <-tick.C:
		case <-end:
			fmt.Fprintln(os.Stderr, "remove the browser's files:", err)
			return
		}
	}
}

// visitor is a browser's user: cookies of his own and one tab.
type visitor struct {
	t   testing.TB
	tab context.Context
}

// visit makes a visitor, who leaves with the test.
func visit(t testing.TB) *visitor {
	t.Helper()
	ctx, cancel := chromedp.NewContext(chromium.start(t), chromedp.WithNewBrowserContext())
	t.Cleanup(cancel)
	if err := chromedp.Do(ctx); err != nil {
		t.Fatal(err)
	}
	return &visitor{t: t, tab: ctx}
}

// within bounds what the browser is asked.
func (v *visitor) within() (context.Context, context.CancelFunc) {
	return context.WithTimeout(v.tab, patience)
}

// open opens a page, whose status must be 200, and returns who the visitor is there.
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

// run runs JavaScript on the page, waits for its promise, and returns what comes of it.
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

// post sends a POST from the page by JavaScript, whose status must be 200, and returns
// who the visitor is.
func (v *visitor) post(path string) who { v.t.Helper(); return whoIs(v.t, v.fetch("POST", path)) }

// fetch requests a page from the page by JavaScript, whose status must be 200, and
// returns its text.
func (v *visitor) fetch(method, path string) string {
	v.t.Helper()
	return run[string](v, fmt.Sprintf(`fetch(%q, {method: %q}).then(async r => {
		if (!r.ok) throw new Error("status " + r.status + ": " + await r.text());
		return r.text();
	})`, path, method))
}

// cookies returns the cookies of the name that the browser keeps, of all hosts.
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

// cookie returns the only cookie of the name; the test fails if there are others.
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

// arrives waits until a page of the host has loaded in the tab.
func (v *visitor) arrives(host string) {
	v.t.Helper()
	script := fmt.Sprintf(`location.hostname === %q && document.readyState === "complete"`, host)
	eventually(v.t, "the tab is at "+host, func() bool {
		ctx, cancel := v.within()
		defer cancel()
		// While it is on its way there is perhaps no page to ask.
		there, err := chromedp.Run(ctx, chromedp.Evaluate[bool](script))
		return err == nil && there
	})
}
