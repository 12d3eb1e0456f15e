package postgres

// WalkAlways has collections of any size searched by the graph, CompareAlways
// none.
func WalkAlways() (restore func())    { return setCompareWhole(0) }
func CompareAlways() (restore func()) { return setCompareWhole(1 << 40) }

func setCompareWhole(n int64) (restore func()) {
	before := compareWhole
	compareWhole = n
	return func() { compareWhole = before }
}
