package record

// Request is what is kept of the request that began the session.
type Request struct {
	Method, URI, Host, ClientIP, UserAgent string
	Header                                 []Field
}

// Field is one line of a request's header.
type Field struct{ Name, Value string }

// requestTexts is the number of texts of a request.
const requestTexts = 5

// texts returns the texts of the request, in the order in which they are packed.
func (r *Request) texts() [requestTexts]*string {
	return [...]*string{&r.Method, &r.URI, &r.Host, &r.ClientIP, &r.UserAgent}
}

// Began returns the request that began the session.
func (r *Record) Began() Request {
	if r.texts == nil {
		return r.Request
	}
	var q Request
	d := decoder{b: r.texts}
	d.texts(&q)
	d.b = r.header
	q.Header = d.header()
	return q
}

// Most sessions begin with a GET. It is packed as an empty text, and an empty method as
// noMethod.
const (
	usualMethod = "GET"
	noMethod    = "\x00"
)

// packTexts packs the texts of a request.
func packTexts(r *Request) []byte {
	packed := *r
	switch r.Method {
	case usualMethod:
		packed.Method = ""
	case "":
		packed.Method = noMethod
	}
	f := make([]byte, 0, 64+len(r.URI)+len(r.UserAgent))
	for _, s := range packed.texts() {
		f = appendString(f, *s)
	}
	return f
}

// packHeader packs the lines of a header.
func packHeader(lines []Field) (f []byte) {
	for _, h := range lines {
		f = appendString(appendString(f, h.Name), h.Value)
	}
	return f
}

// header reads what packHeader has written.
func (d *decoder) header() (lines []Field) {
	for len(d.b) > 0 && !d.bad {
		lines = append(lines, Field{Name: string(d.bytes()), Value: string(d.bytes())})
	}
	return lines
}

// skip takes n texts.
func (d *decoder) skip(n int) {
	for range n {
		d.bytes()
	}
}

// texts reads what packTexts has written.
func (d *decoder) texts(r *Request) {
	for _, s := range r.texts() {
		*s = string(d.bytes())
	}
	switch r.Method {
	case "":
		r.Method = usualMethod
	case noMethod:
		r.Method = ""
	}
}
