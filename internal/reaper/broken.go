package reaper

import (
	"fmt"

	"github.com/gin-lifecycle/lifecycle/internal/ledger"
)

// maxBroken bounds what is logged, each thing once.
const maxBroken = 1000

// note notes what is wrong with the beginning of a bucket's due-index: others have
// written to it. What of it can be read is looked at all the same.
func (r *Reaper) note(b int, h ledger.Head) {
	if h.Err != nil {
		r.complain(fmt.Sprint("bucket ", b), "lifecycle: a due-index was overwritten with something else; delete the key",
			"bucket", b, "error", h.Err)
	}
	if h.Foreign == 0 {
		return
	}
	r.complain(fmt.Sprint("entries of bucket ", b),
		"lifecycle: a due-index has entries that name no session of its bucket, they are left alone; was the number of buckets changed by hand?",
		"bucket", b)
	r.mu.Lock()
	defer r.mu.Unlock()
	r.foreign[b] = max(r.foreign[b], h.Foreign)
}

// mostForeign returns how many more entries to read so as to see behind those that
// others have put there.
func (r *Reaper) mostForeign(buckets []int) int {
	r.mu.Lock()
	defer r.mu.Unlock()
	most := 0
	for _, b := range buckets {
		most = max(most, r.foreign[b])
	}
	return most
}

// complain logs an error, once for each thing that it is about.
func (r *Reaper) complain(about, text string, args ...any) {
	r.mu.Lock()
	_, known := r.broken[about]
	news := !known && len(r.broken) < maxBroken
	if news {
		r.broken[about] = struct{}{}
	}
	r.mu.Unlock()
	if news {
		r.c.Log.Error(text, args...)
	}
}
