package record

import (
	"reflect"
	"strings"
	"testing"
	"time"

	"github.com/gin-lifecycle/lifecycle/internal/token"

	"go.uber.org/goleak"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

func samples() []Record {
	proof := strings.Repeat("p", token.ProofLength)
	return []Record{
		{Proof: proof, Created: 1, Timeouts: token.Timeouts{Idle: time.Second}, Values: []byte{}},
		{
			Proof: proof, Created: 1_800_000_000_000,
			Timeouts: token.Timeouts{Idle: time.Hour, Deadline: 1_800_000_500_000},
			Cookie:   &Cookie{Path: "/a", Domain: "example.com", MaxAge: 3600, SameSite: 3, Secure: true, HTTPOnly: true, Partitioned: true},
			Request: Request{Method: "GET", URI: "/?a=b", Host: "example.com", ClientIP: "::1", UserAgent: "ua",
				Header: []Field{{"A", "1"}, {"A", "2"}}},
			Values: []byte("values"),
		},
	}
}

func TestRoundTrip(t *testing.T) {
	t.Parallel()
	for _, want := range samples() {
		got, err := Unpack(Pack(want))
		if err != nil || !reflect.DeepEqual(got, want) {
			t.Errorf("%+v became %+v, %v", want, got, err)
		}
	}
}

func TestUnpackTakesNothingCut(t *testing.T) {
	t.Parallel()
	for _, r := range samples() {
		r.Values = nil
		b := Pack(r)
		for n := range b {
			if _, err := Unpack(b[:n]); err == nil {
				t.Errorf("%d of %d bytes are a record", n, len(b))
			}
		}
	}
}

func FuzzUnpack(f *testing.F) {
	for _, r := range samples() {
		f.Add(Pack(r))
	}
	f.Fuzz(func(t *testing.T, b []byte) {
		r, err := Unpack(b)
		if err != nil {
			return
		}
		again, err := Unpack(Pack(r))
		if err != nil || !reflect.DeepEqual(again, r) {
			t.Errorf("%q became %+v, then %+v, %v", b, r, again, err)
		}
	})
}
