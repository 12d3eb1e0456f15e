package library

import (
	"context"
	"fmt"
	"io"

	"gatehouse"
	"gatehouse/internal/store"
)

var _ Files = (*Service)(nil)

// key is the API key of a request, if it may still do what the gateway admitted
// it for: the gateway looked at a copy, and time has passed since.
func (s *Service) key(v store.View, who Asker, endpoint string) (*gatehouse.Key, error) {
	k, err := found(v.Key(who.Key))
	if err != nil {
		return nil, err
	}
	team, err := found(v.Team(who.Team))
	switch {
	case err != nil:
		return nil, err
	case k == nil || k.TeamID != who.Team || k.Deleted() || k.Expired(s.Now()):
		return nil, gatehouse.Errorf(gatehouse.PermissionDenied, "The API key is not valid any more")
	case k.Disabled || k.Blocked:
		return nil, gatehouse.Errorf(gatehouse.PermissionDenied, "The API key is disabled")
	case team == nil || !team.DeleteTime.IsZero() || team.Blocked:
		return nil, gatehouse.Errorf(gatehouse.PermissionDenied, "The team is blocked")
	case !k.ACL.AllowsEndpoint(endpoint):
		return nil, gatehouse.Errorf(gatehouse.PermissionDenied, "The API key lacks the ACL %s", gatehouse.EndpointACL(endpoint))
	}
	return k, nil
}

// view reads for an API key.
func (s *Service) view(ctx context.Context, who Asker, endpoint string, f func(store.View) error) error {
	return s.Store.View(store.ForTeam(ctx, who.Team), func(v store.View) error {
		if _, err := s.key(v, who, endpoint); err != nil {
			return err
		}
		return f(v)
	})
}

// update writes for an API key.
func (s *Service) update(ctx context.Context, who Asker, f func(store.Tx) error) error {
	actor := gatehouse.Actor{Kind: gatehouse.ActorAPIKey, KeyID: who.Key}
	if who.IP.IsValid() {
		actor.IP = who.IP.Unmap().String()
	}
	_, err := s.Store.Update(store.ForTeam(ctx, who.Team), gatehouse.Cause{Actor: actor, RequestID: who.RequestID}, func(tx store.Tx) error {
		if _, err := s.key(tx, who, gatehouse.EndpointFiles); err != nil {
			return err
		}
		return f(tx)
	})
	return err
}

// fileAct describes what an API key did to a file.
func fileAct(action, operation string, f *gatehouse.File, verb string) gatehouse.Act {
	return gatehouse.Act{Action: action, Operation: operation, TeamID: f.TeamID, Description: fmt.Sprintf("File '%s' was %s", f.Name, verb)}
}

// UploadFile implements Files.
func (s *Service) UploadFile(ctx context.Context, who Asker, n gatehouse.NewFile) (*gatehouse.File, error) {
	if err := s.view(ctx, who, gatehouse.EndpointFiles, func(store.View) error { return nil }); err != nil {
		return nil, err
	}
	up, err := s.Stage(ctx, who.Team, n)
	if err != nil {
		return nil, err
	}
	id := gatehouse.NewID()
	var out *gatehouse.File
	err = s.update(ctx, who, func(tx store.Tx) error {
		out = s.file(id, who.Team, up)
		out.KeyID = who.Key
		return s.putNew(tx, out, gatehouse.Act{Operation: "UploadFile"})
	})
	if err != nil {
		return nil, err
	}
	return out, nil
}

// file is the record of an upload.
func (s *Service) file(id, team gatehouse.ID, up *Upload) *gatehouse.File {
	f := &gatehouse.File{ID: id, TeamID: team, Name: up.Name, ContentType: up.ContentType, Size: up.Size, Hash: up.Hash, Blob: up.blob, CreateTime: utc(s.Now())}
	if up.Life != 0 {
		f.ExpireTime = f.CreateTime.Add(up.Life)
	}
	return f
}

