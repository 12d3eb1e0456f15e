package gateway

import (
	"strings"

	"gatehouse/internal/llm"
	"gatehouse/internal/openapi"
)

// described is what the document says of one operation of the library. Its
// bodies are the library's own and described whole.
type described struct {
	summary string
	query   []*openapi.Parameter
	body    *openapi.Media // JSON or a form, as the route takes
	answer  string         // a schema; empty: the bytes of a file
	example any
}

type schemas = map[string]*openapi.Schema

const (
	exampleFile       = "file_33333333-3333-4333-8333-333333333333"
	exampleCollection = "collection_44444444-4444-4444-8444-444444444444"
	exampleLink       = "https://gateway.example.com/v1/files/public/gthl_…"
)

func stringOf(description string) *openapi.Schema {
	return &openapi.Schema{Type: "string", Description: description}
}

func integerOf(description string) *openapi.Schema {
	return &openapi.Schema{Type: "integer", Description: description}
}

func objectOf(members schemas, required ...string) *openapi.Schema {
	return &openapi.Schema{Type: "object", Properties: members, Required: required, Additional: false}
}

func arrayOf(s *openapi.Schema) *openapi.Schema { return &openapi.Schema{Type: "array", Items: s} }

func inQuery(name, description string, s *openapi.Schema) *openapi.Parameter {
	return &openapi.Parameter{Name: name, In: "query", Description: description, Schema: s}
}

// libraryOperation describes one route of the library.
func libraryOperation(doc *openapi.Document, out *openapi.Operation, method string, r llm.Route) {
	librarySchemas(doc)
	d := libraryDescribed()[method+" "+r.Path]
	out.Tags, out.Summary, out.Parameters = []string{"Library"}, d.summary, append(out.Parameters, d.query...)
	if strings.Contains(r.Path, "{token}") {
		out.Parameters = append(out.Parameters, &openapi.Parameter{Name: "token", In: "path", Required: true, Schema: &openapi.Schema{Type: "string", MinLength: 1}})
		out.Security = &[]map[string]string{}
	}
	out.Body = nil
	if d.body != nil {
		kind := "application/json"
		if r.Multipart {
			kind = "multipart/form-data"
		}
		out.Body = &openapi.Body{Required: len(d.body.Schema.Required) > 0, Content: map[string]openapi.Media{kind: *d.body}}
	}
	ok := out.Responses["200"]
	ok.Description, ok.Content = "The library's answer.", map[string]openapi.Media{"application/json": {Schema: openapi.SchemaRef(d.answer), Example: d.example}}
	if d.answer == "" {
		ok.Content = map[string]openapi.Media{"application/octet-stream": {Schema: &openapi.Schema{Type: "string", Format: "binary"}}}
	}
}

func libraryDescribed() map[string]described {
	file := map[string]any{
		"id": exampleFile, "object": "file", "bytes": 5, "created_at": 1767225600, "expires_at": nil, "filename": "hello.txt", "purpose": "", "status": "processed",
	}
	expires := integerOf("Seconds, 3600 to 2592000.")
	return map[string]described{
		"POST /v1/files": {summary: "Keeps a file, of at most 100 MiB. What says when it ends stands before it in the form.", answer: "File", example: file,
			body: &openapi.Media{Schema: &openapi.Schema{Type: "object", Required: []string{"file"}, Additional: false, Properties: schemas{
				"file": {Type: "string", Format: "binary"}, "purpose": stringOf("Taken, and means nothing."), "expires_after": expires,
				"expires_after[anchor]": {Type: "string", Enum: []any{"created_at"}}, "expires_after[seconds]": expires,
			}}}},
		"GET /v1/files": {summary: "Lists the team's files.", answer: "FileList", example: map[string]any{"object": "list", "data": []any{file}, "has_more": false},
			query: []*openapi.Parameter{
				inQuery("limit", "At most 100, which is what a page has unasked.", integerOf("")),
				inQuery("order", "Unasked desc.", &openapi.Schema{Type: "string", Enum: []any{"asc", "desc"}}),
				inQuery("sort_by", "Unasked created_at.", &openapi.Schema{Type: "string", Enum: []any{"created_at", "filename", "size"}}),
				inQuery("pagination_token", "Of the page before.", stringOf("")), inQuery("after", "The last id of the page before, instead of its token.", stringOf("")),
				inQuery("filter", `Such as filename:"report" AND size_bytes:>1000.`, stringOf("")), inQuery("purpose", "Taken, and means nothing.", stringOf("")),
			}},
		"GET /v1/files/{id}":    {summary: "Returns one file.", answer: "File", example: file},
		"DELETE /v1/files/{id}": {summary: "Deletes a file, also from every collection.", answer: "FileDeleted", example: map[string]any{"id": exampleFile, "object": "file", "deleted": true}},
		"PUT /v1/files/{id}": {summary: "Renames a file.", answer: "File", example: file,
			body: &openapi.Media{Schema: objectOf(schemas{"filename": stringOf("")}, "filename"), Example: map[string]any{"filename": "hello.txt"}}},
		"GET /v1/files/{id}/content": {summary: "Returns a file's bytes, or the text in it.",
			query: []*openapi.Parameter{inQuery("format", "Unasked original.", &openapi.Schema{Type: "string", Enum: []any{"original", "text"}})}},
		"POST /v1/files/{id}/public-url": {summary: "Makes a URL that opens the file for everybody, in the place of the one it had.", answer: "PublicURL",
			example: map[string]any{"public_url": exampleLink, "expires_at": 1767229200},
			body:    &openapi.Media{Schema: objectOf(schemas{"expires_after": expires}), Example: map[string]any{"expires_after": 3600}}},
		"POST /v1/files/{id}/public-url/revoke": {summary: "Ends the file's public URL.", answer: "PublicURLRevoked", example: map[string]any{"id": exampleFile, "revoked": true}},
		"GET /v1/files/public/{token}":          {summary: "Returns the file of a public URL. Needs no key."},
		"POST /v1/documents/search": {summary: "Finds pieces of documents in collections, best first.", answer: "Matches",
			body: &openapi.Media{Schema: openapi.SchemaRef("Search"), Example: map[string]any{"query": "opening hours", "source": map[string]any{"collection_ids": []string{exampleCollection}}}},
			example: map[string]any{"matches": []any{map[string]any{
				"file_id": exampleFile, "chunk_id": "0190f3a2-0000-7000-8000-000000000001", "chunk_content": "Open from nine to five.", "score": 0.03,
				"collection_ids": []string{exampleCollection}, "fields": map[string]any{"year": "2026"}, "page_number": 2,
			}}}},
	}
}

