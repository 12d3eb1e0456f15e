package admin

import (
	"encoding/json"
	"net/http"
	"net/url"
	"strconv"

	"gatehouse"
	"gatehouse/internal/api"
	"gatehouse/internal/openapi"
)

var exportDoc = api.PlainDoc{
	Summary: "ExportAuditEvents streams leaves of the audit log as JSON Lines. An empty answer is the end of the log for now.",
	Query:   map[string]string{"since": "Index of the first leaf, 0 unless said.", "limit": "How many leaves at most."},
	Kind:    "application/x-ndjson", Answer: &openapi.Schema{Type: "string"},
	Example: `{"index":1,"body":"bGVhZg==","signature":"AQI="}` + "\n",
}

// export streams leaves of the audit log as JSON Lines, from ?since=INDEX on.
// A reader resumes with the index after its last line; an empty answer is the
// end of the log for now.
func export(w http.ResponseWriter, r *http.Request, req *api.Request) error {
	var bad gatehouse.Violations
	since := number(r.URL.Query(), "since", &bad)
	limit := number(r.URL.Query(), "limit", &bad)
	if err := bad.Err(); err != nil {
		return err
	}
	enc := json.NewEncoder(w)
	w.Header().Set("Content-Type", "application/x-ndjson")
	return req.ExportAudit(r.Context(), since, int(limit), func(l gatehouse.AuditLeaf) error { return enc.Encode(l) })
}

// number reads a count of a query, absent as 0.
func number(q url.Values, name string, bad *gatehouse.Violations) int64 {
	if !q.Has(name) {
		return 0
	}
	n, err := strconv.ParseInt(q.Get(name), 10, 32)
	if err != nil || n < 0 {
		bad.Addf(name, "must be a whole number, not negative")
	}
	return n
}
