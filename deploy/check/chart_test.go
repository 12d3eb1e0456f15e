package check

import (
	"bufio"
	"bytes"
	"errors"
	"fmt"
	"io"
	"slices"
	"strings"
	"testing"

	"helm.sh/helm/v4/pkg/chart/common"
	"helm.sh/helm/v4/pkg/chart/common/util"
	"helm.sh/helm/v4/pkg/chart/v2/lint"
	"helm.sh/helm/v4/pkg/chart/v2/lint/support"
	"helm.sh/helm/v4/pkg/chart/v2/loader"
	"helm.sh/helm/v4/pkg/engine"
	apps "k8s.io/api/apps/v1"
	autoscaling "k8s.io/api/autoscaling/v2"
	core "k8s.io/api/core/v1"
	networking "k8s.io/api/networking/v1"
	policy "k8s.io/api/policy/v1"
	meta "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/util/yaml"
	kubejson "sigs.k8s.io/json"
	strict "sigs.k8s.io/yaml"
)

const chartDir = "../helm/gatehouse"

// scenarios are the ways in which the chart is used.
var scenarios = map[string]string{
	"defaults": ``,
	"everything": `
control: {replicas: 3, config: "log: {level: warn}", credentials: providers}
gateway: {trustedProxies: 10.0.0.0/8, autoscaling: {enabled: true}, journal: {size: 50Gi, storageClass: fast}}
secrets: {authority: {name: authority, key: url}}
telemetry: {endpoint: "http://collector:4318"}
podMonitor: {enabled: true, labels: {release: prometheus}}
networkPolicy: {clients: {team: apps}, monitoring: {team: watch}}
podAnnotations: {a: b}
nodeSelector: {disk: ssd}
tolerations: [{key: gateways, operator: Exists}]
imagePullSecrets: [{name: registry}]
extraEnv: [{name: GATEHOUSE_BRAND, value: acme}]`,
	"control alone": `gateway: {enabled: false}`,
	"gateways of another cluster": `
control: {enabled: false}
secrets: {installation: "", database: {name: "", key: url}}
gateway: {controlURLs: ["https://control-1.example.com:8090", "https://control-2.example.com:8090"]}`,
	"library in a bucket": inBucket,
	"library on a volume": onVolume,
	"open": `
networkPolicy: {enabled: false}
gateway: {preStopSeconds: 0}`,
}

func render(text string) (map[string]string, error) {
	chart, err := loader.LoadDir(chartDir)
	if err != nil {
		return nil, err
	}
	values := map[string]any{}
	if err := strict.UnmarshalStrict([]byte(text), &values); err != nil {
		return nil, err
	}
	all, err := util.ToRenderValues(chart, values, common.ReleaseOptions{Name: "test", Namespace: "here", IsInstall: true}, common.DefaultCapabilities)
	if err != nil {
		return nil, err
	}
	return engine.Render(chart, all)
}

// objects are what a rendering makes, decoded with unknown fields refused.
type objects struct {
	pods     map[string]core.PodTemplateSpec
	stateful []*apps.StatefulSet
	budgets  []*policy.PodDisruptionBudget
	scalers  []*autoscaling.HorizontalPodAutoscaler
	policies []*networking.NetworkPolicy
	services []*core.Service
	kinds    []string
}

func decode(t *testing.T, files map[string]string) *objects {
	t.Helper()
	o := &objects{pods: map[string]core.PodTemplateSpec{}}
	for name, text := range files {
		if strings.HasSuffix(name, "NOTES.txt") {
			continue
		}
		docs := yaml.NewYAMLReader(bufio.NewReader(strings.NewReader(text)))
		for {
			doc, err := docs.Read()
			if err == io.EOF {
				break
			}
			if err != nil {
				t.Fatal(err)
			}
			if len(bytes.TrimSpace(doc)) > 0 {
				o.add(t, name, doc)
			}
		}
	}
	return o
}

