package check

import (
	"maps"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/compose-spec/compose-go/v2/loader"
	"github.com/compose-spec/compose-go/v2/types"
)

func project(t *testing.T) *types.Project {
	t.Helper()
	file, err := filepath.Abs("../compose.yaml")
	if err != nil {
		t.Fatal(err)
	}
	p, err := loader.LoadWithContext(t.Context(), types.ConfigDetails{
		WorkingDir: filepath.Dir(file), ConfigFiles: []types.ConfigFile{{Filename: file}}, Environment: types.Mapping{},
	}, loader.WithProfiles([]string{"*"}))
	if err != nil {
		t.Fatal(err)
	}
	return p
}

func TestComposeLoads(t *testing.T) {
	p := project(t)
	want := []string{"control-1", "control-2", "gateway-east", "gateway-west", "postgres", "valkey"}
	if got := slices.Sorted(maps.Keys(p.Services)); !slices.Equal(got, want) {
		t.Errorf("services %v, want %v", got, want)
	}
	for name, s := range p.Services {
		if s.HealthCheck == nil || len(s.HealthCheck.Test) == 0 {
			t.Errorf("%s has no healthcheck", name)
		}
		for _, port := range s.Ports {
			if port.HostIP != "127.0.0.1" {
				t.Errorf("%s is published on %q", name, port.HostIP)
			}
		}
		checkEnvironment(t, name, slices.Collect(maps.Keys(s.Environment)))
		checkSecrets(t, p, name, s)
	}
}

// checkSecrets: a value in the environment is shown by docker inspect to
// everybody who may ask.
func checkSecrets(t *testing.T, p *types.Project, name string, s types.ServiceConfig) {
	mounted := map[string]bool{}
	for _, secret := range s.Secrets {
		if _, ok := p.Secrets[secret.Source]; !ok {
			t.Errorf("%s uses the secret %s, which is not declared", name, secret.Source)
		}
		target := secret.Target
		if target == "" {
			target = secret.Source
		}
		mounted["/run/secrets/"+filepath.Base(target)] = true
	}
	for key, value := range s.Environment {
		if value == nil {
			continue
		}
		if strings.Contains(*value, "://") && strings.Contains(*value, "@") {
			t.Errorf("%s: %s holds a password", name, key)
		}
		if strings.HasPrefix(*value, "/run/secrets/") && !mounted[*value] {
			t.Errorf("%s: %s is %s, which is not mounted", name, key, *value)
		}
	}
	if strings.HasPrefix(name, "gateway") && (mounted["/run/secrets/database"] || s.Environment["GATEHOUSE_SECRETS"] != nil) {
		t.Errorf("%s holds a credential of the truth", name)
	}
}

func TestComposeWaitsForTheDrain(t *testing.T) {
	for name, s := range project(t).Services {
		if len(s.Entrypoint) == 0 && strings.HasPrefix(s.Image, "gatehouse") && (s.StopGracePeriod == nil || time.Duration(*s.StopGracePeriod) < 45*time.Second || !s.ReadOnly || len(s.CapDrop) == 0) {
			t.Errorf("%s is killed in its drain, or is not confined: %v", name, s.StopGracePeriod)
		}
	}
}

// Files that one node took must be there for the other.
func TestComposeSharesTheFiles(t *testing.T) {
	p := project(t)
	for _, name := range []string{"control-1", "control-2"} {
		s := p.Services[name]
		blobs := s.Environment["GATEHOUSE_LIBRARY_BLOBS"]
		shared := slices.ContainsFunc(s.Volumes, func(v types.ServiceVolumeConfig) bool {
			return v.Source == "files" && blobs != nil && strings.HasPrefix(*blobs, v.Target+"/")
		})
		if !shared || !strings.Contains(read(t, "../Dockerfile"), "--chown=65532:65532 /out/data /srv/gatehouse\n") {
			t.Errorf("%s keeps files where the other does not find them, or may not write: %v", name, s.Volumes)
		}
	}
}
