package sqlstore

import (
	"context"
	"math/bits"
	"slices"
	"strings"

	"gatehouse"
	"gatehouse/internal/store"
)

// ingest is the door for usage.
type ingest struct {
	view
	batch []gatehouse.UsageRecord // whose names may be new
	fresh map[string]int64        // names numbered in this transaction
	days  []int64                 // that it made room for
	runs  []runKey                // days that it added to

	gateway     gatehouse.ID // whose usage it is; zero: nobody's
	incarnation int64
}

var _ store.Ingest = (*ingest)(nil)

// Ingest implements [store.Store].
func (s *Store) Ingest(ctx context.Context, f func(store.Ingest) error) error {
	var i *ingest
	err := s.perform(ctx, func(w *session) error {
		i = &ingest{view: view{s: s, ctx: context.WithoutCancel(ctx), sess: w}}
		return f(i)
	})
	if err != nil {
		s.days.forget() // another process may have dropped one
		return err
	}
	for name, id := range i.fresh {
		s.names.add(name, id)
	}
	s.days.add(i.days)
	s.tidier.note(i.runs)
	s.tidy(ctx)
	return nil
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
	// usageRows is how many rows go with one statement, a power of two.
	usageRows = 64
)

// insertUsage writes n rows but those whose id is there.
func insertUsage(n int) query {
	const row = `(?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)`
	return query(`INSERT INTO usage_rows (` + usageColumns + `) VALUES ` + row + strings.Repeat(`, `+row, n-1) + ` ON CONFLICT DO NOTHING`)
}

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

// InsertUsage implements [store.Ingest]. Nearly always every row is new, which
// a count tells. When it tells otherwise the rows are taken back and written
// again one by one: having the engine return which were new would cost every
// row a scan.
func (i *ingest) InsertUsage(records []gatehouse.UsageRecord) (fresh []bool, err error) {
	rows := make([]usageRow, len(records))
	i.batch = records
	for n := range records {
		if rows[n], err = i.rowOf(&records[n]); err != nil {
			return nil, err
		}
	}
	fresh = make([]bool, len(records))
	if err := i.makeRoom(records); err != nil {
		return nil, err
	}
	if err := i.insertAll(rows, fresh); err != nil {
		return nil, err
	}
	sums := runSums{}
	for n := range records {
		if fresh[n] {
			sums.add(&records[n], rows[n].place)
		}
	}
	for k := range sums {
		i.runs = append(i.runs, k)
	}
	if err := sums.write(i.sess); err != nil {
		return nil, err
	}
	// The books come last: others wait for them.
	return fresh, i.post(records, fresh)
}

// From implements [store.BillingIngest].
func (i *ingest) From(gateway gatehouse.ID, incarnation int64) {
	i.gateway, i.incarnation = gateway, incarnation
}

// usageRow is a record as the table has it.
type usageRow struct {
	place
	id     gatehouse.ID
	values [11]any
}

func (i *ingest) rowOf(u *gatehouse.UsageRecord) (r usageRow, err error) {
	r.id = u.ID
	if r.place, err = i.locate(u); err != nil {
		return r, err
	}
	r.values = [11]any{dayOf(u.Start), u.ID[:], micros(u.Start), r.team, r.key, r.model, r.endpoint, r.cluster, u.ClientIP, packVector(u), restOf(u)}
	return r, nil
}

// insertAll writes rows and tells which were new.
func (i *ingest) insertAll(rows []usageRow, fresh []bool) error {
	if _, err := i.sess.exec(`SAVEPOINT rows`); err != nil {
		return failed(err)
	}
	written := int64(0)
	size := usageRows
	if i.s.d.Columns != "" {
		size = columnRows
	}
	for part := range slices.Chunk(rows, size) {
		n, err := i.insertCounted(part)
		if err != nil {
			return err
		}
		written += n
	}
	if written == int64(len(rows)) {
		for n := range fresh {
			fresh[n] = true
		}
	} else {
		if _, err := i.sess.exec(`ROLLBACK TO rows`); err != nil {
			return failed(err)
		}
		for n := range rows {
			if err := i.insertOne(&rows[n], &fresh[n]); err != nil {
				return err
			}
		}
	}
	_, err := i.sess.exec(`RELEASE rows`)
	return failed(err)
}

// insertCounted writes what goes with one statement: statements of many rows
// halve the cost of a row. Few lengths are prepared: whole, a power of two, and
// so on down.
func (i *ingest) insertCounted(rows []usageRow) (written int64, err error) {
	if i.s.d.Columns != "" {
		return i.insertColumns(rows)
	}
	for len(rows) > 0 {
		n := min(usageRows, 1<<(bits.Len(uint(len(rows)))-1))
		args := make([]any, 0, n*11)
		for at := range rows[:n] {
			args = append(args, rows[at].values[:]...)
		}
		res, err := i.sess.exec(insertUsage(n), args...)
		if err != nil {
			return 0, failed(err)
		}
		fresh, err := res.RowsAffected()
		if err != nil {
			return 0, failed(err)
		}
		written, rows = written+fresh, rows[n:]
	}
	return written, nil
}

// columnRows is how many rows go with one statement of lists.
const columnRows = 1000

// insertColumns writes rows as lists: the engine parses one short statement.
func (i *ingest) insertColumns(rows []usageRow) (written int64, err error) {
	var numbers [8][]int64 // by column; those of other types stay empty
	var ids, vectors, rests [][]byte
	var ips []string
	for n := range rows {
		v := &rows[n].values
		for c := range numbers {
			if x, ok := v[c].(int64); ok {
				numbers[c] = append(numbers[c], x)
			}
		}
		ids, vectors, rests = append(ids, v[1].([]byte)), append(vectors, v[9].([]byte)), append(rests, v[10].([]byte))
		ips = append(ips, cleaned(v[8].(string)))
	}
	args := []any{numbers[0], ids}
	for _, column := range numbers[2:] {
		args = append(args, column)
	}
	res, err := i.sess.exec(query(i.s.d.Columns), append(args, ips, vectors, rests)...)
	if err != nil {
		return 0, failed(err)
	}
	written, err = res.RowsAffected()
	return written, failed(err)
}

// insertOne writes a row that may be there.
func (i *ingest) insertOne(r *usageRow, fresh *bool) (err error) {
	*fresh, err = i.sess.affects(insertUsage(1), r.values[:]...)
	return failed(err)
}

// locate numbers the names of a record.
func (i *ingest) locate(u *gatehouse.UsageRecord) (p place, err error) {
	for _, f := range []struct {
		to *int64
		id gatehouse.ID
	}{{&p.team, u.TeamID}, {&p.key, u.KeyID}} {
		if *f.to, err = i.numberID(f.id); err != nil {
			return p, err
		}
	}
	for _, f := range []struct {
		to   *int64
		name string
	}{{&p.model, u.Model}, {&p.endpoint, u.Endpoint}, {&p.cluster, u.Cluster}} {
		if *f.to, err = i.number(f.name); err != nil {
			return p, err
		}
	}
	return p, nil
}
