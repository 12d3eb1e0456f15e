package library

import (
	"maps"
	"net/http"
	"net/url"
	"slices"
	"strconv"

	"gatehouse"
	"gatehouse/internal/library"
)

// maxPage is the most that a page has, and what it has unasked.
const maxPage = 100

type page struct {
	Object  string `json:"object"`
	Data    []file `json:"data"`
	HasMore bool   `json:"has_more"`
	Next    string `json:"pagination_token,omitempty"`
}

func (f *face) list(w http.ResponseWriter, r *http.Request, who library.Asker) error {
	q, err := listing(r.URL.RawQuery)
	if err != nil {
		return err
	}
	files, next, err := f.Library.ListFiles(r.Context(), who, q)
	if err != nil {
		return err
	}
	out := page{Object: "list", Data: make([]file, len(files)), HasMore: next != "", Next: next}
	for i, got := range files {
		out.Data[i] = encode(got)
	}
	reply(w, http.StatusOK, out)
	return nil
}

// sorts are the orders by their names on the wire.
var sorts = map[string]gatehouse.LibrarySort{
	"": gatehouse.SortByAge, "created_at": gatehouse.SortByAge, "filename": gatehouse.SortByName, "size": gatehouse.SortBySize,
}

// listing reads the query of a list. What it may hold is listed, so that a
// mistyped filter does not list everything.
func listing(raw string) (gatehouse.LibraryQuery, error) {
	out := gatehouse.LibraryQuery{Page: gatehouse.Page{Size: maxPage}}
	values, err := queryOf(raw, "limit", "order", "sort_by", "pagination_token", "after", "filter", "purpose")
	if err != nil {
		return out, err
	}
	var bad gatehouse.Violations
	if v := values.Get("limit"); v != "" {
		n, err := strconv.Atoi(v)
		if err != nil || n < 1 {
			bad.Addf("limit", "is a number from 1 to %d", maxPage)
		}
		out.Page.Size = min(n, maxPage)
	}
	switch values.Get("order") {
	case "asc":
		out.Ascending = true
	case "", "desc":
	default:
		bad.Addf("order", "is asc or desc")
	}
	var ok bool
	if out.Sort, ok = sorts[values.Get("sort_by")]; !ok {
		bad.Addf("sort_by", "is created_at, filename or size")
	}
	out.Filter, out.Page.Token = values.Get("filter"), values.Get("pagination_token")
	if v := values.Get("after"); v != "" {
		if out.After, err = gatehouse.ParseID(v); err != nil {
			bad.Addf("after", "is the id of a file")
		}
		if out.Page.Token != "" {
			bad.Addf("after", "goes without pagination_token")
		}
	}
	return out, bad.Err()
}

// queryOf reads a query, refusing what is not known and what is there twice.
func queryOf(raw string, known ...string) (url.Values, error) {
	values, err := url.ParseQuery(raw)
	if err != nil {
		return nil, gatehouse.Errorf(gatehouse.InvalidArgument, "The query cannot be read.")
	}
	allowed := map[string]bool{}
	for _, name := range known {
		allowed[name] = true
	}
	var bad gatehouse.Violations
	for _, name := range slices.Sorted(maps.Keys(values)) {
		switch {
		case !allowed[name]:
			bad.Addf(clip(name), "is not known; leave it out")
		case len(values[name]) > 1:
			bad.Addf(name, "appears twice: send it once")
		}
	}
	return values, bad.Err()
}
