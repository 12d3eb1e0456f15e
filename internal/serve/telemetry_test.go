package serve

import (
	"maps"
	"os"
	"path/filepath"
	"strings"
	"testing"
)

func TestTelemetryHeadersComeFromBothPlaces(t *testing.T) {
	file := filepath.Join(t.TempDir(), "headers")
	if err := os.WriteFile(file, []byte("Authorization=Basic YWJj=\n\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	o := OTLPConfig{Endpoint: "https://collector.example.com", Headers: []string{"x-tenant = a"}, HeadersFile: file}
	got, err := o.headers()
	if err != nil || !maps.Equal(got, map[string]string{"x-tenant": "a", "Authorization": "Basic YWJj="}) {
		t.Errorf("%v, %v", got, err)
	}
}

// The complaint is logged; the header may be a credential.
func TestAComplaintAboutAHeaderDoesNotQuoteIt(t *testing.T) {
	for _, o := range []OTLPConfig{
		{Headers: []string{"hush-hush"}}, {Sample: 1.1}, {Sample: -1}, {Endpoint: "collector:4318"}, {Endpoint: "https://user:hush-hush@collector"},
	} {
		if err := o.check(); err == nil || strings.Contains(err.Error(), "hush") {
			t.Errorf("%+v: %v", o, err)
		}
	}
}

func TestNoTelemetryIsNoHook(t *testing.T) {
	if settledBy(nil) != nil {
		t.Error("every request would pay for telemetry that is off")
	}
}
