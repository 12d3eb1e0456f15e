package filter_test

import (
	"strings"
	"testing"
	"time"

	"gatehouse"
	"gatehouse/internal/library/filter"
)

// documents is a schema with a field of each kind.
var documents = filter.Schema{
	{Name: "name", Partial: true},
	{Name: "content_type"},
	{Name: "size_bytes", Kind: filter.Number},
	{Name: "created_at", Kind: filter.Time},
	{Name: "status", Values: map[string]string{"DOCUMENT_STATUS_FAILED": "failed", "failed": "failed", "processing": "processing"}},
	{Name: "fields.*", Kind: filter.Loose},
}

func record(name string) any {
	switch name {
	case "name":
		return "Quarterly Report"
	case "content_type":
		return "text/plain"
	case "size_bytes":
		return int64(20)
	case "created_at":
		return time.Date(2025, 3, 1, 12, 0, 0, 0, time.UTC)
	case "status":
		return "failed"
	case "fields.year":
		return "2015"
	case "fields.two words":
		return "x"
	}
	return nil
}

// TestWhatTheWireShows: every spelling of wire.md §5 and §6.10, and what it means.
func TestWhatTheWireShows(t *testing.T) {
	for text, want := range map[string]bool{
		``:                                   true,
		"  \n":                               true,
		`name:"quarterly"`:                   true,
		`name="REPORT"`:                      true,
		`name:!quarterly`:                    false,
		`name:"annual"`:                      false,
		`content_type:"text"`:                false,
		`content_type:text/plain`:            true,
		`size_bytes:>10`:                     true,
		`size_bytes:>20`:                     false,
		`size_bytes:>=20`:                    true,
		`size_bytes != 20`:                   false,
		`size_bytes:10..20`:                  true,
		`size_bytes:21..30`:                  false,
		`created_at:>2025-01-01T00:00:00Z`:   true,
		`created_at<2025-03-01`:              false,
		`created_at:2025-03-01..2025-03-02`:  true,
		`status:!DOCUMENT_STATUS_FAILED`:     false,
		`status:Failed`:                      true,
		`fields.year:"2015"`:                 true,
		`fields.year>999`:                    true,
		`fields.year>"999x"`:                 false, // an order of bytes
		`fields.year:2010..2020`:             true,
		`fields."two words"=x`:               true,
		`fields.none=x`:                      false,
		`fields.none!=x`:                     true,
		`NOT fields.none=x`:                  true,
		`name:"quarterly" AND status:failed`: true,
		// AND binds tighter: read the other way these would be the opposite.
		`size_bytes=20 OR size_bytes=1 AND size_bytes=2`:   true,
		`size_bytes=1 AND size_bytes=2 OR size_bytes=20`:   true,
		`(size_bytes=20 OR size_bytes=1) AND size_bytes=2`: false,
		`NOT size_bytes=1 AND size_bytes=2`:                false,
		`NOT (size_bytes=1 AND size_bytes=20)`:             true,
		`name:'say "hi"' OR name:"a \"b\" \\ c"`:           false,
	} {
		f, err := filter.Parse("filter", text, documents)
		if err != nil {
			t.Errorf("%s: %v", text, err)
		} else if f.Match(record) != want {
			t.Errorf("%s is %v", text, !want)
		}
	}
}

// TestARefusalSaysWhereAndWhat: whoever wrote the filter can mend it.
func TestARefusalSaysWhereAndWhat(t *testing.T) {
	for text, want := range map[string]string{
		`nam:"x"`:                             `at character 1: unknown field "nam"; the known ones are content_type, created_at, fields.*, name, size_bytes, status`,
		`name:x OR a=1 OR b=2`:                `at character 18: unknown field "b"`, // both are named
		`ü=1 AND size_bytes=ten`:              `at character 20: size_bytes takes a number`,
		`created_at>yesterday`:                `at character 12: created_at takes a time such as 2025-01-31T12:00:00Z`,
		`status=gone`:                         `status is one of DOCUMENT_STATUS_FAILED, failed, processing, not "gone"`,
		`status>failed`:                       `status has no order`,
		`name:x name:y`:                       `at character 8: expected AND, OR or the end`,
		`name:x and name:y`:                   `at character 8: write AND in capitals`,
		`name`:                                `at character 5: expected an operator`,
		`name:`:                               `at character 6: expected a value`,
		`name:"x`:                             `at character 6: the quotation is not closed`,
		`name:"\n"`:                           `at character 7: a backslash stands before`,
		`name:x*`:                             `at character 6: there are no wildcards`,
		`size_bytes:1..`:                      `expected the upper end`,
		`(name:x`:                             `the parenthesis that closes the one at character 1`,
		`name:x)`:                             `at character 7: expected AND, OR or the end`,
		`name:x AND`:                          `at character 11: expected a comparison`,
		`()`:                                  `at character 2: expected the name of a field`,
		`fields.=x`:                           ``,
		"name:\x00":                           `at character 6: must be UTF-8 without control characters`,
		"name:\xff":                           `must be UTF-8`,
		strings.Repeat("(", 40) + "name:x":    `nested deeper than 32`,
		strings.Repeat("NOT ", 40) + "name:x": `nested deeper than 32`,
		strings.Repeat("size_bytes=1 OR ", 300) + "name:x":   `more than 256 comparisons`,
		strings.Repeat("name:x OR ", 10_000) + "name:x":      `at most 32768 are allowed`,
		strings.Repeat("x=1 AND ", 5) + `size_bytes:"1e999"`: `size_bytes takes a number`,
	} {
		_, err := filter.Parse("filter", text, documents)
		switch {
		case want == "" && err == nil:
		case gatehouse.CodeOf(err) != gatehouse.InvalidArgument:
			t.Errorf("%.60s: %v", text, err)
		case !strings.Contains(gatehouse.Public(err), want):
			t.Errorf("%.60s: %v\nwant %s", text, err, want)
		}
	}
}

// FuzzParse: no text panics, and what is accepted reads the same again.
func FuzzParse(f *testing.F) {
	for _, seed := range []string{`name:"a" AND (size_bytes:>10 OR NOT fields."x y"=1..2)`, `created_at:2025-01-01..2025-02-01`, `status:!failed`, `fields.a:"b".."c"`} {
		f.Add(seed)
	}
	f.Fuzz(func(t *testing.T, text string) {
		one, err := filter.Parse("filter", text, documents)
		if err != nil {
			if gatehouse.CodeOf(err) != gatehouse.InvalidArgument {
				t.Fatal(err)
			}
			return
		}
		one.Match(record)
		two, err := filter.Parse("filter", one.String(), documents)
		if err != nil && strings.Contains(err.Error(), "nested deeper") {
			return // the canonical spelling has more parentheses
		}
		if err != nil || two.String() != one.String() {
			t.Fatalf("%q is %q, which is %q: %v", text, one.String(), two.String(), err)
		}
	})
}
