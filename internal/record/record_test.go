package record

import (
	"bytes"
	"encoding/hex"
	"errors"
	"os"
	"path/filepath"
	"reflect"
	"strings"
	"testing"
	"time"

	"go.uber.org/goleak"

	"github.com/gin-lifecycle/lifecycle/internal/token"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// samples returns records with few and with many fields.
func samples() []Record {
	proof := strings.Repeat("p", token.ProofLength)
	return []Record{
		{Proof: proof, Created: 1, Timeouts: token.Timeouts{Idle: time.Second}},
		{Proof: proof, Created: 1, Timeouts: token.Timeouts{Idle: time.Second}, Request: Request{Method: "GET"}, Values: []byte("v")},
		{
			Proof: proof, Created: 1_800_000_000_000,
			Timeouts: token.Timeouts{Idle: time.Hour, Deadline: 1_800_000_500_000},
			Rotated:  []Rotated{{Secret: strings.Repeat("r", token.ProofLength), Until: 1_800_000_030_000}, {Secret: strings.Repeat("s", token.ProofLength), Until: 1}},
			Cookie:   &Cookie{Path: "/a", Domain: "example.com", MaxAge: 3600, SameSite: 3, Secure: true, HTTPOnly: true, Partitioned: true},
			Request: Request{Method: "GET", URI: "/?a=b", Host: "example.com", ClientIP: "::1", UserAgent: "ua",
				Header: []Field{{"A", "1"}, {"A", "2"}}},
			Values: []byte("values"),
		},
		{Proof: proof, Created: 1, Timeouts: token.Timeouts{Idle: time.Second}, Own: time.Hour, Values: []byte("v")},
	}
}

// read returns what Unpack reads, with the request in its place.
func read(b []byte) (Record, error) {
	r, err := Unpack(b)
	r.Request = r.Began()
	r.texts, r.header = nil, nil
	return r, err
}

// Unpack reads what Pack writes.
func TestRoundTrip(t *testing.T) {
	t.Parallel()
	for _, want := range samples() {
		got, err := read(Pack(want))
		if err != nil || !reflect.DeepEqual(got, want) {
			t.Errorf("Unpack(Pack(%+v)) = %+v, %v", want, got, err)
		}
	}
}

// Unpack refuses a record that was cut within a field. If whole fields are missing, it reads
// the others.
func TestUnpackRefusesACutField(t *testing.T) {
	t.Parallel()
	for _, want := range samples() {
		b := Pack(want)
		complete := 0
		for n := range b {
			got, err := Unpack(b[:n])
			if err != nil {
				continue
			}
			complete++
			if got.Created != want.Created || got.Timeouts != want.Timeouts || !bytes.HasPrefix(want.Values, got.Values) {
				t.Errorf("the first %d of %d bytes are read as %+v", n, len(b), got)
			}
		}
		if complete > 6+len(want.Values) {
			t.Errorf("%d parts of one record are accepted, want %d at most", complete, 6+len(want.Values))
		}
	}
}

// An instance of an older release passes over the fields that it does not know, wherever
// they are, and writes them again when it saves the session.
func TestUnknownFieldsAreKept(t *testing.T) {
	t.Parallel()
	for _, want := range samples() {
		bare := want
		bare.Values = nil
		b := Pack(bare)
		known := want.unknown
		unknown := appendField(appendField(appendField(known, 7, []byte("revision")), 300, bytes.Repeat([]byte("x"), 1000)), 9, nil)
		newer := append(bytes.Clone(b), unknown...)
		if len(want.Values) > 0 {
			newer = append(append(newer, tagValues), want.Values...)
		}
		got, err := Unpack(newer)
		if err != nil || !bytes.Equal(Pack(got), newer) || !bytes.Equal(got.Values, want.Values) {
			t.Errorf("the record %q was saved as %q, %v", newer, Pack(got), err)
		}
		got.Values = []byte("other values")
		got.Rotated = append([]Rotated{{Secret: want.Proof, Until: 1}}, got.Rotated...)
		again, err := Unpack(Pack(got))
		if err != nil || !bytes.Equal(again.unknown, unknown) || string(again.Values) != "other values" {
			t.Errorf("saved with other values, the record is %+v, %v", again, err)
		}
		// The same, with the unknown field in front of those that this release knows.
		i := bytes.Index(b, appendField(nil, tagRequest, packTexts(&want.Request)))
		front := append(appendField(bytes.Clone(b[:i]), 200, []byte("u")), b[i:]...)
		got, err = read(front)
		if err != nil || !reflect.DeepEqual(got.Request, want.Request) || !bytes.Contains(Pack(got), appendField(nil, 200, []byte("u"))) {
			t.Errorf("with an unknown field in front, the record is %+v, %v", got, err)
		}
	}
}

// golden returns the bytes of a file in testdata.
func golden(t testing.TB, name string) []byte {
	t.Helper()
	text, err := os.ReadFile(filepath.Join("testdata", name+".golden"))
	if err != nil {
		t.Fatal(err)
	}
	b, err := hex.DecodeString(strings.Join(strings.Fields(string(text)), ""))
	if err != nil {
		t.Fatal(err)
	}
	return b
}

// A record that a release has written can be read by all later releases. Never change these
// files.
func TestGoldenFiles(t *testing.T) {
	t.Parallel()
	full := samples()[2]
	for name, want := range map[string]Record{
		"format-2": {Proof: full.Proof, Created: full.Created, Timeouts: token.Timeouts{Idle: time.Hour},
			Request: Request{Method: "GET", URI: "/", Host: "example.com", ClientIP: "192.0.2.1", UserAgent: "ua"}, Values: full.Values},
		"format-3": {Proof: full.Proof, Created: full.Created, Timeouts: full.Timeouts,
			Cookie: full.Cookie, Request: full.Request, Values: full.Values},
		"format-4": {Proof: full.Proof, Created: full.Created, Timeouts: token.Timeouts{Idle: time.Hour},
			Request: Request{Method: "GET", URI: "/", Host: "example.com", ClientIP: "192.0.2.1", UserAgent: "ua"}, Values: full.Values},
		"format-5":     full,
		"own-timeouts": samples()[3],
	} {
		b := golden(t, name)
		got, err := read(b)
		if err != nil || !reflect.DeepEqual(got, want) {
			t.Errorf("%s is read as %+v, %v, want %+v", name, got, err, want)
		}
		if b[token.ProofLength] >= format && !bytes.Equal(Pack(got), b) {
			t.Errorf("this release writes the record of %s as %x", name, Pack(got))
		}
		b[token.ProofLength] = formatRotated + 1
		if _, err := Unpack(b); !errors.Is(err, ErrMalformed) {
			t.Errorf("Unpack of a format of a later release: %v, want %v", err, ErrMalformed)
		}
	}
}

// The release before sessions had timeouts of their own has saved the record of own-timeouts, with
// the idle timeout of its store.
func TestOwnTimeoutsOutliveAnEarlierRelease(t *testing.T) {
	t.Parallel()
	want := samples()[3]
	want.Timeouts.Idle = 30 * time.Minute
	got, err := read(golden(t, "own-timeouts-saved-earlier"))
	if err != nil || !reflect.DeepEqual(got, want) {
		t.Errorf("read as %+v, %v, want %+v", got, err, want)
	}
	want.Own = time.Millisecond
	zero := bytes.Replace(Pack(want), []byte{tagOwn, 1, 1}, []byte{tagOwn, 1, 0}, 1)
	want.Own = token.MaxTimeout + time.Millisecond
	for what, b := range map[string][]byte{"none": zero, "too long": Pack(want)} {
		if _, err := Unpack(b); !errors.Is(err, ErrMalformed) {
			t.Errorf("timeouts of its own that are %s: %v, want %v", what, err, ErrMalformed)
		}
	}
}

// What Unpack accepts is the same after it was packed and read again.
func FuzzUnpack(f *testing.F) {
	for _, r := range samples() {
		f.Add(Pack(r))
	}
	for _, name := range []string{"format-2", "format-3"} {
		f.Add(golden(f, name))
	}
	f.Fuzz(func(t *testing.T, b []byte) {
		r, err := Unpack(b)
		if err != nil {
			return
		}
		first, _ := read(b)
		again, err := read(Pack(r))
		if err != nil || !reflect.DeepEqual(again, first) {
			t.Errorf("%q is read as %+v, and after Pack as %+v, %v", b, first, again, err)
		}
	})
}
