package xai_test

import (
	"log/slog"
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
	}, []string{
		`{"name":"a","acls":["x",null],"qps":"5","qpm":-1,"tpm":"+1","expireTime":"2026-01-01t00:00:00z"}`,
		`{"apiKey":{"apiKeyId":"$key","expireTime":"9999-12-31T23:59:60Z","disabled":"true"},"fieldMask":"name,expireTime"}`,
		`{"apiKey":[null],"fieldMask":{}}`, `{"analyticsRequest":{"values":[null,{"name":null}],"timeRange":{}}}`,
		`{"fieldMask":"apiKey.name","apiKey":{}}`, `{"tpm":1e3}`, `{"qps":2147483648}`, `{"expireTime":"0001-01-01T00:00:00.1234567890Z"}`,
		`{"amount":{"val":"-9223372036854775808"}}`, `{"amount":{"val":1e2}}`, `{"desiredSoftSpendingLimit":{"val":92233720369}}`,
		`{"billingInfo":{"address":null,"name":5}}`, `{"paymentMethodId":null}`,
		`{"expireTime":"2026-01-01T24:00:00+25:00"}`, `{"expireTime":"9999-12-31T23:59:59-01:00"}`,
	})
}
