package meter

import (
	"cmp"
	"encoding/binary"
	"hash/maphash"
	"io"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"sync"
)

// objectMap remembers objects until they are acknowledged, and the newest
// maxObjects after that: the store is asked for older ones.
//
// In a day without the store the unacknowledged ones are millions, so memory
// holds the newest only and files the others in runs: each sorted by hash, so
// that finding one costs some twenty small reads. The files say nothing that
// the journal does not; a start removes them and fills them again from there.
type objectMap struct {
	mu    sync.RWMutex
	dir   string
	seed  maphash.Seed
	byID  map[string]Object
	acked []string // oldest first

	waiting []waiting // in byID, not acknowledged, oldest first
	runs    []objectRun
	nextRun int
	added   int64 // calls of add
	done    int64 // objects acknowledged
}

// waiting is an object that the store may lack; seq is its call of add.
type waiting struct {
	id  string
	seq int64
}

const (
	maxWaiting = 1 << 17 // unacknowledged objects in memory before a run is made of half
	runPattern = "objects-*.run"
)

// objectRun is a file: for each object hash, position and length, sorted, then
// the objects as in their frames.
type objectRun struct {
	f     *os.File
	count int
	last  int64 // seq of its newest object
}

const runEntry = 20

func (m *objectMap) init(dir string) {
	m.dir, m.seed, m.byID = dir, maphash.MakeSeed(), map[string]Object{}
	stale, _ := filepath.Glob(filepath.Join(dir, runPattern))
	for _, path := range stale {
		os.Remove(path)
	}
}

func (m *objectMap) get(id string) (Object, bool) {
	m.mu.RLock()
	defer m.mu.RUnlock()
	if o, ok := m.byID[id]; ok {
		return o, true
	}
	for i := len(m.runs) - 1; i >= 0; i-- {
		if o, ok := m.runs[i].find(maphash.String(m.seed, id), id); ok {
			return o, true
		}
	}
	return Object{}, false
}

func (m *objectMap) add(o Object) {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.added++
	_, again := m.byID[o.ID]
	m.byID[o.ID] = o
	if again {
		return
	}
	m.waiting = append(m.waiting, waiting{o.ID, m.added})
	// On a disk that is full it is tried again once as many more wait, not for each.
	if n := len(m.waiting); n >= maxWaiting && n%(maxWaiting/2) == 0 {
		m.spill(maxWaiting / 2)
	}
}

// spill files the n oldest that wait. On an error they stay in memory, which
// is the lesser evil: without an owner an object is refused to everybody.
func (m *objectMap) spill(n int) {
	oldest := m.waiting[:n]
	f, err := m.writeRun(oldest)
	if err != nil {
		return
	}
	m.runs = append(m.runs, objectRun{f, n, oldest[n-1].seq})
	for _, w := range oldest {
		delete(m.byID, w.id)
	}
	m.waiting = slices.Clone(m.waiting[n:])
}

func (m *objectMap) writeRun(objects []waiting) (*os.File, error) {
	type indexed struct {
		hash    uint64
		at, len int
	}
	var index []indexed
	var data []byte
	for _, w := range objects {
		o := m.byID[w.id]
		at := len(data)
		data = encodeObject(data, &o)
		index = append(index, indexed{maphash.String(m.seed, w.id), at, len(data) - at})
	}
	slices.SortFunc(index, func(a, b indexed) int { return cmp.Compare(a.hash, b.hash) })
	out := make([]byte, 0, len(index)*runEntry+len(data))
	for _, e := range index {
		out = binary.LittleEndian.AppendUint64(out, e.hash)
		out = binary.LittleEndian.AppendUint64(out, uint64(len(index)*runEntry+e.at))
		out = binary.LittleEndian.AppendUint32(out, uint32(e.len))
	}
	m.nextRun++
	f, err := os.OpenFile(filepath.Join(m.dir, "objects-"+strconv.Itoa(m.nextRun)+".run"), os.O_CREATE|os.O_TRUNC|os.O_RDWR, 0o600)
	if err != nil {
		return nil, err
	}
	if _, err := f.Write(append(out, data...)); err != nil {
		f.Close()
		os.Remove(f.Name())
		return nil, err
	}
	return f, nil
}

// find looks for an id by its hash; of several with one hash, the id decides.
func (r *objectRun) find(hash uint64, id string) (Object, bool) {
	var b [runEntry]byte
	entry := func(i int) (at uint64) {
		if _, err := r.f.ReadAt(b[:], int64(i)*runEntry); err != nil {
			return 0
		}
		return binary.LittleEndian.Uint64(b[:])
	}
	lo, hi := 0, r.count
	for lo < hi {
		if mid := (lo + hi) / 2; entry(mid) < hash {
			lo = mid + 1
		} else {
			hi = mid
		}
	}
	for ; lo < r.count && entry(lo) == hash; lo++ {
		data := make([]byte, binary.LittleEndian.Uint32(b[16:]))
		_, err := r.f.ReadAt(data, int64(binary.LittleEndian.Uint64(b[8:])))
		if o := decodeObject(string(data)); (err == nil || err == io.EOF) && o.ID == id {
			return o, true
		}
	}
	return Object{}, false
}

// ack notes that the store has objects. They are acknowledged nearly in the
// order in which they came, so a run goes once as many were acknowledged as
// came up to its end and maxObjects more.
func (m *objectMap) ack(objects []Object) {
	if len(objects) == 0 {
		return
	}
	m.mu.Lock()
	defer m.mu.Unlock()
	m.done += int64(len(objects))
	for _, o := range objects {
		m.acked = append(m.acked, o.ID)
	}
	for len(m.acked) > maxObjects {
		delete(m.byID, m.acked[0])
		m.acked = m.acked[1:]
	}
	for len(m.runs) > 0 && m.done >= m.runs[0].last+maxObjects {
		m.runs[0].drop()
		m.runs = m.runs[1:]
	}
	// One that came a little out of turn stays in byID until it is acknowledged.
	for len(m.waiting) > 0 && m.waiting[0].seq <= m.done {
		m.waiting = m.waiting[1:]
	}
}

func (r *objectRun) drop() {
	r.f.Close()
	os.Remove(r.f.Name())
}

// close removes the runs.
func (m *objectMap) close() {
	m.mu.Lock()
	defer m.mu.Unlock()
	for i := range m.runs {
		m.runs[i].drop()
	}
	m.runs = nil
}
