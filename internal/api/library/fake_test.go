package library

import (
	"bytes"
	"context"
	"fmt"
	"io"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync"
	"testing"
	"time"

	"gatehouse"
	"gatehouse/internal/library"
	"gatehouse/internal/library/assertion"
)

func id(s string) gatehouse.ID {
	out, err := gatehouse.ParseID(s)
	if err != nil {
		panic(err)
	}
	return out
}

var (
	now      = time.Date(2026, 1, 31, 12, 0, 0, 0, time.UTC)
	secret   = []byte("a gateway's key")
	gateway  = gatehouse.ID{1}
	team     = id("22222222-2222-4222-8222-222222222222")
	apiKey   = id("11111111-1111-4111-8111-111111111111")
	held     = id("33333333-3333-4333-8333-333333333333")
	drawn    = id("33333333-3333-4333-8333-333333333334")
	shelf    = id("44444444-4444-4444-8444-444444444444")
	linked   = gatehouse.TokenOf(gatehouse.DefaultBrand, gatehouse.Link, held, [32]byte{7})
	elsewise = gatehouse.TokenOf(gatehouse.DefaultBrand, gatehouse.Inference, held, [32]byte{7})
)

// files is a library with two files, which remembers what it was asked.
type files struct {
	mu    sync.Mutex
	who   library.Asker
	asked string
	took  []byte
	cut   bool // reading a file breaks off
	err   error
}

func (f *files) note(who library.Asker, format string, args ...any) error {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.who, f.asked = who, fmt.Sprintf(format, args...)
	return f.err
}

const words = "hello"

func (f *files) file(of gatehouse.ID) (*gatehouse.File, error) {
	got := &gatehouse.File{
		ID: of, TeamID: team, Name: "héllo \"1\".txt", ContentType: "text/plain", Size: int64(len(words)), CreateTime: now.Add(-time.Hour),
	}
	switch of {
	case held:
	case drawn:
		got.Name, got.ContentType = "dot.png", "Image/PNG; x=y"
	default:
		return nil, gatehouse.Errorf(gatehouse.NotFound, "The file %s does not exist or your team does not have access to it.", "file_"+of.String())
	}
	return got, nil
}

func (f *files) UploadFile(_ context.Context, who library.Asker, in gatehouse.NewFile) (*gatehouse.File, error) {
	body, err := io.ReadAll(in.Content)
	if err != nil {
		return nil, err
	}
	f.took = body
	if err := f.note(who, "upload %q %q %v", in.Name, in.ContentType, in.Life); err != nil {
		return nil, err
	}
	got, _ := f.file(held)
	got.Name, got.Size, got.ExpireTime = in.Name, int64(len(body)), time.Time{}
	if in.Life != 0 {
		got.ExpireTime = got.CreateTime.Add(in.Life)
	}
	return got, nil
}

func (f *files) GetFile(_ context.Context, who library.Asker, id gatehouse.ID) (*gatehouse.File, error) {
	if err := f.note(who, "get %v", id); err != nil {
		return nil, err
	}
	return f.file(id)
}

func (f *files) ListFiles(_ context.Context, who library.Asker, q gatehouse.LibraryQuery) ([]*gatehouse.File, string, error) {
	if err := f.note(who, "list"); err != nil {
		return nil, "", err
	}
	got, _ := f.file(held)
	got.Name = fmt.Sprintf("size %d, by %s, ascending %v, filter %q, after %q, token %q", q.Page.Size, q.Sort, q.Ascending, q.Filter, q.After, q.Page.Token)
	got.ExpireTime, got.LinkURL, got.LinkExpire = now, "https://g.example.com/v1/files/public/x", now
	if q.Page.Token == "last" {
		return nil, "", nil
	}
	return []*gatehouse.File{got}, "next", nil
}

func (f *files) RenameFile(_ context.Context, who library.Asker, id gatehouse.ID, name string) (*gatehouse.File, error) {
	if err := f.note(who, "rename %v", id); err != nil {
		return nil, err
	}
	got, err := f.file(id)
	if err == nil {
		got.Name = name
	}
	return got, err
}

func (f *files) DeleteFile(_ context.Context, who library.Asker, id gatehouse.ID) error {
	_, err := f.file(id)
	return err
}

