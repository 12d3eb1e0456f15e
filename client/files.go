package client

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"strconv"
	"strings"
	"time"

	"gatehouse"
)

// Files is files and search as the holder of one API key sees them, through a
// gateway. It is safe for concurrent use.
type Files struct{ c *Client }

// APIKey is a key of the inference plane: Gatehouse's own, or one of another
// shape that was imported. It cannot be printed.
type APIKey struct{ reveal func() string }

// ParseAPIKey reads a key, and refuses what no key is, and a management key:
// a gateway has no business to see one.
func ParseAPIKey(s string) (APIKey, error) {
	s = strings.TrimSpace(s)
	token, err := ParseKey(s)
	if s == "" || strings.ContainsFunc(s, func(r rune) bool { return r <= ' ' || r > '~' }) || err == nil && token.Plane() != gatehouse.Inference {
		return APIKey{}, gatehouse.Errorf(gatehouse.Unauthenticated, "not an API key")
	}
	return APIKey{func() string { return s }}, nil
}

// NewFiles makes a client of the gateway at baseURL, which is without /v1. It
// connects to nothing. Of the options, Reason says nothing here.
func NewFiles(baseURL string, key APIKey, opts ...Option) (*Files, error) {
	c, err := New(baseURL, gatehouse.Token{}, opts...)
	if err != nil {
		return nil, err
	}
	c.bearer = key.reveal
	return &Files{c}, nil
}

// Close drops idle connections.
func (f *Files) Close() { f.c.Close() }

const (
	filesPath  = "/v1/files"
	searchPath = "/v1/documents/search"
)

func filePath(id gatehouse.ID, below ...string) string {
	return strings.Join(append([]string{filesPath, "file_" + id.String()}, below...), "/")
}

// ask is one request: JSON, a form, or no body.
type ask struct {
	method, path string
	query        url.Values
	json         any
	form         *form
}

func (f *Files) send(ctx context.Context, a ask) (*http.Response, error) {
	target := f.c.base.String() + a.path
	if len(a.query) > 0 {
		target += "?" + a.query.Encode()
	}
	var body io.Reader
	kind := "application/json"
	switch {
	case a.form != nil:
		body, kind = a.form.reader(), a.form.contentType()
	case a.json != nil:
		text, err := json.Marshal(a.json)
		if err != nil {
			return nil, err
		}
		body = bytes.NewReader(text)
	}
	req, err := http.NewRequestWithContext(ctx, a.method, target, body)
	if err != nil {
		return nil, gatehouse.Errorf(gatehouse.InvalidArgument, "no URL can name this").Because(err)
	}
	req.Header.Set("User-Agent", "gatehouse-client")
	if body != nil {
		req.Header.Set("Content-Type", kind)
	}
	if a.form != nil {
		req.Header.Set("Expect", "100-continue") // a refusal comes before the file goes
	}
	if f.c.bearer != nil {
		req.Header.Set("Authorization", "Bearer "+f.c.bearer())
	}
	res, err := f.c.http.Do(req)
	if err != nil {
		return nil, f.c.unreachable(ctx, err)
	}
	if res.StatusCode/100 == 2 {
		return res, nil
	}
	defer res.Body.Close()
	return nil, gatewayRefusal(res)
}

// do is send for an answer that is JSON.
func (f *Files) do(ctx context.Context, a ask, out any) error {
	res, err := f.send(ctx, a)
	if err != nil {
		return err
	}
	defer res.Body.Close()
	text, err := bounded(ctx, f.c, res.Body)
	if err != nil {
		return err
	}
	if err := json.Unmarshal(text, out); err != nil {
		return gatehouse.Errorf(gatehouse.Internal, "%s answers, but not as a gateway does", f.c.base.Host).Because(err)
	}
	if f.c.tap != nil {
		f.c.tap(text)
	}
	return nil
}

// wireFile is a file as /v1/files describes it.
type wireFile struct {
	ID         gatehouse.ID `json:"id"`
	Bytes      int64        `json:"bytes"`
	Created    seconds      `json:"created_at"`
	Expire     seconds      `json:"expires_at"`
	Name       string       `json:"filename"`
	Link       string       `json:"public_url"`
	LinkExpire seconds      `json:"public_url_expires_at"`
}

func (w wireFile) file() *gatehouse.File {
	return &gatehouse.File{
		ID: w.ID, Size: w.Bytes, CreateTime: w.Created.time(), ExpireTime: w.Expire.time(), Name: w.Name,
		LinkURL: w.Link, LinkExpire: w.LinkExpire.time(),
	}
}

// seconds is a time on the inference wire; zero where there is none.
type seconds int64

func (s seconds) time() time.Time {
	if s == 0 {
		return time.Time{}
	}
	return time.Unix(int64(s), 0).UTC()
}

// one is do for an answer that is a file.
func (f *Files) one(ctx context.Context, a ask) (*gatehouse.File, error) {
	var out wireFile
	if err := f.do(ctx, a, &out); err != nil {
		return nil, err
	}
	return out.file(), nil
}

// UploadFile keeps a file; life is how long, 0 for ever. Content is sent as it
// is read, so whoever wants to see it go wraps the reader.
func (f *Files) UploadFile(ctx context.Context, name string, content io.Reader, life time.Duration) (*gatehouse.File, error) {
	in := newForm()
	if life != 0 {
		in.text("expires_after", strconv.FormatInt(int64(life/time.Second), 10)) // before the file, as xAI wants it
	}
	in.content("file", name, "", content)
	return f.one(ctx, ask{method: http.MethodPost, path: filesPath, form: in})
}

