package library

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"mime"
	"net/http"
	"net/url"
	"strconv"
	"strings"

	"gatehouse"
	"gatehouse/internal/library"
	"gatehouse/internal/library/assertion"
)

// content sends a file's bytes, or the text in it. Neither is ever anything that
// a browser would run or show in place.
func (f *face) content(w http.ResponseWriter, r *http.Request, who library.Asker) error {
	id, err := idIn(r)
	if err != nil {
		return err
	}
	query, err := queryOf(r.URL.RawQuery, "format")
	if err != nil {
		return err
	}
	switch query.Get("format") {
	case "", "original":
		got, body, err := f.Library.OpenFile(r.Context(), who, id, 0)
		if err != nil {
			return err
		}
		return send(w, got, body)
	case "text":
		harmless(w.Header(), "")
		_, err := f.Library.FileText(r.Context(), who, id, 0, w)
		return err
	}
	return gatehouse.Violations{{Field: "format", Problem: "is original or text"}}.Err()
}

// public sends the file of a link. Whatever is no link is as one that is none
// any more.
func (f *face) public(w http.ResponseWriter, r *http.Request, _ library.Asker) error {
	none := gatehouse.Errorf(gatehouse.NotFound, "This link does not exist or is over.")
	link, err := gatehouse.ParseToken(f.Brand, r.PathValue("token"))
	if err != nil || link.Plane() != gatehouse.Link {
		return none
	}
	got, body, err := f.Library.OpenLink(r.Context(), link)
	switch {
	case gatehouse.CodeOf(err) == gatehouse.NotFound:
		return none.Because(err)
	case err != nil:
		return err
	}
	return send(w, got, body)
}

// send writes a whole file. A length that is not reached tells the client that
// it is not whole.
func send(w http.ResponseWriter, got *gatehouse.File, body io.ReadCloser) error {
	defer body.Close()
	harmless(w.Header(), got.Name)
	w.Header().Set("Content-Length", strconv.FormatInt(got.Size, 10))
	n, err := io.Copy(w, body)
	if err == nil && n != got.Size {
		err = fmt.Errorf("the file has %d bytes instead of %d", n, got.Size)
	}
	return err
}

// harmless says that what follows is bytes to keep and nothing else. It is not
// to be kept by caches: a link can be revoked.
func harmless(h http.Header, name string) {
	h.Set("Content-Type", "application/octet-stream")
	h.Set("Content-Disposition", disposition(name))
	h.Set("X-Content-Type-Options", "nosniff")
	h.Set("Cache-Control", "no-store")
}

// disposition names the file to a browser, quoted or encoded as the standard
// library does (RFC 2231); no name gets out of its place.
func disposition(name string) string {
	if name == "" {
		return "attachment"
	}
	if v := mime.FormatMediaType("attachment", map[string]string{"filename": name}); v != "" {
		return v
	}
	return "attachment"
}

// pictures are what models see as it is; all else is read as text.
var pictures = map[string]bool{"image/png": true, "image/jpeg": true, "image/gif": true, "image/webp": true}

// inline sends what of a file goes into a prompt.
func (f *face) inline(w http.ResponseWriter, r *http.Request, who library.Asker) error {
	id, err := idIn(r)
	if err != nil {
		return err
	}
	query := r.URL.Query()
	mostImage, errImage := strconv.ParseInt(query.Get("image"), 10, 64)
	mostText, errText := strconv.ParseInt(query.Get("text"), 10, 64)
	if errImage != nil || errText != nil || mostImage < 1 || mostText < 1 {
		return gatehouse.Errorf(gatehouse.InvalidArgument, "image and text say how many bytes are wanted")
	}
	got, err := f.Library.GetFile(r.Context(), who, id)
	if err != nil {
		return err
	}
	kind, _, _ := strings.Cut(got.ContentType, ";")
	if kind = strings.ToLower(strings.TrimSpace(kind)); pictures[kind] {
		return f.picture(w, r, who, got, kind, mostImage)
	}
	var text bytes.Buffer // whole: more of it than is wanted is known only at the end
	if _, err := f.Library.FileText(r.Context(), who, id, mostText, &text); err != nil {
		var e *gatehouse.Error
		if errors.As(err, &e) && e.Code == gatehouse.ResourceExhausted && e.RetryAfter == 0 {
			return gatehouse.Errorf(gatehouse.ResourceExhausted, "its text is larger than %d bytes", mostText).Because(err)
		}
		return err
	}
	label(w.Header(), got.Name, "text/plain")
	w.Header().Set("Content-Length", strconv.Itoa(text.Len()))
	_, err = w.Write(text.Bytes())
	return err
}

func (f *face) picture(w http.ResponseWriter, r *http.Request, who library.Asker, got *gatehouse.File, kind string, most int64) error {
	if got.Size > most {
		return gatehouse.Errorf(gatehouse.ResourceExhausted, "the image is larger than %d bytes", most)
	}
	opened, body, err := f.Library.OpenFile(r.Context(), who, got.ID, 0)
	if err != nil {
		return err
	}
	label(w.Header(), got.Name, kind)
	return send(w, opened, body)
}

func label(h http.Header, name, kind string) {
	h.Set(assertion.NameHeader, url.PathEscape(name))
	h.Set(assertion.TypeHeader, kind)
}
