package serve

import (
	"fmt"
	"maps"
	"os"
	"path/filepath"
	"reflect"
	"regexp"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
)

// member is a row of the configuration page.
type member struct{ Env, Default string }

// An operator finds out what can be said from this page; a member that is
// missing there does not exist for them.
func TestTheConfigurationPageListsEveryMember(t *testing.T) {
	page, err := os.ReadFile("../../docs/reference/configuration.md")
	if err != nil {
		t.Fatal(err)
	}
	documented := map[string]member{}
	for _, row := range regexp.MustCompile("(?m)^\\| `([a-z0-9_.\\[\\]]+)` \\|([^|]*)\\|([^|]*)\\| [^|]+ \\|$").FindAllStringSubmatch(string(page), -1) {
		documented[row[1]] = member{strings.Trim(row[2], " `"), strings.Trim(row[3], " `")}
	}
	want := map[string]member{}
	for path, value := range members("", reflect.ValueOf(Defaults())) {
		m := member{Default: value}
		name := "GATEHOUSE_" + strings.ToUpper(strings.ReplaceAll(path, ".", "_"))
		if to, _ := fromEnv(name, "x"); to == path {
			m.Env = name
		}
		want[path] = m
	}
	if d := cmp.Diff(documented, want); d != "" {
		t.Errorf("docs/reference/configuration.md (-) and serve.Config (+) differ:\n%s", d)
	}
}

// members are the leaves of a configuration with their values as text, empty
// for none.
func members(prefix string, v reflect.Value) map[string]string {
	out := map[string]string{}
	for i := range v.NumField() {
		path, f := prefix+v.Type().Field(i).Tag.Get("koanf"), v.Field(i)
		switch elem := f.Type(); {
		case f.Kind() == reflect.Struct:
			maps.Copy(out, members(path+".", f))
		case f.Kind() == reflect.Slice && elem.Elem().Kind() == reflect.Struct:
			maps.Copy(out, members(path+"[].", reflect.Zero(elem.Elem())))
		case f.IsZero() && f.Kind() == reflect.Bool && prefix == "":
			out[path] = "false"
		case f.IsZero():
			out[path] = ""
		default:
			out[path] = fmt.Sprint(f.Interface())
		}
	}
	return out
}

// The example is what people copy.
func TestTheExampleConfigurationLoads(t *testing.T) {
	example, err := filepath.Abs("../../docs/gatehouse.example.yaml")
	if err != nil {
		t.Fatal(err)
	}
	t.Chdir(t.TempDir())
	for _, name := range []string{"openai.key", "anthropic.key"} {
		if err := os.WriteFile(name, []byte("a credential\n"), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	cfg, err := Load(example, func() []string { return nil })
	if err == nil {
		err = cfg.Check()
	}
	if err != nil {
		t.Fatal(err)
	}
	d, err := cfg.Declaration()
	if err != nil || len(d.Upstreams) != 3 || len(d.Models) != 1 || len(d.Aliases) != 1 || len(d.Prices) != 1 {
		t.Errorf("%v: %+v", err, d)
	}
	all := reflect.TypeFor[Config]()
	text, _ := os.ReadFile(example)
	for i := range all.NumField() {
		section := all.Field(i).Tag.Get("koanf")
		if slices.Contains([]string{"role", "brand", "insecure", "clusters"}, section) {
			continue // nothing to choose in an example
		}
		if !regexp.MustCompile("(?m)^(# )?" + section + ":").Match(text) {
			t.Errorf("the example does not show %s", section)
		}
	}
}