func (o *objects) add(t *testing.T, file string, doc []byte) {
	t.Helper()
	var head meta.TypeMeta
	if err := strict.Unmarshal(doc, &head); err != nil {
		t.Fatalf("%s: %v\n%s", file, err, doc)
	}
	into := func(v any) {
		t.Helper()
		if err := exactly(doc, v); err != nil {
			t.Fatalf("%s, %s: %v\n%s", file, head.Kind, err, doc)
		}
	}
	o.kinds = append(o.kinds, head.Kind)
	switch head.APIVersion + " " + head.Kind {
	case "apps/v1 Deployment":
		var d apps.Deployment
		into(&d)
		o.pods[d.Name] = d.Spec.Template
	case "apps/v1 StatefulSet":
		s := new(apps.StatefulSet)
		into(s)
		o.stateful, o.pods[s.Name] = append(o.stateful, s), s.Spec.Template
	case "policy/v1 PodDisruptionBudget":
		b := new(policy.PodDisruptionBudget)
		into(b)
		o.budgets = append(o.budgets, b)
	case "autoscaling/v2 HorizontalPodAutoscaler":
		h := new(autoscaling.HorizontalPodAutoscaler)
		into(h)
		o.scalers = append(o.scalers, h)
	case "networking.k8s.io/v1 NetworkPolicy":
		n := new(networking.NetworkPolicy)
		into(n)
		o.policies = append(o.policies, n)
	case "v1 Service":
		s := new(core.Service)
		into(s)
		o.services = append(o.services, s)
	case "v1 ConfigMap":
		into(new(core.ConfigMap))
	case "v1 ServiceAccount":
		into(new(core.ServiceAccount))
	case "monitoring.coreos.com/v1 PodMonitor":
		into(new(podMonitor))
	default:
		t.Errorf("%s: nobody checks %s %s", file, head.APIVersion, head.Kind)
	}
}

// exactly decodes as the API server does under strict validation: Go's own
// decoder would also take a field in the wrong case.
func exactly(doc []byte, v any) error {
	text, err := strict.YAMLToJSONStrict(doc)
	if err != nil {
		return err
	}
	unknown, err := kubejson.UnmarshalStrict(text, v)
	return errors.Join(append(unknown, err)...)
}

// podMonitor is the part of the operator's type that the chart uses.
type podMonitor struct {
	meta.TypeMeta   `json:",inline"`
	meta.ObjectMeta `json:"metadata"`
	Spec            struct {
		Selector            meta.LabelSelector `json:"selector"`
		PodTargetLabels     []string           `json:"podTargetLabels"`
		PodMetricsEndpoints []struct {
			Port     string `json:"port"`
			Interval string `json:"interval"`
		} `json:"podMetricsEndpoints"`
	} `json:"spec"`
}

func TestTheChartRendersWhatKubernetesTakes(t *testing.T) {
	for name, values := range scenarios {
		t.Run(name, func(t *testing.T) {
			files, err := render(values)
			if err != nil {
				t.Fatal(err)
			}
			o := decode(t, files)
			for pod, template := range o.pods {
				checkPod(t, pod, template)
			}
			o.checkSelectors(t)
			o.checkStateful(t)
			if name == "everything" && (len(o.scalers) != 1 || !slices.Contains(o.kinds, "PodMonitor") || len(o.policies) != 2) {
				t.Errorf("not everything was rendered: %v", o.kinds)
			}
		})
	}
}

func checkPod(t *testing.T, name string, p core.PodTemplateSpec) {
	s := p.Spec
	if s.SecurityContext == nil || s.SecurityContext.RunAsNonRoot == nil || !*s.SecurityContext.RunAsNonRoot || *s.AutomountServiceAccountToken {
		t.Errorf("%s may run as root or holds a credential of the cluster", name)
	}
	if *s.TerminationGracePeriodSeconds < 45 {
		t.Errorf("%s is killed after %d s, in the middle of its drain", name, *s.TerminationGracePeriodSeconds)
	}
	volumes := map[string]bool{}
	for _, v := range s.Volumes {
		volumes[v.Name] = true
	}
	if strings.HasSuffix(name, "-gateway") {
		volumes["data"] = true // of the claim
		for _, v := range s.Volumes {
			if v.Name == "database" || v.Name == "installation" || v.Name == "s3" || v.Name == "blobs" {
				t.Errorf("%s is given %s: a gateway must hold no credential of the truth", name, v.Name)
			}
		}
	}
	for _, c := range slices.Concat(s.InitContainers, s.Containers) {
		checkContainer(t, name+"/"+c.Name, c, volumes)
	}
	checkProbes(t, name, s.Containers[0])
}

func checkContainer(t *testing.T, name string, c core.Container, volumes map[string]bool) {
	if x := c.SecurityContext; x == nil || x.ReadOnlyRootFilesystem == nil || !*x.ReadOnlyRootFilesystem || *x.AllowPrivilegeEscalation || len(x.Capabilities.Drop) == 0 {
		t.Errorf("%s is not confined", name)
	}
	if c.Resources.Limits.Memory().IsZero() {
		t.Errorf("%s has no memory limit", name)
	}
	for _, m := range c.VolumeMounts {
		if !volumes[m.Name] {
			t.Errorf("%s mounts %s, which the pod has not", name, m.Name)
		}
	}
	var names []string
	for _, e := range c.Env {
		names = append(names, e.Name)
	}
	checkEnvironment(t, name, names)
}

