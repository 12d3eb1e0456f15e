package llm

import (
	"bytes"
	"errors"
	"io"
	"mime/multipart"
	"strings"
	"testing"

	"gatehouse"
)

const formType = "multipart/form-data; boundary=XX"

// form joins parts, each a header and a value, with boundaries.
func formOf(parts ...string) []byte {
	var b strings.Builder
	for i := 0; i < len(parts); i += 2 {
		b.WriteString("--XX\r\nContent-Disposition: form-data; " + parts[i] + "\r\n\r\n" + parts[i+1] + "\r\n")
	}
	return []byte(b.String() + "--XX--\r\n")
}

func route(t testing.TB, path string) *Route {
	r, m := Classify("POST", path)
	if m != Found {
		t.Fatal(path)
	}
	return &r
}

func TestAFormIsAdmittedAndItsModelReplaced(t *testing.T) {
	in := formOf(`name="model"`, "gpt-image-1", `name="image[]"; filename="a.png"`, "PNG", `name="image[]"; filename="b.png"`, "PNG\r\n--X",
		`name="n"`, "2", `name="stream"`, "true", `name="user"`, "u")
	b, err := Scan(route(t, "/v1/images/edits"), formType, in)
	if err != nil || b.Model != "gpt-image-1" || b.N != 2 || !b.Stream || b.User != "u" || b.PromptImages != 2 {
		t.Fatalf("%+v %v", b, err)
	}
	if out := b.Rewrite(in, "other", true); string(out) != strings.Replace(string(in), "gpt-image-1", "other", 1) {
		t.Errorf("%s", out)
	}
	if out := b.Rewrite(in, "gpt-image-1", true); &out[0] != &in[0] {
		t.Error("copied without need")
	}
}

func TestFormsThatTwoReadersReadDifferentlyAreRefused(t *testing.T) {
	file := []string{`name="file"; filename="a.mp3"`, "ID3"}
	with := func(parts ...string) string { return string(formOf(append(parts, file...)...)) }
	for _, c := range []struct{ body, names string }{
		{with(`name="model"`, "a", `name="model"`, "b"), "model: appears twice"},
		{with(`name="model"`, "a", `name="MODEL"`, "b"), "did you mean model"},
		{with(`name="model"; filename="m"`, "a"), "not a file"},
		{with(`name*=utf-8''model`, "a"), "plain name"},
		{with(`name="model"; name="x"`, "a"), "form-data"},
		{with(`name="mod%65l"`, "a"), "needs escaping"},
		{with(`name="model"`, "a", `name="response_format"`, "text"), "can be metered"},
		{with(`name="model"`, ""), "must name a model"},
		{with(`name="n"`, "1"), "model: is required"},
		{with("name=\"model\"\r\nContent-Transfer-Encoding: base64", "YQ=="), "has the header"},
		{"preamble" + with(`name="model"`, "a"), "begin with its boundary"},
		{with(`name="model"`, "a") + "--XX--", "after its closing"},
		{strings.TrimSuffix(with(`name="model"`, "a"), "--XX--\r\n"), "ends early"},
		{strings.ReplaceAll(with(`name="model"`, "a"), "\r\n", "\n"), "ends early"},
		{with(`name="model"`, "a", `name="prompt"`, strings.Repeat("x", maxField+1)), "at most 65536"},
	} {
		_, err := Scan(route(t, "/v1/audio/transcriptions"), formType, []byte(c.body))
		if !errors.Is(err, gatehouse.InvalidArgument) || !strings.Contains(err.Error(), c.names) {
			t.Errorf("%.120q: %v, want %q", c.body, err, c.names)
		}
	}
}

// FuzzForm: what is admitted is read the same by mime/multipart, before and
// after a rewrite.
func FuzzForm(f *testing.F) {
	f.Add(formOf(`name="model"`, "a", `name="n"`, "1"))
	f.Add(formOf(`name="image"; filename="x"`, "\x00\xff--XX", `name="model"`, "a/b"))
	f.Fuzz(func(t *testing.T, body []byte) {
		b, err := Scan(route(t, "/v1/images/edits"), formType, body)
		if err != nil {
			return
		}
		for _, c := range []struct {
			body  []byte
			model string
		}{{body, b.Model}, {b.Rewrite(body, "other", false), "other"}} {
			models, err := modelsOf(c.body)
			if err != nil || len(models) != 1 || models[0] != c.model {
				t.Fatalf("mime/multipart reads %q (%v), we %q in %q", models, err, c.model, c.body)
			}
		}
	})
}

func modelsOf(body []byte) (models []string, err error) {
	r := multipart.NewReader(bytes.NewReader(body), "XX")
	for {
		p, err := r.NextRawPart()
		if errors.Is(err, io.EOF) {
			return models, nil
		}
		if err != nil {
			return nil, err
		}
		v, err := io.ReadAll(p)
		if err != nil {
			return nil, err
		}
		if strings.EqualFold(p.FormName(), "model") {
			models = append(models, string(v))
		}
	}
}
