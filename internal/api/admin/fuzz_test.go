package admin_test

import (
	"log/slog"
	"testing"

	"gatehouse/internal/api"
	"gatehouse/internal/api/admin"
	"gatehouse/internal/api/apitest"
)

func FuzzBodies(f *testing.F) {
	backend, words := apitest.New()
	h := admin.Handler(backend, api.Options{Rate: -1, Logger: slog.New(slog.DiscardHandler)})
	apitest.Bodies(f, h, words, []string{
		"POST /admin/v1/api-keys", "PATCH /admin/v1/api-keys/$key", "POST /admin/v1/management-keys",
		"POST /admin/v1/upstreams", "PATCH /admin/v1/upstreams/$key", "POST /admin/v1/prices", "PATCH /admin/v1/teams/$team",
		"POST /admin/v1/join-tokens", "POST /admin/v1/api-keys/import",
		"POST /admin/v1/credits", "POST /admin/v1/top-ups/$key/refund", "PATCH /admin/v1/billing-accounts/$postpaid", "POST /admin/v1/billing-cycles/close",
	}, []string{
		`{"tags":{"a":null,"b":5},"ipRanges":[null,"x"],"strict":"true"}`, `{"headerTimeout":"-9223372036s","idleTimeout":"1h1ns","serves":[null,{"weight":"1"}]}`,
		`{"units":{"Images":"1","Seconds":null},"tiers":{"":{"units":{}},"a":null}}`, `{"grant":{"acls":[null],"maxTpm":null},"ipRanges":{"ipRanges":[{"address":{"ipv4":"1.2.3.4","ipv6":"::1"}}]}}`,
		`{"grant":{"maxExpireTime":"2026-01-01T00:00:00Z"},"credential":5,"askUsage":null}`, `{"headerTimeout":"2562047h47m16.854775807s"}`,
		`{"cluster":"local","lifetime":"-1ns","uses":-1}`, `{"dryRun":true,"keys":[null,{"digest":"00","apiKey":null},{"apiKey":{"tags":{"":null}}}]}`,
		`{"cents":"-9223372036854775808","note":"\u0000"}`, `{"cents":1e2}`, `{"hardLimitCents":"-1","methods":[null,{"cardDetails":{"expMonth":"x"}}]}`,
		`{"taxBasisPoints":2147483648,"hardLimitCents":null}`, `{"cycle":"2026-1"}`, `{"cycle":null,"teamId":""}`,
		`{"modelLimits":{"":null,"m":{"qps":0,"tpm":"9223372036854775807"}},"limits":{"qpm":null}}`,
	})
}
