package control

import (
	"context"
	"fmt"
	"maps"
	"slices"
	"sync"
	"time"

	"gatehouse"
	"gatehouse/internal/store"
)

const (
	// libraryKeyName is what people see of a team's system key.
	libraryKeyName = "Gatehouse library"
	// libraryKeyFresh is how long an answer is used again: a key that was
	// disabled is refused by gateways meanwhile.
	libraryKeyFresh = 10 * time.Second
	// libraryKeys bounds how many of them a team's administrators may delete.
	libraryKeys = 100
)

// keyring remembers system keys for a moment, so that a document of a thousand
// chunks does not ask the store for each batch.
type keyring struct {
	mu   sync.Mutex
	keys map[gatehouse.ID]recent
}

type recent struct {
	token gatehouse.Token
	until time.Time
}

func (r *keyring) get(team gatehouse.ID, now time.Time) (gatehouse.Token, bool) {
	r.mu.Lock()
	defer r.mu.Unlock()
	k, known := r.keys[team]
	return k.token, known && now.Before(k.until)
}

func (r *keyring) put(team gatehouse.ID, token gatehouse.Token, now time.Time) {
	r.mu.Lock()
	defer r.mu.Unlock()
	for id, k := range r.keys {
		if !now.Before(k.until) {
			delete(r.keys, id)
		}
	}
	r.keys[team] = recent{token, now.Add(libraryKeyFresh)}
}

// LibraryKey is the API key by which the library calls models for a team, at
// the team's cost: an ordinary one, made when it is first needed. Its secret is
// made again from the installation's own and stored nowhere.
//
// FailedPrecondition when people took it away. One that is disabled can be
// enabled; one that was deleted gets a successor when a collection with a model
// is made afterwards, which says that money is to be spent again. Gateways learn
// of a new key a moment after this returns.
func (s *Service) LibraryKey(ctx context.Context, team gatehouse.ID) (gatehouse.Token, error) {
	now := s.Now()
	if token, known := s.keyring.get(team, now); known {
		return token, nil
	}
	var at int
	var there bool
	err := s.Store.View(store.ForTeam(ctx, team), func(v store.View) (err error) {
		at, there, err = s.libraryKeyAt(v, team)
		return err
	})
	if err == nil && !there {
		_, err = s.Store.Update(store.ForTeam(ctx, team), s.system("the library calls a model"), func(tx store.Tx) error {
			if at, there, err = s.libraryKeyAt(tx, team); err != nil || there {
				return err
			}
			return s.makeLibraryKey(tx, team, at)
		})
	}
	if err != nil {
		return gatehouse.Token{}, err
	}
	token := s.libraryToken(team, at)
	s.keyring.put(team, token, now)
	return token, nil
}

// libraryToken is the token of one generation of a team's system key.
func (s *Service) libraryToken(team gatehouse.ID, generation int) gatehouse.Token {
	data := append(team[:], byte(generation))
	var id gatehouse.ID
	copy(id[:], s.Sealer.Anchor("library/key/id", data))
	id[6], id[8] = id[6]&0x0f|0x40, id[8]&0x3f|0x80 // a version 4 UUID, as every key's
	return gatehouse.TokenOf(s.Brand, gatehouse.Inference, id, [32]byte(s.Sealer.Anchor("library/key", data)))
}

// libraryKeyAt is the generation that is in force, and whether it is there; it
// may be made when it is not.
func (s *Service) libraryKeyAt(v store.View, team gatehouse.ID) (at int, there bool, err error) {
	t, err := found(v.Team(team))
	if err != nil {
		return 0, false, err
	}
	if t == nil || !t.DeleteTime.IsZero() || t.Blocked {
		return 0, false, gatehouse.Errorf(gatehouse.FailedPrecondition, "the team is blocked: its library calls no models")
	}
	var deleted time.Time
	for at := range libraryKeys {
		token := s.libraryToken(team, at)
		k, err := found(v.Key(token.ID()))
		switch {
		case err != nil:
			return 0, false, err
		case k == nil:
			return at, false, mayFollow(v, team, deleted)
		case k.Deleted():
			deleted = k.DeleteTime
		case !slices.ContainsFunc(living(k.Secrets, s.Now()), func(x gatehouse.Secret) bool { return x.Digest.Equal(token.Digest()) }):
			continue // somebody rotated it, and has its secret now: it is theirs
		case k.Disabled || k.Blocked || k.Expired(s.Now()):
			return 0, false, gatehouse.Errorf(gatehouse.FailedPrecondition, "the API key '%s' of the team is disabled, so its library calls no models: enable it to go on", k.Name)
		default:
			return at, true, nil
		}
	}
	return 0, false, gatehouse.Errorf(gatehouse.FailedPrecondition, "the API key '%s' of the team was deleted %d times", libraryKeyName, libraryKeys)
}

// mayFollow refuses another key where somebody deleted the one before and nobody
// has since made a collection that needs one.
func mayFollow(v store.View, team gatehouse.ID, deleted time.Time) error {
	if deleted.IsZero() {
		return nil
	}
	newest, err := v.Collections(store.LibraryList{Team: team, Sort: gatehouse.SortByAge, Limit: 100})
	if err != nil {
		return err
	}
	for _, c := range newest {
		if c.Model != "" && c.CreateTime.After(deleted) {
			return nil
		}
	}
	return gatehouse.Errorf(gatehouse.FailedPrecondition,
		"the API key '%s' of the team was deleted, so its library calls no models: create a collection with a model to have another made", libraryKeyName)
}

// makeLibraryKey makes a generation of the key.
func (s *Service) makeLibraryKey(tx store.Tx, team gatehouse.ID, generation int) error {
	token, now := s.libraryToken(team, generation), utc(s.Now())
	k := &gatehouse.Key{
		ID: token.ID(), TeamID: team, Name: libraryKeyName, Tags: libraryTag(),
		ACL:        gatehouse.ACL{gatehouse.ModelACL("*"), gatehouse.EndpointACL(gatehouse.EndpointEmbed), gatehouse.EndpointACL(gatehouse.EndpointChat)},
		CreateTime: now, ModifyTime: now,
		Secrets: []gatehouse.Secret{{Digest: token.Digest(), Last4: token.Last4(), CreateTime: now}},
	}
	act := done("CallModel", "api_key.created", team, gatehouse.KindKey, k.ID.String(), fmt.Sprintf("API key '%s' was created", k.Name))
	act.Details = map[string]string{"acls": short(fmt.Sprint([]string(k.ACL))), "last4": token.Last4()}
	return tx.PutKey(k, act)
}

// libraryTag marks the keys that Gatehouse itself uses.
func libraryTag() map[string]string { return map[string]string{"gatehouse": "library"} }

// isLibraryKey reports whether nobody made k, and so nobody can have left it.
func isLibraryKey(k *gatehouse.Key) bool {
	return k.Owner().IsZero() && k.MakerID.IsZero() && maps.Equal(k.Tags, libraryTag())
}