func checkProbes(t *testing.T, name string, c core.Container) {
	ports := map[string]bool{}
	for _, p := range c.Ports {
		ports[p.Name] = true
	}
	for path, p := range map[string]*core.Probe{"/readyz": c.ReadinessProbe, "/healthz": c.LivenessProbe} {
		if p == nil || p.HTTPGet == nil || p.HTTPGet.Path != path || !ports[p.HTTPGet.Port.StrVal] {
			t.Errorf("%s is not asked for %s on a port it has", name, path)
		}
	}
}

// checkSelectors finds budgets, services, scalers and policies that apply to
// nothing: Kubernetes takes them and says nothing.
func (o *objects) checkSelectors(t *testing.T) {
	hit := func(what string, selector map[string]string) {
		for _, p := range o.pods {
			if subset(selector, p.Labels) {
				return
			}
		}
		t.Errorf("%s selects no pod: %v", what, selector)
	}
	for _, b := range o.budgets {
		hit("budget "+b.Name, b.Spec.Selector.MatchLabels)
	}
	for _, n := range o.policies {
		hit("policy "+n.Name, n.Spec.PodSelector.MatchLabels)
	}
	for _, s := range o.services {
		hit("service "+s.Name, s.Spec.Selector)
	}
	for _, h := range o.scalers {
		if _, ok := o.pods[h.Spec.ScaleTargetRef.Name]; !ok {
			t.Errorf("the scaler scales %s, which is not there", h.Spec.ScaleTargetRef.Name)
		}
	}
	for _, s := range o.stateful {
		if !slices.ContainsFunc(o.services, func(v *core.Service) bool { return v.Name == s.Spec.ServiceName && v.Spec.ClusterIP == "None" }) {
			t.Errorf("%s names the service %s, which is not there or has an address", s.Name, s.Spec.ServiceName)
		}
	}
}

// checkStateful: a volume with usage must outlive its pod.
func (o *objects) checkStateful(t *testing.T) {
	for _, s := range o.stateful {
		keep := s.Spec.PersistentVolumeClaimRetentionPolicy
		if len(s.Spec.VolumeClaimTemplates) != 1 || keep == nil || keep.WhenDeleted != apps.RetainPersistentVolumeClaimRetentionPolicyType ||
			keep.WhenScaled != apps.RetainPersistentVolumeClaimRetentionPolicyType {
			t.Errorf("%s loses its journal with its pod", s.Name)
		}
		if (len(o.scalers) > 0) != (s.Spec.Replicas == nil) {
			t.Errorf("%s: replicas and the scaler contradict each other", s.Name)
		}
	}
}

func subset(a, b map[string]string) bool {
	for k, v := range a {
		if b[k] != v {
			return false
		}
	}
	return len(a) > 0
}

func TestTheChartRefusesWhatCannotWork(t *testing.T) {
	for values, want := range map[string]string{
		"gateways: {}":                                                            "gateways",
		"gateway: {replicas: 0}":                                                  "minimum",
		"terminationGracePeriodSeconds: 30":                                       "minimum",
		"gateway: {durability: sometimes}":                                        "durability",
		"gateway: {controlURLs: [control]}":                                       "controlURLs",
		"control: {enabled: false}":                                               "controlURLs is required",
		"secrets: {installation: ''}":                                             "secrets.installation is required",
		"secrets: {joinToken: {name: '', key: token}}":                            "joinToken.name is required",
		"library: {blobs: /srv/files}":                                            "blobs",
		"library: {blobs: s3://files, claim: files}":                              "two places",
		"library: {blobs: s3://files}":                                            "needs library.s3.endpoint",
		"library: {workers: 0}":                                                   "workers",
		"library: {maxFileBytes: 104857601}":                                      "maxFileBytes",
		"library: {gateway: gateway}":                                             "gateway",
		"{gateway: {enabled: false}, library: {claim: files, embeddingModel: e}}": "library.gateway is required",
	} {
		if _, err := render(values); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%s: %v, want something about %s", values, err, want)
		}
	}
}

func TestHelmFindsNothingToComplainAbout(t *testing.T) {
	for _, m := range lint.RunAll(chartDir, map[string]any{}, "here").Messages {
		if m.Severity > support.InfoSev {
			t.Error(fmt.Sprint(m))
		}
	}
}
