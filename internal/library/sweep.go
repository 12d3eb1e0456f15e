package library

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"slices"
	"time"

	"gatehouse"
	"gatehouse/internal/library/index"
	"gatehouse/internal/store"
)

const (
	sweepEvery     = time.Minute
	compareEvery   = 6 * time.Hour
	sweptAtOnce    = 32  // records of one Update
	blobsAtOnce    = 100 // of one round
	comparedAtOnce = 500 // entries of the index
	askedAtOnce    = 200 // documents of the store, as IndexAnew takes
)

// The names of the sweeper's turns among nodes.
const (
	sweepTurn   = "library-sweep"
	compareTurn = "library-compare"
)

// sweepOn takes away what is gone, on one of the nodes that share the database.
func (s *Service) sweepOn(ctx context.Context) {
	s.told(ctx, "sweep of the index", s.Index.Sweep(ctx))
	var compared time.Time
	for ctx.Err() == nil {
		if s.mine(ctx, sweepTurn, sweepEvery+sweepEvery/2) {
			s.sweep(ctx)
		}
		if time.Since(compared) >= compareEvery {
			compared = time.Now()
			if s.mine(ctx, compareTurn, compareEvery) {
				s.told(ctx, "comparison of the index", s.compare(ctx))
				s.told(ctx, "comparison with the index", s.mend(ctx))
			}
		}
		rest(ctx, sweepEvery+rand.N(sweepEvery/8))
	}
}

func rest(ctx context.Context, d time.Duration) {
	timer := time.NewTimer(d)
	defer timer.Stop()
	select {
	case <-ctx.Done():
	case <-timer.C:
	}
}

// told logs what went wrong; the next sweep tries again.
func (s *Service) told(ctx context.Context, what string, err error) {
	if err != nil && ctx.Err() == nil {
		s.Logger.Error("the library's "+what+" failed", "err", err)
	}
}

// mine asks for a turn and reports whether it is this node's now.
func (s *Service) mine(ctx context.Context, turn string, length time.Duration) (held bool) {
	err := s.Store.Work(ctx, func(w store.Work) (err error) {
		now := s.Now()
		held, err = w.Lease(turn, s.Node, now, now.Add(length))
		return err
	})
	s.told(ctx, "turn", err)
	return held && err == nil
}

// sweep drops files first, since they leave documents behind, and blobs last,
// since files let go of them.
func (s *Service) sweep(ctx context.Context) {
	s.told(ctx, "sweep of expired files", s.sweepExpired(ctx))
	s.told(ctx, "sweep of files without a collection", s.sweepUnheld(ctx))
	s.told(ctx, "sweep of documents", s.sweepDocuments(ctx))
	s.told(ctx, "sweep of blobs", s.sweepBlobs(ctx))
}

func (s *Service) sweepExpired(ctx context.Context) error {
	return sweepAll(ctx, s, func(v store.View) ([]*gatehouse.File, error) { return v.FilesOver(s.Now(), sweptAtOnce) },
		func(tx store.Tx, f *gatehouse.File) error {
			return tx.DropFile(f.ID, swept("file.expired", f.TeamID, "File '%s' expired", f.Name))
		})
}

func (s *Service) sweepUnheld(ctx context.Context) error {
	return sweepAll(ctx, s, func(v store.View) ([]*gatehouse.File, error) { return v.FilesUnheld(sweptAtOnce) },
		func(tx store.Tx, f *gatehouse.File) error {
			return tx.DropFile(f.ID, swept("file.deleted", f.TeamID, "File '%s' was deleted with the last collection that had it", f.Name))
		})
}

func (s *Service) sweepDocuments(ctx context.Context) error {
	defer s.Poke()
	return sweepAll(ctx, s, func(v store.View) ([]*gatehouse.Document, error) { return v.DocumentsGone(sweptAtOnce) },
		func(tx store.Tx, d *gatehouse.Document) error {
			act := swept("document.removed", d.TeamID, "Document file_%s was removed: its file or its collection was deleted", d.FileID)
			return tx.DropDocument(d.CollectionID, d.FileID, act)
		})
}

func swept(action string, team gatehouse.ID, description string, args ...any) gatehouse.Act {
	return gatehouse.Act{Action: action, Operation: "SweepLibrary", TeamID: team, Description: fmt.Sprintf(description, args...), Result: gatehouse.Done}
}

// sweepAll drops what list finds until it finds nothing more. What is listed is
// found in a snapshot, so that an Update does no more than drop: none of it
// comes back, and what another node has dropped meanwhile is NotFound.
func sweepAll[T any](ctx context.Context, s *Service, list func(store.View) ([]*T, error), drop func(store.Tx, *T) error) error {
	cause := gatehouse.Cause{Actor: gatehouse.Actor{Kind: gatehouse.ActorSystem}}
	for ctx.Err() == nil {
		var gone []*T
		err := s.Store.View(ctx, func(v store.View) (err error) {
			gone, err = list(v)
			return err
		})
		if err != nil || len(gone) == 0 {
			return err
		}
		dropped := 0
		_, err = s.Store.Update(ctx, cause, func(tx store.Tx) error {
			dropped = 0
			for _, x := range gone {
				switch err := drop(tx, x); {
				case err == nil:
					dropped++
				case !errors.Is(err, gatehouse.NotFound):
					return err
				}
			}
			return nil
		})
		if err != nil || dropped == 0 {
			return err
		}
	}
	return ctx.Err()
}

