package rpc

import (
	"encoding/json"
	"net/http"
	"net/url"
	"strconv"
	"time"

	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/types/known/timestamppb"

	"gatehouse/gen/xai"
)

const filesPath = "/v1/files"

var files = service{"Files", []method{
	{
		name: "UploadFile", verb: http.MethodPost, path: filesPath, form: true,
		message: func() proto.Message { return &xai.UploadFileInit{} },
		whole:   whole(func(f *kept) (proto.Message, error) { return f.message() }),
	},
	{
		name: "ListFiles", verb: http.MethodGet, path: filesPath,
		message: func() proto.Message { return &xai.ListFilesRequest{} },
		where:   func(in proto.Message) (where, error) { return listing(in.(*xai.ListFilesRequest)) },
		whole:   whole(listed),
	},
	{
		name: "RetrieveFile", verb: http.MethodGet, path: filesPath,
		message: func() proto.Message { return &xai.RetrieveFileRequest{} },
		where:   func(in proto.Message) (where, error) { return segment("file_id", in.(*xai.RetrieveFileRequest).FileId) },
		whole:   whole(func(f *kept) (proto.Message, error) { return f.message() }),
	},
	{
		name: "DeleteFile", verb: http.MethodDelete, path: filesPath,
		message: func() proto.Message { return &xai.DeleteFileRequest{} },
		where:   func(in proto.Message) (where, error) { return segment("file_id", in.(*xai.DeleteFileRequest).FileId) },
		whole: whole(func(d *struct {
			ID      string `json:"id"`
			Deleted bool   `json:"deleted"`
		}) (proto.Message, error) {
			return &xai.DeleteFileResponse{Id: d.ID, Deleted: d.Deleted}, nil
		}),
	},
	{
		name: "RetrieveFileContent", verb: http.MethodGet, path: filesPath,
		message: func() proto.Message { return &xai.RetrieveFileContentRequest{} },
		where:   func(in proto.Message) (where, error) { return contentOf(in.(*xai.RetrieveFileContentRequest)) },
		piece:   func(data []byte) proto.Message { return &xai.FileContentChunk{Data: data} },
	},
	{
		name: "CreatePublicUrl", verb: http.MethodPost, path: filesPath,
		message: func() proto.Message { return &xai.CreatePublicUrlRequest{} },
		where:   func(in proto.Message) (where, error) { return publishing(in.(*xai.CreatePublicUrlRequest)) },
		body: func(in proto.Message) ([]byte, error) {
			return encode(struct {
				After *int64 `json:"expires_after,omitempty"`
			}{in.(*xai.CreatePublicUrlRequest).ExpiresAfter})
		},
		whole: whole(func(l *struct {
			URL    string  `json:"public_url"`
			Expire *moment `json:"expires_at"`
		}) (proto.Message, error) {
			return &xai.CreatePublicUrlResponse{PublicUrl: l.URL, ExpiresAt: l.Expire.stamp()}, nil
		}),
	},
	{
		name: "RevokePublicUrl", verb: http.MethodPost, path: filesPath,
		message: func() proto.Message { return &xai.RevokePublicUrlRequest{} },
		where: func(in proto.Message) (where, error) {
			return segment("file_id", in.(*xai.RevokePublicUrlRequest).FileId, "public-url", "revoke")
		},
		whole: whole(func(r *struct {
			ID      string `json:"id"`
			Revoked bool   `json:"revoked"`
			URL     string `json:"public_url"`
		}) (proto.Message, error) {
			return &xai.RevokePublicUrlResponse{FileId: r.ID, Revoked: r.Revoked, PublicUrl: text(r.URL)}, nil
		}),
	},
}}

// whole makes a message of an answer that is JSON of one shape.
func whole[T any](make func(*T) (proto.Message, error)) func(proto.Message, []byte) (proto.Message, error) {
	return func(_ proto.Message, body []byte) (proto.Message, error) {
		in := new(T)
		if err := json.Unmarshal(body, in); err != nil {
			return nil, err
		}
		return make(in)
	}
}

// sorts are what the enum's values are called in a query.
var sorts = map[xai.FilesSortBy]string{
	xai.FilesSortBy_FILES_SORT_BY_CREATED_AT: "created_at", xai.FilesSortBy_FILES_SORT_BY_FILENAME: "filename", xai.FilesSortBy_FILES_SORT_BY_SIZE: "size",
}

// listing is the query of a list. Its order is always said: over REST the other
// one is the default.
func listing(in *xai.ListFilesRequest) (where, error) {
	q := url.Values{"order": {"asc"}}
	if in.Order == xai.Ordering_DESCENDING {
		q.Set("order", "desc")
	}
	if in.Limit != 0 {
		q.Set("limit", strconv.Itoa(int(in.Limit)))
	}
	if in.SortBy != nil {
		q.Set("sort_by", sorts[*in.SortBy])
	}
	for name, v := range map[string]string{"pagination_token": in.GetPaginationToken(), "filter": in.GetFilter()} {
		if v != "" {
			q.Set(name, v)
		}
	}
	var bad problems
	if in.Limit < 0 {
		bad.addf("limit", "must not be negative")
	}
	return where{query: q}, bad.err()
}

func contentOf(in *xai.RetrieveFileContentRequest) (where, error) {
	at, err := segment("file_id", in.FileId, "content")
	if in.GetFormat() == xai.DownloadFormat_DOWNLOAD_FORMAT_TEXT {
		at.query = url.Values{"format": {"text"}}
	}
	return at, err
}

func publishing(in *xai.CreatePublicUrlRequest) (where, error) {
	var bad problems
	if in.FileId == "" {
		bad.addf("file_id", "is required")
	}
	life(&bad, "expires_after", in.ExpiresAfter)
	return where{names: []string{in.FileId, "public-url"}}, bad.err()
}

// kept is a file as /v1/files describes it.
type kept struct {
	ID         string  `json:"id"`
	Size       int64   `json:"bytes"`
	Created    *moment `json:"created_at"`
	Expire     *moment `json:"expires_at"`
	Name       string  `json:"filename"`
	Link       string  `json:"public_url"`
	LinkExpire *moment `json:"public_url_expires_at"`
}

func (f *kept) message() (*xai.File, error) {
	if f.ID == "" {
		return nil, errNoAnswer
	}
	return &xai.File{
		Id: f.ID, Size: f.Size, CreatedAt: f.Created.stamp(), ExpiresAt: f.Expire.stamp(), Filename: f.Name,
		PublicUrl: text(f.Link), PublicUrlExpiresAt: f.LinkExpire.stamp(),
	}, nil
}

type fileList struct {
	Data []kept `json:"data"`
	Next string `json:"pagination_token"`
}

func listed(in *fileList) (proto.Message, error) {
	out := &xai.ListFilesResponse{PaginationToken: text(in.Next)}
	for _, f := range in.Data {
		m, err := f.message()
		if err != nil {
			return nil, err
		}
		out.Data = append(out.Data, m)
	}
	return out, nil
}

// moment is a time in seconds.
type moment int64

// stamp is nothing for a time that nobody knows.
func (m *moment) stamp() *timestamppb.Timestamp {
	if m == nil {
		return nil
	}
	return timestamppb.New(time.Unix(int64(*m), 0))
}

// text is nothing where there are no words.
func text(s string) *string {
	if s == "" {
		return nil
	}
	return &s
}
