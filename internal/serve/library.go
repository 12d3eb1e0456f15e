package serve

import (
	"cmp"
	"context"
	"crypto/rand"
	"fmt"
	"io"
	"net/http"
	"os"
	"path/filepath"
	"strings"

	"github.com/prometheus/client_golang/prometheus"

	"gatehouse"
	face "gatehouse/internal/api/library"
	"gatehouse/internal/inside"
	"gatehouse/internal/library"
	"gatehouse/internal/library/assertion"
	"gatehouse/internal/library/blob"
	"gatehouse/internal/library/blob/dir"
	"gatehouse/internal/library/blob/s3"
	"gatehouse/internal/library/embed"
	"gatehouse/internal/library/extract"
	"gatehouse/internal/library/index"
	indexpostgres "gatehouse/internal/library/index/postgres"
	"gatehouse/internal/library/index/sqlindex"
	indexsqlite "gatehouse/internal/library/index/sqlite"
	"gatehouse/internal/store"
)

// Files below the data directory.
const (
	blobDir   = "blobs"
	indexFile = "index.db"
	spoolDir  = "spool"
)

// openLibrary makes the library of an open house and gives it to control. Role
// control has none unless it is told where blobs are kept: its own directory is
// one node's alone, and may be gone with it.
func (p *program) openLibrary(ctx context.Context, registry prometheus.Registerer) error {
	if err := p.clearSpool(); err != nil {
		return fmt.Errorf("spool: %w", err)
	}
	if p.cfg.Role == RoleControl && p.cfg.Library.Blobs == "" {
		p.log.Info("no library: library.blobs does not say where files are kept")
		return nil
	}
	blobs, err := p.openBlobs(ctx)
	if err != nil {
		return fmt.Errorf("library.blobs: %w", err)
	}
	if c, ok := blobs.(io.Closer); ok {
		p.later("files of the library", func(context.Context) error { return c.Close() })
	}
	found, err := p.openIndex(ctx)
	if err != nil {
		return fmt.Errorf("library.index: %w", err)
	}
	p.later("document index", func(context.Context) error { return found.Close() })
	executable, err := os.Executable()
	if err != nil {
		return err
	}
	c := p.cfg.Library
	conf := library.Config{
		Store: p.store, Blobs: blobs, Index: found, Sealer: p.keys, Brand: p.cfg.Brand, Now: p.now, Logger: p.log, Node: p.node.String(),
		Extract: &extract.Extractor{Executable: executable, Dir: p.below(spoolDir, extractDir)}, Spool: p.below(spoolDir, uploadsDir),
		Model: c.Embedding, DescribeModel: c.DescribeModel, PublicURL: c.PublicURL, Workers: c.Workers,
		Bounds: library.Bounds{FileSize: c.MaxFile, Files: c.MaxFiles, Bytes: c.MaxBytes},
	}
	if e := p.embedder(); e != nil {
		conf.Embed = e
	}
	lib, err := library.New(conf)
	if err != nil {
		return err
	}
	p.library, p.service.Library = lib, lib
	p.log.Info("library", "keyword", found.Methods().Keyword, "semantic", found.Methods().Semantic)
	return registry.Register(lib.Metrics())
}

// Directories of the spool, which may itself be mounted from elsewhere.
const (
	uploadsDir = "uploads" // the library's, which clears it
	extractDir = "extract"
	formsDir   = "forms" // of the management plane
)

// clearSpool removes what a process that was killed left half done. Nobody else
// works in this data directory.
func (p *program) clearSpool() error {
	for _, dir := range []string{extractDir, formsDir} {
		if err := os.RemoveAll(p.below(spoolDir, dir)); err != nil {
			return err
		}
	}
	return os.MkdirAll(p.below(spoolDir, formsDir), 0o700)
}

// below is a path in the data directory.
func (h *house) below(names ...string) string {
	return filepath.Join(append([]string{h.cfg.Data}, names...)...)
}

func (h *house) openBlobs(ctx context.Context) (blob.Store, error) {
	c := h.cfg.Library
	if c.bucket() == "" {
		return dir.Open(cmp.Or(c.Blobs, h.below(blobDir)))
	}
	access, err := readSecret(c.S3.AccessKeyFile, nil)
	if err != nil {
		return nil, err
	}
	secret, err := readSecret(c.S3.SecretKeyFile, nil)
	if err != nil {
		return nil, err
	}
	_, prefix, _ := strings.Cut(strings.TrimPrefix(c.Blobs, "s3://"), "/")
	return s3.Open(ctx, s3.Config{
		Endpoint: c.S3.Endpoint, Region: c.S3.Region, Bucket: c.bucket(), Prefix: prefix, AccessKey: s3.NewSecret(access), SecretKey: s3.NewSecret(secret),
		Insecure: true, // the configuration says where that may be
	})
}

func (h *house) openIndex(ctx context.Context) (index.Index, error) {
	opts := sqlindex.Options{Now: h.now}
	if dsn := cmp.Or(h.cfg.Library.Index, h.cfg.Database); dsn != "" {
		return indexpostgres.Open(ctx, dsn, opts)
	}
	return indexsqlite.Open(ctx, h.below(indexFile), opts)
}

// embedder calls models through a gateway: the one that role control was told,
// else, in role all, this process's own. Nil: there is none.
func (p *program) embedder() *embed.Client {
	c := embed.Config{BaseURL: p.cfg.Library.Gateway, Token: p.service.LibraryKey, Now: p.now}
	if c.BaseURL == "" {
		if p.cfg.Role != RoleAll {
			return nil
		}
		own := inside.Serve(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) { p.own.ServeHTTP(w, r) }))
		p.later("calls of the library", func(context.Context) error { return own.Close() })
		c.BaseURL, c.HTTP = "http://gateway", &http.Client{Transport: own}
	}
	return embed.New(c)
}

// serveLibrary begins the work behind the answers. It ends before what it stands on.
func (p *program) serveLibrary() {
	p.loop("library", p.library.Run)
}

// libraryFace is what gateways ask, those of the fleet and this process's own.
func (p *program) libraryFace() http.Handler {
	if p.library == nil {
		return http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
			w.Header().Set(assertion.CodeHeader, string(gatehouse.NotFound))
			w.WriteHeader(http.StatusNotFound)
			fmt.Fprint(w, `{"message":"This installation keeps no library."}`)
		})
	}
	return face.Handler(face.Config{Library: p.library, Keys: p.gatewayKey, Now: p.now, Logger: p.log, Brand: p.cfg.Brand})
}

// gatewayKey is what a gateway signs its assertions by: of a member, what it
// showed when it joined; of this process, a key that nobody else has.
func (p *program) gatewayKey(ctx context.Context, gateway gatehouse.ID) (key []byte, err error) {
	if gateway == p.node && p.cfg.Role == RoleAll {
		return p.ownKey[:], nil
	}
	err = p.store.View(store.System(ctx), func(v store.View) error {
		m, err := v.Membership(gateway)
		if gatehouse.CodeOf(err) == gatehouse.NotFound || err == nil && !m.DeleteTime.IsZero() {
			return gatehouse.Errorf(gatehouse.Unauthenticated, "this gateway is no member of the installation")
		}
		if err == nil {
			key = m.Digest[:]
		}
		return err
	})
	return key, err
}

// ownLibrary is how this process's gateway asks this process's library.
func (p *program) ownLibrary() *face.Local {
	rand.Read(p.ownKey[:])
	l := face.NewLocal(p.libraryFace(), p.ownKey[:], p.node, p.now)
	p.later("way to the library", func(context.Context) error { return l.Close() })
	return l
}
