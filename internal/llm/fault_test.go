package llm

import (
	"encoding/json"
	"strings"
	"testing"
	"unicode/utf8"

	"gatehouse"
)

func TestEveryFaultHasARowInEveryStyle(t *testing.T) {
	for f := range numFaults {
		r := f.row()
		if r.slug == "" || r.openAI == "" || r.openAICode == "" || r.anthropic == "" || r.status < 400 {
			t.Errorf("%d: %+v", f, r)
		}
		for _, s := range []Style{StyleXAI, StyleOpenAI, StyleAnthropic} {
			if !json.Valid(ErrorBody(s, f, "a \"b\"\n\x00\xff", "r")) {
				t.Errorf("%d in style %d is no JSON", f, s)
			}
		}
	}
}

func TestErrorBodiesAreWhatTheSDKsParse(t *testing.T) {
	for _, c := range []struct {
		s      Style
		f      Fault
		status int
		want   string
	}{
		{StyleXAI, NoCredential, 401, `{"code":"unauthenticated:no-credentials","error":"m"}`},
		{StyleXAI, BadKey, 400, `{"code":"invalid-argument","error":"m"}`},
		{StyleOpenAI, BadKey, 401, `{"error":{"message":"m","type":"invalid_request_error","param":null,"code":"invalid_api_key"}}`},
		{StyleAnthropic, BadKey, 401, `{"type":"error","error":{"type":"authentication_error","message":"m"},"request_id":"r"}`},
		{StyleAnthropic, TooLarge, 413, `{"type":"error","error":{"type":"request_too_large","message":"m"},"request_id":"r"}`},
		{StyleXAI, Limited, 429, `{"code":"resource-exhausted","error":"m"}`},
		{StyleXAI, UpstreamExhausted, 429, `{"code":"upstream-exhausted","error":"m"}`},
		{StyleXAI, UpstreamCredential, 502, `{"code":"upstream-credential","error":"m"}`},
		{StyleXAI, NotReady, 503, `{"code":"unavailable","error":"m"}`},
	} {
		if got := string(ErrorBody(c.s, c.f, "m", "r")); got != c.want || c.f.Status(c.s) != c.status {
			t.Errorf("%d %s, want %d %s", c.f.Status(c.s), got, c.status, c.want)
		}
	}
	if got := string(ErrorFrame(StyleAnthropic, UpstreamFailed, "m", "")); got !=
		"event: error\ndata: {\"type\":\"error\",\"error\":{\"type\":\"api_error\",\"message\":\"m\"}}\n\n" {
		t.Errorf("%q", got)
	}
}

func TestEveryCodeHasAFault(t *testing.T) {
	for code, want := range map[gatehouse.Code]Fault{
		gatehouse.InvalidArgument: Invalid, gatehouse.Unauthenticated: NoCredential, gatehouse.PermissionDenied: Denied,
		gatehouse.NotFound: Missing, gatehouse.ResourceExhausted: Limited, gatehouse.Unavailable: NotReady, gatehouse.Internal: Broken,
	} {
		if got := FaultOf(gatehouse.Errorf(code, "x")); got != want {
			t.Errorf("%s: %d", code, got)
		}
	}
}

func TestABadKeyIsNeverEchoed(t *testing.T) {
	const key = "xai-SECRETSECRETSECRETME"
	want := "Incorrect API key provided: xa***ME. You can obtain an API key from the administrator of this gateway."
	if got := BadKeyText(key); got != want {
		t.Error(got)
	}
	for n := range 12 {
		if got := BadKeyText(key[:n]); n > 0 && strings.Contains(got, key[:n]+".") || !strings.Contains(got, ": ***.") {
			t.Error(got)
		}
	}
	if body := ErrorBody(StyleXAI, BadKey, BadKeyText("\xc3\xa9"+key+"\xc3\xa9"), ""); !utf8.Valid(body) {
		t.Errorf("%q", body)
	}
}
