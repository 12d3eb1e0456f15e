package sqlstore

// locator numbers the groups of cells. It is asked for every cell there is, so
// it leans on their order: neighbours have one key, and kinds come in turns.
type locator struct {
	// used says which of key, model, endpoint and cluster must be read, grouped
	// which of them tell groups apart, and allowed what passes.
	used, grouped [4]bool
	allowed       [4]map[int64]bool

	kinds  [512]kindMemo
	shapes map[[3]int64]int32 // what is grouped by of model, endpoint and cluster → number
	names  [][3]int64         // inverse of shapes
	keys   map[int64]*keyRow
	last   *keyRow
	groups []series // from 1
}

// kindMemo remembers the shape of a model, endpoint and cluster; -1: filtered.
type kindMemo struct {
	kind  [3]int64
	shape int32
	set   bool
}

// keyRow is the groups of a key by shape; 0: none yet.
type keyRow struct {
	key     int64 // as cells have it
	groups  []int32
	allowed bool
}

// series is where one group is; its key is 0 when keys are not told apart.
type series struct {
	key   int64
	shape int32
}

func newLocator() locator {
	return locator{shapes: map[[3]int64]int32{}, keys: map[int64]*keyRow{}, last: &keyRow{key: -1}, groups: make([]series, 1)}
}

// find is the group of a place; 0 when it is filtered.
func (l *locator) find(key int64, kind [3]int64) int32 {
	m := &l.kinds[uint64(kind[0]+kind[1]*37+kind[2]*101)%uint64(len(l.kinds))]
	if m.kind != kind || !m.set {
		*m = kindMemo{kind, l.shape(kind), true}
	}
	if l.last.key != key {
		l.last = l.row(key)
	}
	if m.shape < 0 || !l.last.allowed {
		return 0
	}
	row := l.last
	if int(m.shape) >= len(row.groups) {
		row.groups = append(row.groups, make([]int32, len(l.names)-len(row.groups))...)
	}
	g := row.groups[m.shape]
	if g == 0 {
		g = int32(len(l.groups))
		l.groups = append(l.groups, series{row.key, m.shape})
		row.groups[m.shape] = g
	}
	return g
}

// row finds or makes a key's row. Keys that are not told apart share one, under
// whichever of them is at hand.
func (l *locator) row(key int64) *keyRow {
	allowed := l.allowed[0] == nil || l.allowed[0][key]
	if !allowed {
		return &keyRow{key: key}
	}
	at := key
	if !l.grouped[0] {
		at = 0
	}
	row := l.keys[at]
	if row == nil {
		row = &keyRow{allowed: true}
		l.keys[at] = row
	}
	row.key = key
	return row
}

// shape numbers what is grouped by of model, endpoint and cluster.
func (l *locator) shape(kind [3]int64) int32 {
	for i := range kind {
		if l.allowed[i+1] != nil && !l.allowed[i+1][kind[i]] {
			return -1
		}
		if !l.grouped[i+1] {
			kind[i] = 0
		}
	}
	n, ok := l.shapes[kind]
	if !ok {
		n = int32(len(l.names))
		l.shapes[kind] = n
		l.names = append(l.names, kind)
	}
	return n
}

// placeOf is the key, model, endpoint and cluster of a group.
func (l *locator) placeOf(g int32) [4]int64 {
	s := l.groups[g]
	n := l.names[s.shape]
	return [4]int64{s.key, n[0], n[1], n[2]}
}