func (f *files) OpenFile(_ context.Context, who library.Asker, id gatehouse.ID, _ int64) (*gatehouse.File, io.ReadCloser, error) {
	if err := f.note(who, "open %v", id); err != nil {
		return nil, nil, err
	}
	got, err := f.file(id)
	if err != nil {
		return nil, nil, err
	}
	var body io.Reader = strings.NewReader(words)
	if f.cut {
		body = io.MultiReader(strings.NewReader(words[:2]), broken{})
	}
	return got, io.NopCloser(body), nil
}

type broken struct{}

func (broken) Read([]byte) (int, error) { return 0, fmt.Errorf("wrong bytes") }

func (f *files) FileText(_ context.Context, who library.Asker, id gatehouse.ID, most int64, w io.Writer) (*gatehouse.File, error) {
	got, err := f.file(id)
	if err != nil {
		return nil, err
	}
	text := strings.ToUpper(words)
	if most > 0 && most < int64(len(text)) {
		_, _ = io.WriteString(w, text[:most])
		return nil, gatehouse.Errorf(gatehouse.ResourceExhausted, "more")
	}
	if _, err = io.WriteString(w, text[:2]); err == nil && f.cut {
		err = fmt.Errorf("the child died")
	} else if err == nil {
		_, err = io.WriteString(w, text[2:])
	}
	return got, err
}

func (f *files) PublishFile(_ context.Context, who library.Asker, id gatehouse.ID, expire time.Time) (*gatehouse.File, error) {
	if err := f.note(who, "publish %v", expire); err != nil {
		return nil, err
	}
	got, err := f.file(id)
	if err == nil {
		got.LinkURL, got.LinkExpire = who.Base+"/v1/files/public/x", expire
	}
	return got, err
}

func (f *files) UnpublishFile(_ context.Context, _ library.Asker, id gatehouse.ID) (*gatehouse.File, error) {
	return f.file(id)
}

func (f *files) OpenLink(ctx context.Context, link gatehouse.Token) (*gatehouse.File, io.ReadCloser, error) {
	if link.Digest() != linked.Digest() {
		return nil, nil, gatehouse.Errorf(gatehouse.NotFound, "This link does not exist or is over.")
	}
	return f.OpenFile(ctx, library.Asker{}, link.ID(), 0)
}

func (f *files) Search(_ context.Context, who library.Asker, q gatehouse.Search) ([]gatehouse.SearchMatch, error) {
	shown := q
	shown.Group = nil
	text := fmt.Sprintf("%+v", shown)
	if q.Group != nil {
		text += fmt.Sprintf(" group %+v", *q.Group)
	}
	return []gatehouse.SearchMatch{{FileID: held, ChunkID: apiKey, Text: text, Score: 0.5, Collections: q.Collections, Page: 3}, {FileID: drawn, ChunkID: apiKey, Fields: map[string]string{"a": "b"}}}, f.err
}

func keys(_ context.Context, id gatehouse.ID) ([]byte, error) {
	if id != gateway {
		return nil, gatehouse.Errorf(gatehouse.Unauthenticated, "no such gateway")
	}
	return secret, nil
}

func clock() time.Time { return now }

func newFace(f *files) http.Handler {
	return Handler(Config{Library: f, Keys: keys, Now: clock, Logger: slog.New(slog.DiscardHandler)})
}

// admitted is a handler as a gateway asks it, on behalf of one key.
func admitted(h http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		body, _ := io.ReadAll(r.Body)
		r.Body, r.ContentLength = io.NopCloser(bytes.NewReader(body)), int64(len(body))
		a := assertion.Assertion{
			Gateway: gateway, Team: team, Key: apiKey, RequestID: "r-1", IP: "192.0.2.1", Base: "https://g.example.com", Limit: int64(len(body)),
			Method: r.Method, Target: r.URL.RequestURI(), Expire: now.Add(assertion.Life),
		}
		if strings.HasPrefix(r.URL.Path, "/v1/files/public/") {
			a.Public, a.Team, a.Key = true, gatehouse.ID{}, gatehouse.ID{}
		}
		r.Header.Set(assertion.Header, assertion.Sign(secret, a))
		w.Header().Set("X-Request-Id", "r-1") // the gateway's to set
		h.ServeHTTP(w, r)
	})
}

func ask(t *testing.T, h http.Handler, method, target, body string, header ...string) *httptest.ResponseRecorder {
	t.Helper()
	r := httptest.NewRequest(method, target, strings.NewReader(body))
	for i := 0; i < len(header); i += 2 {
		r.Header.Set(header[i], header[i+1])
	}
	w := httptest.NewRecorder()
	h.ServeHTTP(w, r)
	return w
}
