package control

import (
	"context"
	"fmt"
	"maps"
	"slices"

	"gatehouse"
	"gatehouse/internal/library"
	"gatehouse/internal/store"
)

// filed is a document as it is kept for a replay: whole, where its own JSON is
// that of the record alone.
type filed struct {
	Document *gatehouse.Document
	File     *gatehouse.File
	State    gatehouse.DocumentState
}

func keepDocument(d *gatehouse.Document, err error) (filed, error) {
	if err != nil {
		return filed{}, err
	}
	return filed{d, d.File, d.State}, nil
}

func (f filed) document(err error) (*gatehouse.Document, error) {
	if err != nil {
		return nil, err
	}
	f.Document.File, f.Document.State = f.File, f.State
	return f.Document, nil
}

// ahead finds a collection, and a document of it where a file is named, for a
// caller who is about to send bytes: whoever may not is refused before the first
// of them.
func (c *Caller) ahead(ctx context.Context, op gatehouse.Operation, team, collection, file gatehouse.ID) (lib *library.Service, shelf *gatehouse.Collection, d *gatehouse.Document, err error) {
	if lib, err = c.stocked(ctx, op); err != nil {
		return nil, nil, nil, err
	}
	who, err := c.identify(ctx, op)
	if err != nil {
		return nil, nil, nil, err
	}
	err = c.s.Store.View(who.scoped(ctx), func(v store.View) (err error) {
		if shelf, err = c.shelf(v, who, team, collection); err == nil && !file.IsZero() {
			d, err = lib.Document(v, shelf, file)
		}
		return err
	})
	if err != nil {
		c.refuse(ctx, who, op, err, subject(collection, file))
	}
	return lib, shelf, d, err
}

// UploadDocument implements gatehouse.Documents. The hash of the bytes is part
// of what an Idempotency-Key stands for.
func (c *Caller) UploadDocument(ctx context.Context, collection gatehouse.ID, f gatehouse.NewFile, fields map[string]string) (*gatehouse.Document, error) {
	lib, shelf, _, err := c.ahead(ctx, gatehouse.UploadDocument, f.TeamID, collection, gatehouse.ID{})
	if err != nil {
		return nil, err
	}
	up, err := lib.Stage(ctx, shelf.TeamID, f)
	if err != nil {
		return nil, err
	}
	id := gatehouse.NewID()
	target := fingerprint(collection.String(), f.TeamID.String(), up.Name, up.ContentType, up.Hash, spelled(fields))
	out, err := stock(ctx, c, gatehouse.UploadDocument, "document.uploaded", target,
		func(lib *library.Service, tx store.Tx, who *principal, act gatehouse.Act) (filed, error) {
			shelf, err := c.shelf(tx, who, f.TeamID, collection)
			if err != nil {
				return filed{}, err
			}
			return keepDocument(lib.UploadDocument(tx, shelf, id, who.UserID, up, fields, act))
		})
	return out.document(err)
}

// spelled is a map as text, the same for the same map.
func spelled(fields map[string]string) string {
	var parts []string
	for _, k := range slices.Sorted(maps.Keys(fields)) {
		parts = append(parts, k, fields[k])
	}
	return fingerprint(parts...)
}

// AddDocument implements gatehouse.Documents.
func (c *Caller) AddDocument(ctx context.Context, team, collection, file gatehouse.ID, fields map[string]string) error {
	_, err := stock(ctx, c, gatehouse.AddDocumentToCollection, "document.added", subject(collection, file),
		func(lib *library.Service, tx store.Tx, who *principal, act gatehouse.Act) (struct{}, error) {
			shelf, err := c.shelf(tx, who, team, collection)
			if err != nil {
				return struct{}{}, err
			}
			added, err := lib.AddDocument(tx, shelf, file, fields, act)
			if err != nil || added {
				return struct{}{}, err
			}
			return struct{}{}, tx.Record(gatehouse.Act{
				Action: "document.read", Operation: act.Operation, TeamID: shelf.TeamID, Kind: gatehouse.KindDocument, Subject: subject(collection, file),
				Description: "A document was found where it was to be added", Result: gatehouse.Read,
			})
		})
	return err
}

// subject is how the log names a document.
func subject(collection, file gatehouse.ID) string {
	return fmt.Sprintf("%s/%s", collection, file)
}

// catalogued reads documents of a collection.
func catalogued[T any](ctx context.Context, c *Caller, op gatehouse.Operation, act gatehouse.Act, team, collection gatehouse.ID,
	look func(*library.Service, store.View, *gatehouse.Collection) (T, error)) (out T, err error) {
	lib, err := c.stocked(ctx, op)
	if err != nil {
		return out, err
	}
	act.TeamID = team
	return survey(ctx, c, query[T]{
		op: op, act: act,
		check: func(v store.View, who *principal) error {
			_, err := c.shelf(v, who, team, collection)
			return err
		},
		run: func(v store.View, who *principal) (out T, err error) {
			shelf, err := c.shelf(v, who, team, collection)
			if err != nil {
				return out, err
			}
			return look(lib, v, shelf)
		},
	})
}

