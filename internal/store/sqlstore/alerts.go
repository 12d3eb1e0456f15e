package sqlstore

import (
	"database/sql"
	"encoding/json"

	"gatehouse"
	"gatehouse/internal/store"
)

const (
	upsertAlert query = `INSERT INTO alerts (id, team_id, time_us, record) VALUES (?, ?, ?, ?) ON CONFLICT (id) DO UPDATE SET record = excluded.record`
	insertSent  query = `INSERT INTO alerts_sent (fund, share) VALUES (?, ?) ON CONFLICT DO NOTHING`
)

// Alerts implements [store.BillingView].
func (v *view) Alerts(team gatehouse.ID, after store.Cursor, limit int) (out []gatehouse.Alert, err error) {
	var f filter
	f.add("1 = 1")
	if !team.IsZero() {
		f.add("team_id = ?", team.String())
	}
	f.before(after)
	q := `SELECT record FROM alerts ` + f.where() + ` ORDER BY time_us DESC, id DESC LIMIT ?`
	err = v.sess.each(v.ctx, query(q), append(f.args, limit), func(rows *sql.Rows) (bool, error) {
		var a gatehouse.Alert
		var record string
		if err := rows.Scan(&record); err != nil {
			return false, err
		}
		err := json.Unmarshal([]byte(record), &a)
		out = append(out, a)
		return true, err
	})
	return out, failed(err)
}

// PutAlert implements [store.BillingWork].
func (w work) PutAlert(a gatehouse.Alert) error {
	record, err := json.Marshal(&a)
	if err != nil {
		return err
	}
	_, err = w.sess.exec(upsertAlert, a.ID.String(), a.TeamID.String(), micros(a.Time), string(record))
	return failed(err)
}

// Alerted implements [store.BillingWork].
func (w work) Alerted(fund string, share int) (first bool, err error) {
	first, err = w.sess.affects(insertSent, fund, share)
	return first, failed(err)
}
