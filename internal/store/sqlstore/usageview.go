package sqlstore

import (
	"database/sql"
	"encoding/json"
	"slices"
	"strings"

	"gatehouse"
	"gatehouse/internal/store"
)

// The days repeat the times, for engines that keep a table for each.
const selectUsage = `SELECT` + usageColumns + `FROM usage_rows WHERE team = ? AND start_us >= ? AND start_us < ? AND day >= ? AND day <= ?`

// UsageRows implements [store.UsageView].
func (v *view) UsageRows(s store.UsageScan, yield func(*gatehouse.UsageRecord) error) error {
	if err := checkScan(s); err != nil {
		return err
	}
	q, args, none, err := v.rowQuery(s)
	if err != nil || none {
		return err
	}
	users := s.Where[store.ByUser]
	var own error
	err = v.sess.scan(v.ctx, q, args, func(rows scanner) (bool, error) {
		u, err := v.scanUsage(rows)
		if err != nil {
			return false, err
		}
		// The owner is inside the row's remainder, where SQL does not look.
		if users != nil && !slices.Contains(users, u.UserID.String()) {
			return true, nil
		}
		own = yield(u)
		return own == nil, nil
	})
	if own != nil {
		return own
	}
	return failed(err)
}

func (v *view) rowQuery(s store.UsageScan) (q query, args []any, none bool, err error) {
	team, err := v.numbered(s.Team.String())
	if err != nil || team == 0 {
		return "", nil, true, err
	}
	sql := selectUsage
	args = []any{team, micros(s.Start), micros(s.End), dayOf(s.Start), dayOf(s.End)}
	for _, d := range filtered(s) {
		column, values := dimensions[d], []any(nil)
		switch d {
		case store.ByUser:
			continue
		case store.ByIP:
			column = "client_ip"
			for _, ip := range s.Where[d] {
				values = append(values, ip)
			}
		default:
			if values, err = v.numberedAll(s.Where[d]); err != nil {
				return "", nil, false, err
			}
		}
		if len(values) == 0 {
			return "", nil, true, nil
		}
		sql += " AND " + column + " IN (?" + strings.Repeat(", ?", len(values)-1) + ")"
		args = append(args, values...)
	}
	return query(sql + " ORDER BY start_us, day, id"), args, false, nil
}

func (v *view) scanUsage(rows scanner) (*gatehouse.UsageRecord, error) {
	u := &gatehouse.UsageRecord{}
	var p place
	var d, start int64
	var id, vector, rest sql.RawBytes
	if err := rows.Scan(&d, &id, &start, &p.team, &p.key, &p.model, &p.endpoint, &p.cluster, &u.ClientIP, &vector, &rest); err != nil {
		return nil, err
	}
	copy(u.ID[:], id)
	u.Start = fromMicros(start)
	var r usageRest
	if err := json.Unmarshal(rest, &r); err != nil {
		return nil, err
	}
	r.into(u)
	if err := unpackVector(vector, &u.Usage, &u.Costs); err != nil {
		return nil, err
	}
	return u, v.spell(p, u)
}

// spell turns a row's numbers into names.
func (v *view) spell(p place, u *gatehouse.UsageRecord) error {
	var team, key string
	for _, f := range []struct {
		to *string
		id int64
	}{{&team, p.team}, {&key, p.key}, {&u.Model, p.model}, {&u.Endpoint, p.endpoint}, {&u.Cluster, p.cluster}} {
		name, err := v.named(f.id)
		if err != nil {
			return err
		}
		*f.to = name
	}
	if err := u.TeamID.UnmarshalText([]byte(team)); err != nil {
		return err
	}
	return u.KeyID.UnmarshalText([]byte(key))
}

// filtered lists the filtered dimensions in a fixed order, for one text of SQL.
func filtered(s store.UsageScan) []store.Dimension {
	var out []store.Dimension
	for d := range s.Where {
		out = append(out, d)
	}
	slices.Sort(out)
	return out
}
