package sqlstore

import (
	"database/sql"
	"encoding/json"
	"strings"
	"time"

	"gatehouse"
	"gatehouse/internal/store"
)

const (
	upsertAlert query = `INSERT INTO alerts (id, team_id, time_us, record) VALUES (?, ?, ?, ?) ON CONFLICT (id) DO UPDATE SET record = excluded.record`
	insertSent  query = `INSERT INTO alerts_sent (fund, share, sent_us) VALUES (?, ?, ?) ON CONFLICT DO NOTHING`
	trimAlerts  query = `DELETE FROM alerts WHERE id IN (SELECT id FROM alerts WHERE time_us < ? ORDER BY time_us, id LIMIT ?)`
	trimSent    query = `DELETE FROM alerts_sent WHERE (fund, share) IN
(SELECT fund, share FROM alerts_sent WHERE sent_us <> 0 AND sent_us < ? ORDER BY sent_us LIMIT ?)`

	// alertsKept is how long alerts are kept: longer than any period that begins
	// anew, so that none is raised twice.
	alertsKept = 90 * 24 * time.Hour
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
	at := micros(w.now)
	if lasting(fund) {
		at = 0
	}
	first, err = w.sess.affects(insertSent, fund, share, at)
	return first, failed(err)
}

// lasting reports whether a fund's name is of a budget that never begins anew:
// what was said of it is not to be said again.
func lasting(fund string) bool {
	parts := strings.SplitN(fund, "/", 4)
	return len(parts) == 4 && parts[0] == "budget" && parts[2] == "0"
}
