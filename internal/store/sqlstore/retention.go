package sqlstore

import (
	"time"
)

const (
	// floorMark is where the high-water marks keep the first day whose rows are
	// there. No gateway has such an id.
	floorMark = "rows dropped before"

	selectRowFloor query = `SELECT position FROM high_water WHERE gateway = '` + floorMark + `' AND incarnation = 0`
	raiseRows      query = `INSERT INTO high_water (gateway, incarnation, position) VALUES ('` + floorMark + `', 0, ?)
ON CONFLICT (gateway, incarnation) DO UPDATE SET position = excluded.position WHERE high_water.position < excluded.position`
	// DropRows is overridden where days are partitions.
	dropRows query = `DELETE FROM usage_rows WHERE (day, id) IN (SELECT day, id FROM usage_rows WHERE day < ? ORDER BY day, id LIMIT ?)`
	leftRows query = `SELECT day FROM usage_rows WHERE day < ? LIMIT 1`

	// dropMax bounds the rows of one call, to keep within the door's ten
	// milliseconds.
	dropMax = 400
)

// DropUsage implements [store.Work]. The floor rises in the same transaction
// that drops the first row below it: nobody may take what is left of a day for
// the day.
func (w work) DropUsage(before time.Time) (more bool, err error) {
	floor := dayOf(before)
	if _, err := w.sess.exec(raiseRows, floor); err != nil {
		return false, failed(err)
	}
	if _, err := w.sess.exec(dropRows, floor, dropMax); err != nil {
		return false, failed(err)
	}
	var left int64
	more, err = w.sess.one(leftRows, []any{floor}, &left)
	return more, failed(err)
}

// UsageFloor implements [store.UsageView].
func (v *view) UsageFloor() (time.Time, error) {
	floor, err := v.floor()
	if err != nil || floor == 0 {
		return time.Time{}, err
	}
	return time.Unix(floor*day, 0).UTC(), nil
}

func (v *view) floor() (day int64, err error) {
	_, err = v.sess.one(selectRowFloor, nil, &day)
	return day, failed(err)
}
