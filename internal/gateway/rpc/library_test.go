package rpc

import (
	"bytes"
	"io"
	"net/http"
	"net/http/httptest"
	"testing"

	"google.golang.org/grpc/codes"

	"gatehouse"
	"gatehouse/gen/xai"
	"gatehouse/internal/library/assertion"
)

// shelf is a library that answers by a handler, over a real connection.
type shelf struct {
	url string
	tr  *http.Transport
}

func newShelf(t *testing.T, h http.HandlerFunc) shelf {
	srv := httptest.NewServer(h)
	tr := &http.Transport{}
	t.Cleanup(func() { tr.CloseIdleConnections(); srv.Close() })
	return shelf{srv.URL, tr}
}

// Ask implements gateway.Library.
func (s shelf) Ask(r *http.Request, _ assertion.Assertion) (*http.Response, error) {
	out := r.Clone(r.Context())
	at, err := http.NewRequest(r.Method, s.url+r.URL.RequestURI(), nil)
	if err != nil {
		return nil, err
	}
	out.URL, out.Host = at.URL, ""
	return s.tr.RoundTrip(out)
}

// What the gateway admits goes to the library as it comes, and its answers come
// back as messages.
func TestFilesGoThroughTheGateway(t *testing.T) {
	w, _ := simulated(t)
	kept := map[string][]byte{}
	content := bytes.Repeat([]byte("0123456789"), 800_000)
	w.library = newShelf(t, func(w http.ResponseWriter, r *http.Request) {
		switch {
		case r.Method == http.MethodPost && r.URL.Path == "/v1/files":
			name, _, data, err := form(r)
			if err != nil {
				return
			}
			kept[name] = data
			_, _ = io.WriteString(w, aFile)
		case r.URL.Path == "/v1/files/file_1/content":
			_, _ = w.Write(content)
		case r.URL.Path == "/v1/files":
			_, _ = io.WriteString(w, `{"data":[`+aFile+`]}`)
		case r.URL.Path == "/v1/files/file_1":
			_, _ = io.WriteString(w, `{"id":"file_1","deleted":true}`)
		case r.URL.Path == "/v1/documents/search":
			_, _ = io.WriteString(w, `{"matches":[{"file_id":"file_1"}]}`)
		}
	})
	key := w.key()
	denied := w.key(func(k *gatehouse.Key) { k.ACL = gatehouse.ACL{"api-key:model:*", "api-key:endpoint:chat"} })
	w.start()
	_, err := send(t, w.conn, key, opening("a.txt", nil), data(content[:3<<20]), data(content[3<<20:]))
	w.must(err)
	if !bytes.Equal(kept["a.txt"], content) {
		t.Errorf("%d bytes were kept", len(kept["a.txt"]))
	}
	got, _, err := download(w.conn, key, &xai.RetrieveFileContentRequest{FileId: "file_1"})
	if err != nil || !bytes.Equal(got, content) {
		t.Errorf("%d bytes came, %v", len(got), err)
	}
	c := xai.NewFilesClient(w.conn)
	list, err := c.ListFiles(key, &xai.ListFilesRequest{})
	if err != nil || len(list.Data) != 1 {
		t.Error(list, err)
	}
	if gone, err := c.DeleteFile(key, &xai.DeleteFileRequest{FileId: "file_1"}); err != nil || !gone.Deleted {
		t.Error(gone, err)
	}
	_, err = c.DeleteFile(key, &xai.DeleteFileRequest{})
	check(t, err, codes.InvalidArgument, "file_id: is required", false)
	_, err = c.RetrieveFile(key, &xai.RetrieveFileRequest{})
	check(t, err, codes.InvalidArgument, "file_id: is required", false)
	found, err := xai.NewDocumentsClient(w.conn).Search(key, &xai.SearchRequest{Query: "q", Source: &xai.DocumentsSource{CollectionIds: []string{"c"}}})
	if err != nil || len(found.Matches) != 1 {
		t.Error(found, err)
	}
	_, err = send(t, w.conn, denied, opening("b.txt", nil), data(content[:1<<20]))
	check(t, err, codes.PermissionDenied, "Access to the files endpoint", false)
	if _, there := kept["b.txt"]; there {
		t.Error("what was denied was kept")
	}
	_, err = send(t, w.conn, key, opening("c.txt", nil), opening("d.txt", nil))
	check(t, err, codes.InvalidArgument, "An upload has one init", false)
	if _, there := kept["c.txt"]; there {
		t.Error("what broke off was kept")
	}
}

// The library's reason is the client's, though the rest of the upload is not
// waited for.
func TestAnUploadThatTheLibraryRefuses(t *testing.T) {
	w, _ := simulated(t)
	w.library = newShelf(t, func(w http.ResponseWriter, r *http.Request) {
		_, _ = io.CopyN(io.Discard, r.Body, 2<<20)
		w.Header().Set(assertion.CodeHeader, string(gatehouse.ResourceExhausted))
		w.WriteHeader(http.StatusRequestEntityTooLarge)
		_, _ = io.WriteString(w, `{"message":"The team has as many files as it may have."}`)
	})
	key := w.key()
	w.start()
	up, err := xai.NewFilesClient(w.conn).UploadFile(key)
	w.must(err)
	w.must(up.Send(opening("a", nil)))
	sent := 0
	for sent < 100 && up.Send(data(make([]byte, 1<<20))) == nil {
		sent++
	}
	_, err = up.CloseAndRecv()
	check(t, err, codes.ResourceExhausted, "as many files as it may", false)
	if sent > 20 {
		t.Errorf("%d MiB were taken in", sent)
	}
	if n := w.face.held.Load(); n != 0 {
		t.Errorf("%d bytes are held for ever", n)
	}
}
