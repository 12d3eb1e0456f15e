package control

import (
	"context"
	"fmt"
	"slices"

	"gatehouse"
	"gatehouse/internal/audit"
	"gatehouse/internal/feed"
	"gatehouse/internal/store"
)

// reburyAtOnce bounds a transaction: revocations wait behind it.
const reburyAtOnce = 100

// Rebury takes over deletions of keys that a gateway still knows and this
// installation forgot, because it was restored from a backup or lost the tail of
// its database. A tombstone for a key that lives here is always right: an id is
// never used again, so nothing newer can have made it. Keys that are not here
// at all need none. It is safe to repeat.
func (s *Service) Rebury(ctx context.Context, gateway gatehouse.ID, tombstones []feed.Tombstone) error {
	for chunk := range slices.Chunk(tombstones, reburyAtOnce) {
		alive, err := s.alive(ctx, chunk)
		if err != nil || len(alive) == 0 {
			if err != nil {
				return err
			}
			continue
		}
		_, err = s.Store.Update(store.System(ctx), s.system("recovery of deletions"), func(tx store.Tx) error {
			for _, t := range alive {
				if err := s.rebury(tx, gateway, t); err != nil {
					return err
				}
			}
			return nil
		})
		if err != nil {
			return err
		}
	}
	return nil
}

// alive keeps those whose key lives here: nearly always none, so that the writer
// is not troubled.
func (s *Service) alive(ctx context.Context, in []feed.Tombstone) (out []feed.Tombstone, err error) {
	err = s.Store.View(store.System(ctx), func(v store.View) error {
		out = nil
		for _, t := range in {
			k, err := found(v.Key(t.ID))
			if err != nil {
				return err
			}
			if k != nil && !k.Deleted() {
				out = append(out, t)
			}
		}
		return nil
	})
	return out, err
}

func (s *Service) rebury(tx store.Tx, gateway gatehouse.ID, t feed.Tombstone) error {
	before, err := found(tx.Key(t.ID))
	if err != nil || before == nil || before.Deleted() {
		return err
	}
	k := *before
	k.Secrets, k.DeleteTime = nil, utc(s.Now())
	k.ModifyTime = k.DeleteTime
	act := done("Recover", "api_key.recovered", k.TeamID, gatehouse.KindKey, k.ID.String(),
		fmt.Sprintf("API key '%s' was deleted again: a gateway knew that it had been", k.Name))
	act.Details = map[string]string{"gateway": gateway.String(), "deletedAt": t.Revision.String()}
	return tx.PutKey(&k, act)
}

// Restored records that this database came out of a backup and began an epoch.
func (s *Service) Restored(ctx context.Context, from gatehouse.Revision, leaves int64) (gatehouse.Revision, error) {
	return s.Store.Update(store.System(ctx), s.operator("restore"), func(tx store.Tx) error {
		act := done("Restore", "installation.restored", gatehouse.ID{}, gatehouse.KindInstallation, "",
			"The installation was restored from a backup of revision "+from.String())
		act.Details = map[string]string{"revision": from.String(), "leaves": fmt.Sprint(leaves)}
		return tx.Record(act)
	})
}

// Succeed writes into the log what it lacks of a chain of signing keys, so that
// whoever verifies the log with an earlier key can follow. It must run before
// anything is signed with a key that the log does not know.
func (s *Service) Succeed(ctx context.Context, chain []gatehouse.Succession) error {
	if len(chain) == 0 {
		return nil
	}
	_, err := s.Store.Update(store.System(ctx), s.system("rotation of the signing key"), func(tx store.Tx) error {
		begun, ended, err := recordedLinks(tx)
		if err != nil {
			return err
		}
		for _, link := range chain {
			if !slices.ContainsFunc(begun, sameLink(link)) {
				if err := tx.Record(succeeded(link)); err != nil {
					return err
				}
			}
			if link.Ended() && !slices.ContainsFunc(ended, sameLink(link)) {
				if err := tx.Record(retiredLink(link)); err != nil {
					return err
				}
			}
		}
		return nil
	})
	return err
}

func succeeded(link gatehouse.Succession) gatehouse.Act {
	link.Retired = nil // the event is of the beginning
	act := done("Rotate", "signing_key.succeeded", gatehouse.ID{}, gatehouse.KindInstallation, "", "The signing key got a successor")
	act.Details = audit.LinkDetails(link)
	return act
}

func retiredLink(link gatehouse.Succession) gatehouse.Act {
	act := done("Rotate", "signing_key.retired", gatehouse.ID{}, gatehouse.KindInstallation, "", "The earlier signing key was retired")
	act.Details = audit.LinkDetails(link)
	return act
}

func sameLink(a gatehouse.Succession) func(gatehouse.Succession) bool {
	return func(b gatehouse.Succession) bool { return a.Old.Equal(b.Old) && a.New.Equal(b.New) }
}

// maxLinks is how many rotations are looked for.
const maxLinks = 1000

// recordedLinks are the successions that the log has, begun and ended.
func recordedLinks(v store.View) (begun, ended []gatehouse.Succession, err error) {
	for _, action := range []string{audit.ActionSucceeded, audit.ActionRetired} {
		events, err := v.Events(gatehouse.EventFilter{Action: action, After: -1, Limit: maxLinks})
		if err != nil {
			return nil, nil, err
		}
		for _, e := range events {
			link, ok := audit.LinkOf(e)
			switch {
			case !ok:
			case link.Ended():
				ended = append(ended, link)
			default:
				begun = append(begun, link)
			}
		}
	}
	return begun, ended, nil
}

// system is Gatehouse itself.
func (s *Service) system(reason string) gatehouse.Cause {
	return gatehouse.Cause{Actor: gatehouse.Actor{Kind: gatehouse.ActorSystem}, Reason: reason}
}
