package control

import (
	"context"
	"fmt"
	"strings"

	"gatehouse"
	"gatehouse/internal/store"
)

const (
	// maxSource bounds the name of where a key comes from.
	maxSource = 32
	// maxLast4 is the length of a visible end.
	maxLast4 = 4
)

// ImportKeys implements gatehouse.Importer. Every key is a transaction of its
// own, so that one bad key costs no other and a revocation never waits for a
// batch. An Idempotency-Key is not looked at: the digests are the better one,
// they still hold when the import is repeated from another file next week.
func (c *Caller) ImportKeys(ctx context.Context, keys []gatehouse.ForeignKey, dryRun bool) ([]gatehouse.ImportedKey, error) {
	if len(keys) == 0 || len(keys) > gatehouse.MaxImport {
		err := gatehouse.Violations{{Field: "keys", Problem: fmt.Sprintf("must be 1 to %d", gatehouse.MaxImport)}}.Err()
		return nil, first(err, c.Authorize(ctx, gatehouse.ImportApiKeys))
	}
	if dryRun {
		return c.tryImport(ctx, keys)
	}
	call := *c.call
	call.IdempotencyKey = ""
	each := &Caller{s: c.s, call: &call}
	defer func() { c.call.Committed = call.Committed }()
	if err := each.Authorize(ctx, gatehouse.ImportApiKeys); err != nil {
		return nil, err
	}
	out := make([]gatehouse.ImportedKey, len(keys))
	for i, k := range keys {
		result, err := mutate(ctx, each, mutation[gatehouse.ImportedKey]{
			op: gatehouse.ImportApiKeys, target: k.Key.TeamID.String(),
			run: func(tx store.Tx, who *principal) (gatehouse.ImportedKey, error) { return c.s.importKey(tx, who, k) },
		})
		if out[i], err = refusedKey(k, result, err); err != nil {
			return nil, err
		}
	}
	return out, nil
}

// tryImport answers as the import would, from a snapshot. A digest that comes
// twice is new only once there as well.
func (c *Caller) tryImport(ctx context.Context, keys []gatehouse.ForeignKey) ([]gatehouse.ImportedKey, error) {
	return survey(ctx, c, query[[]gatehouse.ImportedKey]{
		op: gatehouse.ImportApiKeys, act: gatehouse.Act{Action: "api_key.import_tried", Kind: gatehouse.KindKey},
		run: func(v store.View, who *principal) ([]gatehouse.ImportedKey, error) {
			out, created := make([]gatehouse.ImportedKey, len(keys)), map[gatehouse.Digest]bool{}
			for i, k := range keys {
				_, result, err := c.s.foreign(v, who, k)
				if out[i], err = refusedKey(k, result, err); err != nil {
					return nil, err
				}
				if out[i].Outcome != gatehouse.ImportCreated {
					continue
				}
				if created[k.Digest] {
					out[i].Outcome = gatehouse.ImportUnchanged
				}
				created[k.Digest] = true
			}
			return out, nil
		},
	})
}

// refusedKey turns what is wrong with one key into its result. What is wrong
// with the caller or the store ends the whole import, which may be repeated.
func refusedKey(k gatehouse.ForeignKey, result gatehouse.ImportedKey, err error) (gatehouse.ImportedKey, error) {
	switch gatehouse.CodeOf(err) {
	case gatehouse.InvalidArgument, gatehouse.PermissionDenied, gatehouse.NotFound, gatehouse.FailedPrecondition:
		return gatehouse.ImportedKey{Digest: k.Digest, Outcome: gatehouse.ImportRefused, Problem: short(gatehouse.Public(err))}, nil
	}
	return result, err
}

// importKey writes one key, unless it is there.
func (s *Service) importKey(tx store.Tx, who *principal, f gatehouse.ForeignKey) (gatehouse.ImportedKey, error) {
	k, result, err := s.foreign(tx, who, f)
	if err != nil || result.Outcome != gatehouse.ImportCreated {
		return result, err
	}
	act := done(gatehouse.ImportApiKeys, "api_key.imported", k.TeamID, gatehouse.KindKey, k.ID.String(),
		fmt.Sprintf("API key '%s' was imported from %s", k.Name, f.Source))
	act.Details = map[string]string{"source": f.Source, "acls": short(fmt.Sprint([]string(k.ACL))), "last4": f.Last4, "disabled": fmt.Sprint(k.Disabled)}
	return result, tx.PutKey(k, act)
}

// foreign judges a key as it would be stored, by the rules of a creation.
func (s *Service) foreign(v store.View, who *principal, f gatehouse.ForeignKey) (*gatehouse.Key, gatehouse.ImportedKey, error) {
	out := gatehouse.ImportedKey{Digest: f.Digest, KeyID: s.importedID(f.Digest), Outcome: gatehouse.ImportUnchanged}
	before, err := found(v.Key(out.KeyID))
	switch {
	case err != nil:
		return nil, out, err
	case before != nil && before.Deleted():
		return nil, out, gatehouse.Errorf(gatehouse.FailedPrecondition, "it was imported before and deleted here; a deleted key stays deleted")
	case before != nil:
		return nil, out, nil
	}
	if err := checkForeign(&f); err != nil {
		return nil, out, err
	}
	if _, err := liveTeam(v, who, who.home(f.Key.TeamID)); err != nil {
		return nil, out, err
	}
	k := fresh(f.Key, out.KeyID, who)
	k.Disabled = f.Disabled
	k.Secrets = []gatehouse.Secret{{Digest: f.Digest, Last4: f.Last4, Foreign: true, CreateTime: k.CreateTime}}
	out.Warnings, err = judge(v, who, k, touched{name: true, acl: true, expire: true, owner: true})
	out.Outcome = gatehouse.ImportCreated
	return k, out, err
}

// checkForeign names what is wrong with where a key comes from.
func checkForeign(f *gatehouse.ForeignKey) error {
	var bad gatehouse.Violations
	if f.Digest == (gatehouse.Digest{}) {
		bad.Addf("digest", "is required")
	}
	if !label(f.Source, maxSource) {
		bad.Addf("source", "must be 1 to %d of a-z, 0-9, '-', '_' and '.'", maxSource)
	}
	if len(f.Last4) > maxLast4 || strings.ContainsFunc(f.Last4, func(r rune) bool { return r <= ' ' || r > '~' }) {
		bad.Addf("last4", "must be at most %d printable ASCII characters", maxLast4)
	}
	return bad.Err()
}

// importedID is the id of the key that has a digest, wherever and whenever it is
// imported: one look-up tells whether it is here, and the tombstone of one that
// was deleted is found for ever. It is keyed, since a credential that somebody
// chose by hand could otherwise be guessed from an id, which is no secret.
func (s *Service) importedID(d gatehouse.Digest) gatehouse.ID {
	var id gatehouse.ID
	copy(id[:], s.Sealer.Anchor("imported_keys/id", d[:]))
	id[6] = id[6]&0x0f | 0x80 // version 8: made by a rule of our own (RFC 9562)
	id[8] = id[8]&0x3f | 0x80
	return id
}
