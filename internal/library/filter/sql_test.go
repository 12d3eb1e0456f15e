package filter_test

import (
	"context"
	"database/sql"
	"fmt"
	"path/filepath"
	"slices"
	"testing"
	"time"

	_ "github.com/jackc/pgx/v5/stdlib"
	_ "modernc.org/sqlite"
	"pgregory.net/rapid"

	"gatehouse/internal/engine"
	"gatehouse/internal/library/filter"
)

// row is a record of the property test: a nil is a field that it lacks.
type row struct {
	id      int64
	name    any
	size    any
	created any
	loose   any
}

func (r row) value(name string) any {
	switch name {
	case "name", "content_type":
		return r.name
	case "size_bytes":
		return r.size
	case "created_at":
		if us, ok := r.created.(int64); ok {
			return time.UnixMicro(us)
		}
	case "fields.a":
		return r.loose
	}
	return nil
}

// texts, numbers and times are what goes wrong at edges.
var (
	texts = []string{"", "a", "A", "ab", "aB", "b", "é", "É", "Straße", "a%b", "a_b", `a"b'c\`, "日本語", "0", "10", "9", "010", "10.0", "-5", "-", "--5", "5-",
		"-5-", "1.", ".5", "1..2", "1.2.3", "1e3", "+1", " 1", "1 ", "٣", "0.1", "-0", "999999999999999", "9999999999999999", "99999999999999999", "0.30000000000001"}
	numbers = []int64{-1, 0, 1, 9, 10, 11, 1 << 40}
	times   = []time.Time{time.UnixMicro(0), time.Date(2025, 1, 1, 0, 0, 0, 0, time.UTC), time.Date(2025, 1, 1, 0, 0, 0, 1000, time.UTC), time.Date(1, 1, 1, 0, 0, 0, 0, time.UTC)}
)

func rows() []row {
	out := []row{{id: 1}}
	for i, s := range texts {
		out = append(out, row{int64(i + 2), s, numbers[i%len(numbers)], times[i%len(times)].UnixMicro(), texts[(i*7+3)%len(texts)]})
		if i%5 == 0 {
			out[len(out)-1].loose = nil
		}
	}
	return out
}

func fill(t *testing.T, db *sql.DB, insert string) {
	t.Helper()
	if _, err := db.Exec(`CREATE TABLE r (id BIGINT, name TEXT, size BIGINT, created BIGINT, loose TEXT)`); err != nil {
		t.Fatal(err)
	}
	for _, r := range rows() {
		if _, err := db.Exec(insert, r.id, r.name, r.size, r.created, r.loose); err != nil {
			t.Fatal(err)
		}
	}
}

var columns = map[string]string{"name": "name", "content_type": "name", "size_bytes": "size", "created_at": "created", "status": "NULL"}

func columnOf(name string, bind func(any) string) string {
	if c, ok := columns[name]; ok {
		return c
	}
	return fmt.Sprintf("(CASE WHEN 'fields.a' = %s THEN loose END)", bind(name))
}

// drawFilter writes a random filter over the documents' fields.
func drawFilter(t *rapid.T, depth int) string {
	if depth > 0 && rapid.Bool().Draw(t, "compound") {
		switch rapid.IntRange(0, 2).Draw(t, "join") {
		case 0:
			return "NOT (" + drawFilter(t, depth-1) + ")"
		case 1:
			return "(" + drawFilter(t, depth-1) + " OR " + drawFilter(t, depth-1) + ")"
		}
		return drawFilter(t, depth-1) + " AND " + drawFilter(t, depth-1)
	}
	field := rapid.SampledFrom([]string{"name", "content_type", "size_bytes", "created_at", "fields.a", "fields.a", "fields.b"}).Draw(t, "field")
	draw := func() string {
		switch field {
		case "size_bytes":
			return fmt.Sprint(rapid.SampledFrom(numbers).Draw(t, "number"))
		case "created_at":
			return rapid.SampledFrom(times).Draw(t, "time").UTC().Format(time.RFC3339Nano)
		}
		s := rapid.SampledFrom(texts).Draw(t, "text")
		return quoted(s)
	}
	if rapid.IntRange(0, 4).Draw(t, "range") == 0 {
		return field + ":" + draw() + ".." + draw()
	}
	return field + rapid.SampledFrom([]string{":", "=", "!=", "<", "<=", ":>", ":>=", ":!"}).Draw(t, "op") + draw()
}

func quoted(s string) string {
	out := `"`
	for _, r := range s {
		if r == '"' || r == '\\' {
			out += `\`
		}
		out += string(r)
	}
	return out + `"`
}

// TestSQLSaysWhatMatchSays: a filter pushed into a query finds what the same
// filter asked of each record finds, on both engines.
func TestSQLSaysWhatMatchSays(t *testing.T) {
	lite, err := sql.Open("sqlite", filepath.Join(t.TempDir(), "f.db"))
	if err != nil {
		t.Fatal(err)
	}
	defer lite.Close()
	fill(t, lite, "INSERT INTO r VALUES (?, ?, ?, ?, ?)")
	post, err := sql.Open("pgx", engine.Database(t))
	if err != nil {
		t.Fatal(err)
	}
	defer post.Close()
	fill(t, post, "INSERT INTO r VALUES ($1, $2, $3, $4, $5)")
	rapid.Check(t, func(t *rapid.T) {
		text := drawFilter(t, 3)
		f, err := filter.Parse("filter", text, documents)
		if err != nil {
			t.Fatal(err)
		}
		var want []int64
		for _, r := range rows() {
			if f.Match(r.value) {
				want = append(want, r.id)
			}
		}
		if got := find(t, lite, f, filter.SQLite); !slices.Equal(got, want) {
			t.Errorf("SQLite: %s finds %v, want %v", text, got, want)
		}
		if got := find(t, post, f, filter.Postgres); !slices.Equal(got, want) {
			t.Errorf("PostgreSQL: %s finds %v, want %v", text, got, want)
		}
	})
}

func find(t *rapid.T, db *sql.DB, f *filter.Filter, d filter.Dialect) (ids []int64) {
	var args []any
	where := f.SQL(d, columnOf, func(a any) string {
		args = append(args, a)
		if d == filter.SQLite {
			return "?"
		}
		return fmt.Sprintf("$%d", len(args))
	})
	found, err := db.QueryContext(context.Background(), "SELECT id FROM r WHERE "+where+" ORDER BY id", args...)
	if err != nil {
		t.Fatalf("%s: %v", where, err)
	}
	defer found.Close()
	for found.Next() {
		var id int64
		if err := found.Scan(&id); err != nil {
			t.Fatal(err)
		}
		ids = append(ids, id)
	}
	if err := found.Err(); err != nil {
		t.Fatalf("%s: %v", where, err)
	}
	return ids
}
