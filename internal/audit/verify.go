package audit

import (
	"fmt"

	"gatehouse"
)

// Report is what [Verify] found. The log is sound when Problem is empty.
type Report struct {
	Size     int64  // leaves that the checkpoint commits to
	Checked  int64  // leaves looked at
	FirstBad int64  // index of the first leaf that is not as it was, -1 when none is or none can be named
	Problem  string // one line of English about FirstBad
	After    int64  // leaves after the checkpoint: only their signatures vouch for them
}

// OK reports whether nothing was found.
func (r Report) OK() bool { return r.Problem == "" }

// Verify checks a log against a checkpoint that was kept where who can write
// the log cannot change it. The key is the installation's, name+hash+key, kept
// likewise. An error means that nothing could be judged: the source failed or
// the checkpoint is not signed by that key. Tampering is in the report.
//
// Bodies before the checkpoint are proven by its root alone, in one fast pass:
// a damaged signature column over sound bodies is not tampering. Only when the
// root does not match are signatures checked, and then every one up to the
// first that fails, because a leaf that was rewritten together with all hashes
// is betrayed by nothing else. Leaves after the checkpoint always are.
//
// The key may be any that the installation had: a rotation is an event of the
// log, signed by the key before, and is followed. The checkpoint must be signed
// by a key that was in force where it was made.
func Verify(leaves Source, checkpoint []byte, verifierKey string) (Report, error) {
	verifier, pub, err := parseVerifierKey(verifierKey)
	if err != nil {
		return Report{FirstBad: -1}, err
	}
	head, err := readCheckpoint(checkpoint)
	if err != nil {
		return Report{FirstBad: -1}, err
	}
	p := newPass(head, keyring{pub}, false)
	if err := p.run(leaves); err != nil {
		return p.report, err
	}
	if err := p.signedBy(checkpoint, verifier.Name()); err != nil && !p.broken {
		return Report{FirstBad: -1}, err
	}
	if p.proven {
		return p.report, nil
	}
	p = newPass(head, keyring{first(pub, p.links)}, true)
	if err := p.run(leaves); err != nil {
		return p.report, err
	}
	if p.report.OK() && !p.proven {
		p.report.Problem = "the log is not the one the checkpoint was made of, although every leaf is signed: " +
			"another history was signed with the installation's key"
	}
	return p.report, nil
}

// pass is one way through the log.
type pass struct {
	head       Head
	signatures *signatures
	keys       keyring                // in force behind the last leaf
	vouched    keyring                // those of keys that may sign a checkpoint
	atHead     keyring                // vouched behind the checkpoint's last leaf
	links      []gatehouse.Succession // so far
	all        bool                   // check signatures before the checkpoint too
	tree       *tree
	report     Report
	broken     bool // the order is lost: nothing behind means anything
	proven     bool // the checkpoint's root was reached
}

func newPass(head Head, keys keyring, all bool) *pass {
	return &pass{head: head, signatures: &signatures{}, keys: keys, vouched: keys, all: all, tree: newTree(), report: Report{Size: head.Size, FirstBad: -1}}
}

// signedBy checks the checkpoint by the keys in force where it was made.
func (p *pass) signedBy(checkpoint []byte, name string) error {
	keys := p.atHead
	if keys == nil {
		keys = p.vouched // the log is shorter
	}
	var problem error
	for _, key := range keys {
		v, err := verifierOf(name, key)
		if err == nil {
			_, err = ParseCheckpoint(checkpoint, v)
		}
		if err == nil {
			return nil
		}
		problem = err
	}
	return problem
}

func (p *pass) run(leaves Source) error {
	for leaf, err := range leaves {
		if err != nil {
			return fmt.Errorf("reading audit leaf %d: %w", p.report.Checked, err)
		}
		if err := p.leaf(leaf); err != nil {
			return err
		}
		// In the slow pass the first problem is the answer. In the fast one the
		// root must still be reached, to know that nothing before was altered.
		if p.broken || p.all && !p.report.OK() {
			break
		}
	}
	p.flush()
	if n := p.report.Checked; !p.broken && n < p.head.Size && p.report.OK() {
		p.bad(n, fmt.Sprintf("is missing: the log ends before the checkpoint's %d leaves", p.head.Size))
	}
	return p.compare()
}

// compare sets proven.
func (p *pass) compare() error {
	if p.tree.size() != p.head.Size {
		return nil
	}
	root, err := p.tree.root()
	p.proven = root == p.head.Root
	return err
}

func (p *pass) leaf(l Leaf) error {
	at := p.report.Checked
	if l.Index != at {
		p.broken = true
		p.bad(at, fmt.Sprintf("is missing or out of place: leaf %d stands there", l.Index))
		return nil
	}
	if index, ok := scanIndex(l.Body); !ok || index != at {
		p.broken = true
		p.bad(at, "was altered or moved: its body is not that of this index")
		return nil
	}
	p.report.Checked++
	hash := LeafHash(l.Body)
	if !l.personalFits() {
		p.bad(at, "has personal data that is not what was committed to")
	}
	if at >= p.head.Size {
		p.report.After++
	} else if err := p.tree.append(hash); err != nil {
		return err
	}
	judges := p.keys
	if s, ok := linkIn(l.Body); ok {
		p.links = append(p.links, s)
		judges, p.keys, p.vouched = p.keys.admits(s), p.keys.after(s), p.vouched.onward(s)
	}
	if p.report.Checked == p.head.Size {
		p.atHead = p.vouched
	}
	if p.all || at >= p.head.Size {
		if p.signatures.add(at, hash, l.Signature, judges) {
			p.flush()
		}
	}
	return nil
}

func (l Leaf) personalFits() bool {
	if len(l.Personal) == 0 {
		return true
	}
	if fits, known := ipFits(l.Body, l.Personal); known {
		return fits
	}
	return personalFits(l.Body, l.Personal)
}

// flush checks the signatures that were put aside.
func (p *pass) flush() {
	if at := p.signatures.check(); at >= 0 {
		p.bad(at, "was altered: its signature does not verify")
	}
}

// bad notes a problem unless an earlier leaf has one. Signatures are checked
// in batches, so a problem of an earlier leaf can come to light later.
func (p *pass) bad(index int64, what string) {
	if p.report.OK() || index < p.report.FirstBad {
		p.report.FirstBad = index
		p.report.Problem = fmt.Sprintf("leaf %d %s", index, what)
	}
}

// VerifyHead checks that a frontier is the log that a checkpoint commits to:
// what a store does at start with the newest checkpoint that it kept.
func VerifyHead(frontier [][32]byte, size int64, head Head) error {
	root, err := Root(frontier, size)
	if err != nil {
		return err
	}
	if size != head.Size || root != head.Root {
		return gatehouse.Errorf(gatehouse.Internal, "the audit log is not the one its checkpoint was made of")
	}
	return nil
}
