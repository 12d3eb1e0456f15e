package gateway

import (
	"bytes"
	"context"
	"encoding/json"
	"io"
	"log/slog"
	"mime/multipart"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/getkin/kin-openapi/openapi3"

	"gatehouse"
	face "gatehouse/internal/api/library"
	"gatehouse/internal/library"
)

// drawer is a library with one file, of whoever put it there.
type drawer struct {
	library.Files
	file *gatehouse.File
	data []byte
}

func (d *drawer) UploadFile(_ context.Context, who library.Asker, in gatehouse.NewFile) (*gatehouse.File, error) {
	data, err := io.ReadAll(in.Content)
	if err != nil {
		return nil, err
	}
	d.data = data
	d.file = &gatehouse.File{ID: gatehouse.NewID(), TeamID: who.Team, Name: in.Name, Size: int64(len(data)), CreateTime: time.Now()}
	if in.Life != 0 {
		d.file.ExpireTime = d.file.CreateTime.Add(in.Life)
	}
	return d.file, nil
}

func (d *drawer) GetFile(_ context.Context, who library.Asker, id gatehouse.ID) (*gatehouse.File, error) {
	if d.file == nil || id != d.file.ID || who.Team != d.file.TeamID {
		return nil, gatehouse.Errorf(gatehouse.NotFound, "no such file")
	}
	return d.file, nil
}

func (d *drawer) OpenFile(ctx context.Context, who library.Asker, id gatehouse.ID, _ int64) (*gatehouse.File, io.ReadCloser, error) {
	f, err := d.GetFile(ctx, who, id)
	return f, io.NopCloser(bytes.NewReader(d.data)), err
}

func (d *drawer) ListFiles(context.Context, library.Asker, gatehouse.LibraryQuery) ([]*gatehouse.File, string, error) {
	return []*gatehouse.File{d.file}, "", nil
}

func (d *drawer) RenameFile(ctx context.Context, who library.Asker, id gatehouse.ID, name string) (*gatehouse.File, error) {
	f, err := d.GetFile(ctx, who, id)
	if err == nil {
		f.Name = name
	}
	return f, err
}

func (d *drawer) PublishFile(ctx context.Context, who library.Asker, id gatehouse.ID, expire time.Time) (*gatehouse.File, error) {
	f, err := d.GetFile(ctx, who, id)
	if err == nil {
		f.LinkURL, f.LinkExpire = who.Base+"/v1/files/public/x", expire
	}
	return f, err
}

func (d *drawer) UnpublishFile(ctx context.Context, who library.Asker, id gatehouse.ID) (*gatehouse.File, error) {
	return d.GetFile(ctx, who, id)
}

func (d *drawer) Search(_ context.Context, _ library.Asker, q gatehouse.Search) ([]gatehouse.SearchMatch, error) {
	return []gatehouse.SearchMatch{{FileID: d.file.ID, ChunkID: gatehouse.NewID(), Text: q.Query, Score: 1, Collections: q.Collections}}, nil
}

func (d *drawer) DeleteFile(context.Context, library.Asker, gatehouse.ID) error { return nil }

// The gateway, an assertion, the wire in memory and the face, as they are in one
// process: what is kept is what was sent, what is answered is what the document
// says, and another team finds nothing.
func TestFilesThroughTheWholeWay(t *testing.T) {
	secret, id := []byte("the key of this process"), gatehouse.NewID()
	keys := func(context.Context, gatehouse.ID) ([]byte, error) { return secret, nil }
	h := face.Handler(face.Config{Library: new(drawer), Keys: keys, Now: time.Now, Logger: slog.New(slog.DiscardHandler)})
	local := face.NewLocal(h, secret, id, time.Now)
	w := newWorld(t)
	mine, theirs := w.key(0), w.key(1)
	w.start(func(c *Config) { c.Library = local })
	t.Cleanup(func() { w.must(local.Close()) })
	doc, err := openapi3.NewLoader().LoadFromData([]byte(w.get("", "/openapi.json").body))
	w.must(err)
	described := func(method, path string, r reply) {
		t.Helper()
		answer := doc.Paths.Value(path).GetOperation(method).Responses.Value(strconv.Itoa(r.status))
		var v any
		if err := json.Unmarshal([]byte(r.body), &v); err != nil || r.status != 200 {
			t.Fatalf("%s %s: %+v", method, path, r)
		}
		if err := answer.Value.Content["application/json"].Schema.Value.VisitJSON(v); err != nil {
			t.Errorf("%s %s: %s %v", method, path, r.body, err)
		}
	}
	data := strings.Repeat("0123456789abcdef", 1<<18) // 4 MiB
	var form bytes.Buffer
	mw := multipart.NewWriter(&form)
	w.must(mw.WriteField("expires_after", "3600"))
	part, err := mw.CreateFormFile("file", "a.bin")
	w.must(err)
	_, _ = io.WriteString(part, data)
	w.must(mw.Close())
	cut := form.Len() - len(mw.Boundary()) - 4
	if r := w.send("POST", mine, "/v1/files", bytes.NewReader(form.Bytes()[:cut]), "Content-Type", mw.FormDataContentType()); r.status != 400 {
		t.Errorf("a cut form: %+v", r)
	}
	r := w.send("POST", mine, "/v1/files", &form, "Content-Type", mw.FormDataContentType())
	described("POST", "/v1/files", r)
	var file struct {
		ID string `json:"id"`
	}
	w.must(json.Unmarshal([]byte(r.body), &file))
	one := "/v1/files/" + file.ID
	described("GET", "/v1/files/{id}", w.get(mine, one))
	described("GET", "/v1/files", w.get(mine, "/v1/files?limit=1"))
	described("PUT", "/v1/files/{id}", w.send("PUT", mine, one, strings.NewReader(`{"filename":"b"}`), "Content-Type", "application/json"))
	described("POST", "/v1/files/{id}/public-url", w.post(mine, one+"/public-url", `{"expires_after":3600}`))
	described("POST", "/v1/files/{id}/public-url/revoke", w.send("POST", mine, one+"/public-url/revoke", nil))
	described("POST", "/v1/documents/search", w.post(mine, "/v1/documents/search", `{"query":"x","source":{"collection_ids":["`+gatehouse.NewID().String()+`"]}}`))
	if r := w.get(mine, one+"/content"); r.status != 200 || r.body != data || r.header.Get("Content-Length") != strconv.Itoa(len(data)) {
		t.Error(r.status, len(r.body), r.header)
	}
	for _, path := range []string{one, one + "/content"} {
		if r := w.get(theirs, path); r.status != 404 || !strings.Contains(r.body, `"code":"not-found"`) {
			t.Errorf("another team: %+v", r)
		}
	}
	if r := w.get(mine, "/inline/"+file.ID+"?image=1&text=1"); r.status != 404 {
		t.Errorf("a client asked what only gateways may: %+v", r)
	}
	described("DELETE", "/v1/files/{id}", w.send("DELETE", mine, one, nil))
}
