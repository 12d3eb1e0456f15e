package llm

import (
	"errors"
	"strings"
	"testing"

	"gatehouse"
)

const (
	letter  = "file_0190f3a2-0000-7000-8000-000000000001"
	picture = "file-0190f3a2-0000-7000-8000-000000000002"
)

// shelf has a text and a picture.
func shelf(id string) (Inlined, error) {
	switch id {
	case letter:
		return Inlined{Name: "letter \"1\".txt", Data: []byte("Dear\n\x01you")}, nil
	case picture:
		return Inlined{Name: "dot.png", Type: "image/png", Data: []byte{0, 1, 2, 3}}, nil
	}
	return Inlined{}, gatehouse.Errorf(gatehouse.NotFound, "%s is not here", id)
}

func inlined(t *testing.T, path, body string) (string, error) {
	t.Helper()
	r, _ := Classify("POST", path)
	b, err := Scan(&r, "application/json", []byte(body))
	if err != nil || b.Files == 0 {
		t.Fatalf("%s: %d files, %v", body, b.Files, err)
	}
	// With bytes before and behind it, as in a buffer that is used again.
	buffer := append([]byte("xx"+body), "}]junk"...)
	out, err := Inline(&r, buffer[2:2+len(body)], shelf)
	if err != nil {
		return "", err
	}
	r.Inlines = false
	_, err = Scan(&r, "application/json", out)
	return string(out), err
}

// What is forwarded is the client's body with parts of the same family in the
// place of those that named files, and every other byte as it was.
func TestFilesStandInThePlaceOfTheirIDs(t *testing.T) {
	const text = `"File: letter \"1\".txt\n\nDear\n` + "\\u0001" + `you"`
	escape := func(s string) string { return strings.ReplaceAll(s, `\n`, "\\u000a") }
	for _, c := range []struct{ name, path, body, want string }{
		{"chat", "/v1/chat/completions",
			`{ "model":"m", "messages":[{"role":"user","content":[{"type":"file","file":{"file_id":"` + letter + `"}},{"type":"text", "text":"?"},{"type":"file","file":{"file_id":"` + picture + `"}},{"type":"image_url","image_url":{"file_id":"` + picture + `","detail":"low"}}]}] }`,
			`{ "model":"m", "messages":[{"role":"user","content":[{"type":"text","text":` + text + `},{"type":"text", "text":"?"},{"type":"image_url","image_url":{"url":"data:image/png;base64,AAECAw=="}},{"type":"image_url","image_url":{"url":"data:image/png;base64,AAECAw==","detail":"low"}}]}] }`},
		{"a name by the client", "/v1/chat/completions",
			`{"model":"m","messages":[{"content":[{"type":"file","file":{"filename":"n","file_id":"` + letter + `"}}]}]}`,
			`{"model":"m","messages":[{"content":[{"type":"text","text":` + strings.Replace(text, `letter \"1\".txt`, "n", 1) + `}]}]}`},
		{"responses", "/v1/responses",
			`{"input":[{"role":"user","content":[{"type":"input_file","file_id":"` + letter + `"},{"type":"input_image","detail":"high","file_id":"` + picture + `"}]}],"model":"m"}`,
			`{"input":[{"role":"user","content":[{"type":"input_text","text":` + text + `},{"type":"input_image","image_url":"data:image/png;base64,AAECAw==","detail":"high"}]}],"model":"m"}`},
		{"messages", "/v1/messages",
			`{"model":"m","messages":[{"role":"user","content":[{"type":"tool_result","content":[{"type":"document","source":{"type":"file","file_id":"` + letter + `"},"cache_control":{"type":"ephemeral"}}]},{"type":"image","source":{"type":"file","file_id":"` + picture + `"}}]}]}`,
			`{"model":"m","messages":[{"role":"user","content":[{"type":"tool_result","content":[{"type":"text","text":` + text + `,"cache_control":{"type":"ephemeral"}}]},{"type":"image","source":{"type":"base64","media_type":"image/png","data":"AAECAw=="}}]}]}`},
	} {
		got, err := inlined(t, c.path, c.body)
		if err != nil || got != escape(c.want) {
			t.Errorf("%s: %v\n got %s\nwant %s", c.name, err, got, escape(c.want))
		}
	}
}

