package conformance

import (
	"bytes"
	"os"
	"testing"
	"time"
)

// TestTheDocumentsClasses runs the Python classes that the product's documents
// print, re-indented and with another host, and otherwise unchanged.
func TestTheDocumentsClasses(t *testing.T) {
	h := start(t)
	today := h.count(t, h.createKey(t, `"acls":["api-key:model:*","api-key:endpoint:*"]`))
	runCases(t, sdk{"python", "python", pythonInstall, ".venv/bin/python", []string{".venv/bin/python", "documents.py"}},
		append(os.Environ(), "MANAGEMENT="+h.Management, "XAI_MANAGEMENT_KEY="+h.Key, "TODAY="+today))
}

// count lets one request be counted, and returns the day that it counts on.
func (h *house) count(t *testing.T, key string) (day string) {
	t.Helper()
	status, answer := h.Chat(h.gateway, key, "documents", `{"model":"grok-4","messages":[{"role":"user","content":"[[sim: words=5]] hi"}]}`)
	if status != 200 {
		t.Fatalf("%d %s", status, answer)
	}
	for deadline := time.Now().Add(20 * time.Second); time.Now().Before(deadline); time.Sleep(50 * time.Millisecond) {
		usage := h.manage(t, "GET", "/v1/usage", "")
		if _, after, found := bytes.Cut(bytes.ReplaceAll(usage, []byte(`": "`), []byte(`":"`)), []byte(`"date":"`)); found {
			return string(after[:len(time.DateOnly)])
		}
	}
	t.Fatal("the request was not counted")
	return ""
}
