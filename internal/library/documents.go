package library

import (
	"fmt"
	"maps"

	"gatehouse"
	"gatehouse/internal/store"
)

// mostHolders is how many collections a file may be in for its content or name
// to change: all of them are indexed anew in one transaction. ForgetField takes
// as many documents at once.
const mostHolders = 100

// Document is a document of a collection, without values of fields that the
// collection does not define any more.
func (s *Service) Document(v store.LibraryView, c *gatehouse.Collection, file gatehouse.ID) (*gatehouse.Document, error) {
	d, err := s.document(v, c, file)
	if d == nil || err != nil {
		return nil, first(err, missing("document"))
	}
	return shown(c, d), nil
}

// document is nil for what is not there. Time ends a file before the sweeper does.
func (s *Service) document(v store.LibraryView, c *gatehouse.Collection, file gatehouse.ID) (*gatehouse.Document, error) {
	d, err := found(v.Document(c.ID, file))
	if err != nil || d == nil || past(d.File.ExpireTime, s.Now()) {
		return nil, err
	}
	return d, nil
}

// shown is a document as readers get it.
func shown(c *gatehouse.Collection, d *gatehouse.Document) *gatehouse.Document {
	out := *d
	out.Fields = defined(c, d.Fields)
	return &out
}

// Documents are several at once, in the order asked.
func (s *Service) Documents(v store.LibraryView, c *gatehouse.Collection, files []gatehouse.ID) ([]*gatehouse.Document, error) {
	if len(files) == 0 || len(files) > gatehouse.MaxDocumentsAtOnce {
		return nil, gatehouse.Violations{{Field: "file_ids", Problem: fmt.Sprintf("are 1 to %d", gatehouse.MaxDocumentsAtOnce)}}.Err()
	}
	out := make([]*gatehouse.Document, len(files))
	for i, id := range files {
		d, err := s.document(v, c, id)
		if err != nil {
			return nil, err
		}
		if d == nil {
			return nil, gatehouse.Errorf(gatehouse.NotFound, "Cannot find document file_%s", id)
		}
		out[i] = shown(c, d)
	}
	return out, nil
}

// UploadDocument makes a file that the collection owns, under an id that the
// caller chose, and puts it in.
func (s *Service) UploadDocument(tx store.Tx, c *gatehouse.Collection, id, user gatehouse.ID, up *Upload, fields map[string]string, act gatehouse.Act) (*gatehouse.Document, error) {
	fields, err := s.checkFields(tx, c, id, fields)
	if err != nil {
		return nil, err
	}
	f := s.file(id, c.TeamID, up)
	f.UserID, f.Owned = user, true
	if err := s.putNew(tx, f, act); err != nil {
		return nil, err
	}
	return s.put(tx, c, &gatehouse.Document{CollectionID: c.ID, FileID: id, TeamID: c.TeamID, Fields: fields, CreateTime: f.CreateTime, File: f}, "was uploaded", act)
}

// AddDocument puts a file of the team in. Asked again with the same fields it
// changes nothing and reports that, so that a client may try again.
func (s *Service) AddDocument(tx store.Tx, c *gatehouse.Collection, file gatehouse.ID, fields map[string]string, act gatehouse.Act) (added bool, err error) {
	f, err := s.liveFile(tx, c.TeamID, file)
	if err != nil {
		return false, err
	}
	if fields, err = s.checkFields(tx, c, file, fields); err != nil {
		return false, err
	}
	d, err := s.document(tx, c, file)
	switch {
	case err != nil:
		return false, err
	case d != nil && !maps.Equal(defined(c, d.Fields), fields):
		return false, gatehouse.Errorf(gatehouse.AlreadyExists, "the collection has the document with other fields: update it instead")
	case d != nil:
		return false, nil
	}
	_, err = s.put(tx, c, &gatehouse.Document{CollectionID: c.ID, FileID: file, TeamID: c.TeamID, Fields: fields, CreateTime: utc(s.Now()), File: f}, "was added", act)
	return err == nil, err
}

// put writes a document that is to be indexed anew.
func (s *Service) put(tx store.Tx, c *gatehouse.Collection, d *gatehouse.Document, verb string, act gatehouse.Act) (*gatehouse.Document, error) {
	// A document that was removed and added again must not look like the one
	// before, so generations go on from the clock.
	d.Generation = max(d.Generation+1, s.Now().UnixMicro())
	act.TeamID, act.Description = d.TeamID, fmt.Sprintf("Document '%s' %s: collection '%s'", d.File.Name, verb, c.Name)
	if err := tx.PutDocument(d, act); err != nil {
		return nil, err
	}
	d.State = gatehouse.DocumentState{Status: gatehouse.DocumentProcessing, IndexTime: d.State.IndexTime}
	return shown(c, d), nil
}

