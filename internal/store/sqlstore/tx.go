package sqlstore

import (
	"context"
	"time"

	"gatehouse"
	"gatehouse/internal/audit"
	"gatehouse/internal/store"
)

// tx is one member of a group, reading and writing.
type tx struct {
	view
	g      *group
	cause  gatehouse.Cause
	rev    gatehouse.Revision // what it commits under, if it records anything
	now    time.Time
	wrote  bool           // a leaf, and so a revision
	moved  bool           // a change
	posted bool           // to the ledger
	locked []gatehouse.ID // teams whose books it holds
	failed error
}

var _ store.Tx = (*tx)(nil)

// begin makes the member's transaction. The revision it would get is already
// that of the installation row in memory: records that it reads back must not
// look newer than the snapshot.
func (g *group) begin(m *member) *tx {
	t := &tx{g: g, cause: m.cause, now: g.s.opts.Now().UTC().Truncate(time.Microsecond)}
	t.rev = gatehouse.Revision{Epoch: g.state.rev.Epoch, N: g.state.rev.N + 1}
	t.view = view{s: g.s, ctx: context.WithoutCancel(m.ctx), sess: g.s.writer, own: g}
	return t
}

// finish settles a member whose closure succeeded: a revision is used up only
// by what is in the log.
func (t *tx) finish(g *group) (gatehouse.Revision, bool) {
	if !t.wrote {
		return gatehouse.Revision{}, false
	}
	g.state.rev = t.rev
	return t.rev, t.moved
}

// At implements [store.Tx].
func (t *tx) At() gatehouse.Revision { return t.rev }

// PutKey implements [store.Tx].
func (t *tx) PutKey(k *gatehouse.Key, act gatehouse.Act) error { return put(t, &keyTable, k, act) }

// PutManagementKey implements [store.Tx].
func (t *tx) PutManagementKey(k *gatehouse.ManagementKey, act gatehouse.Act) error {
	return put(t, &managementKeyTable, k, act)
}

// PutTeam implements [store.Tx].
func (t *tx) PutTeam(x *gatehouse.Team, act gatehouse.Act) error { return put(t, &teamTable, x, act) }

// PutUser implements [store.Tx].
func (t *tx) PutUser(x *gatehouse.User, act gatehouse.Act) error { return put(t, &userTable, x, act) }

// PutUpstream implements [store.Tx].
func (t *tx) PutUpstream(x *gatehouse.Upstream, act gatehouse.Act) error {
	return put(t, &upstreamTable, x, act)
}

// PutModel implements [store.Tx].
func (t *tx) PutModel(x *gatehouse.Model, act gatehouse.Act) error {
	return put(t, &modelTable, x, act)
}

// PutAlias implements [store.Tx].
func (t *tx) PutAlias(x *gatehouse.Alias, act gatehouse.Act) error {
	return put(t, &aliasTable, x, act)
}

// PutPrice implements [store.Tx].
func (t *tx) PutPrice(x *gatehouse.Price, act gatehouse.Act) error {
	return put(t, &priceTable, x, act)
}

// PutCluster implements [store.Tx].
func (t *tx) PutCluster(x *gatehouse.Cluster, act gatehouse.Act) error {
	return put(t, &clusterTable, x, act)
}

// PutJoinToken implements [store.Tx].
func (t *tx) PutJoinToken(x *gatehouse.JoinToken, act gatehouse.Act) error {
	return put(t, &joinTokenTable, x, act)
}

// PutMembership implements [store.Tx].
func (t *tx) PutMembership(x *gatehouse.Membership, act gatehouse.Act) error {
	return put(t, &membershipTable, x, act)
}

// put writes a record, its leaf and its change.
func put[T any](t *tx, a *authority[T], x *T, act gatehouse.Act) error {
	f := a.facts(x)
	if f.id == "" {
		return gatehouse.Errorf(gatehouse.Internal, "a %s without an id cannot be kept", a.kind)
	}
	before, version, err := replaced(t, a, f)
	if err != nil {
		return err
	}
	r, err := encode(t.s, a, x, t.rev, version+1)
	if err != nil {
		return t.fail(err)
	}
	if _, err := t.sess.exec(query(`INSERT INTO `+a.table+upsertRow), r.values()...); err != nil {
		return t.fail(err)
	}
	if a.file != nil {
		if err := a.file(t, before, x); err != nil {
			return t.fail(err)
		}
	}
	return moved(t, a, f.id, act)
}

// moved tells the log, and the feed where it carries the kind, that a record is
// another from this revision on.
func moved[T any](t *tx, a *authority[T], id string, act gatehouse.Act) error {
	act.Kind, act.Subject, act.Result = a.kind, id, gatehouse.Done
	t.g.undos = append(t.g.undos, t.g.setHead(headOf(a.kind, id), t.rev))
	if err := t.leaf(act); err != nil || a.quiet {
		return err
	}
	return t.change(a.kind, id)
}

// drop removes a record of a kind that leaves no tombstone. Its head moves to
// this revision, which no row has: one that is put back is behind the log.
func drop[T any](t *tx, a *authority[T], id string, act gatehouse.Act) error {
	before, _, err := findRow(&t.view, a, id)
	if err != nil {
		return err
	}
	if _, err := t.sess.exec(query(`DELETE FROM `+a.table+` WHERE id = ?`), id); err != nil {
		return t.fail(err)
	}
	if err := a.file(t, before, nil); err != nil {
		return t.fail(err)
	}
	return moved(t, a, id, act)
}

