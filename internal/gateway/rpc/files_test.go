package rpc

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"os"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/credentials/insecure"

	"gatehouse/gen/xai"
	"gatehouse/internal/llm"
)

// before is a client of the face before a handler that stands in for the gateway.
func before(t *testing.T, gateway http.HandlerFunc) *grpc.ClientConn {
	t.Helper()
	srv := httptest.NewUnstartedServer(New(gateway, slog.New(slog.DiscardHandler)))
	srv.Config.Protocols = new(http.Protocols)
	srv.Config.Protocols.SetUnencryptedHTTP2(true)
	srv.Start()
	conn, err := grpc.NewClient(strings.TrimPrefix(srv.URL, "http://"), grpc.WithTransportCredentials(insecure.NewCredentials()))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { conn.Close(); srv.Close() })
	return conn
}

// says is a handler that gives one answer and notes what it was asked.
func says(asked *string, answer string) http.HandlerFunc {
	return func(w http.ResponseWriter, r *http.Request) {
		body, _ := io.ReadAll(r.Body)
		*asked = strings.TrimSpace(fmt.Sprintf("%s %s %s", r.Method, r.URL.RequestURI(), body))
		w.WriteHeader(http.StatusOK)
		_, _ = io.WriteString(w, answer)
	}
}

const aFile = `{"id":"file_1","object":"file","bytes":3,"created_at":1700000000,"expires_at":null,"filename":"a.txt","purpose":"",
	"public_url":"https://g/x","public_url_expires_at":1700003600}`

const theFile = `{"id":"file_1","size":3,"created_at":"2023-11-14T22:13:20Z","filename":"a.txt","public_url":"https://g/x","public_url_expires_at":"2023-11-14T23:13:20Z"}`

func TestFilesAreRequestsOfTheirRoutes(t *testing.T) {
	var asked, answer string
	conn := before(t, func(w http.ResponseWriter, r *http.Request) { says(&asked, answer)(w, r) })
	c, ctx := xai.NewFilesClient(conn), t.Context()
	expect := func(want string, err error) {
		t.Helper()
		if err != nil || asked != want {
			t.Errorf("asked %s, %v\nwant %s", asked, err, want)
		}
	}
	answer = aFile
	f, err := c.RetrieveFile(ctx, &xai.RetrieveFileRequest{FileId: "file_1/../x"})
	expect("GET /v1/files/file_1%2F..%2Fx", err)
	same(t, message(t, &xai.File{}, theFile), f)

	answer = `{"data":[` + aFile + `],"pagination_token":"next"}`
	list, err := c.ListFiles(ctx, &xai.ListFilesRequest{})
	expect("GET /v1/files?order=asc", err)
	same(t, message(t, &xai.ListFilesResponse{}, `{"data":[`+theFile+`],"pagination_token":"next"}`), list)
	answer = `{"data":[]}`
	list, err = c.ListFiles(ctx, message(t, &xai.ListFilesRequest{}, `{"limit":7,"order":"DESCENDING","pagination_token":"t","sort_by":"FILES_SORT_BY_SIZE","filter":"name=a&b"}`))
	expect("GET /v1/files?filter=name%3Da%26b&limit=7&order=desc&pagination_token=t&sort_by=size", err)
	same(t, &xai.ListFilesResponse{}, list) // the last page has no token

	answer = `{"id":"file_1","object":"file","deleted":true}`
	gone, err := c.DeleteFile(ctx, &xai.DeleteFileRequest{FileId: "file_1"})
	expect("DELETE /v1/files/file_1", err)
	same(t, &xai.DeleteFileResponse{Id: "file_1", Deleted: true}, gone)

	answer = `{"public_url":"https://g/x","expires_at":1700003600}`
	hour := int64(3600)
	link, err := c.CreatePublicUrl(ctx, &xai.CreatePublicUrlRequest{FileId: "file_1", ExpiresAfter: &hour})
	expect(`POST /v1/files/file_1/public-url {"expires_after":3600}`, err)
	same(t, message(t, &xai.CreatePublicUrlResponse{}, `{"public_url":"https://g/x","expires_at":"2023-11-14T23:13:20Z"}`), link)

	answer = `{"id":"file_1","revoked":true}`
	end, err := c.RevokePublicUrl(ctx, &xai.RevokePublicUrlRequest{FileId: "file_1"})
	expect("POST /v1/files/file_1/public-url/revoke", err)
	same(t, &xai.RevokePublicUrlResponse{FileId: "file_1", Revoked: true}, end)
}

