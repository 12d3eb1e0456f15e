package sqlstore

import (
	"slices"
	"sync"

	"gatehouse"
)

// days remembers for which days the database has room, where each has a table
// of its own. What is here was committed, and is too young to be dropped by
// whatever process retains usage the shortest.
type days struct {
	mu   sync.Mutex
	have []int64
}

// daysMax bounds the memory: requests come for today, and a journal that was
// away brings a month.
const daysMax = 64

func (d *days) has(day int64) bool {
	d.mu.Lock()
	defer d.mu.Unlock()
	return slices.Contains(d.have, day)
}

func (d *days) add(more []int64) {
	d.mu.Lock()
	defer d.mu.Unlock()
	d.have = append(d.have, more...)
	d.have = d.have[max(0, len(d.have)-daysMax):]
}

// forget is for when days were dropped.
func (d *days) forget() {
	d.mu.Lock()
	defer d.mu.Unlock()
	d.have = nil
}

// makeRoom has the database make the tables of the records' days, and of the
// days after, so that midnight finds its table made. The right to do so is in a
// function that the migration made: whoever serves requests may not make tables.
func (i *ingest) makeRoom(records []gatehouse.UsageRecord) error {
	if i.s.d.AddDay == "" {
		return nil
	}
	var asked []int64
	for n := range records {
		d := dayOf(records[n].Start)
		if slices.Contains(asked, d) || i.s.days.has(d) {
			continue
		}
		asked = append(asked, d)
		if _, err := i.sess.exec(query(i.s.d.AddDay), d); err != nil {
			return failed(err)
		}
		if d >= dayOf(i.s.opts.Now())-1 {
			i.days = append(i.days, d)
		}
	}
	return nil
}