// sweepBlobs deletes bytes that nothing refers to. Those that cannot be deleted
// stay condemned, and are next time's.
func (s *Service) sweepBlobs(ctx context.Context) error {
	for {
		var names, deleted []string
		err := s.Store.Work(ctx, func(w store.Work) (err error) {
			names, err = w.SweepBlobs(s.Now(), blobsAtOnce)
			return err
		})
		for _, name := range names {
			if e := s.Blobs.Delete(ctx, name); e != nil {
				err = errors.Join(err, e)
				continue
			}
			deleted = append(deleted, name)
		}
		if len(deleted) > 0 {
			err = errors.Join(err, s.Store.Work(ctx, func(w store.Work) error { return w.ForgetBlobs(deleted) }))
		}
		if err != nil || len(names) < blobsAtOnce {
			return err
		}
	}
}

// compare takes out of the index what the store does not know: what is left of
// a process that was halted while it wrote (see hold). An entry is looked up
// after it was listed and deleted only as it was listed, so one of a document
// that is added again meanwhile is not touched; a collection that is gone does
// not come back.
func (s *Service) compare(ctx context.Context) error {
	for after := int64(0); ; {
		entries, err := s.Index.Entries(ctx, after, comparedAtOnce)
		if err != nil || len(entries) == 0 {
			return err
		}
		after = entries[len(entries)-1].Row
		documents, collections, err := s.unknown(ctx, entries)
		if err != nil {
			return err
		}
		if n, m := len(documents), len(collections); n+m > 0 {
			s.Logger.Info("the index has what was removed: taken out", "documents", n, "collections", m)
		}
		for _, e := range documents {
			err = errors.Join(err, s.Index.DeleteEntry(ctx, e))
		}
		for collection, team := range collections {
			err = errors.Join(err, s.Index.DeleteCollection(ctx, team, collection))
		}
		if err != nil {
			return err
		}
	}
}

// unknown are the entries that the store has no document for, and the teams of
// the collections that it does not have.
func (s *Service) unknown(ctx context.Context, entries []index.Entry) (documents []index.Entry, collections map[gatehouse.ID]gatehouse.ID, err error) {
	err = s.Store.View(ctx, func(v store.View) error {
		documents, collections = nil, map[gatehouse.ID]gatehouse.ID{}
		for _, e := range entries {
			c, err := found(v.Collection(e.Collection))
			if err != nil {
				return err
			}
			if c == nil {
				collections[e.Collection] = e.Team
				continue
			}
			d, err := found(v.Document(e.Collection, e.Document))
			if err != nil {
				return err
			}
			if d == nil || d.TeamID != e.Team {
				documents = append(documents, e)
			}
		}
		return nil
	})
	return documents, collections, err
}

// mend has documents indexed anew that the store says are indexed and the index
// does not have as they are: it was lost, or put back from a backup, or the store
// was. An index that is lost costs work, and no data. What is Processed was in
// the index before, and the index is asked after the store, so that nothing is
// taken for lost that is only under way. It rests as long as it works: others
// have as much of both databases.
func (s *Service) mend(ctx context.Context) (err error) {
	var seen, lost int64
	defer func() {
		if lost > 0 {
			s.Logger.Warn("the index lacked documents: they are indexed anew", "documents", lost, "compared", seen)
		}
	}()
	var last store.DocumentRef
	for ctx.Err() == nil {
		begun := time.Now()
		var page []store.DocumentRef
		err = s.Store.View(ctx, func(v store.View) (err error) {
			page, err = v.DocumentsProcessed(last, askedAtOnce)
			return err
		})
		if err != nil || len(page) == 0 {
			return err
		}
		n, err := s.indexLost(ctx, page)
		lost, seen = lost+n, seen+int64(len(page))
		if err != nil || len(page) < askedAtOnce {
			return err
		}
		last = page[len(page)-1]
		rest(ctx, time.Since(begun))
	}
	return ctx.Err()
}

// indexLost leaves tasks for those of some documents that the index does not
// have, and tells how many.
func (s *Service) indexLost(ctx context.Context, page []store.DocumentRef) (n int64, err error) {
	var lost []store.DocumentRef
	for len(page) > 0 {
		end := slices.IndexFunc(page, func(r store.DocumentRef) bool { return r.Collection != page[0].Collection })
		if end < 0 {
			end = len(page)
		}
		if lost, err = s.lacking(ctx, page[:end], lost); err != nil {
			return 0, err
		}
		page = page[end:]
	}
	if len(lost) == 0 {
		return 0, nil
	}
	err = s.Store.Work(ctx, func(w store.Work) (err error) {
		n, err = w.IndexAnew(lost)
		return err
	})
	if err == nil {
		s.counts.lost.Add(n)
		s.Poke()
	}
	return n, err
}

// lacking adds to lost those of a collection's documents that the index lacks.
func (s *Service) lacking(ctx context.Context, of, lost []store.DocumentRef) ([]store.DocumentRef, error) {
	editions := make([]index.Edition, len(of))
	for i, r := range of {
		editions[i] = index.Edition{Document: r.File, Generation: r.Generation}
	}
	lacks, err := s.Index.Lacks(ctx, of[0].Team, of[0].Collection, editions)
	for _, e := range lacks {
		lost = append(lost, store.DocumentRef{Team: of[0].Team, Collection: of[0].Collection, File: e.Document, Generation: e.Generation})
	}
	return lost, err
}