// A message that is wrong never does what it does not say.
func TestWhatNamesNoFileIsAMistake(t *testing.T) {
	conn := before(t, func(w http.ResponseWriter, r *http.Request) {
		if r.Method == http.MethodGet {
			_, _ = io.WriteString(w, aFile)
			return
		}
		w.(interface {
			Refuse(llm.Fault, string, time.Duration)
		}).Refuse(llm.MethodNotAllowed, "no", 0)
		w.WriteHeader(http.StatusMethodNotAllowed)
	})
	c, ctx := xai.NewFilesClient(conn), t.Context()
	_, err := c.RetrieveFile(ctx, &xai.RetrieveFileRequest{})
	check(t, err, codes.InvalidArgument, "file_id: is required", false)
	_, err = c.DeleteFile(ctx, &xai.DeleteFileRequest{})
	check(t, err, codes.InvalidArgument, "file_id: is required", false)
	_, err = c.ListFiles(ctx, &xai.ListFilesRequest{Limit: -1})
	check(t, err, codes.InvalidArgument, "limit: must not be negative", false)
	_, err = c.ListFiles(ctx, &xai.ListFilesRequest{Order: 7})
	check(t, err, codes.InvalidArgument, "order: unknown value 7", false)
	second := int64(1)
	_, err = c.CreatePublicUrl(ctx, &xai.CreatePublicUrlRequest{FileId: "x", ExpiresAfter: &second})
	check(t, err, codes.InvalidArgument, "expires_after: must be 3600 to 2592000 seconds", false)
}

// form reads what an upload becomes.
func form(r *http.Request) (name, life string, data []byte, err error) {
	parts, err := r.MultipartReader()
	if err != nil {
		return "", "", nil, err
	}
	for {
		p, err := parts.NextPart()
		if errors.Is(err, io.EOF) {
			return name, life, data, nil
		}
		if err != nil {
			return name, life, data, err
		}
		b, err := io.ReadAll(p)
		if err != nil {
			return name, life, data, err
		}
		if p.FormName() == "expires_after" {
			life += string(b)
		} else {
			name, data = p.FileName(), b
		}
	}
}

func opening(name string, life *int64) *xai.UploadFileChunk {
	return &xai.UploadFileChunk{Chunk: &xai.UploadFileChunk_Init{Init: &xai.UploadFileInit{Name: name, ExpiresAfter: life}}}
}

func data(b []byte) *xai.UploadFileChunk {
	return &xai.UploadFileChunk{Chunk: &xai.UploadFileChunk_Data{Data: b}}
}

// send is an upload of some messages.
func send(t *testing.T, conn *grpc.ClientConn, ctx context.Context, messages ...*xai.UploadFileChunk) (*xai.File, error) {
	t.Helper()
	up, err := xai.NewFilesClient(conn).UploadFile(ctx)
	if err != nil {
		t.Fatal(err)
	}
	for _, m := range messages {
		if up.Send(m) != nil {
			break // the answer says why
		}
	}
	return up.CloseAndRecv()
}

func TestAnUploadIsAForm(t *testing.T) {
	content, day := bytes.Repeat([]byte("\r\n--x--\r\n0123456789"), 500_000), int64(86400)
	conn := before(t, func(w http.ResponseWriter, r *http.Request) {
		name, life, got, err := form(r)
		if err != nil || name != "Übersicht 1.txt" || life != "86400" && life != "" || !bytes.Equal(got, content) && len(got) != 0 {
			t.Errorf("%q, %q, %d bytes, %v", name, life, len(got), err)
		}
		_, _ = io.WriteString(w, aFile)
	})
	f, err := send(t, conn, t.Context(), opening("Übersicht 1.txt", &day), data(content[:3<<20]), data(nil), data(content[3<<20:6<<20]), data(content[6<<20:]))
	if err != nil {
		t.Fatal(err)
	}
	same(t, message(t, &xai.File{}, theFile), f)
	if _, err = send(t, conn, t.Context(), opening("Übersicht 1.txt", nil)); err != nil {
		t.Error("a file of no bytes:", err)
	}
}

