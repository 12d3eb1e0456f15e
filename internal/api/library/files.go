package library

import (
	"net/http"
	"strings"
	"time"

	"gatehouse"
	"gatehouse/internal/library"
)

// file is a file on the wire. Its purpose is always empty and its status always
// processed, as OpenAI's SDK wants them: nothing is done to a file before it can
// be used.
type file struct {
	ID         string `json:"id"`
	Object     string `json:"object"`
	Bytes      int64  `json:"bytes"`
	Created    int64  `json:"created_at"` // seconds since 1970
	Expire     *int64 `json:"expires_at"`
	Name       string `json:"filename"`
	Purpose    string `json:"purpose"`
	Status     string `json:"status"`
	Link       string `json:"public_url,omitempty"`
	LinkExpire *int64 `json:"public_url_expires_at,omitempty"`
}

func encode(f *gatehouse.File) file {
	out := file{
		ID: fileID(f.ID), Object: "file", Bytes: f.Size, Created: f.CreateTime.Unix(), Expire: moment(f.ExpireTime), Name: f.Name,
		Status: "processed", Link: f.LinkURL,
	}
	if f.LinkURL != "" {
		out.LinkExpire = moment(f.LinkExpire)
	}
	return out
}

func fileID(id gatehouse.ID) string { return "file_" + id.String() }

func moment(t time.Time) *int64 {
	if t.IsZero() {
		return nil
	}
	s := t.Unix()
	return &s
}

// idIn is the file that a path names, in any of the spellings that ids of files
// have. What is none is missing like any other.
func idIn(r *http.Request) (gatehouse.ID, error) {
	text := r.PathValue("id")
	id, err := gatehouse.ParseID(text)
	known := len(text) == 36 || strings.HasPrefix(text, "file_") || strings.HasPrefix(text, "file-")
	if err != nil || !known {
		return id, gatehouse.Errorf(gatehouse.NotFound, "The file %q does not exist or your team does not have access to it.", clip(text))
	}
	return id, nil
}

// clip keeps an echoed value short.
func clip(s string) string {
	const most = 64
	if len(s) <= most {
		return s
	}
	return strings.ToValidUTF8(s[:most], "") + "…"
}

// single answers with one file.
func single(w http.ResponseWriter, f *gatehouse.File, err error) error {
	if err == nil {
		reply(w, http.StatusOK, encode(f))
	}
	return err
}

func (f *face) get(w http.ResponseWriter, r *http.Request, who library.Asker) error {
	id, err := idIn(r)
	if err != nil {
		return err
	}
	got, err := f.Library.GetFile(r.Context(), who, id)
	return single(w, got, err)
}

// rename is PUT: the name is all of a file that can change.
func (f *face) rename(w http.ResponseWriter, r *http.Request, who library.Asker) error {
	id, err := idIn(r)
	if err != nil {
		return err
	}
	var in struct {
		Name *string `json:"filename"`
	}
	if err := decode(r, &in, true); err != nil {
		return err
	}
	if in.Name == nil {
		return gatehouse.Violations{{Field: "filename", Problem: "is required"}}.Err()
	}
	got, err := f.Library.RenameFile(r.Context(), who, id, *in.Name)
	return single(w, got, err)
}

func (f *face) delete(w http.ResponseWriter, r *http.Request, who library.Asker) error {
	id, err := idIn(r)
	if err == nil {
		err = f.Library.DeleteFile(r.Context(), who, id)
	}
	if err == nil {
		reply(w, http.StatusOK, struct {
			ID      string `json:"id"`
			Object  string `json:"object"`
			Deleted bool   `json:"deleted"`
		}{fileID(id), "file", true})
	}
	return err
}

func (f *face) publish(w http.ResponseWriter, r *http.Request, who library.Asker) error {
	id, err := idIn(r)
	if err != nil {
		return err
	}
	var in struct {
		After *int64 `json:"expires_after"`
	}
	if err := decode(r, &in, false); err != nil {
		return err
	}
	var expire time.Time
	if in.After != nil {
		d, err := life("expires_after", *in.After)
		if err != nil {
			return err
		}
		expire = f.Now().Add(d)
	}
	got, err := f.Library.PublishFile(r.Context(), who, id, expire)
	if err == nil {
		reply(w, http.StatusOK, struct {
			URL    string `json:"public_url"`
			Expire *int64 `json:"expires_at,omitempty"`
		}{got.LinkURL, moment(got.LinkExpire)})
	}
	return err
}

// life is so many seconds.
func life(field string, seconds int64) (time.Duration, error) {
	if d := time.Duration(seconds); d < gatehouse.MinFileLife/time.Second || d > gatehouse.MaxFileLife/time.Second {
		return 0, gatehouse.Violations{{Field: field, Problem: "is 3600 to 2592000 seconds"}}.Err()
	}
	return time.Duration(seconds) * time.Second, nil
}

func (f *face) unpublish(w http.ResponseWriter, r *http.Request, who library.Asker) error {
	id, err := idIn(r)
	if err == nil {
		err = decode(r, &struct{}{}, false)
	}
	if err == nil {
		_, err = f.Library.UnpublishFile(r.Context(), who, id)
	}
	if err == nil {
		reply(w, http.StatusOK, struct {
			ID      string `json:"id"`
			Revoked bool   `json:"revoked"`
		}{fileID(id), true})
	}
	return err
}
