package library

import (
	"context"
	"io"
	"strings"
	"time"

	"gatehouse"
	"gatehouse/internal/store"
)

// linked takes a link away whose time has come.
func (s *Service) linked(f *gatehouse.File) {
	if past(f.LinkExpire, s.Now()) {
		f.Link, f.LinkURL, f.LinkExpire = gatehouse.Digest{}, "", time.Time{}
	}
}

// PublishFile implements Files. The token is minted outside the transaction,
// which may run twice.
func (s *Service) PublishFile(ctx context.Context, who Asker, id gatehouse.ID, expire time.Time) (*gatehouse.File, error) {
	var bad gatehouse.Violations
	if past(expire, s.Now()) {
		bad.Addf("expires_after", "must be in the future")
	}
	if err := bad.Err(); err != nil {
		return nil, err
	}
	base := s.PublicURL
	setDefault(&base, who.Base)
	if base == "" {
		return nil, gatehouse.Errorf(gatehouse.FailedPrecondition, "this installation does not know under which URL it is reached: library.public_url says so")
	}
	token := gatehouse.MintToken(s.Brand, gatehouse.Link, id)
	return s.change(ctx, who, id, func(tx store.Tx, f *gatehouse.File) error {
		f.Link, f.LinkURL, f.LinkExpire = token.Digest(), strings.TrimSuffix(base, "/")+"/v1/files/public/"+token.Reveal(), utc(expire)
		act := fileAct("file.published", "CreatePublicUrl", f, "published")
		act.Details = map[string]string{"last4": token.Last4()}
		if !expire.IsZero() {
			act.Details["expireTime"] = f.LinkExpire.Format(time.RFC3339)
		}
		return tx.PutFile(f, act)
	})
}

// UnpublishFile implements Files. A file without a link stays as it is.
func (s *Service) UnpublishFile(ctx context.Context, who Asker, id gatehouse.ID) (*gatehouse.File, error) {
	return s.change(ctx, who, id, func(tx store.Tx, f *gatehouse.File) error {
		if f.Link == (gatehouse.Digest{}) {
			return nil
		}
		f.Link, f.LinkURL, f.LinkExpire = gatehouse.Digest{}, "", time.Time{}
		return tx.PutFile(f, fileAct("file.unpublished", "RevokePublicUrl", f, "unpublished"))
	})
}

// OpenLink implements Files. Whatever is wrong with a link, it looks the same.
func (s *Service) OpenLink(ctx context.Context, link gatehouse.Token) (*gatehouse.File, io.ReadCloser, error) {
	look := func() (f *gatehouse.File, err error) {
		err = s.Store.View(store.System(ctx), func(v store.View) (err error) {
			f, err = s.linkedBy(v, link)
			return err
		})
		return f, err
	}
	f, err := look()
	if err != nil {
		return nil, nil, err
	}
	return s.openFile(ctx, f, 0, look)
}

// linkedBy is the file that a link opens now.
func (s *Service) linkedBy(v store.View, link gatehouse.Token) (*gatehouse.File, error) {
	f, err := found(v.File(link.ID()))
	if err != nil {
		return nil, err
	}
	if f == nil {
		f = &gatehouse.File{} // compared too, so that it takes as long
	}
	s.linked(f)
	opens := f.Link.Equal(link.Digest()) && f.Link != (gatehouse.Digest{})
	if !opens || link.Plane() != gatehouse.Link || past(f.ExpireTime, s.Now()) {
		return nil, missing("file")
	}
	team, err := found(v.Team(f.TeamID))
	if err != nil {
		return nil, err
	}
	if team == nil || team.Blocked || !team.DeleteTime.IsZero() {
		return nil, missing("file")
	}
	return f, nil
}