func TestUploadsThatAreNone(t *testing.T) {
	ended := make(chan error, 1)
	conn := before(t, func(w http.ResponseWriter, r *http.Request) {
		_, _, _, err := form(r)
		ended <- err
		w.WriteHeader(http.StatusBadRequest)
	})
	short, odd := int64(60), opening("a", nil)
	odd.ProtoReflect().SetUnknown([]byte{0x50, 1})
	for text, messages := range map[string][]*xai.UploadFileChunk{
		"first message of an upload must be init": {data([]byte("x"))},
		"must be init.":                                 {},
		"init.name: is required":                        {opening("", nil)},
		"init.name: must not hold control":              {opening("a\"b", nil)},
		"init.name: must not hold control characters":   {opening("a\nb", nil)},
		"must not hold control characters, \", ; or \\": {opening(`a\b`, nil)},
		"init.expires_after: must be 3600 to 2592000":   {opening("a", &short)},
		"unknown field number 10":                       {odd},
		"An upload has one init":                        {opening("a", nil), opening("a", nil)},
		"A message of an upload must hold data":         {opening("a", nil), {}},
		"A message of an upload must hold data.":        {opening("a", nil), data([]byte("x")), {}},
	} {
		_, err := send(t, conn, t.Context(), messages...)
		check(t, err, codes.InvalidArgument, text, false)
		if <-ended == nil {
			t.Errorf("%s: the form is whole", text)
		}
	}
}

// What a client sends of a file is not taken in before somebody knows him.
func TestAStrangersUploadIsRefusedAtOnce(t *testing.T) {
	w, _ := simulated(t)
	w.start()
	up, err := xai.NewFilesClient(w.conn).UploadFile(t.Context())
	w.must(err)
	sent, piece := 0, data(make([]byte, 1<<20))
	for err := up.Send(opening("a", nil)); sent < 100 && err == nil; sent++ {
		err = up.Send(piece) // io.EOF once the refusal is there, which may be before the first
	}
	_, err = up.CloseAndRecv()
	check(t, err, codes.Unauthenticated, llm.NoCredentialText, false)
	if sent > 8 {
		t.Errorf("%d MiB were taken in", sent)
	}
}

// A client that leaves must not look like one that has sent all.
func TestAnUploadThatBreaksOffIsNoFile(t *testing.T) {
	began, ended := make(chan struct{}), make(chan error, 1)
	conn := before(t, func(w http.ResponseWriter, r *http.Request) {
		_, err := r.Body.Read(make([]byte, 10))
		close(began)
		if err == nil {
			_, err = io.Copy(io.Discard, r.Body)
		}
		ended <- err
	})
	ctx, leave := context.WithCancel(t.Context())
	up, err := xai.NewFilesClient(conn).UploadFile(ctx)
	if err != nil || up.Send(opening("a", nil)) != nil || up.Send(data([]byte("half"))) != nil {
		t.Fatal(err)
	}
	<-began
	leave()
	if err := <-ended; err == nil {
		t.Error("the form ended as a whole one does")
	}
}

// A client that is too slow is let go in the gateway's words.
func TestAnUploadHasADeadline(t *testing.T) {
	conn := before(t, func(w http.ResponseWriter, r *http.Request) {
		rc := http.NewResponseController(w)
		_ = rc.SetReadDeadline(time.Now().Add(time.Hour))
		if _, err := r.Body.Read(make([]byte, 1<<10)); err != nil {
			t.Error(err)
		}
		_ = rc.SetReadDeadline(time.Now().Add(time.Millisecond))
		_, err := r.Body.Read(make([]byte, 10))
		if !errors.Is(err, os.ErrDeadlineExceeded) {
			t.Error(err)
		}
		w.(interface {
			Refuse(llm.Fault, string, time.Duration)
		}).Refuse(llm.Invalid, "too slow", 0)
		w.WriteHeader(http.StatusBadRequest)
	})
	up, err := xai.NewFilesClient(conn).UploadFile(t.Context())
	if err != nil || up.Send(opening("a", nil)) != nil {
		t.Fatal(err)
	}
	err = up.RecvMsg(&xai.File{})
	check(t, err, codes.InvalidArgument, "too slow", false)
}

