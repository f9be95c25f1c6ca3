package ledger

import (
	"bytes"
	"context"
	"encoding/hex"
	"os"
	"strings"
	"testing"
	"time"

	"github.com/gin-lifecycle/lifecycle/internal/ledger/ledgertest"
	"github.com/gin-lifecycle/lifecycle/internal/token"
)

// Something else has written the end: the past has what fits of it.
func TestPastOfWrongBytes(t *testing.T) {
	t.Parallel()
	l, rdb := newRemembering(t)
	ctx := context.Background()
	long := strings.Repeat("r", 1000)
	for at, want := range map[string]int64{"5": 5, "7.9": 7, "x": 0, "": 0, "-1": 0, "nan": 0, "inf": 0, "1e300": 0, "0x10": 16, "281474976710656": 0} {
		k, _ := ledgertest.Begin(t, l, token.Timeouts{Idle: time.Hour})
		end(t, l, k, "i:1", time.Minute)
		rdb.HSet(ctx, l.keys.end(l.Bucket(k.ID), k.ID), "at", at, "reason", long)
		if !settle(t, l, Settlement{ClaimRef: ClaimRef{k.ID, "i:1"}}) {
			t.Fatalf("at %q: the ack was refused", at)
		}
		if p := remembered(t, l, k); p.At != want || p.Reason != long[:maxReason] {
			t.Errorf("at %q: %+v", at, p)
		}
	}
	for what, key := range map[string]func(k token.Token) string{
		"end":   func(k token.Token) string { return l.keys.end(l.Bucket(k.ID), k.ID) },
		"watch": func(k token.Token) string { return l.keys.watch(l.Bucket(k.ID), k.ID) },
	} {
		id := bury(t, l)
		k := token.Token{ID: id}
		overwrite(t, l, key(k))
		if !drop(t, l, id) {
			t.Errorf("an overwritten %s: the drop was refused", what)
		}
	}
}

// A past that a release has written can be read by all later releases. Never change this file.
func TestGoldenPast(t *testing.T) {
	t.Parallel()
	text, err := os.ReadFile("testdata/past.golden")
	if err != nil {
		t.Fatal(err)
	}
	b, err := hex.DecodeString(strings.Join(strings.Fields(string(text)), ""))
	if err != nil {
		t.Fatal(err)
	}
	want := Past{Proof: strings.Repeat("p", token.ProofLength), Deadline: 1_800_000_500_000, At: 1_800_000_000_001, Reason: "idle"}
	if got, ok := UnpackPast(b); !ok || got != want {
		t.Errorf("read as %+v, %v", got, ok)
	}
	// The script writes the same.
	l, rdb := newRemembering(t)
	ctx := context.Background()
	k, _ := ledgertest.Begin(t, l, token.Timeouts{Idle: time.Hour})
	end(t, l, k, "i:1", time.Minute)
	at := l.keys.session(l.Bucket(k.ID), k.ID)
	rdb.SetRange(ctx, at, 0, want.Proof)
	rdb.SetRange(ctx, at, token.ProofLength+1, string(b[token.ProofLength+1:token.ProofLength+7]))
	rdb.HSet(ctx, l.keys.end(l.Bucket(k.ID), k.ID), "at", want.At, "reason", want.Reason)
	settle(t, l, Settlement{ClaimRef: ClaimRef{k.ID, "i:1"}})
	if got := rdb.Get(ctx, at).Val(); got != string(b) {
		t.Errorf("the script writes %x, want %x", got, b)
	}
	for n := range b {
		if p, ok := UnpackPast(b[:n]); ok && n <= pastHead {
			t.Errorf("%d bytes are read as %+v", n, p)
		}
	}
	for _, format := range []byte{0, 4, 5, 7} {
		b[token.ProofLength] = format
		if p, ok := UnpackPast(b); ok {
			t.Errorf("format %d is read as %+v", format, p)
		}
	}
	b[token.ProofLength] = formatPast
	if _, ok := UnpackPast(append(b, bytes.Repeat([]byte("x"), maxReason)...)); ok {
		t.Error("a long reason is read")
	}
}
