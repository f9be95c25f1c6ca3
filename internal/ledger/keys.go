package ledger

import (
	"strconv"
	"strings"

	"github.com/gin-lifecycle/lifecycle/internal/token"
)

// keys makes the names of all keys and channels. The number in braces is that of the
// bucket. It is the hash tag, so a cluster keeps all keys of a bucket in one slot.
type keys struct {
	prefix  string
	buckets []string // "prefix:{n}:"
}

func newKeys(prefix string, buckets int) keys {
	k := keys{prefix: prefix, buckets: make([]string, buckets)}
	for i := range k.buckets {
		k.buckets[i] = prefix + ":{" + strconv.Itoa(i) + "}:"
	}
	return k
}

func (k keys) bucket(id string) int { return token.Bucket(id, len(k.buckets)) }

func (k keys) due(b int) string                { return k.buckets[b] + "due" }
func (k keys) dead(b int) string               { return k.buckets[b] + "dead" }
func (k keys) session(b int, id string) string { return k.buckets[b] + "session:" + id }
func (k keys) end(b int, id string) string     { return k.buckets[b] + "end:" + id }
func (k keys) watch(b int, id string) string   { return k.buckets[b] + "watch:" + id }

func (k keys) live(b int, id, proof string) string {
	return k.buckets[b] + "live:" + id + ":" + token.ProofText(proof)
}

func (k keys) instances() string  { return k.prefix + ":instances" }
func (k keys) foundation() string { return k.prefix + ":buckets" }

// serving is the list of the instances that only serve. An instance of an earlier release takes
// everybody on the list of instances for one that looks after buckets. One script writes both
// lists, so the name of that one is the hash tag of this one.
func (k keys) serving() string { return k.prefix + ":serving:{" + k.instances() + "}" }

// wake is the channel for messages that a bucket has a new first due entry. The instance
// that looks after the bucket listens to it.
func (k keys) wake(b int) string { return k.buckets[b] + "wake" }

// inbox is the channel for messages to one instance.
func (k keys) inbox(instance string) string { return k.prefix + ":instance:" + instance }

// longestProof is the length of a proof in the name of a live key.
var longestProof = len(token.ProofText(strings.Repeat("x", token.ProofLength)))

// parseLive returns the ID in the name of a live key. ok is false for every other name.
// Anybody who may publish in Redis can send any name. The ID that is returned keeps the
// whole name in memory, so a name that is longer than those of live keys is refused.
func (k keys) parseLive(key string) (id string, ok bool) {
	rest, ok := strings.CutPrefix(key, k.prefix+":{")
	if !ok {
		return "", false
	}
	num, rest, ok := strings.Cut(rest, "}:live:")
	if !ok {
		return "", false
	}
	id, proof, ok := strings.Cut(rest, ":")
	if !ok || len(proof) > longestProof || !token.ValidID(id) || num != strconv.Itoa(k.bucket(id)) {
		return "", false
	}
	return id, true
}

// parseWake returns the bucket of a wake channel. ok is false for every other channel.
func (k keys) parseWake(channel string) (int, bool) {
	rest, ok := strings.CutPrefix(channel, k.prefix+":{")
	if !ok {
		return 0, false
	}
	num, ok := strings.CutSuffix(rest, "}:wake")
	b, err := strconv.Atoi(num)
	return b, ok && err == nil && b >= 0 && b < len(k.buckets)
}
