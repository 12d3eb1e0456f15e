package audit

import (
	"crypto/sha256"

	"github.com/transparency-dev/merkle/compact"

	"gatehouse"
)

// LeafHash is RFC 6962's hash of leaf data: SHA-256 of 0x00 and the data.
func LeafHash(body []byte) [32]byte {
	var room [1024]byte
	return sha256.Sum256(append(append(room[:0], 0), body...))
}

// hashChildren is RFC 6962's hash of an inner node. The library's own costs
// three allocations more, which a scan of the whole log pays per leaf.
func hashChildren(left, right []byte) []byte {
	var b [1 + 2*sha256.Size]byte
	b[0] = 1
	copy(b[1:], left)
	copy(b[1+sha256.Size:], right)
	sum := sha256.Sum256(b[:])
	return sum[:]
}

// tree grows a log leaf by leaf; what it keeps is logarithmic.
type tree struct{ r *compact.Range }

func newTree() *tree {
	return &tree{(&compact.RangeFactory{Hash: hashChildren}).NewEmptyRange(0)}
}

// loadTree continues from a frontier. The count of its hashes follows from the
// size, so a frontier that does not belong to the size is an error.
func loadTree(frontier [][32]byte, size int64) (*tree, error) {
	if size < 0 {
		return nil, gatehouse.Errorf(gatehouse.Internal, "the audit log has a negative size")
	}
	hashes := make([][]byte, len(frontier))
	for i := range frontier {
		hashes[i] = frontier[i][:]
	}
	r, err := (&compact.RangeFactory{Hash: hashChildren}).NewRange(0, uint64(size), hashes)
	if err != nil {
		return nil, gatehouse.Errorf(gatehouse.Internal, "the audit log's frontier does not fit its size").Because(err)
	}
	return &tree{r}, nil
}

func (t *tree) size() int64 { return int64(t.r.End()) }

func (t *tree) append(leaf [32]byte) error {
	if err := t.r.Append(leaf[:], nil); err != nil {
		return gatehouse.Errorf(gatehouse.Internal, "the audit log's frontier is damaged").Because(err)
	}
	return nil
}

func (t *tree) frontier() [][32]byte {
	hashes := t.r.Hashes()
	out := make([][32]byte, len(hashes))
	for i, h := range hashes {
		out[i] = [32]byte(h)
	}
	return out
}

func (t *tree) root() ([32]byte, error) {
	if t.size() == 0 {
		return sha256.Sum256(nil), nil
	}
	h, err := t.r.GetRootHash(nil)
	if err != nil {
		return [32]byte{}, gatehouse.Errorf(gatehouse.Internal, "the audit log has no root").Because(err)
	}
	return [32]byte(h), nil
}

// Append adds a leaf hash to a log of the given size, of which frontier holds
// the roots of the complete subtrees, largest first. It returns the frontier of
// size+1 and leaves the given one alone. It fails only when frontier and size
// do not belong together.
func Append(frontier [][32]byte, size int64, leaf [32]byte) ([][32]byte, error) {
	t, err := loadTree(frontier, size)
	if err != nil {
		return nil, err
	}
	if err := t.append(leaf); err != nil {
		return nil, err
	}
	return t.frontier(), nil
}

// Root is the root hash that follows from a frontier.
func Root(frontier [][32]byte, size int64) ([32]byte, error) {
	t, err := loadTree(frontier, size)
	if err != nil {
		return [32]byte{}, err
	}
	return t.root()
}
