package conformance

import (
	"os"
	"testing"
)

// TestTheLibrary is the promise that programs written with xAI's and OpenAI's
// own SDKs keep, find and read documents here after changing hosts and keys.
func TestTheLibrary(t *testing.T) {
	h := start(t)
	runCases(t, sdk{"library", "python", pythonInstall, ".venv/bin/python", []string{".venv/bin/python", "library.py"}}, append(os.Environ(),
		"GATEWAY="+h.gateway, "MANAGEMENT="+h.Management, "XAI_MANAGEMENT_KEY="+h.Key,
		"KEY="+h.createKey(t, `"acls":["api-key:model:*","api-key:endpoint:*"]`),
		"KEY_CHAT="+h.createKey(t, `"acls":["api-key:model:*","api-key:endpoint:chat"]`)))
}
