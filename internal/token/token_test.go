package token

import (
	"strings"
	"testing"
	"time"

	"go.uber.org/goleak"
)

var mark = MarkOf("life", "session")

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// Parse reads what String writes. Rotate changes the secret and nothing else.
func TestRoundTrip(t *testing.T) {
	t.Parallel()
	for _, timeouts := range []Timeouts{
		{Idle: time.Millisecond},
		{Idle: 30 * time.Minute, Deadline: 1_800_000_000_000},
		{Idle: MaxTimeout, Deadline: 1<<48 - 1},
	} {
		want := New(mark, timeouts)
		s := want.String()
		got, ok := Parse(s, mark)
		if !ok || got != want || len(s) != Length || !ValidID(want.ID) || len(want.Proof()) != ProofLength || len(ProofText(want.Proof())) != 22 {
			t.Errorf("Parse(%+v.String()) = %+v, %v", want, got, ok)
		}
		next := want.Rotate()
		if next.ID != want.ID || next.Proof() == want.Proof() || next.Timeouts() != want.Timeouts() {
			t.Errorf("Rotate of %+v returns %+v, want another secret and nothing else changed", want, next)
		}
	}
}

// Parse accepts one spelling of a token, and nothing that is no token.
func TestParseAcceptsOneSpelling(t *testing.T) {
	t.Parallel()
	s := New(mark, Timeouts{Idle: time.Minute}).String()
	for i := range len(s) {
		for _, c := range []byte("A_-.=+/\n \x00~") {
			bad := s[:i] + string(c) + s[i+1:]
			if got, ok := Parse(bad, mark); ok && got.String() != bad {
				t.Errorf("Parse accepts %q, a second spelling of %q", bad, got)
			}
		}
	}
	for _, bad := range []string{"", ".", s[1:], s + "A", s[:Length-1], strings.Repeat("A", Length)} {
		if _, ok := Parse(bad, mark); ok {
			t.Errorf("Parse accepts %q", bad)
		}
	}
}

// Whatever somebody changes in a token, the proof is another one, so that nothing is good
// that was not issued together with the rest.
func TestProofCoversTheWholeSecretHalf(t *testing.T) {
	t.Parallel()
	k := New(mark, Timeouts{Idle: time.Minute, Deadline: 1_800_000_000_000})
	s := k.String()
	const last = 6 // characters that say when the cookie was sent, and are not covered
	for i := IDLength + 1; i < len(s)-last; i++ {
		for _, c := range []byte("Aa0_") {
			forged, ok := Parse(s[:i]+string(c)+s[i+1:], mark)
			if ok && c != s[i] && (forged.Proof() == k.Proof() || forged.Proves(k.Proof())) {
				t.Errorf("the proof does not cover character %d", i)
			}
		}
	}
	other := MarkOf("life", "admin")
	if _, ok := Parse(s, other); ok {
		t.Error("Parse accepts a token of another cookie name")
	}
	renamed := k
	renamed.mark = other
	if forged, ok := Parse(renamed.String(), other); !ok || forged.Proof() == k.Proof() || forged.SecretProof() == k.SecretProof() {
		t.Error("the proof does not cover the mark")
	}
	for _, m := range []Mark{MarkOf("life:session", ""), MarkOf("lif", "esession"), MarkOf("other", "session")} {
		if m == mark {
			t.Error("two pairs of store and name have the same mark")
		}
	}
	now := time.Unix(1_800_000_000, 0)
	sent, ok := Parse(k.Sent(now).String(), mark)
	if !ok || !sent.Same(k) || sent.Proof() != k.Proof() || sent.Age(now) != 0 || sent.Age(now.Add(90*time.Minute)) != 90*time.Minute || sent.Same(k.Rotate()) {
		t.Errorf("a token that was sent is %+v", sent)
	}
	longer := k.WithTimeouts(Timeouts{Idle: time.Hour})
	if longer.Proof() == k.Proof() || longer.SecretProof() != k.SecretProof() || longer.WithTimeouts(k.Timeouts()) != k || !longer.Proves(longer.Proof()) {
		t.Errorf("a token with other timeouts is %+v", longer)
	}
	if k.Rotate().SecretProof() == k.SecretProof() {
		t.Error("SecretProof is the same for another secret")
	}
}

// All IDs are different, and every bit of the secret is random.
func TestRandomness(t *testing.T) {
	t.Parallel()
	var ones [secretBytes * 8]int
	ids := make(map[string]bool)
	const n = 2000
	for range n {
		k := New(mark, Timeouts{Idle: time.Minute})
		ids[k.ID] = true
		for bit := range ones {
			ones[bit] += int(k.secret[bit/8]>>(bit%8)) & 1
		}
	}
	if len(ids) != n {
		t.Errorf("%d IDs for %d sessions", len(ids), n)
	}
	for bit, count := range ones {
		if count < n/3 || count > 2*n/3 { // fifteen standard deviations
			t.Errorf("bit %d is set in %d of %d secrets", bit, count, n)
		}
	}
}

// All buckets get about the same number of sessions.
func TestBucketsAreEven(t *testing.T) {
	t.Parallel()
	const n, buckets = 20_000, 16
	var count [buckets]int
	for range n {
		count[Bucket(New(mark, Timeouts{Idle: time.Minute}).ID, buckets)]++
	}
	for b, c := range count {
		if c < n/buckets/2 || c > n/buckets*2 {
			t.Errorf("bucket %d has %d of %d sessions", b, c, n)
		}
	}
}

// What Parse accepts is a valid token, spelled as String spells it.
func FuzzParse(f *testing.F) {
	f.Add(New(mark, Timeouts{Idle: time.Minute, Deadline: 1}).String())
	f.Add("")
	f.Fuzz(func(t *testing.T, s string) {
		got, ok := Parse(s, mark)
		if !ok {
			return
		}
		if got.String() != s || !ValidID(got.ID) || got.Timeouts().Idle <= 0 || got.Timeouts().Idle > MaxTimeout {
			t.Errorf("Parse(%q) = %+v, which String writes as %q", s, got, got)
		}
	})
}
