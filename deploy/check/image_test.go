package check

import (
	"regexp"
	"strings"
	"testing"

	"github.com/moby/buildkit/frontend/dockerfile/instructions"
	"github.com/moby/buildkit/frontend/dockerfile/parser"
	"golang.org/x/mod/semver"
)

func TestTheImageIsOneBinaryForANobody(t *testing.T) {
	text := read(t, "../Dockerfile")
	tree, err := parser.Parse(strings.NewReader(text))
	if err != nil {
		t.Fatal(err)
	}
	if len(tree.Warnings) > 0 {
		t.Error(tree.Warnings)
	}
	stages, _, err := instructions.Parse(tree.AST, nil)
	if err != nil {
		t.Fatal(err)
	}
	last := stages[len(stages)-1]
	if len(stages) != 2 || last.BaseName != "scratch" {
		t.Fatalf("%d stages, the last from %s", len(stages), last.BaseName)
	}
	var user, entry string
	var env []string
	copied := map[string]bool{}
	for _, c := range last.Commands {
		switch c := c.(type) {
		case *instructions.UserCommand:
			user = c.User
		case *instructions.EntrypointCommand:
			entry = strings.Join(c.CmdLine, " ")
			if c.PrependShell {
				t.Error("the entry point needs a shell, which scratch has not")
			}
		case *instructions.CopyCommand:
			copied[c.DestPath] = true
		case *instructions.EnvCommand:
			for _, kv := range c.Env {
				env = append(env, kv.Key)
			}
		case *instructions.RunCommand:
			t.Error("nothing can run in scratch")
		}
	}
	if !regexp.MustCompile(`^[1-9][0-9]*:[1-9][0-9]*$`).MatchString(user) || entry != "/gatehouse" ||
		!copied["/gatehouse"] || !copied["/etc/ssl/certs/ca-certificates.crt"] {
		t.Errorf("user %q, entry %q, copied %v", user, entry, copied)
	}
	checkEnvironment(t, "the image", env)
	if !strings.Contains(text, "CGO_ENABLED=0 GOOS=$TARGETOS GOARCH=$TARGETARCH") || stages[0].Platform != "$BUILDPLATFORM" {
		t.Error("the build does not cross-compile")
	}
	checkToolchain(t, stages[0].BaseName)
}

// checkToolchain: an older compiler refuses the module, or fetches another one
// behind the back of whoever pinned it.
func checkToolchain(t *testing.T, image string) {
	want := regexp.MustCompile(`(?m)^go ([0-9.]+)$`).FindStringSubmatch(read(t, "../../go.mod"))[1]
	got := regexp.MustCompile(`^golang:([0-9.]+)-`).FindStringSubmatch(image)
	if got == nil || semver.Compare("v"+got[1], "v"+want) < 0 {
		t.Errorf("the image is built by %s, go.mod wants %s", image, want)
	}
}
