package gatehouse

import (
	"reflect"
	"testing"
	"time"
)

// An update touches what it names and nothing else; what JSON does not show
// comes from the request, where an empty credential means "the stored one".
func TestOverlayTakesTheNamedMembers(t *testing.T) {
	stored := &Upstream{Name: "a", BaseURL: "https://a/v1", Credential: "old", Disabled: true, HeaderTimeout: time.Minute, Clusters: []string{"x"}}
	given := &Upstream{Name: "b", Credential: "new"}
	got := Overlay(stored, given, []string{"disabled", "clusters", "no such member"})
	want := &Upstream{Name: "a", BaseURL: "https://a/v1", Credential: "new", HeaderTimeout: time.Minute}
	if !reflect.DeepEqual(got, want) {
		t.Errorf("got %+v, want %+v", got, want)
	}
	if stored.Credential != "old" || Overlay(stored, given, nil) != given {
		t.Error("the stored record was changed, or no mask is not the whole")
	}
}

// Every member that a PATCH can name is one that Overlay knows: the record's
// JSON names are the wire's.
func TestOverlaidRecordsNameTheirMembers(t *testing.T) {
	for _, record := range []any{Upstream{}, Model{}, Alias{}, Cluster{}} {
		typ := reflect.TypeOf(record)
		for i := range typ.NumField() {
			if typ.Field(i).Tag.Get("json") == "" {
				t.Errorf("%s.%s has no JSON name", typ.Name(), typ.Field(i).Name)
			}
		}
	}
}
