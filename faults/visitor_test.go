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
	id     string    // of the session that last responded
	seen   time.Time // when the request to which it responded was sent
}

// newVisitor returns a visitor without a cookie.
func (f *fleet) newVisitor() *visitor { return &visitor{f: f} }

// response is what an instance responded.
type response struct {
	status  int
	body    string
	cookies []*http.Cookie
}

// exchange sends a request and reads the response.
func (f *fleet) exchange(r *http.Request) (response, error) {
	w, err := f.client.Do(r)
	if err != nil {
		return response{}, err
	}
	defer func() { _ = w.Body.Close() }()
	b, err := io.ReadAll(w.Body)
	return response{w.StatusCode, string(b), w.Cookies()}, err
}

// get requests a page. If v is not nil, it is with the visitor's cookie, and the visitor
// keeps the cookie of the response.
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

// visit requests a page, and notes the response for the checker. Without a response
// the status is 0.
func (v *visitor) visit(p *process, path string) (status int, body string) {
	from := time.Now()
	was := change{old: v.session()}
	if v.id == was.old {
		was.seen = v.seen
	}
	if path == "/destroy" && v.cookie != "" {
		v.f.known.askedToEnd(v.session(), from)
	}
	status, body, err := v.f.get(context.Background(), "http://"+p.addr+path, v)
	if err != nil {
		return 0, err.Error()
	}
	was.new = v.session()
	if status == http.StatusOK {
		v.id, v.seen = body, from
		if body != was.old {
			was.new = body
		}
		v.f.known.responded(body, from)
		if path == "/destroy" { // it may have begun another session, and ended that
			v.f.known.askedToEnd(body, from)
		}
	}
	if was.old != "" && was.new != was.old {
		was.at = time.Now()
		v.f.known.changed(was)
	}
	return status, body
}

// session returns the ID in the visitor's cookie.
func (v *visitor) session() string {
	_, value, _ := strings.Cut(v.cookie, "=")
	id, _, _ := strings.Cut(value, ".")
	return id
}

// ok requests a page and fails the test unless the status is 200. It returns the
// session's ID.
func (v *visitor) ok(p *process, path string) string {
	v.f.t.Helper()
	status, body := v.visit(p, path)
	if status != http.StatusOK {
		v.f.t.Fatalf("GET %s: %d %s", path, status, body)
	}
	return body
}

// hold registers a closure for the end of the visitor's session.
func (v *visitor) hold(p *process) {
	v.f.t.Helper()
	v.ok(p, "/hold?n=0")
}

// begin begins a session on p. path says what the session's hooks do.
func (f *fleet) begin(p *process, path string) *visitor {
	f.t.Helper()
	v := f.newVisitor()
	v.ok(p, path)
	return v
}

// serves reports whether a new visitor can begin a session on p.
func (f *fleet) serves(p *process) bool {
	status, _ := f.newVisitor().visit(p, "/")
	return status == http.StatusOK
}

// unavailable fails the test unless a new visitor of p gets a 503.
func (f *fleet) unavailable(p *process) {
	f.t.Helper()
	f.newVisitor().turnedAway(p)
}

// turnedAway fails the test unless the visitor gets a 503 from p.
func (v *visitor) turnedAway(p *process) {
	v.f.t.Helper()
	if status, body := v.visit(p, "/"); status != http.StatusServiceUnavailable {
		v.f.t.Errorf("a visitor of %s got %d %s, want %d", p.name, status, body, http.StatusServiceUnavailable)
	}
}

// crowd begins n sessions, spread over ps. Every fourth has a closure.
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

// load begins about two hundred sessions a second until the test calls stop. stop
// returns once all visitors have left, and says how many visits failed. ps returns the
// instances that take visitors at the moment.
func (f *fleet) load(ps func() []*process) (stop func() (failed int)) {
	f.t.Helper()
	const visitors = 4
	var stops []func() int
	for i := range visitors {
		n := i - 1
		stops = append(stops, every(20*time.Millisecond, func() (failed int) {
			n++
			living := ps()
			if len(living) == 0 {
				return 0
			}
			v := f.newVisitor()
			if status, _ := v.visit(living[n%len(living)], "/"); status != http.StatusOK {
				return 1
			}
			if status, _ := v.visit(living[(n+1)%len(living)], "/save?n="+strconv.Itoa(n)); status != http.StatusOK {
				return 1
			}
			return 0
		}))
	}
	return stopAll(stops)
}

// every calls do again and again, with this pause, until the caller calls stop. stop
// waits until do has returned, and returns the sum of what do returned.
func every(pause time.Duration, do func() int) (stop func() (sum int)) {
	ctx, cancel := context.WithCancel(context.Background())
	ended := make(chan int)
	go func() {
		sum := 0
		pace := time.NewTicker(pause)
		defer pace.Stop()
		for {
			select {
			case <-pace.C:
				sum += do()
			case <-ctx.Done():
				ended <- sum
				return
			}
		}
	}()
	return func() int {
		cancel()
		return <-ended
	}
}

// stopAll returns a function that calls all of stops and returns the sum.
func stopAll(stops []func() int) (stop func() (sum int)) {
	return func() (sum int) {
		for _, stop := range stops {
			sum += stop()
		}
		return sum
	}
}