// librarySchemas are the shapes that the routes share.
func librarySchemas(doc *openapi.Document) {
	truth, number, texts := &openapi.Schema{Type: "boolean"}, &openapi.Schema{Type: "number"}, arrayOf(stringOf(""))
	moment := integerOf("Seconds since 1970.")
	s := doc.Components.Schemas
	s["File"] = objectOf(schemas{
		"id": stringOf(""), "object": stringOf(""), "bytes": integerOf(""), "created_at": moment, "expires_at": moment.With("", true), "filename": stringOf(""),
		"purpose": stringOf("Empty."), "status": stringOf("processed: nothing is done to a file before it can be used."), "public_url": stringOf(""), "public_url_expires_at": moment,
	}, "id", "object", "bytes", "created_at", "expires_at", "filename", "purpose", "status")
	s["FileList"] = objectOf(schemas{
		"object": stringOf(""), "data": arrayOf(openapi.SchemaRef("File")), "has_more": truth, "pagination_token": stringOf("Of the next page; left out on the last."),
	}, "object", "data", "has_more")
	s["FileDeleted"] = objectOf(schemas{"id": stringOf(""), "object": stringOf(""), "deleted": truth}, "id", "object", "deleted")
	s["PublicURL"] = objectOf(schemas{"public_url": stringOf(""), "expires_at": moment}, "public_url")
	s["PublicURLRevoked"] = objectOf(schemas{"id": stringOf(""), "revoked": truth}, "id", "revoked")
	s["Matches"] = objectOf(schemas{"matches": arrayOf(objectOf(schemas{
		"file_id": stringOf(""), "chunk_id": stringOf(""), "chunk_content": stringOf(""), "score": number, "collection_ids": texts,
		"fields": {Type: "object", Additional: stringOf("")}, "page_number": integerOf("From 1; left out where there are no pages."),
	}, "file_id", "chunk_id", "chunk_content", "score", "collection_ids", "fields"))}, "matches")
	reranker := objectOf(schemas{
		"type": {Type: "string", Enum: []any{"rrf"}}, "k": number.With("Unasked 60.", false), "embedding_weight": number.With("Unasked 0.5.", false), "text_weight": number.With("Unasked 0.5.", false),
	})
	multiplier := integerOf("Candidates looked at for each match, 1 to 100.")
	extreme := objectOf(schemas{"keys": texts, "k": integerOf("")})
	s["Search"] = objectOf(schemas{
		"query": {Type: "string", MinLength: 1}, "source": objectOf(schemas{"collection_ids": texts, "rag_pipeline": {Type: "string", Enum: []any{"chroma_db", "es"}}}, "collection_ids"),
		"limit": integerOf("Unasked 10."), "instructions": stringOf("Put before the query where it is embedded."), "filter": stringOf(`Such as fields.year:2025..2026.`),
		"group_by": objectOf(schemas{"keys": texts, "aggregate": objectOf(schemas{"min_k": extreme, "max_k": extreme})}, "keys"),
		"retrieval_mode": objectOf(schemas{
			"type": {Type: "string", Enum: []any{"hybrid", "semantic", "keyword"}}, "search_multiplier": multiplier, "reranker": reranker,
			"hybrid": objectOf(schemas{"search_multiplier": multiplier, "reranker": reranker}), "semantic": objectOf(schemas{}), "keyword": objectOf(schemas{}),
		}),
		"ranking_metric": stringOf("Deprecated: the collection has one."),
	}, "query", "source")
}
