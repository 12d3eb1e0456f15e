package sqlindex

import (
	"context"
	"database/sql"
	"sync"
)

// shelf has the copies of collections' vectors, the most recently used ones up
// to a number of bytes.
type shelf struct {
	mu     sync.Mutex
	copies map[int64]*vectorCopy
	most   int64
	clock  int64 // counts uses
}

func newShelf(most int64) *shelf { return &shelf{copies: map[int64]*vectorCopy{}, most: most} }

// vectorCopy is a collection's vectors. Whoever scans it holds mu for reading.
type vectorCopy struct {
	mu      sync.RWMutex
	version int64 // of the collection that it has
	spans   []span
	dead    int // slots that no span has
	chunks  []int64
	data    []int8 // dimension bytes a slot
	scale   []float32
	square  []float32 // of the length

	bytes, used int64 // under the shelf's mu
}

// span is the slots of a document.
type span struct {
	document int64
	from, to int
}

// slotBytes is what a slot takes beside its data.
const slotBytes = 8 + 4 + 4

// take returns the place of a collection's copy, or nil when a copy of so many
// vectors is too large for the shelf. Others make room.
func (s *shelf) take(c Collection, vectors int64) *vectorCopy {
	s.mu.Lock()
	defer s.mu.Unlock()
	// Appending makes slices a quarter larger than they are.
	bytes := vectors * int64(c.Dimension+slotBytes) * 5 / 4
	if bytes > s.most {
		delete(s.copies, c.Row)
		return nil
	}
	v := s.copies[c.Row]
	if v == nil {
		v = &vectorCopy{}
		s.copies[c.Row] = v
	}
	s.clock++
	v.bytes, v.used = bytes, s.clock
	s.evict(c.Row)
	return v
}

// evict forgets the least recently used copies but one, until the rest fits.
func (s *shelf) evict(but int64) {
	for {
		total, oldest := int64(0), but
		for row, v := range s.copies {
			total += v.bytes
			if row != but && (oldest == but || v.used < s.copies[oldest].used) {
				oldest = row
			}
		}
		if total <= s.most || oldest == but {
			return
		}
		delete(s.copies, oldest)
	}
}

func (s *shelf) forget(collection int64) {
	s.mu.Lock()
	defer s.mu.Unlock()
	delete(s.copies, collection)
}

// refresh brings the copy to the state of the snapshot, or leaves it where it is
// when it is beyond: what the snapshot lacks is dropped when it is rescored.
func (v *vectorCopy) refresh(ctx context.Context, s *Store, tx *sql.Tx, c Collection) error {
	v.mu.RLock()
	current := v.version >= c.version
	v.mu.RUnlock()
	if current {
		return nil
	}
	v.mu.Lock()
	defer v.mu.Unlock()
	if v.version >= c.version {
		return nil
	}
	live, err := s.sql("SELECT id FROM index_documents WHERE collection = ? AND vectors > 0", c.Row).IDs(ctx, tx)
	if err != nil {
		return err
	}
	missing := v.keep(live)
	if err := v.load(ctx, s, tx, c, missing); err != nil {
		v.reset() // half of it would be taken for whole
		return err
	}
	v.version = c.version
	return nil
}

func (v *vectorCopy) reset() {
	v.version, v.spans, v.dead = 0, nil, 0
	v.chunks, v.data, v.scale, v.square = nil, nil, nil, nil
}

// keep drops documents that are not live and names those that are not here.
// When half of the slots are dead it starts anew.
func (v *vectorCopy) keep(live []int64) (missing []int64) {
	here := make(map[int64]bool, len(live))
	for _, d := range live {
		here[d] = false
	}
	kept := v.spans[:0]
	for _, s := range v.spans {
		if _, ok := here[s.document]; ok {
			kept, here[s.document] = append(kept, s), true
		} else {
			v.dead += s.to - s.from
		}
	}
	if v.spans = kept; v.dead > 1000 && v.dead > len(v.chunks)/2 {
		v.reset()
		return live
	}
	for _, d := range live {
		if !here[d] {
			missing = append(missing, d)
		}
	}
	return missing
}

// loadAtOnce is how many documents one statement reads.
const loadAtOnce = 200

func (v *vectorCopy) load(ctx context.Context, s *Store, tx *sql.Tx, c Collection, documents []int64) error {
	full := make([]float32, c.Dimension)
	var raw sql.RawBytes
	for len(documents) > 0 {
		some := documents[:min(len(documents), loadAtOnce)]
		documents = documents[len(some):]
		q := s.sql("SELECT id, vector FROM index_chunks WHERE vector IS NOT NULL AND ")
		condition := s.engine.Among(q, DocumentOf("id"), some)
		q.WriteString(condition)
		if err := q.Each(ctx, tx, func(scan func(...any) error) error {
			var chunk int64
			if err := scan(&chunk, &raw); err != nil {
				return err
			}
			if unpack(raw, full) {
				v.add(chunk, full)
			}
			return nil
		}); err != nil {
			return err
		}
	}
	return nil
}

func (v *vectorCopy) add(chunk int64, full []float32) {
	slot, d := len(v.chunks), Document(chunk)
	if n := len(v.spans); n == 0 || v.spans[n-1].document != d || v.spans[n-1].to != slot {
		v.spans = append(v.spans, span{d, slot, slot})
	}
	v.spans[len(v.spans)-1].to++
	at := len(v.data)
	v.data = append(v.data, make([]int8, len(full))...)
	v.scale = append(v.scale, coarse(full, v.data[at:]))
	v.square = append(v.square, float32(dot(full, full)))
	v.chunks = append(v.chunks, chunk)
}
