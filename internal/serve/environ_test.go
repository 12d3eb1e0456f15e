package serve

import (
	"strings"
	"testing"
)

// A misspelt name is refused with the one that was meant, and without its value.
func TestAMisspeltVariableIsRefusedByName(t *testing.T) {
	for wrong, meant := range map[string]string{
		"GATEHOUSE_GATEWAY_LISTN":   "GATEHOUSE_GATEWAY_LISTEN",
		"GATEHOUSE_MANAGMENT_RATE":  "GATEHOUSE_MANAGEMENT_RATE",
		"GATEHOUSE_BOOTSTRAP_FILES": "GATEHOUSE_BOOTSTRAP_FILE",
		"GATEHOUSE_CA_CERTS":        "GATEHOUSE_CA_CERT",
	} {
		_, err := Load("", func() []string { return []string{"HOME=/root", wrong + "=s3cret"} })
		if err == nil || !strings.Contains(err.Error(), wrong+";") || !strings.HasSuffix(err.Error(), " "+meant) {
			t.Errorf("%s: got %v, want it refused with %s", wrong, err, meant)
		} else if strings.Contains(err.Error(), "s3cret") {
			t.Errorf("%s: the value is repeated: %v", wrong, err)
		}
	}
}

// What the client commands read, and what an orchestrator sets by itself beside
// services named after the program, is no reason not to start.
func TestVariablesThatConfigureNothingHereAreLeftAlone(t *testing.T) {
	_, err := Load("", func() []string {
		return []string{
			"GATEHOUSE_URL=http://127.0.0.1:1", "GATEHOUSE_MANAGEMENT_KEY=x", "GATEHOUSE_GATEWAY_LISTEN=127.0.0.1:1",
			"GATEHOUSE_SERVICE_HOST=10.0.0.1", "GATEHOUSE_SERVICE_PORT=80", "GATEHOUSE_SERVICE_PORT_HTTP=80", "GATEHOUSE_PORT=tcp://10.0.0.1:80",
			"GATEHOUSE_CONTROL_PORT_8090_TCP=tcp://10.0.0.1:8090", "GATEHOUSE_CONTROL_PORT_8090_TCP_ADDR=10.0.0.1", "GATEHOUSE_CONTROL_SERVICE_HOST=10.0.0.1",
			"OTHER=1",
		}
	})
	if err != nil {
		t.Fatal(err)
	}
}
