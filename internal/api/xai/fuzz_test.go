package xai_test

import (
	"bytes"
	"log/slog"
	"net/http/httptest"
	"os"
	"testing"

	"gatehouse/internal/api"
	"gatehouse/internal/api/apitest"
	"gatehouse/internal/api/xai"
)

func FuzzBodies(f *testing.F) {
	backend, words := apitest.New()
	h := xai.Handler(backend, api.Options{Rate: -1, Logger: slog.New(slog.DiscardHandler)})
	apitest.Bodies(f, h, words, []string{
		"POST /auth/teams/$team/api-keys", "PUT /auth/teams/$team/api-keys", "PATCH /auth/api-keys/$key",
		"POST /auth/api-keys/$key/rotate", "POST /v1/billing/teams/$team/usage",
		"POST /v1/billing/teams/$team/billing-info", "POST /v1/billing/teams/$team/prepaid/top-up",
		"POST /v1/billing/teams/$postpaid/postpaid/spending-limits", "POST /v1/billing/teams/$team/payment-method/default",
		"POST /v1/collections", "PUT /v1/collections/$collection", "POST /v1/collections/$collection/description:generate",
		"POST /v1/collections/$collection/documents/$document", "PUT /v1/collections/$collection/documents/$document",
	}, []string{
		`{"name":"a","acls":["x",null],"qps":"5","qpm":-1,"tpm":"+1","expireTime":"2026-01-01t00:00:00z"}`,
		`{"apiKey":{"apiKeyId":"$key","expireTime":"9999-12-31T23:59:60Z","disabled":"true"},"fieldMask":"name,expireTime"}`,
		`{"apiKey":[null],"fieldMask":{}}`, `{"analyticsRequest":{"values":[null,{"name":null}],"timeRange":{}}}`,
		`{"fieldMask":"apiKey.name","apiKey":{}}`, `{"tpm":1e3}`, `{"qps":2147483648}`, `{"expireTime":"0001-01-01T00:00:00.1234567890Z"}`,
		`{"amount":{"val":"-9223372036854775808"}}`, `{"amount":{"val":1e2}}`, `{"desiredSoftSpendingLimit":{"val":92233720369}}`,
		`{"billingInfo":{"address":null,"name":5}}`, `{"paymentMethodId":null}`,
		`{"collection_name":"a","chunk_configuration":{"chars_configuration":{},"tokens_configuration":null},"metric_space":""}`,
		`{"name":"a","field_definitions":[{"key":"\u0000","required":"true"}],"field_definition_updates":[{"operation":"FIELD_DEFINITION_DELETE"}]}`,
		`{"data":"aGk=","fields":{"":"","a":null}}`, `{"data":"-_+/","fields":[]}`, `{"data":"a\nA"}`,
		`{"expireTime":"2026-01-01T24:00:00+25:00"}`, `{"expireTime":"9999-12-31T23:59:59-01:00"}`,
	})
}

// Whatever a form is, it is taken or refused, and nothing of it is left.
func FuzzForms(f *testing.F) {
	backend, words := apitest.New()
	spool := f.TempDir()
	h := xai.Handler(backend, api.Options{Rate: -1, Spool: spool, Logger: slog.New(slog.DiscardHandler)})
	for _, seed := range []string{
		"--X\r\nContent-Disposition: form-data; name=\"file\"; filename=\"a\"\r\n\r\nx\r\n--X--", "--X--", "--X\n\n\n--X--",
		"--X\nContent-Disposition: form-data; name=fields\n\n{\"a\":\"b\",\"a\":1}\n--X\nContent-Disposition: form-data; name=data\n\n\n--X--",
		"--X\r\nContent-Disposition: form-data; name*=utf-8''f%69le; filename*=utf-8''%ff%00\r\nContent-Type: \r\n\r\n--X--",
	} {
		f.Add([]byte(seed))
	}
	f.Fuzz(func(t *testing.T, body []byte) {
		r := httptest.NewRequest("POST", "/v1/collections/"+words["collection"]+"/documents", bytes.NewReader(body))
		r.Header.Set("Authorization", "Bearer "+words["full"])
		r.Header.Set("Content-Type", "multipart/form-data; boundary=X")
		w := httptest.NewRecorder()
		h.ServeHTTP(w, r)
		if left, _ := os.ReadDir(spool); w.Code >= 500 || len(left) > 0 {
			t.Errorf("%q: %d %s, left %v", body, w.Code, w.Body, left)
		}
	})
}