// putNew writes a new file where its team has room for it.
func (s *Service) putNew(tx store.Tx, f *gatehouse.File, act gatehouse.Act) error {
	if err := s.room(tx, f.TeamID, 1, f.Size); err != nil {
		return err
	}
	act.Action, act.TeamID, act.Description = "file.uploaded", f.TeamID, fmt.Sprintf("File '%s' was uploaded", f.Name)
	act.Details = map[string]string{"size": fmt.Sprint(f.Size), "sha256": f.Hash}
	return tx.PutFile(f, act)
}

// liveFile is a team's file; another team's is not there, nor is one whose time
// has come, though nobody has swept it yet.
func (s *Service) liveFile(v store.LibraryView, team, id gatehouse.ID) (*gatehouse.File, error) {
	f, err := found(v.File(id))
	if err != nil {
		return nil, err
	}
	if f == nil || f.TeamID != team || past(f.ExpireTime, s.Now()) {
		return nil, missing("file")
	}
	s.linked(f)
	return f, nil
}

// GetFile implements Files.
func (s *Service) GetFile(ctx context.Context, who Asker, id gatehouse.ID) (f *gatehouse.File, err error) {
	err = s.view(ctx, who, gatehouse.EndpointFiles, func(v store.View) (err error) {
		f, err = s.liveFile(v, who.Team, id)
		return err
	})
	return f, err
}

// ListFiles implements Files.
func (s *Service) ListFiles(ctx context.Context, who Asker, q gatehouse.LibraryQuery) (files []*gatehouse.File, next string, err error) {
	err = s.view(ctx, who, gatehouse.EndpointFiles, func(v store.View) (err error) {
		files, next, err = s.listFiles(v, who.Team, q)
		return err
	})
	for _, f := range files {
		s.linked(f)
	}
	return files, next, err
}

// RenameFile implements Files. Documents say the new name at once, and are
// indexed anew, since a name may stand in their chunks.
func (s *Service) RenameFile(ctx context.Context, who Asker, id gatehouse.ID, name string) (*gatehouse.File, error) {
	return s.change(ctx, who, id, func(tx store.Tx, f *gatehouse.File) error {
		var bad gatehouse.Violations
		name := fileName("filename", name, &bad)
		if err := bad.Err(); err != nil || name == f.Name {
			return err
		}
		holders, err := s.holders(tx, id)
		if err != nil {
			return err
		}
		act := fileAct("file.renamed", "RenameFile", f, "renamed")
		act.Details = map[string]string{"name": f.Name + " → " + name}
		f.Name = name
		if err := tx.PutFile(f, act); err != nil {
			return err
		}
		return s.reindexOthers(tx, holders, gatehouse.ID{}, id, gatehouse.Act{Operation: "RenameFile"})
	})
}

// change writes a file of the key's team anew.
func (s *Service) change(ctx context.Context, who Asker, id gatehouse.ID, f func(store.Tx, *gatehouse.File) error) (out *gatehouse.File, err error) {
	err = s.update(ctx, who, func(tx store.Tx) (err error) {
		if out, err = s.liveFile(tx, who.Team, id); err != nil {
			return err
		}
		return f(tx, out)
	})
	if err != nil {
		return nil, err
	}
	return out, nil
}

// DeleteFile implements Files.
func (s *Service) DeleteFile(ctx context.Context, who Asker, id gatehouse.ID) error {
	_, err := s.change(ctx, who, id, func(tx store.Tx, f *gatehouse.File) error {
		return tx.DropFile(id, fileAct("file.deleted", "DeleteFile", f, "deleted"))
	})
	return err
}

// OpenFile implements Files.
func (s *Service) OpenFile(ctx context.Context, who Asker, id gatehouse.ID, offset int64) (*gatehouse.File, io.ReadCloser, error) {
	f, err := s.GetFile(ctx, who, id)
	if err != nil {
		return nil, nil, err
	}
	if offset < 0 || offset > f.Size {
		return nil, nil, gatehouse.Violations{{Field: "offset", Problem: fmt.Sprintf("the file has %d bytes", f.Size)}}.Err()
	}
	return s.openFile(ctx, f, offset, func() (*gatehouse.File, error) { return s.GetFile(ctx, who, id) })
}
