// Package library keeps what teams upload: files, collections of documents, and
// what is found in them. It has the rules, the work behind the answers and the
// search; who may do what is decided by its callers: control for the management
// plane, and [Service] itself for API keys that come through a gateway.
//
// # Where things are
//
// The store has the records and is the truth. Blobs have the bytes, the index
// has the chunks, and both can lag behind: a file is written before its record
// and swept after it, and what the index finds is shown only when the store
// still knows it.
//
// # How a document gets into the index
//
// Adding it leaves a task in the same transaction. A worker claims the task,
// reads the blob, has the text extracted in a process of its own, cuts it, has
// the chunks embedded through a gateway where the collection names a model, and
// puts the whole document into the index at once. A worker that dies leaves the
// task to the next; what fails for a while is tried again, and what can never
// succeed is FAILED with a message.
package library

import (
	"context"
	"io"
	"log/slog"
	"net/netip"
	"sync"
	"time"

	"gatehouse"
	"gatehouse/internal/crowd"
	"gatehouse/internal/library/blob"
	"gatehouse/internal/library/extract"
	"gatehouse/internal/library/index"
	"gatehouse/internal/store"
)

// Config is what a Service works with. Embed may be nil: documents are then
// found by their words. The rest is required.
type Config struct {
	Store   store.Store
	Blobs   blob.Store
	Index   index.Index
	Extract extractor
	Embed   embedder
	Sealer  sealer
	Spool   string // a directory on disk for uploads under way; emptied at start
	Node    string // names the holder of tasks; of one process at a time
	Brand   string // of tokens
	Now     func() time.Time
	Logger  *slog.Logger
	Bounds  Bounds
	Workers int // documents indexed at once; 0: 2
	// PublicURL is the base of public links, such as https://gateway.example.com;
	// empty: that of the request that makes one.
	PublicURL string
	// Model embeds the documents of collections that name none; empty: none does.
	Model string
	// DescribeModel words descriptions; empty: DescribeCollection is refused.
	DescribeModel string
}

// Bounds limit what a team may keep; zero members are the package's own.
type Bounds struct {
	FileSize    int64 // bytes
	Files       int
	Bytes       int64 // of all files
	Collections int
}

// extractor is [extract.Extractor].
type extractor interface {
	Extract(ctx context.Context, d extract.Document, yield func(extract.Part) error) (extract.Result, error)
}

// embedder calls models through a gateway, for a team and at its cost. Errors
// are Unavailable where trying again may help, with a RetryAfter where it is known.
type embedder interface {
	Embed(ctx context.Context, team gatehouse.ID, model string, texts []string) ([][]float32, error)
	Complete(ctx context.Context, team gatehouse.ID, model, prompt string) (string, error)
}

// sealer makes page tokens; see control.
type sealer interface {
	SealPage(where string, plain []byte) (string, error)
	OpenPage(where, sealed string) ([]byte, error)
}

// Service is the library. It is safe for concurrent use.
type Service struct {
	Config
	wake     chan struct{}              // a task may be there
	unwalled sync.Once                  // says that extraction has a network and files
	uploads  *crowd.Crowd[gatehouse.ID] // teams whose uploads are under way
	readers  chan struct{}              // one element for each extraction that a reader waits for
	counts   counts                     // of what workers did
	parsing  chan struct{}              // one element while a worker extracts
}

// defaultWorkers is Config.Workers of whoever does not care.
const defaultWorkers = 2

// New makes a Service and empties its spool. Run works on what is behind the
// answers.
func New(c Config) (*Service, error) {
	if err := c.check(); err != nil {
		return nil, err
	}
	setDefault(&c.Brand, gatehouse.DefaultBrand)
	setDefault(&c.Workers, defaultWorkers)
	setDefault(&c.Bounds.FileSize, gatehouse.MaxFileSize)
	setDefault(&c.Bounds.Files, gatehouse.MaxTeamFiles)
	setDefault(&c.Bounds.Bytes, gatehouse.MaxTeamFileBytes)
	setDefault(&c.Bounds.Collections, gatehouse.MaxCollections)
	if err := emptySpool(c.Spool); err != nil {
		return nil, err
	}
	return &Service{Config: c, wake: make(chan struct{}, 1), uploads: crowd.New[gatehouse.ID](uploadCrowd, uploadsAtOnce), readers: make(chan struct{}, maxReaders), parsing: make(chan struct{}, 1)}, nil
}

