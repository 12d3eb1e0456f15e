package xai

import (
	"net/http"

	"gatehouse"
	"gatehouse/internal/api"
	"gatehouse/internal/openapi"
)

// upload is UploadDocument over REST. A form may hold more than a message and is
// not kept in memory, so no generated code answers it.
var upload = api.Plain{
	Method: http.MethodPost, Path: "/v1/collections/{collection_id}/documents", Operation: gatehouse.UploadDocument,
	Query: []string{"team_id"}, Handle: uploadDocument,
	Upload: &api.Upload{
		File: []string{"data", "file"}, Parts: []string{"name", "content_type", "fields", "team_id"}, Max: gatehouse.MaxFileSize,
		About: map[string]string{
			"data": "The file.", "name": "Of the document; the file's own unless said.",
			"content_type": "The part's own unless said. What the file is, is looked at.",
			"fields":       `Values of the collection's fields, such as {"isbn":"978-3"}.`, "team_id": "The caller's unless said.",
		},
	},
	Doc: api.PlainDoc{
		Summary: "UploadDocument uploads a file and puts it into a collection, which then owns it. It is indexed behind the answer.",
		Query:   map[string]string{"team_id": "The caller's unless said, here or in the form."},
		Answer:  openapi.SchemaRef("collections.DocumentMetadata"),
	},
}

func uploadDocument(w http.ResponseWriter, hr *http.Request, r *api.Request) error {
	file, fields, err := formFile(r.Form, hr.URL.Query().Get("team_id"))
	if err != nil {
		return err
	}
	d, err := r.UploadDocument(hr.Context(), r.PathID("collection_id"), file, fields)
	if err != nil {
		return err
	}
	r.ETag(d.Revision)
	return r.OK(w, library{aliases: true}.document(d))
}

// formFile is what a form says; team is what the query does.
func formFile(form *api.Form, team string) (gatehouse.NewFile, map[string]string, error) {
	var bad gatehouse.Violations
	out := gatehouse.NewFile{Name: form.Name, ContentType: form.ContentType, Content: form.Content}
	if name, said := form.Parts["name"]; said {
		out.Name = name
	}
	if kind, said := form.Parts["content_type"]; said {
		out.ContentType = kind
	}
	var fields map[string]string
	if text := form.Parts["fields"]; text != "" {
		fields = api.StringMap("fields", text, &bad)
	}
	if inForm := form.Parts["team_id"]; team == "" {
		team = inForm
	} else if inForm != "" && inForm != team {
		bad.Addf("team_id", "differs from the query")
	}
	out.TeamID = api.ID("team_id", team, &bad)
	if out.Name == "" {
		bad.Addf("name", "is required, as a part or as the file's own")
	}
	return out, fields, bad.Err()
}
