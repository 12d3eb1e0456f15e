package check

import (
	"maps"
	"slices"
	"strings"
	"testing"

	core "k8s.io/api/core/v1"
)

const (
	inBucket = `
control: {seccompProfile: {type: Localhost, localhostProfile: gatehouse.json}}
gateway: {enabled: false}
secrets: {libraryS3: bucket-keys}
library: {blobs: s3://files/gatehouse, s3: {endpoint: "https://s3.example.com:9000", region: eu}, gateway: "https://gateway.example.com", publicURL: "https://files.example.com", embeddingModel: e, describeModel: d, maxBytes: 1099511627776}`
	onVolume = `
gateway: {service: {port: 443}}
library: {claim: files, embeddingModel: e, spool: {size: 30Gi, request: 1Gi}}`
)

// rendered are the control pod of a release, its settings of the library, and
// the ports that its policy lets out.
func rendered(t *testing.T, values string) (pod core.PodSpec, set map[string]string, out []int) {
	t.Helper()
	files, err := render(values)
	if err != nil {
		t.Fatal(err)
	}
	o, set := decode(t, files), map[string]string{}
	for name, p := range o.pods {
		control := strings.HasSuffix(name, "-control")
		if control {
			pod = p.Spec
		}
		for _, e := range p.Spec.Containers[0].Env {
			key, ours := strings.CutPrefix(e.Name, "GATEHOUSE_LIBRARY_")
			switch {
			case !ours && key != "SSL_CERT_DIR":
			case control:
				set[key] = e.Value
			default:
				t.Errorf("%s is told %s, which is control's", name, e.Name)
			}
		}
	}
	for _, n := range o.policies {
		if strings.HasSuffix(n.Name, "-control") {
			for _, rule := range n.Spec.Egress {
				for _, p := range rule.Ports {
					out = append(out, p.Port.IntValue())
				}
			}
		}
	}
	return pod, set, out
}

func sameSettings(t *testing.T, got, want map[string]string) {
	t.Helper()
	if !maps.Equal(got, want) {
		t.Errorf("got  %v\nwant %v", got, want)
	}
}

// The data directory of a control pod goes with it, so files in it would too.
func TestTheChartOffersNoLibraryUnlessItIsToldWhere(t *testing.T) {
	pod, set, _ := rendered(t, ``)
	if len(set) > 0 || slices.ContainsFunc(pod.Volumes, func(v core.Volume) bool { return v.Name == "spool" }) {
		t.Errorf("it has %v", set)
	}
}

func TestTheChartPutsTheLibraryInABucket(t *testing.T) {
	pod, set, out := rendered(t, inBucket)
	sameSettings(t, set, map[string]string{
		"BLOBS": "s3://files/gatehouse", "S3_ENDPOINT": "https://s3.example.com:9000", "S3_REGION": "eu",
		"S3_ACCESS_KEY_FILE": "/run/gatehouse/s3/accessKey", "S3_SECRET_KEY_FILE": "/run/gatehouse/s3/secretKey",
		"GATEWAY": "https://gateway.example.com", "PUBLIC_URL": "https://files.example.com", "EMBEDDING_MODEL": "e", "DESCRIBE_MODEL": "d",
		"WORKERS": "2", "MAX_FILE_BYTES": "104857600", "MAX_FILES": "100000", "MAX_BYTES": "1099511627776",
		"SSL_CERT_DIR": "/etc/ssl/certs:/run/gatehouse/ca",
	})
	for _, m := range pod.Containers[0].VolumeMounts {
		if m.Name == "s3" && (m.MountPath != "/run/gatehouse/s3" || !m.ReadOnly) {
			t.Errorf("the bucket's keys are at %s", m.MountPath)
		}
	}
	if p := pod.Containers[0].SecurityContext.SeccompProfile; p == nil || p.LocalhostProfile == nil || *p.LocalhostProfile != "gatehouse.json" {
		t.Errorf("calls are filtered by %v", p)
	}
	if !slices.Contains(out, 9000) || !slices.Contains(out, 443) {
		t.Errorf("the policy lets out %v", out)
	}
}

func TestTheChartPutsTheLibraryOnAVolume(t *testing.T) {
	pod, set, out := rendered(t, onVolume)
	sameSettings(t, set, map[string]string{
		"BLOBS": "/srv/gatehouse/blobs", "GATEWAY": "https://test-gatehouse-gateway.here.svc:443", "EMBEDDING_MODEL": "e",
		"WORKERS": "2", "MAX_FILE_BYTES": "104857600", "MAX_FILES": "100000", "MAX_BYTES": "107374182400",
		"SSL_CERT_DIR": "/etc/ssl/certs:/run/gatehouse/ca",
	})
	if !slices.Contains(out, 8080) { // policies see the pod's port and not the service's
		t.Errorf("the policy lets out %v", out)
	}
	claim := slices.ContainsFunc(pod.Volumes, func(v core.Volume) bool {
		return v.Name == "blobs" && v.PersistentVolumeClaim != nil && v.PersistentVolumeClaim.ClaimName == "files"
	})
	if !claim {
		t.Error("the claim is not mounted")
	}
}

// What uploads take of a node is bounded and asked for.
func TestTheSpoolIsBounded(t *testing.T) {
	pod, _, _ := rendered(t, onVolume)
	at := slices.IndexFunc(pod.Volumes, func(v core.Volume) bool { return v.Name == "spool" })
	if at < 0 || pod.Volumes[at].EmptyDir == nil || pod.Volumes[at].EmptyDir.SizeLimit.String() != "30Gi" {
		t.Error("the spool has no bound")
	}
	asked := pod.Containers[0].Resources.Requests
	if asked.StorageEphemeral().String() != "1Gi" || asked.Cpu().IsZero() {
		t.Errorf("asked for: %v", asked)
	}
}
