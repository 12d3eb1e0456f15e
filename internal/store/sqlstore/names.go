package sqlstore

import (
	"slices"
	"sync"

	"gatehouse"
)

// names numbers the strings that usage repeats. What is here was committed;
// the table is the truth, so forgetting costs a look-up and nothing else.
type names struct {
	mu   sync.RWMutex
	ids  map[string]int64
	keys map[gatehouse.ID]int64 // those of ids that are ids
	text map[int64]string
}

// namesMax bounds the cache.
const namesMax = 100_000

const (
	selectName   query = `SELECT id FROM usage_names WHERE name = ?`
	selectNameOf query = `SELECT name FROM usage_names WHERE id = ?`
	// Another process may be giving the name a number at the same time: then the
	// number is that one's.
	insertName query = `INSERT INTO usage_names (name) VALUES (?) ON CONFLICT (name) DO UPDATE SET name = excluded.name RETURNING id`
)

func (n *names) id(name string) (int64, bool) {
	n.mu.RLock()
	defer n.mu.RUnlock()
	id, ok := n.ids[name]
	return id, ok
}

func (n *names) idOf(id gatehouse.ID) (int64, bool) {
	n.mu.RLock()
	defer n.mu.RUnlock()
	number, ok := n.keys[id]
	return number, ok
}

func (n *names) name(id int64) (string, bool) {
	n.mu.RLock()
	defer n.mu.RUnlock()
	name, ok := n.text[id]
	return name, ok
}

func (n *names) add(name string, id int64) {
	n.mu.Lock()
	defer n.mu.Unlock()
	if n.ids == nil || len(n.ids) >= namesMax {
		n.ids, n.text, n.keys = map[string]int64{}, map[int64]string{}, map[gatehouse.ID]int64{}
	}
	n.ids[name], n.text[id] = id, name
	if key, err := gatehouse.ParseID(name); err == nil && key.String() == name {
		n.keys[key] = id
	}
}

// numbered finds a name's number in a snapshot; 0, which no name has, when it
// was never used.
func (v *view) numbered(name string) (int64, error) {
	name = cleaned(name)
	if id, ok := v.s.names.id(name); ok {
		return id, nil
	}
	var id int64
	found, err := v.sess.one(selectName, []any{name}, &id)
	if found {
		v.s.names.add(name, id)
	}
	return id, failed(err)
}

func (v *view) named(id int64) (string, error) {
	if name, ok := v.s.names.name(id); ok || id == 0 {
		return name, nil
	}
	var name string
	found, err := v.sess.one(selectNameOf, []any{id}, &name)
	if found {
		v.s.names.add(name, id)
	}
	return name, failed(err)
}

// numberID is number for an id, which is spelled only when it is new here.
func (i *ingest) numberID(id gatehouse.ID) (int64, error) {
	if n, ok := i.s.names.idOf(id); ok {
		return n, nil
	}
	return i.number(id.String())
}

// number finds or gives a name's number. A new one is the cache's only after
// COMMIT: rolled back, the number goes to another name.
func (i *ingest) number(name string) (int64, error) {
	name = cleaned(name)
	if id, ok := i.fresh[name]; ok {
		return id, nil
	}
	id, err := i.numbered(name)
	if err != nil || id != 0 {
		return id, err
	}
	if i.batch != nil {
		if err := i.numberAll(); err != nil {
			return 0, err
		}
		return i.number(name)
	}
	if _, err := i.sess.one(insertName, []any{name}, &id); err != nil {
		return 0, failed(err)
	}
	if i.fresh == nil {
		i.fresh = map[string]int64{}
	}
	i.fresh[name] = id
	return id, nil
}

// numberAll numbers what is new in the batch in the order of the names: two
// processes that number the same ones each in its own order would wait for each
// other.
func (i *ingest) numberAll() error {
	var names []string
	for n := range i.batch {
		u := &i.batch[n]
		for _, name := range []string{u.TeamID.String(), u.KeyID.String(), u.Model, u.Endpoint, u.Cluster} {
			if _, known := i.s.names.id(cleaned(name)); !known {
				names = append(names, cleaned(name))
			}
		}
	}
	i.batch = nil // number must not come back here
	slices.Sort(names)
	for _, name := range slices.Compact(names) {
		if _, err := i.number(name); err != nil {
			return err
		}
	}
	return nil
}