// replaced reads what a Put replaces; a record that the log has never named
// needs no look. A row that does not verify may have been a tombstone before it was
// edited, so it cannot be replaced under an id. Under a name it can: there the
// new record is the repair.
func replaced[T any](t *tx, a *authority[T], f facts) (before *T, version int64, err error) {
	if _, known := t.head(headOf(a.kind, f.id)); !known {
		return nil, 0, nil
	}
	before, r, err := findRow(&t.view, a, f.id)
	switch {
	case err == nil && !a.named && !a.facts(before).deleted.IsZero():
		return nil, 0, gatehouse.Errorf(gatehouse.FailedPrecondition, "the %s was deleted, and its id is never used again", a.kind)
	case err == nil:
		return before, r.version, nil
	case gatehouse.CodeOf(err) != gatehouse.NotFound:
		return nil, 0, err
	case !a.named && a.dropped && r == nil:
		return nil, 0, gatehouse.Errorf(gatehouse.FailedPrecondition, "the %s was deleted, and its id is never used again", a.kind)
	case !a.named:
		return nil, 0, gatehouse.Errorf(gatehouse.FailedPrecondition, "the stored %s was changed from outside and cannot be updated", a.kind)
	case r != nil:
		return nil, max(r.version, 0), nil
	}
	return nil, 0, nil
}

// fail remembers an engine's error: what was half written must not be kept.
func (t *tx) fail(err error) error {
	err = failed(err)
	if t.failed == nil {
		t.failed = err
	}
	return err
}

const forgetGateway query = `UPDATE gateways SET forgotten = 1 WHERE id = ?`

// ForgetGateway implements [store.Tx].
func (t *tx) ForgetGateway(id gatehouse.ID, act gatehouse.Act) error {
	there, err := t.sess.affects(forgetGateway, id.String())
	if err != nil {
		return t.fail(err)
	}
	if !there {
		return absent(gatehouse.KindGateway)
	}
	act.Kind, act.Subject, act.Result = gatehouse.KindGateway, id.String(), gatehouse.Done
	if err := t.leaf(act); err != nil {
		return err
	}
	return t.change(act.Kind, act.Subject)
}

// Record implements [store.Tx]. An act that was done to a record of authority
// is refused: its leaf would say that the record changed, and the row, still of
// the revision before, would no longer be served.
func (t *tx) Record(act gatehouse.Act) error {
	if _, authority := kindBytes[act.Kind]; authority && act.Result != gatehouse.Denied && act.Result != gatehouse.Read && act.Subject != "" {
		return gatehouse.Errorf(gatehouse.Internal, "what was done to a %s is recorded by putting it", act.Kind)
	}
	if act.Result == "" {
		act.Result = gatehouse.Done
	}
	return t.leaf(act)
}

const (
	remember query = `INSERT INTO remembered (id, value, expire_us) VALUES (?, ?, ?)
ON CONFLICT (id) DO UPDATE SET value = excluded.value, expire_us = excluded.expire_us`
	insertChange query = `INSERT INTO changes (epoch, n, kind, id, time_us) VALUES (?, ?, ?, ?, ?) ON CONFLICT DO NOTHING`
	insertLeaf   query = `INSERT INTO audit (idx, event_id, time_us, late_us, team_id, user_id, action, body, personal, signature)
VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?)`
)

// Remember implements [store.Tx].
func (t *tx) Remember(key string, value []byte, expire time.Time) error {
	if _, err := t.sess.exec(remember, key, append([]byte{}, value...), micros(expire)); err != nil {
		return t.fail(err)
	}
	return nil
}

// change tells the feed that a record is new at this revision.
func (t *tx) change(kind gatehouse.Kind, id string) error {
	t.moved = true
	if _, err := t.sess.exec(insertChange, t.rev.Epoch, t.rev.N, string(kind), id, micros(t.now)); err != nil {
		return t.fail(err)
	}
	return nil
}

// leaf appends an act to the log, and to the tree in memory; the tree is
// written with the group, so a member that fails leaves neither.
func (t *tx) leaf(act gatehouse.Act) error {
	st := &t.g.state
	e := gatehouse.Event{
		Index: st.tree.Size, ID: gatehouse.NewTimeID(t.now), Time: t.now, Revision: t.rev,
		Actor: t.cause.Actor, RequestID: t.cause.RequestID, Reason: t.cause.Reason, Act: act,
	}
	body, personal := audit.Encode(e, t.s.opts.Guard.Commit, audit.Salt)
	hash := audit.LeafHash(body)
	frontier, err := audit.Append(st.tree.Frontier, st.tree.Size, hash)
	if err != nil {
		return t.fail(err)
	}
	late := max(st.late, micros(t.now))
	signature := t.s.opts.Guard.SignLeaf(e.Index, hash)
	var erasable any // a nil []byte would be stored as an empty value
	if personal != nil {
		erasable = personal
	}
	_, err = t.sess.exec(insertLeaf, e.Index, e.ID.String(), micros(e.Time), late, e.TeamID.String(), e.Actor.UserID.String(),
		e.Action, body, erasable, signature)
	if err != nil {
		return t.fail(err)
	}
	if t.g.event == "" {
		t.g.event = e.ID.String()
	}
	t.g.words = append(t.g.words, filed{e.Index, words(e)})
	st.tree, st.late = store.Tree{Size: st.tree.Size + 1, Frontier: frontier}, late
	t.wrote = true
	return nil
}