// ReindexDocument has a document extracted, cut and indexed again.
func (s *Service) ReindexDocument(tx store.Tx, c *gatehouse.Collection, file gatehouse.ID, act gatehouse.Act) error {
	d, err := s.document(tx, c, file)
	if d == nil || err != nil {
		return first(err, missing("document"))
	}
	_, err = s.put(tx, c, d, "is indexed again", act)
	return err
}

// UpdateDocument replaces what is set; up is the new content, nil for none. A
// file is one in all collections that hold it, so its content and name change in
// all of them.
func (s *Service) UpdateDocument(tx store.Tx, c *gatehouse.Collection, u gatehouse.DocumentUpdate, up *Upload, act gatehouse.Act) (*gatehouse.Document, error) {
	d, err := s.document(tx, c, u.FileID)
	if d == nil || err != nil {
		return nil, first(err, missing("document"))
	}
	file := u.Name.Set || u.ContentType.Set || up != nil
	if !file && !u.Fields.Set {
		return shown(c, d), nil
	}
	if u.Fields.Set {
		if d.Fields, err = s.checkFields(tx, c, u.FileID, u.Fields.Value); err != nil {
			return nil, err
		}
	}
	if file {
		holders, err := s.holders(tx, d.FileID)
		if err != nil {
			return nil, err
		}
		if d.File, err = s.renew(tx, d.FileID, u, up, act); err != nil {
			return nil, err
		}
		if err := s.reindexOthers(tx, holders, c.ID, d.FileID, act); err != nil {
			return nil, err
		}
	}
	return s.put(tx, c, d, "was updated", act)
}

// renew writes the file of a document with another name, type or content.
func (s *Service) renew(tx store.Tx, id gatehouse.ID, u gatehouse.DocumentUpdate, up *Upload, act gatehouse.Act) (*gatehouse.File, error) {
	f, err := tx.File(id) // as it is stored, with its link
	if err != nil {
		return nil, err
	}
	var bad gatehouse.Violations
	if u.Name.Set {
		f.Name = fileName("name", u.Name.Value, &bad)
	}
	if up != nil {
		if err := s.room(tx, f.TeamID, 0, up.Size-f.Size); err != nil {
			return nil, err
		}
		f.Hash, f.Size, f.Blob, f.ContentType = up.Hash, up.Size, up.blob, up.ContentType
	}
	if u.ContentType.Set {
		if t := contentType("content_type", u.ContentType.Value, &bad); t != "" {
			f.ContentType = t
		}
	}
	if err := bad.Err(); err != nil {
		return nil, err
	}
	act.Action, act.TeamID, act.Description = "file.updated", f.TeamID, fmt.Sprintf("File '%s' was updated", f.Name)
	act.Details = map[string]string{"size": fmt.Sprint(f.Size), "sha256": f.Hash}
	return f, tx.PutFile(f, act)
}

// holders are the collections that have a file, refused where they are too many
// for it to change. It is asked before the change, which would touch each.
func (s *Service) holders(tx store.Tx, file gatehouse.ID) ([]gatehouse.ID, error) {
	all, err := tx.CollectionsOf(file)
	if err == nil && len(all) > mostHolders {
		err = gatehouse.Errorf(gatehouse.FailedPrecondition, "the file is in %d collections, and in more than %d it cannot change: upload it anew", len(all), mostHolders)
	}
	return all, err
}

// reindexOthers has a file indexed again wherever else it is.
func (s *Service) reindexOthers(tx store.Tx, holders []gatehouse.ID, except, file gatehouse.ID, act gatehouse.Act) error {
	act.Action = "document.reindexed"
	for _, id := range holders {
		if id == except {
			continue
		}
		c, err := tx.Collection(id)
		if err != nil {
			return err
		}
		if err := s.ReindexDocument(tx, c, file, act); err != nil {
			return err
		}
	}
	return nil
}

// RemoveDocument takes a document out. A file that collections own goes with the
// last of them.
func (s *Service) RemoveDocument(tx store.Tx, c *gatehouse.Collection, file gatehouse.ID, act gatehouse.Act) error {
	d, err := s.document(tx, c, file)
	if d == nil || err != nil {
		return first(err, missing("document"))
	}
	act.TeamID, act.Description = c.TeamID, fmt.Sprintf("Document '%s' was removed: collection '%s'", d.File.Name, c.Name)
	if !d.File.Owned {
		return tx.DropDocument(c.ID, file, act)
	}
	holders, err := tx.CollectionsOf(file)
	if err == nil {
		err = tx.DropDocument(c.ID, file, act)
	}
	if err != nil || len(holders) > 1 {
		return err
	}
	act.Action, act.Description = "file.deleted", fmt.Sprintf("File '%s' was deleted with the last collection that had it", d.File.Name)
	return tx.DropFile(file, act)
}