// An id that stands where no part is known is not forwarded, and neither is one
// beside something that could not be kept.
func TestAnIDAnywhereElseIsRefusedByName(t *testing.T) {
	for name, c := range map[string][2]string{
		"at the top":           {"/v1/chat/completions", `{"model":"m","file_id":"` + letter + `"}`},
		"in a text part":       {"/v1/chat/completions", `{"model":"m","messages":[{"content":[{"type":"text","text":"x","file_id":"` + letter + `"}]}]}`},
		"of another family":    {"/v1/responses", `{"model":"m","input":[{"content":[{"type":"file","file":{"file_id":"` + letter + `"}}]}]}`},
		"a text as an image":   {"/v1/responses", `{"model":"m","input":[{"content":[{"type":"input_image","file_id":"` + letter + `"}]}]}`},
		"beside data":          {"/v1/chat/completions", `{"model":"m","messages":[{"content":[{"type":"file","file":{"file_data":"x","file_id":"` + letter + `"}}]}]}`},
		"with citations":       {"/v1/messages", `{"model":"m","messages":[{"content":[{"type":"document","citations":{"enabled":true},"source":{"type":"file","file_id":"` + letter + `"}}]}]}`},
		"deeper than a part":   {"/v1/chat/completions", `{"model":"m","messages":[[[[[[[[[[[[[[[[[{"type":"file","file":{"file_id":"` + letter + `"}}]]]]]]]]]]]]]]]]]}`},
		"with an escaped name": {"/v1/chat/completions", `{"model":"m","messages":[{"content":[{"type":"file","file":{"file\u005fid":"` + letter + `"}}]}]}`},
	} {
		if got, err := inlined(t, c[0], c[1]); !errors.Is(err, gatehouse.InvalidArgument) {
			t.Errorf("%s: %v %s", name, err, got)
		}
	}
	if _, err := inlined(t, "/v1/responses", `{"model":"m","input":[{"content":[{"type":"input_file","file_id":"file_0190f3a2-0000-7000-8000-000000000009"}]}]}`); !errors.Is(err, gatehouse.NotFound) {
		t.Error(err)
	}
}

// A provider's id is refused before anybody is asked, and so is ours where
// nothing can be put in its place.
func TestOnlyIDsOfTheLibraryPassTheScan(t *testing.T) {
	part := func(id string) string {
		return `{"model":"m","input":[{"content":[{"type":"input_file","file_id":"` + id + `"}]}]}`
	}
	for path, ids := range map[string][]string{
		"/v1/responses":  {"file-abc123", "file_x190f3a2-0000-7000-8000-000000000001", letter + "0", letter[5:], "FILE_" + letter[5:], `file\u005f` + letter[5:], ""},
		"/v1/embeddings": {letter}, "/v1/images/edits": {letter},
	} {
		r, _ := Classify("POST", path)
		for _, id := range ids {
			if b, err := Scan(&r, "application/json", []byte(part(id))); err == nil {
				t.Errorf("%s %q: %+v", path, id, b)
			}
		}
	}
	r, _ := Classify("POST", "/v1/chat/completions")
	for _, body := range []string{
		`{"model":"m","fileId":"` + letter + `"}`, `{"model":"m","tools":[{"container":{"file_ids":["` + letter + `"]}}]}`, `{"model":"m","x":{"container":"` + letter + `"}}`,
	} {
		if _, err := Scan(&r, "application/json", []byte(body)); err == nil {
			t.Error(body)
		}
	}
	const schema = `{"model":"m","tools":[{"parameters":{"file_id":"` + letter + `"}}]}`
	if b, err := Scan(&r, "application/json", []byte(schema)); err != nil || b.Files != 0 {
		t.Error("what describes a tool was taken for a prompt:", err, b.Files)
	}
}

// How many files a body names bounds what is fetched for it: whoever spells the
// name of a schema with an escape gets no more of them.
func TestNoMoreIsFetchedThanWasCounted(t *testing.T) {
	part := `{"type":"file","file":{"file_id":"` + letter + `"}}`
	body := `{"model":"m","messages":[{"content":[` + part + `]}],"tools":[{"function":{"par\u0061meters":[` + part + `,` + part + `]}}]}`
	r, _ := Classify("POST", "/v1/chat/completions")
	b, err := Scan(&r, "application/json", []byte(body))
	fetched := 0
	_, err2 := Inline(&r, []byte(body), func(id string) (Inlined, error) { fetched++; return shelf(id) })
	if err != nil || err2 != nil || b.Files != 1 || fetched != 1 {
		t.Errorf("%d counted, %d fetched, %v, %v", b.Files, fetched, err, err2)
	}
}

// Whatever is inlined is JSON that the strict scan accepts, or refused; no id
// is left in it where a provider would look, and no more was fetched than counted.
func FuzzInline(f *testing.F) {
	f.Add("/v1/chat/completions", `{"model":"m","messages":[{"content":[{"type":"file","file":{"file_id":"`+letter+`"}}]}]}`)
	f.Add("/v1/responses", `{"model":"m","input":[{"type":"input_image","file_id":"`+picture+`"}]}`)
	f.Add("/v1/messages", `{"model":"m","messages":[{"type":"image","source":{"type":"file","file_id":"`+picture+`"}}]}`)
	f.Fuzz(func(t *testing.T, path, body string) {
		r, m := Classify("POST", path)
		if m != Found || !r.Inlines {
			return
		}
		before, err := Scan(&r, "application/json", []byte(body))
		if err != nil {
			return
		}
		fetched := 0
		out, err := Inline(&r, []byte(body), func(id string) (Inlined, error) { fetched++; return shelf(id) })
		if fetched > before.Files {
			t.Fatalf("%s: %d counted, %d fetched", body, before.Files, fetched)
		}
		if err != nil {
			return
		}
		r.Inlines = false
		after, err := Scan(&r, "application/json", out)
		switch {
		case err != nil && before.Files == 0:
			t.Fatalf("%s became %s: %v", body, out, err)
		case err == nil && (after.Files != 0 || after.Model != before.Model || after.MaxTokens != before.MaxTokens || after.Stream != before.Stream):
			t.Fatalf("%s became %s", body, out)
		}
	})
}
