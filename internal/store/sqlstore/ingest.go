package sqlstore

import (
	"context"
	"database/sql"
	"strings"

	"gatehouse"
	"gatehouse/internal/store"
)

// ingest is the door for usage.
type ingest struct {
	view
	fresh map[string]int64 // names numbered in this transaction
}

var _ store.Ingest = (*ingest)(nil)

// Ingest implements [store.Store].
func (s *Store) Ingest(ctx context.Context, f func(store.Ingest) error) error {
	i := &ingest{view: view{s: s, ctx: context.WithoutCancel(ctx)}}
	err := s.perform(ctx, func(w *session) error {
		i.sess = w
		return f(i)
	})
	if err == nil {
		for name, id := range i.fresh {
			s.names.add(name, id)
		}
	}
	return err
}

const (
	selectHighWater query = `SELECT position FROM high_water WHERE gateway = ? AND incarnation = ?`
	upsertHighWater query = `INSERT INTO high_water (gateway, incarnation, position) VALUES (?, ?, ?)
ON CONFLICT (gateway, incarnation) DO UPDATE SET position = excluded.position`
	// The first team to get an id keeps it: an upstream that hands it out twice
	// must not take it from its owner.
	insertObject query = `INSERT INTO objects (id, team_id, upstream, model, created_us) VALUES (?, ?, ?, ?, ?) ON CONFLICT (id) DO NOTHING`
	selectObject query = `SELECT id, team_id, upstream, model, created_us FROM objects WHERE id = ?`

	usageColumns = ` day, id, start_us, team, api_key, model, endpoint, cluster, client_ip, vector, rest `
	insertUsage  = `INSERT INTO usage_rows (` + usageColumns + `) VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)`
	returnUsage  = ` ON CONFLICT DO NOTHING RETURNING id`
	// usageRows is how many rows go with one statement.
	usageRows = 32
)

// HighWater implements [store.Ingest].
func (i *ingest) HighWater(gateway gatehouse.ID, incarnation int64) (offset int64, err error) {
	_, err = i.sess.one(selectHighWater, []any{gateway.String(), incarnation}, &offset)
	return offset, failed(err)
}

// SetHighWater implements [store.Ingest].
func (i *ingest) SetHighWater(gateway gatehouse.ID, incarnation, offset int64) error {
	_, err := i.sess.exec(upsertHighWater, gateway.String(), incarnation, offset)
	return failed(err)
}

// PutObjects implements [store.Ingest].
func (i *ingest) PutObjects(objects []store.Object) error {
	for _, o := range objects {
		if _, err := i.sess.exec(insertObject, o.ID, o.TeamID.String(), o.UpstreamID.String(), o.Model, micros(o.CreateTime)); err != nil {
			return failed(err)
		}
	}
	return nil
}

// Object implements [store.UsageView].
func (v *view) Object(id string) (store.Object, error) {
	var o store.Object
	var team, upstream string
	var created int64
	found, err := v.sess.one(selectObject, []any{id}, &o.ID, &team, &upstream, &o.Model, &created)
	switch {
	case err != nil:
		return store.Object{}, failed(err)
	case !found, o.TeamID.UnmarshalText([]byte(team)) != nil, o.UpstreamID.UnmarshalText([]byte(upstream)) != nil:
		return store.Object{}, gatehouse.Errorf(gatehouse.NotFound, "no such object")
	}
	o.CreateTime = fromMicros(created)
	return o, nil
}

// place is where a usage row stands, in numbers.
type place struct{ team, key, model, endpoint, cluster int64 }

// InsertUsage implements [store.Ingest].
func (i *ingest) InsertUsage(records []gatehouse.UsageRecord) (fresh []bool, err error) {
	fresh = make([]bool, len(records))
	places := make([]place, len(records))
	for at := 0; at < len(records); at += usageRows {
		end := min(at+usageRows, len(records))
		if err := i.insertRows(records[at:end], places[at:end], fresh[at:end]); err != nil {
			return nil, err
		}
	}
	sums := newSums()
	for n := range records {
		if fresh[n] {
			sums.add(&records[n], places[n])
		}
	}
	return fresh, sums.upsert(i.sess)
}

// insertRows writes one statement's worth. Statements of many rows halve the
// cost of a row, which every metered request pays.
func (i *ingest) insertRows(records []gatehouse.UsageRecord, places []place, fresh []bool) error {
	args := make([]any, 0, len(records)*11)
	first := make(map[gatehouse.ID]int, len(records)) // a repeat in one batch is a repeat
	for n := range records {
		u := &records[n]
		if _, repeat := first[u.ID]; !repeat {
			first[u.ID] = n
		}
		if err := i.locate(u, &places[n]); err != nil {
			return err
		}
		rest, err := restOf(u)
		if err != nil {
			return err
		}
		p := places[n]
		args = append(args, dayOf(u.Start), u.ID[:], micros(u.Start), p.team, p.key, p.model, p.endpoint, p.cluster, u.ClientIP, packVector(u), rest)
	}
	// Only two lengths of statement are prepared again and again: whole and single.
	if len(records) != usageRows && len(records) != 1 {
		for n := range records {
			if first[records[n].ID] == n {
				if err := i.insertOnce(args[n*11:(n+1)*11], records[n:n+1], map[gatehouse.ID]int{records[n].ID: 0}, fresh[n:n+1]); err != nil {
					return err
				}
			}
		}
		return nil
	}
	return i.insertOnce(args, records, first, fresh)
}

// insertOnce runs one statement; the engine returns the ids that were new.
func (i *ingest) insertOnce(args []any, records []gatehouse.UsageRecord, first map[gatehouse.ID]int, fresh []bool) error {
	q := query(insertUsage + strings.Repeat(", (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)", len(records)-1) + returnUsage)
	err := i.sess.each(i.ctx, q, args, func(rows *sql.Rows) (bool, error) {
		var id []byte
		if err := rows.Scan(&id); err != nil {
			return false, err
		}
		fresh[first[gatehouse.ID(id)]] = true
		return true, nil
	})
	return failed(err)
}

// locate numbers the names of a record.
func (i *ingest) locate(u *gatehouse.UsageRecord, p *place) (err error) {
	for _, f := range []struct {
		to   *int64
		name string
	}{
		{&p.team, u.TeamID.String()}, {&p.key, u.KeyID.String()}, {&p.model, u.Model},
		{&p.endpoint, u.Endpoint}, {&p.cluster, u.Cluster},
	} {
		if *f.to, err = i.number(f.name); err != nil {
			return err
		}
	}
	return nil
}
