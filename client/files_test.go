package client_test

import (
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	"gatehouse"
	"gatehouse/client"
)

// gateway is a client of a handler that stands in for one.
func gateway(t *testing.T, h http.HandlerFunc) *client.Files {
	t.Helper()
	srv := httptest.NewServer(h)
	t.Cleanup(srv.Close)
	key, err := client.ParseAPIKey("sk-foreign")
	check(t, err)
	c, err := client.NewFiles(srv.URL, key)
	check(t, err)
	t.Cleanup(c.Close)
	return c
}

func TestAnAPIKeyIsNoManagementKey(t *testing.T) {
	own := gatehouse.MintToken(gatehouse.DefaultBrand, gatehouse.Inference, gatehouse.NewID())
	for text, fine := range map[string]bool{"sk-any": true, own.Reveal() + "\n": true, someKey.Reveal(): false, "": false, "a b": false, "a\nb": false} {
		key, err := client.ParseAPIKey(text)
		if (err == nil) != fine {
			t.Errorf("%d characters: %v", len(text), err)
		}
		if s := fmt.Sprintf("%v %+v %#v", key, key, key); text != "" && strings.Contains(s, strings.TrimSpace(text)) {
			t.Error("a key is printed")
		}
	}
}

// A file goes as it is read, and what it is called cannot become another part.
func TestAFileIsUploadedAsAForm(t *testing.T) {
	const name = "a\"b\r\nc.txt"
	c := gateway(t, func(w http.ResponseWriter, r *http.Request) {
		parts, err := r.MultipartReader()
		check(t, err)
		life, err := parts.NextPart()
		check(t, err)
		seconds, _ := io.ReadAll(life)
		file, err := parts.NextPart()
		check(t, err)
		content, err := io.ReadAll(file)
		check(t, err)
		if life.FormName() != "expires_after" || string(seconds) != "3600" || file.FormName() != "file" || len(content) != 3<<20 || file.FileName() != `a"b%0D%0Ac.txt` {
			t.Errorf("%q %s %q %d %q", life.FormName(), seconds, file.FormName(), len(content), file.FileName())
		}
		_, _ = io.WriteString(w, `{"id":"file_`+someID+`","bytes":3145728,"created_at":1700000000,"expires_at":null,"filename":"a"}`)
	})
	f, err := c.UploadFile(t.Context(), name, strings.NewReader(strings.Repeat("x", 3<<20)), time.Hour)
	check(t, err)
	if f.ID.String() != someID || f.Size != 3<<20 || f.CreateTime.Unix() != 1700000000 || !f.ExpireTime.IsZero() {
		t.Errorf("%+v", f)
	}
}

const someID = "00000000-0000-0000-0000-00000000abcd"

// Programs branch on codes, in whichever body a gateway is configured to answer.
func TestRefusalsOfAGateway(t *testing.T) {
	for _, c := range []struct {
		status int
		body   string
		code   gatehouse.Code
		words  string
	}{
		{404, `{"code":"not-found","error":"there is no such file"}`, gatehouse.NotFound, "there is no such file"},
		{404, `{"error":{"message":"there is no such file","code":"not-found"}}`, gatehouse.NotFound, "there is no such file"},
		{400, `{"code":"invalid-argument","error":"Incorrect API key provided: x."}`, gatehouse.Unauthenticated, "Incorrect"},
		{400, `{"code":"invalid-argument","error":"filter: no"}`, gatehouse.InvalidArgument, "filter"},
		{413, `{"code":"payload-too-large","error":"large"}`, gatehouse.ResourceExhausted, "large"},
		{429, `{"code":"resource-exhausted","error":"qps"}`, gatehouse.ResourceExhausted, "qps"},
		{503, `nothing`, gatehouse.Unavailable, "503"},
		{302, ``, gatehouse.FailedPrecondition, "redirects"},
	} {
		f := gateway(t, func(w http.ResponseWriter, _ *http.Request) {
			w.WriteHeader(c.status)
			_, _ = io.WriteString(w, c.body)
		})
		_, err := f.GetFile(t.Context(), gatehouse.NewID())
		if gatehouse.CodeOf(err) != c.code || !strings.Contains(gatehouse.Public(err), c.words) {
			t.Errorf("%d %s: %v", c.status, c.body, err)
		}
	}
}

func TestContentThatBreaksOffIsAnError(t *testing.T) {
	c := gateway(t, func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("Content-Length", "10")
		_, _ = io.WriteString(w, "half")
	})
	in, err := c.OpenFile(t.Context(), gatehouse.NewID(), false)
	check(t, err)
	defer in.Close()
	if text, err := io.ReadAll(in); string(text) != "half" || !errors.Is(err, gatehouse.Unavailable) {
		t.Errorf("%q, %v", text, err)
	}
}

func TestASearchOnTheWire(t *testing.T) {
	var asked string
	c := gateway(t, func(w http.ResponseWriter, r *http.Request) {
		body, _ := io.ReadAll(r.Body)
		asked = string(body)
		_, _ = io.WriteString(w, `{"matches":[{"file_id":"file_`+someID+`","chunk_id":"`+someID+`","chunk_content":"t","score":1.5,"collection_ids":["collection_`+someID+`"],"fields":{"a":"b"},"page_number":2}]}`)
	})
	id, err := gatehouse.ParseID(someID)
	check(t, err)
	for want, q := range map[string]gatehouse.Search{
		``: {},
		`,"limit":3,"filter":"a = 1","instructions":"i"`: {Limit: 3, Filter: "a = 1", Instructions: "i"},
		`,"retrieval_mode":{"type":"keyword"}`:           {Mode: "keyword"},
		`,"retrieval_mode":{"type":"hybrid","search_multiplier":2,"reranker":{"type":"rrf","k":9,"embedding_weight":1,"text_weight":0}}`: {Multiplier: 2, FusionK: 9, Weights: [2]float64{1, 0}},
		`,"group_by":{"keys":["file_id"],"aggregate":{"min_k":{"keys":["score"],"k":2}}}`:                                                {Group: &gatehouse.SearchGroup{Keys: []string{"file_id"}, Most: 2, Min: true, By: []string{"score"}}},
		`,"group_by":{"keys":["file_id"],"aggregate":{"max_k":{"keys":["score"],"k":1}}}`:                                                {Group: &gatehouse.SearchGroup{Keys: []string{"file_id"}}},
	} {
		q.Query, q.Collections = "q", []gatehouse.ID{id}
		got, err := c.SearchDocuments(t.Context(), q)
		check(t, err)
		if want = `{"query":"q","source":{"collection_ids":["collection_` + someID + `"]}` + want + `}`; asked != want {
			t.Errorf("asked %s\nwant  %s", asked, want)
		}
		if len(got) != 1 || got[0].FileID != id || got[0].Collections[0] != id || got[0].Page != 2 || got[0].Fields["a"] != "b" {
			t.Errorf("%+v", got)
		}
	}
}
