package sqlstore

import (
	"context"
	"database/sql"
	"errors"
	"slices"

	"gatehouse"
	"gatehouse/internal/audit"
	"gatehouse/internal/store"
)

// Where several processes write to one database, none of them knows all heads
// from its own acts. The installation row says in every snapshot how long the
// log is, under a MAC that binds the root; so whoever looks at rows first reads
// the leaves that it has not seen, makes sure that they lead to that root, and
// is then no less informed than the process that wrote them. A process moves
// the heads of its own acts only after COMMIT, from a map beside them: before
// that, nobody can tell whether they will be.

const selectNews query = `SELECT idx, body, signature FROM audit WHERE idx >= ? AND idx < ? ORDER BY idx`

// everyTeam is the scope under which the whole log is seen.
const everyTeam = "*"

// head is what the log says of a record, as far as this view may know.
func (v *view) head(k headKey) (gatehouse.Revision, bool) {
	if v.own != nil {
		if r, ok := v.own.pending[k]; ok {
			return r, true
		}
	}
	return v.s.heads.get(k)
}

// catchUp makes the heads at least as new as the snapshot. Rows are judged by
// them, so it comes before any row is read.
func (v *view) catchUp() error {
	if !v.s.d.Shared || v.current || v.own != nil {
		return nil
	}
	st, err := v.state()
	if err == nil {
		err = v.s.catchUp(v.ctx, v.sess, st)
	}
	v.current = err == nil
	return err
}

// asSystem runs f with all teams in sight: for what concerns the log as a whole
// and hands nothing of it out.
func (s *session) asSystem(f func() error) error {
	scope := s.scope
	if err := s.see(everyTeam); err != nil {
		return err
	}
	// Whoever passes over f's error must not go on with all teams in sight.
	return errors.Join(f(), s.see(scope))
}

// catchUp reads the leaves between what is known and a snapshot's state.
func (s *Store) catchUp(ctx context.Context, sess *session, st state) error {
	known := s.heads.known()
	if st.tree.Size <= known.Size {
		return nil
	}
	n := news{store: s, tree: store.Tree{Size: known.Size, Frontier: known.Frontier}, heads: map[headKey]gatehouse.Revision{}}
	err := sess.asSystem(func() error {
		return sess.each(ctx, selectNews, []any{known.Size, st.tree.Size}, func(rows *sql.Rows) (bool, error) {
			var l store.Leaf
			if err := rows.Scan(&l.Index, &l.Body, &l.Signature); err != nil {
				return false, err
			}
			return true, n.add(l)
		})
	})
	if err != nil {
		return err
	}
	if n.tree.Size != st.tree.Size || !slices.Equal(n.tree.Frontier, st.tree.Frontier) {
		return damagedLeaf(n.tree.Size, "and those before it do not lead to the log's root")
	}
	s.heads.raise(n.heads, n.tree)
	return nil
}

// news are leaves that another process wrote.
type news struct {
	store *Store
	tree  store.Tree
	heads map[headKey]gatehouse.Revision
}

func (n *news) add(l store.Leaf) error {
	hash := audit.LeafHash(l.Body)
	if l.Index != n.tree.Size || !n.store.opts.Guard.VerifyLeaf(l.Index, hash, l.Signature) {
		return damagedLeaf(n.tree.Size, "is missing or was altered")
	}
	e, err := audit.Decode(l.Body, nil)
	if err != nil {
		return damagedLeaf(l.Index, "is malformed")
	}
	if _, ok := kindBytes[e.Kind]; ok && e.Result == gatehouse.Done && e.Subject != "" {
		n.heads[headOf(e.Kind, e.Subject)] = e.Revision
	}
	frontier, err := audit.Append(n.tree.Frontier, n.tree.Size, hash)
	n.tree = store.Tree{Size: n.tree.Size + 1, Frontier: frontier}
	return err
}

// sameLog refuses to write to a log that is not the one this process has read:
// shorter, or of the same length and different, it was put back from outside.
func (s *Store) sameLog(st state) error {
	known := s.heads.known()
	if st.tree.Size < known.Size || st.tree.Size == known.Size && !slices.Equal(st.tree.Frontier, known.Frontier) {
		return gatehouse.Errorf(gatehouse.Internal, "the audit log has %d leaves, and this process has read %d: the database was put back under it", st.tree.Size, known.Size)
	}
	return nil
}

func (h *heads) known() store.Tree {
	h.mu.RLock()
	defer h.mu.RUnlock()
	return h.tree
}

// raise takes over later heads. Two views may do it at once, and the one that
// saw less must not take anything back.
func (h *heads) raise(heads map[headKey]gatehouse.Revision, tree store.Tree) {
	h.mu.Lock()
	defer h.mu.Unlock()
	for k, r := range heads {
		if old, ok := h.m[k]; !ok || old.Less(r) {
			h.m[k] = r
		}
	}
	if h.tree.Size < tree.Size {
		h.tree = tree
	}
}

// setHead moves a record's head for the group and returns how to move it back.
func (g *group) setHead(k headKey, r gatehouse.Revision) (undo func()) {
	if !g.s.d.Shared {
		return g.s.heads.set(k, r)
	}
	if g.pending == nil {
		g.pending = map[headKey]gatehouse.Revision{}
	}
	old, had := g.pending[k]
	g.pending[k] = r
	return func() {
		if had {
			g.pending[k] = old
		} else {
			delete(g.pending, k)
		}
	}
}

// publish makes the heads of a committed group everybody's.
func (g *group) publish() {
	if g.s.d.Shared {
		g.s.heads.raise(g.pending, g.state.tree)
	}
}
