package llm

import (
	"errors"
	"strings"
	"testing"

	"gatehouse"
)

// TestWhatAProviderStoresIsRefusedByName guards the walls between teams: they
// share the provider's credential, so the provider would hand one team's file to
// the other.
func TestWhatAProviderStoresIsRefusedByName(t *testing.T) {
	for _, c := range []struct{ path, body, names string }{
		{"chat/completions", `"messages":[{"role":"user","content":[{"type":"file","file":{"file_id":"file-1"}}]}]`, "file_id: "},
		{"chat/completions", `"messages":[{"content":[{"file":{"file\u005fid":"file-1"}}]}]`, "file_id: "},
		{"chat/completions", `"messages":[{"content":[{"file":{"fileId":"file-1"}}]}]`, "fileId: "},
		{"chat/completions", `"messages":[{"content":[{"file":{"FILE_ID":"file-1"}}]}]`, "FILE_ID: "},
		{"chat/completions", `"messages":[{"content":[{"file":{"file_id":{},"file_id" : "file-1"}}]}]`, "file_id: "},
		{"chat/completions", `"file_id":"file-1"`, "file_id: "},
		{"chat/completions", `"messages":[{"role":"assistant","audio":{"i\u0064":"audio_1"}}]`, "id: "},
		{"responses", `"input":[{"role":"user","content":[{"type":"input_file","file_id":"file-1"}]}]`, "file_id: "},
		{"responses", `"input":[],"tools":[{"type":"file_search","vector_store_ids":["vs_1"]}]`, "vector_store_ids: "},
		{"responses", `"input":[],"tools":[{"vector_ſtore_ids":["vs_1"]}]`, "vector_ſtore_ids: "},
		{"responses", `"input":[],"tools":[{"type":"code_interpreter","container":"cntr_1"}]`, "container: "},
		{"responses", `"input":[],"tools":[{"type":"code_interpreter","container":{"type":"auto","file_ids":[ "file-1"]}}]`, "file_ids: "},
		{"responses", `"input":[],"tools":[{"image_mask":{"file_id":"file-1"}}]`, "file_id: "},
		{"responses", `"input":{"file_id":"file-1"}`, "file_id: "},
		{"messages", `"messages":[{"content":[{"type":"document","source":{"type":"file","file_id":"file_1"}}]}]`, "file_id: "},
		{"messages", `"messages":[{"content":[{"type":"tool_use","input":{"file_id":"x"}},{"type":"container_upload","file_id":"file_1"}]}]`, "file_id: "},
		{"messages", `"messages":[],"container":"container_1"`, "container: "},
		{"messages", `"messages":[],"container":{"skills":[],"ID":"container_1"}`, "ID: "},
		{"messages/count_tokens", `"messages":[{"content":[{"source":{"file_id":"file_1"}}]}]`, "file_id: "},
		{"images/edits", `"prompt":"p","image":{"file_id":"file-1"}`, "file_id: "},
		{"images/generations", `"prompt":"p","images":[{"x":{"y":[[{"file_id":"file-1"}]]}}]`, "file_id: "},
	} {
		r, _ := Classify("POST", "/v1/"+c.path)
		_, err := Scan(&r, "application/json", []byte(`{"model":"m",`+c.body+`}`))
		if !errors.Is(err, gatehouse.InvalidArgument) || !strings.HasPrefix(gatehouse.Public(err), c.names) {
			t.Errorf("%s %s: %v, want %q", c.path, c.body, err, c.names)
		}
	}
}

// TestATeamsOwnWordsAreNoPointers: a schema describes parameters of any name, a
// tool was given arguments of any name, and neither is an id of the provider's.
func TestATeamsOwnWordsAreNoPointers(t *testing.T) {
	for _, c := range []struct{ path, body string }{
		{"chat/completions", `"tools":[{"function":{"name":"f","parameters":{"type":"object","properties":{"file_id":{"type":"string","default":"a"}},"required":["file_id"],"examples":[{"file_id":"a"}]}}}]`},
		{"chat/completions", `"properties":{"file_id":{"type":"string"},"container":{"type":"object","description":"d"}}`},
		{"chat/completions", `"response_format":{"type":"json_schema","json_schema":{"schema":{"const":{"file_id":"a"}}}}`},
		{"chat/completions", `"modalities":["text","audio"],"audio":{"voice":"alloy","format":"wav"},"metadata":{"file_id":"mine"}`},
		{"chat/completions", `"messages":[{"content":"file_id","tool_calls":[{"id":"c","function":{"arguments":"{\"file_id\":\"x\"}"}}]}],"file_id":null`},
		{"messages", `"messages":[{"content":[{"type":"tool_use","id":"t","input":{"file_id":"x","deep":[{"container":"y"}]}}]}],"tools":[{"input_schema":{"examples":[{"file_id":"a"}]},"input_examples":[{"file_id":"a"}]}]`},
		{"messages", `"messages":[],"container":{"skills":[{"type":"anthropic","skill_id":"pdf"}]}`},
		{"responses", `"input":[],"tools":[{"type":"code_interpreter","container":{"type":"auto","file_ids":[ ]}}],"vector_store_ids":null`},
	} {
		r, _ := Classify("POST", "/v1/"+c.path)
		if _, err := Scan(&r, "application/json", []byte(`{"model":"m",`+c.body+`}`)); err != nil {
			t.Errorf("%s %s: %v", c.path, c.body, err)
		}
	}
}

func TestAFormsFieldMayNotPointEither(t *testing.T) {
	r, _ := Classify("POST", "/v1/images/edits")
	for name, ok := range map[string]bool{"file_id": false, "image[file_id]": false, "images[][fileId]": false, "file_ids[]": false, "prompt": true} {
		body := "--b\r\nContent-Disposition: form-data; name=\"model\"\r\n\r\nm\r\n--b\r\nContent-Disposition: form-data; name=\"" + name + "\"\r\n\r\nx\r\n--b--\r\n"
		_, err := Scan(&r, "multipart/form-data; boundary=b", []byte(body))
		if (err == nil) != ok {
			t.Errorf("%s: %v", name, err)
		}
	}
}

// TestPointersAreFoundWithoutFoldingEveryName: the filter leaves out no name
// that folding would find.
func TestPointersAreFoundWithoutFoldingEveryName(t *testing.T) {
	for _, name := range []string{"file_id", "fileId", "FILE-IDS", "_file_id_", "vectorStoreIds", "vector_ſtore_idſ", "container", "Audio", "audio_"} {
		if pointerOf([]byte(name)) == pointerNone || !suspect([]byte(name)) {
			t.Errorf("%s passes", name)
		}
	}
}
