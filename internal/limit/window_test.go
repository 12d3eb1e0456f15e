package limit

import (
	"math/rand/v2"
	"testing"
)

// A window whose counts outgrow its small slots counts as one of large ones.
func TestAWindowCountsWhateverItsSlots(t *testing.T) {
	for seed := range uint64(200) {
		r := rand.New(rand.NewPCG(seed, 1))
		var w window[uint8]
		truth := map[int64]int64{}
		at := int64(2 * slots) // time begins at 0
		for step := range 400 {
			at += r.Int64N([]int64{1, 2, 3, 90}[r.IntN(4)])
			w.advance(at)
			n := r.Int64N([]int64{2, 200, 300, 1 << 40}[r.IntN(4)])
			if r.IntN(4) == 0 {
				from := at - r.Int64N(slots+5)
				if took := w.remove(from, n); took > truth[from] || from > at-slots && took != min(n, truth[from]) {
					t.Fatalf("seed %d, step %d: took %d of %d", seed, step, took, truth[from])
				} else {
					truth[from] -= took
				}
			} else {
				truth[at] += w.add(n)
			}
			var sum int64
			for i := at - slots + 1; i <= at; i++ {
				sum += truth[i]
			}
			if w.sum != sum {
				t.Fatalf("seed %d, step %d: %d, want %d", seed, step, w.sum, sum)
			}
		}
	}
}
