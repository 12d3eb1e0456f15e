package v1_test

import (
	"net/http"
	"net/http/httptest"
	"net/url"
	"strings"
	"testing"

	"gatehouse/internal/api/apitest"
	v1 "gatehouse/internal/api/v1"
)

func FuzzBodies(f *testing.F) {
	backend, words := apitest.NewV1()
	apitest.Bodies(f, v1.Handler(backend, options), words, []string{
		"POST /v1/api-keys", "PATCH /v1/api-keys/key_$key", "PATCH /v1/team/members/$user", "POST /v1/team/invitations", "POST /v1/team/invitations/accept",
	}, []string{
		`{"name":"a","permissions":["inference"],"acl":{"models":["grok-4"],"features":["chat","image-generation"],"rate_limit":{"rpm":100,"tpm":100000}}}`,
		`{"acl":{"models":[null],"features":{},"rate_limit":{"tpm":1e400}}}`, `{"acl":{"rate_limit":{"rpm":1e2,"tpm":1.5}}}`,
		`{"acl":null,"permissions":null}`, `{"permissions":"inference"}`, `{"acl":{"rateLimit":null,"rate_limit":{}}}`, `{"acl":{"rate_limit":{"tpm":9223372036854775808}}}`,
		`{"expires_at":"9999-12-31T23:59:59-01:00","object":5,"api_key":"gthk_"}`, `{"role":null}`, `{"email":"a@b","role":"owner","given_name":1}`,
	})
}

// Whatever is asked for, a query is answered or refused in words of the kit's own.
func FuzzQueries(f *testing.F) {
	backend, words := apitest.NewV1()
	h := v1.Handler(backend, options)
	for _, s := range []string{
		"start_date=2024-01-01&end_date=2024-01-31&group_by=day,model&group_by=api_key", "start_date=0001-01-01", "end_date=9999-12-31&timezone=Asia%2FKathmandu",
		"timezone=../etc/passwd", "start_time=2024-01-01&end_time=2024-01-20T10:00:00%2B01:00&actor=a@b&limit=5&cursor=x", "limit=-1", "limit=2147483648", "after=key_1",
		"team_id=&team_id=x", "event_id=evt_%00", "group_by=,", "limit=1&page_size=1",
	} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, query string) {
		for _, path := range []string{"/v1/usage", "/v1/audit-logs", "/v1/api-keys", "/v1/team/members"} {
			r := httptest.NewRequest("GET", path, nil)
			r.URL = &url.URL{Path: path, RawQuery: query}
			r.Header = http.Header{"Authorization": {"Bearer " + words["full"]}}
			w := httptest.NewRecorder()
			h.ServeHTTP(w, r)
			if w.Code >= 500 || strings.Contains(w.Body.String(), "documented shape") {
				t.Errorf("%s?%q: %d %s", path, query, w.Code, w.Body)
			}
		}
	})
}