// check names the first thing that is missing or makes no sense: a Service
// that lacks a part would fail in the middle of somebody's request.
func (c *Config) check() error {
	for what, missing := range map[string]bool{
		"Store": c.Store == nil, "Blobs": c.Blobs == nil, "Index": c.Index == nil, "Extract": c.Extract == nil, "Sealer": c.Sealer == nil,
		"Spool": c.Spool == "", "Node": c.Node == "", "Now": c.Now == nil, "Logger": c.Logger == nil,
	} {
		if missing {
			return gatehouse.Errorf(gatehouse.InvalidArgument, "library: %s is missing", what)
		}
	}
	switch b := c.Bounds; {
	case b.FileSize < 0 || b.Files < 0 || b.Bytes < 0 || b.Collections < 0 || c.Workers < 0:
		return gatehouse.Errorf(gatehouse.InvalidArgument, "library: a bound is negative")
	case c.Embed == nil && (c.Model != "" || c.DescribeModel != ""):
		return gatehouse.Errorf(gatehouse.InvalidArgument, "library: a model is named, and there is no gateway to call it through")
	}
	return nil
}

func setDefault[T comparable](field *T, value T) {
	var zero T
	if *field == zero {
		*field = value
	}
}

// Asker is an API key that comes through a gateway, as the gateway asserts.
type Asker struct {
	Team, Key gatehouse.ID
	IP        netip.Addr
	RequestID string
	// Base is the URL under which the client reached the gateway, for public links.
	Base string
}

// Files is what API keys do with files, and what api/library serves. Every
// method makes sure that the key is alive and may use the endpoint.
type Files interface {
	// UploadFile keeps a file whole or not at all.
	UploadFile(ctx context.Context, who Asker, f gatehouse.NewFile) (*gatehouse.File, error)
	GetFile(ctx context.Context, who Asker, id gatehouse.ID) (*gatehouse.File, error)
	ListFiles(ctx context.Context, who Asker, q gatehouse.LibraryQuery) (files []*gatehouse.File, next string, err error)
	// RenameFile changes the name: all that PUT /v1/files/{id} offers.
	RenameFile(ctx context.Context, who Asker, id gatehouse.ID, name string) (*gatehouse.File, error)
	// DeleteFile takes it out of every collection too.
	DeleteFile(ctx context.Context, who Asker, id gatehouse.ID) error
	// OpenFile reads a file's bytes from an offset. Its hash is checked at the end
	// of a whole read: wrong bytes end in an error, never in an EOF.
	OpenFile(ctx context.Context, who Asker, id gatehouse.ID, offset int64) (*gatehouse.File, io.ReadCloser, error)
	// FileText writes a file's extracted text, at most so many bytes of it
	// (ResourceExhausted when there is more; 0: all).
	FileText(ctx context.Context, who Asker, id gatehouse.ID, most int64, w io.Writer) (*gatehouse.File, error)
	// PublishFile makes a URL that opens the file for everybody until expire (zero:
	// as long as the file), in the place of the one it had. UnpublishFile ends it.
	PublishFile(ctx context.Context, who Asker, id gatehouse.ID, expire time.Time) (*gatehouse.File, error)
	UnpublishFile(ctx context.Context, who Asker, id gatehouse.ID) (*gatehouse.File, error)
	// OpenLink reads the file that a link is for. It needs no key.
	OpenLink(ctx context.Context, link gatehouse.Token) (*gatehouse.File, io.ReadCloser, error)
	Search(ctx context.Context, who Asker, q gatehouse.Search) ([]gatehouse.SearchMatch, error)
}