// GetFile describes a file.
func (f *Files) GetFile(ctx context.Context, id gatehouse.ID) (*gatehouse.File, error) {
	return f.one(ctx, ask{method: http.MethodGet, path: filePath(id)})
}

// fileSorts are the wire's names for orders.
var fileSorts = map[gatehouse.LibrarySort]string{
	gatehouse.SortByAge: "created_at", gatehouse.SortByName: "filename", gatehouse.SortBySize: "size",
}

// ListFiles lists a page of the team's files.
func (f *Files) ListFiles(ctx context.Context, q gatehouse.LibraryQuery) (files []*gatehouse.File, next string, err error) {
	in := url.Values{"order": {"desc"}}
	if q.Ascending {
		in.Set("order", "asc")
	}
	if q.Page.Size > 0 {
		in.Set("limit", strconv.Itoa(q.Page.Size))
	}
	for name, v := range map[string]string{"sort_by": fileSorts[q.Sort], "filter": q.Filter, "pagination_token": q.Page.Token} {
		if v != "" {
			in.Set(name, v)
		}
	}
	if !q.After.IsZero() {
		in.Set("after", "file_"+q.After.String())
	}
	var out struct {
		Data []wireFile `json:"data"`
		Next string     `json:"pagination_token"`
	}
	err = f.do(ctx, ask{method: http.MethodGet, path: filesPath, query: in}, &out)
	return each(out.Data, wireFile.file), out.Next, err
}

// DeleteFile deletes a file, and takes it out of every collection.
func (f *Files) DeleteFile(ctx context.Context, id gatehouse.ID) error {
	return f.do(ctx, ask{method: http.MethodDelete, path: filePath(id)}, &struct{}{})
}

// OpenFile reads a file's bytes, or with text its extracted text. What breaks
// off ends in an error, never in an EOF.
func (f *Files) OpenFile(ctx context.Context, id gatehouse.ID, text bool) (io.ReadCloser, error) {
	a := ask{method: http.MethodGet, path: filePath(id, "content")}
	if text {
		a.query = url.Values{"format": {"text"}}
	}
	res, err := f.send(ctx, a)
	if err != nil {
		return nil, err
	}
	return &content{res.Body, f.c, ctx}, nil
}

// content is a body whose errors are this package's.
type content struct {
	io.ReadCloser
	c   *Client
	ctx context.Context
}

// Read implements [io.Reader].
func (b *content) Read(p []byte) (int, error) {
	n, err := b.ReadCloser.Read(p)
	if err != nil && !errors.Is(err, io.EOF) || errors.Is(err, io.ErrUnexpectedEOF) {
		err = b.c.unreachable(b.ctx, err)
	}
	return n, err
}

// PublishFile makes a URL that opens the file for everybody, for so long; life 0
// is as long as the file. It takes the place of the one there was.
func (f *Files) PublishFile(ctx context.Context, id gatehouse.ID, life time.Duration) (link string, expire time.Time, err error) {
	in := struct {
		After int64 `json:"expires_after,omitempty"`
	}{int64(life / time.Second)}
	var out struct {
		URL    string  `json:"public_url"`
		Expire seconds `json:"expires_at"`
	}
	err = f.do(ctx, ask{method: http.MethodPost, path: filePath(id, "public-url"), json: in}, &out)
	return out.URL, out.Expire.time(), err
}

// UnpublishFile ends a file's public URL.
func (f *Files) UnpublishFile(ctx context.Context, id gatehouse.ID) error {
	return f.do(ctx, ask{method: http.MethodPost, path: filePath(id, "public-url", "revoke")}, &struct{}{})
}

// gatewayRefusal is the error that a gateway's answer tells, in either of the
// bodies that it may be configured to have.
func gatewayRefusal(res *http.Response) error {
	text, _ := io.ReadAll(io.LimitReader(res.Body, maxRefusal))
	var said struct {
		Error json.RawMessage `json:"error"`
	}
	var words string
	var object struct {
		Message string `json:"message"`
	}
	if json.Unmarshal(text, &said) == nil && json.Unmarshal(said.Error, &words) != nil {
		_ = json.Unmarshal(said.Error, &object) // what is neither has no words
		words = object.Message
	}
	switch {
	case res.StatusCode/100 == 3:
		words = "the server redirects elsewhere (" + res.Status + "); the key is not sent there: check the base URL"
	case words == "":
		words = fmt.Sprintf("the server answered %s", res.Status)
	}
	return &gatehouse.Error{Code: gatewayCode(res.StatusCode, words), Message: words, RetryAfter: retryAfter(res.Header.Get("Retry-After"))}
}

// wrongKey begins what a gateway says of a key that it does not know. xAI's
// status for that is the one of a bad argument.
const wrongKey = "Incorrect API key provided"

func gatewayCode(status int, words string) gatehouse.Code {
	switch status {
	case http.StatusRequestEntityTooLarge:
		return gatehouse.ResourceExhausted
	case http.StatusUnsupportedMediaType:
		return gatehouse.InvalidArgument
	case http.StatusBadRequest:
		if strings.HasPrefix(words, wrongKey) {
			return gatehouse.Unauthenticated
		}
	}
	if code, ok := byHTTP[status]; ok {
		return code
	}
	if code, ok := byGRPC[fromStatus(status)]; ok {
		return code
	}
	return gatehouse.Internal
}