func TestADeadlineMoves(t *testing.T) {
	d := deadline{passed: make(chan struct{})}
	over := func() bool {
		select {
		case <-d.wait():
			return true
		default:
			return false
		}
	}
	d.set(time.Now().Add(time.Hour))
	soon := d.wait()
	d.set(time.Now().Add(time.Millisecond))
	<-soon
	if d.set(time.Time{}); over() {
		t.Error("no deadline has passed")
	}
	if d.set(time.Now().Add(-time.Second)); !over() {
		t.Error("one that is over has not passed")
	}
	if d.set(time.Now().Add(time.Hour)); over() {
		t.Error("it did not move")
	}
	d.set(time.Time{})
}

// However fast a client streams, one message is here.
func TestOneMessageOfAStreamIsLetThrough(t *testing.T) {
	var held atomic.Int64
	framed := func(n int) string {
		return "\x00\x00\x00" + string([]byte{byte(n >> 8), byte(n)}) + strings.Repeat("x", n)
	}
	tap := &tap{body: io.NopCloser(strings.NewReader(framed(300) + framed(0) + framed(5))), held: &held}
	tap.more.L = &tap.mu
	for _, want := range []int{305, 5, 10} {
		tap.next()
		for got := 0; got < want; {
			n, err := tap.Read(make([]byte, 7))
			if err != nil || n == 0 || got+n > want {
				t.Fatal(got, n, want, err)
			}
			got += n
		}
		if tap.left != 0 {
			t.Errorf("%d bytes of the next message may come", tap.left)
		}
	}
	tap.next()
	if _, err := tap.Read(make([]byte, 7)); err != io.EOF {
		t.Error(err)
	}
}

// download reads a file's content, and the largest message of it.
func download(conn *grpc.ClientConn, ctx context.Context, in *xai.RetrieveFileContentRequest) (all []byte, most int, err error) {
	stream, err := xai.NewFilesClient(conn).RetrieveFileContent(ctx, in)
	for err == nil {
		var c *xai.FileContentChunk
		if c, err = stream.Recv(); err == nil {
			all, most = append(all, c.Data...), max(most, len(c.Data))
		}
	}
	if errors.Is(err, io.EOF) {
		err = nil
	}
	return all, most, err
}

func TestContentComesInPieces(t *testing.T) {
	content := bytes.Repeat([]byte("0123456789"), 350_000)
	conn := before(t, func(w http.ResponseWriter, r *http.Request) {
		switch r.URL.RequestURI() {
		case "/v1/files/whole/content":
			for rest := content; len(rest) > 0; rest = rest[min(len(rest), 70_001):] {
				_, _ = w.Write(rest[:min(len(rest), 70_001)])
			}
		case "/v1/files/whole/content?format=text":
			_, _ = io.WriteString(w, "text")
		case "/v1/files/none/content":
		case "/v1/files/short/content":
			w.Header().Set("Content-Length", "9")
			_, _ = io.WriteString(w, "short")
		case "/v1/files/broken/content":
			_, _ = io.WriteString(w, "bro")
			panic(http.ErrAbortHandler)
		default:
			w.WriteHeader(http.StatusNotFound)
			_, _ = io.WriteString(w, `{"code":"not-found","error":"there is no such file"}`)
		}
	})
	get := func(id string) ([]byte, int, error) {
		return download(conn, t.Context(), &xai.RetrieveFileContentRequest{FileId: id})
	}
	if got, most, err := get("whole"); err != nil || !bytes.Equal(got, content) || most != pieceSize {
		t.Errorf("%d bytes in pieces of %d, %v", len(got), most, err)
	}
	if got, _, err := get("none"); err != nil || len(got) != 0 {
		t.Errorf("%q, %v", got, err)
	}
	text, _, err := download(conn, t.Context(), &xai.RetrieveFileContentRequest{FileId: "whole", Format: xai.DownloadFormat_DOWNLOAD_FORMAT_TEXT.Enum()})
	if err != nil || string(text) != "text" {
		t.Errorf("%q, %v", text, err)
	}
	for _, id := range []string{"short", "broken"} {
		_, _, err = get(id)
		check(t, err, codes.Unavailable, "The answer broke off", false)
	}
	_, _, err = get("other")
	check(t, err, codes.NotFound, "there is no such file", false)
}
