package audit

import (
	"slices"

	"gatehouse"
)

// Subject names a record that acts are about.
type Subject struct {
	Kind gatehouse.Kind
	ID   string
}

// Heads holds the revision of the last act that changed each record. A row
// with another revision was not written by Gatehouse: edited, revived or rolled
// back.
type Heads map[Subject]gatehouse.Revision

// Note takes an event into account, as Replay does for its leaf. Denied calls
// and reads change nothing, and neither does an act without a subject.
func (h Heads) Note(e gatehouse.Event) {
	if e.Result == gatehouse.Done && e.Subject != "" {
		h[Subject{e.Kind, e.Subject}] = e.Revision
	}
}

// Replayer reads the whole log at start: it rebuilds the tree and collects the
// heads. The zero Replayer is not ready; use NewReplayer.
type Replayer struct {
	tree  *tree
	heads Heads
	kinds map[string]gatehouse.Kind // one string per kind instead of one per leaf
}

// NewReplayer starts at the first leaf.
func NewReplayer() *Replayer {
	return &Replayer{tree: newTree(), heads: make(Heads), kinds: make(map[string]gatehouse.Kind)}
}

// Add takes the next leaf, whose body may be reused afterwards. It fails when
// the leaf is not the next one.
func (r *Replayer) Add(l Leaf) error {
	at := r.tree.size()
	p, ok := scanPrefix(l.Body)
	if !ok || l.Index != at || p.index != at {
		return gatehouse.Errorf(gatehouse.Internal,
			"audit leaf %d is missing, moved or altered: run gatehouse audit verify", at)
	}
	if err := r.tree.append(LeafHash(l.Body)); err != nil {
		return err
	}
	if string(p.result) != string(gatehouse.Done) || len(p.subject) == 0 {
		return nil
	}
	id, ok := unquote(p.subject)
	if !ok {
		return gatehouse.Errorf(gatehouse.Internal, "audit leaf %d is malformed", at)
	}
	r.heads[Subject{r.kind(p.kind), id}] = p.revision
	return nil
}

func (r *Replayer) kind(raw []byte) gatehouse.Kind {
	k, ok := r.kinds[string(raw)]
	if !ok {
		s, _ := unquote(raw)
		k = gatehouse.Kind(s)
		r.kinds[string(raw)] = k
	}
	return k
}

// Size is how many leaves were added.
func (r *Replayer) Size() int64 { return r.tree.size() }

// Root is the root hash of the leaves added so far: what a checkpoint of that
// size must say.
func (r *Replayer) Root() ([32]byte, error) { return r.tree.root() }

// Finish compares what was read with the tree that the store keeps, and
// returns the heads. The stored tree is no better than the rows beside it
// unless it is authenticated; that is the store's to do.
func (r *Replayer) Finish(size int64, frontier [][32]byte) (Heads, error) {
	if r.tree.size() != size || !slices.Equal(r.tree.frontier(), frontier) {
		return nil, gatehouse.Errorf(gatehouse.Internal,
			"the audit log's leaves are not those of its tree (%d leaves, the tree has %d): run gatehouse audit verify",
			r.tree.size(), size)
	}
	return r.heads, nil
}

// Replay is a Replayer over a source.
func Replay(leaves Source, size int64, frontier [][32]byte) (Heads, error) {
	r := NewReplayer()
	for l, err := range leaves {
		if err != nil {
			return nil, err
		}
		if err := r.Add(l); err != nil {
			return nil, err
		}
	}
	return r.Finish(size, frontier)
}