// GetDocument implements gatehouse.Documents.
func (c *Caller) GetDocument(ctx context.Context, team, collection, file gatehouse.ID) (*gatehouse.Document, error) {
	lib, err := c.stocked(ctx, gatehouse.GetDocumentMetadata)
	if err != nil {
		return nil, err
	}
	return read(ctx, c, query[*gatehouse.Document]{
		op: gatehouse.GetDocumentMetadata, act: reading("document.read", gatehouse.KindDocument, subject(collection, file)),
		run: func(v store.View, who *principal) (*gatehouse.Document, error) {
			shelf, err := c.shelf(v, who, team, collection)
			if err != nil {
				return nil, err
			}
			return lib.Document(v, shelf, file)
		},
	})
}

// GetDocuments implements gatehouse.Documents.
func (c *Caller) GetDocuments(ctx context.Context, team, collection gatehouse.ID, files []gatehouse.ID) ([]*gatehouse.Document, error) {
	return catalogued(ctx, c, gatehouse.BatchGetDocuments, reading("document.read", gatehouse.KindCollection, collection.String()), team, collection,
		func(lib *library.Service, v store.View, shelf *gatehouse.Collection) ([]*gatehouse.Document, error) {
			return lib.Documents(v, shelf, files)
		})
}

// ListDocuments implements gatehouse.Documents.
func (c *Caller) ListDocuments(ctx context.Context, q gatehouse.LibraryQuery) ([]*gatehouse.Document, string, error) {
	out, err := catalogued(ctx, c, gatehouse.ListDocuments, reading("document.listed", gatehouse.KindCollection, q.CollectionID.String()), q.TeamID, q.CollectionID,
		func(lib *library.Service, v store.View, shelf *gatehouse.Collection) (out listed[*gatehouse.Document], err error) {
			out.items, out.next, err = lib.ListDocuments(v, shelf, q)
			return out, err
		})
	return out.unpack(err)
}

// ReindexDocument implements gatehouse.Documents.
func (c *Caller) ReindexDocument(ctx context.Context, team, collection, file gatehouse.ID) error {
	_, err := stock(ctx, c, gatehouse.ReIndexDocument, "document.reindexed", subject(collection, file),
		func(lib *library.Service, tx store.Tx, who *principal, act gatehouse.Act) (struct{}, error) {
			shelf, err := c.shelf(tx, who, team, collection)
			if err != nil {
				return struct{}{}, err
			}
			return struct{}{}, lib.ReindexDocument(tx, shelf, file, act)
		})
	return err
}

// UpdateDocument implements gatehouse.Documents.
func (c *Caller) UpdateDocument(ctx context.Context, u gatehouse.DocumentUpdate) (*gatehouse.Document, error) {
	up, err := c.newContent(ctx, u)
	if err != nil {
		return nil, err
	}
	target := subject(u.CollectionID, u.FileID)
	if up != nil {
		target = fingerprint(target, up.Hash)
	}
	out, err := stock(ctx, c, gatehouse.UpdateDocument, "document.updated", target,
		func(lib *library.Service, tx store.Tx, who *principal, act gatehouse.Act) (filed, error) {
			shelf, err := c.shelf(tx, who, u.TeamID, u.CollectionID)
			if err != nil {
				return filed{}, err
			}
			return keepDocument(lib.UpdateDocument(tx, shelf, u, up, act))
		})
	return out.document(err)
}

// newContent reads the content of an update; nil when there is none. It needs
// the document to be there, so that nobody sends bytes for nothing.
func (c *Caller) newContent(ctx context.Context, u gatehouse.DocumentUpdate) (*library.Upload, error) {
	if u.Content == nil {
		return nil, nil
	}
	lib, shelf, d, err := c.ahead(ctx, gatehouse.UpdateDocument, u.TeamID, u.CollectionID, u.FileID)
	if err != nil {
		return nil, err
	}
	n := gatehouse.NewFile{Name: d.File.Name, ContentType: u.ContentType.Value, Content: u.Content}
	if u.Name.Set {
		n.Name = u.Name.Value
	}
	return lib.StageContent(ctx, shelf.TeamID, n, d.File.Size)
}

// RemoveDocument implements gatehouse.Documents.
func (c *Caller) RemoveDocument(ctx context.Context, team, collection, file gatehouse.ID) error {
	_, err := stock(ctx, c, gatehouse.RemoveDocumentFromCollection, "document.removed", subject(collection, file),
		func(lib *library.Service, tx store.Tx, who *principal, act gatehouse.Act) (struct{}, error) {
			shelf, err := c.shelf(tx, who, team, collection)
			if err != nil {
				return struct{}{}, err
			}
			return struct{}{}, lib.RemoveDocument(tx, shelf, file, act)
		})
	return err
}
