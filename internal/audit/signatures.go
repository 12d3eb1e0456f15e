package audit

import (
	"crypto/ed25519"
	"runtime"
	"sync"
)

// batchSize is how many signatures are put aside before they are checked on
// all processors: one costs as much as hashing fifty leaves.
const batchSize = 1024

// signatures checks signatures in batches. Its entries are copies: a source
// reuses its slices.
type signatures struct {
	pending []signed
}

type signed struct {
	index int64
	keys  keyring // any of which may have signed
	msg   [leafMessageLen]byte
	sig   [ed25519.SignatureSize]byte
}

// add puts one aside and reports whether it is time to check. A signature of
// another length becomes one that fails.
func (s *signatures) add(index int64, hash [32]byte, sig []byte, keys keyring) (full bool) {
	e := signed{index: index, keys: keys}
	appendLeafMessage(e.msg[:0], index, hash)
	if len(sig) == len(e.sig) {
		copy(e.sig[:], sig)
	}
	s.pending = append(s.pending, e)
	return len(s.pending) >= batchSize
}

// check verifies what is pending, forgets it, and returns the lowest index
// that failed, or -1.
func (s *signatures) check() int64 {
	workers := min(runtime.GOMAXPROCS(0), len(s.pending))
	firsts := make([]int64, workers)
	var wg sync.WaitGroup
	for w := range workers {
		wg.Go(func() { firsts[w] = s.stride(w, workers) })
	}
	wg.Wait()
	s.pending = s.pending[:0]
	lowest := int64(-1)
	for _, at := range firsts {
		if at >= 0 && (lowest < 0 || at < lowest) {
			lowest = at
		}
	}
	return lowest
}

// stride checks every n-th entry from w on. Entries are in order of index, so
// its first failure is its lowest.
func (s *signatures) stride(w, n int) int64 {
	for i := w; i < len(s.pending); i += n {
		e := &s.pending[i]
		if !e.keys.verifies(e.msg[:], e.sig[:]) {
			return e.index
		}
	}
	return -1
}
