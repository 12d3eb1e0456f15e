package conformance

import (
	"os"
	"testing"
)

// TestXAIsSDK is the promise that programs written with xAI's own SDK work after
// changing the host and the key.
func TestXAIsSDK(t *testing.T) {
	h := start(t)
	h.manage(t, "POST", "/admin/v1/upstreams", `{"name":"native","kind":"xai","baseUrl":"`+h.ProviderURL+`","families":["grpc"],"serves":[{"model":"grok-4.3"}],"allowPrivate":true}`)
	runCases(t, sdk{"xai", "python", pythonInstall, ".venv/bin/python", []string{".venv/bin/python", "xai.py"}}, append(os.Environ(), "GATEWAY="+h.gateway,
		"KEY="+h.createKey(t, `"acls":["api-key:model:*","api-key:endpoint:*"]`),
		"KEY_IMAGE="+h.createKey(t, `"acls":["api-key:model:*","api-key:endpoint:image"]`),
		"KEY_ONCE="+h.createKey(t, `"acls":["api-key:model:*","api-key:endpoint:*"],"qpm":1`)))
}
