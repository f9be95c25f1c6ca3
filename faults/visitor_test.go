package faults

import (
	"context"
	"io"
	"net/http"
	"strconv"
	"strings"
	"time"
)

// visitor is a browser with one cookie.
type visitor struct {
	f      *fleet
	cookie string    // "name=value", or ""
	id     string    // of its session, as last answered
	seen   time.Time // start of the request that was
}

// answer is what an instance has answered.
type answer struct {
	status  int
	body    string
	cookies []*http.Cookie
}

func (f *fleet) exchange(r *http.Request) (answer, error) {
	w, err := f.client.Do(r)
	if err != nil {
		return answer{}, err
	}
	defer func() { _ = w.Body.Close() }()
	b, err := io.ReadAll(w.Body)
	return answer{w.StatusCode, string(b), w.Cookies()}, err
}

func (f *fleet) get(ctx context.Context, u string, v *visitor) (status int, body string, err error) {
	r, err := http.NewRequestWithContext(ctx, http.MethodGet, u, http.NoBody)
	if err != nil {
		return 0, "", err
	}
	if v != nil && v.cookie != "" {
		r.Header.Set("Cookie", v.cookie)
	}
	a, err := f.exchange(r)
	if err != nil {
		return 0, "", err
	}
	if v != nil {
		for _, c := range a.cookies {
			if c.MaxAge < 0 {
				v.cookie = ""
			} else {
				v.cookie = c.Name + "=" + c.Value
			}
		}
	}
	return a.status, a.body, nil
}

// visit requests a page, and notes for the checker what was answered. The
// status is 0 if nothing was.
func (v *visitor) visit(p *process, path string) (status int, body string) {
	from := time.Now()
	old := change{old: v.session()}
	if v.id == old.old {
		old.seen = v.seen
	}
	if path == "/destroy" && v.cookie != "" {
		v.f.known.askedToEnd(v.session(), from)
	}
	status, body, err := v.f.get(context.Background(), "http://"+p.addr+path, v)
	if err != nil {
		return 0, err.Error()
	}
	old.new = v.session()
	if status == http.StatusOK {
		v.id, v.seen = body, from
		if body != old.old {
			old.new = body
		}
		v.f.known.answered(body, from)
		if path == "/destroy" { // which may have begun another session
			v.f.known.askedToEnd(body, from)
		}
	}
	if old.old != "" && old.new != old.old {
		old.at = time.Now()
		v.f.known.changed(old)
	}
	return status, body
}

// session returns the ID in the visitor's cookie.
func (v *visitor) session() string {
	_, value, _ := strings.Cut(v.cookie, "=")
	id, _, _ := strings.Cut(value, ".")
	return id
}

// ok visits and fails unless the answer is 200; it returns the session's ID.
func (v *visitor) ok(p *process, path string) string {
	v.f.t.Helper()
	status, body := v.visit(p, path)
	if status != http.StatusOK {
		v.f.t.Fatalf("GET %s: %d %s", path, status, body)
	}
	return body
}

// begin begins a session on p; path says how its hooks behave.
func (f *fleet) begin(p *process, path string) *visitor {
	f.t.Helper()
	v := &visitor{f: f}
	v.ok(p, path)
	return v
}

// hold registers a hook for the end of the visitor's session.
func (v *visitor) hold(p *process) {
	v.f.t.Helper()
	v.ok(p, "/hold?n=0")
}

// crowd begins n sessions, spread over ps, some with hooks of their own.
func (f *fleet) crowd(n int, ps ...*process) []*visitor {
	f.t.Helper()
	crowd := make([]*visitor, n)
	for i := range crowd {
		p := ps[i%len(ps)]
		crowd[i] = f.begin(p, "/")
		if i%4 == 0 {
			crowd[i].hold(p)
		}
	}
	return crowd
}

// load begins some two hundred sessions a second until stop is called, which waits for its end and
// returns how many visits failed. Where an instance does not answer, the next
// one is tried, as a load balancer would.
func (f *fleet) load(ps func() []*process) (stop func() (failed int)) {
	f.t.Helper()
	ctx, cancel := context.WithCancel(context.Background())
	const visitors = 4
	ended := make(chan int)
	for i := range visitors {
		go func() {
			failed := 0
			pace := time.NewTicker(20 * time.Millisecond)
			defer pace.Stop()
			for n := i; ctx.Err() == nil; n++ {
				<-pace.C
				living := ps()
				if len(living) == 0 {
					continue
				}
				v := &visitor{f: f}
				p := living[n%len(living)]
				if status, _ := v.visit(p, "/"); status != http.StatusOK {
					failed++
					continue
				}
				if status, _ := v.visit(living[(n+1)%len(living)], "/save?n="+strconv.Itoa(n)); status != http.StatusOK {
					failed++
				}
			}
			ended <- failed
		}()
	}
	return func() int {
		cancel()
		failed := 0
		for range visitors {
			failed += <-ended
		}
		return failed
	}
}
