package control

import (
	"context"
	"encoding/hex"
	"log/slog"
	"maps"
	"slices"
	"strings"
	"time"

	"gatehouse"
	"gatehouse/internal/store"
)

// identities proves who people are. It is asked outside of transactions: it
// goes over a network.
type identities interface {
	Method() gatehouse.SignInMethod
	// Verify is Unauthenticated for an ID token that proves nothing, saying why,
	// and Unavailable where the provider cannot be asked.
	Verify(ctx context.Context, idToken, nonce string) (gatehouse.Identity, error)
	// Refresh spends a refresh token for the next one. Only gone says that the
	// provider knows the person no more; any error is "cannot tell".
	Refresh(ctx context.Context, token string) (next string, gone bool, err error)
}

// SignInRules say what a proven identity gives.
type SignInRules struct {
	Groups  []GroupRole
	Default gatehouse.Role // in the first team, for who is in no listed group; empty: none
	// Lifetime of the key that a sign-in gives; 0 is DefaultSignIn.
	Lifetime time.Duration
}

// GroupRole gives a group of the provider a role in a team; the zero team is
// the first.
type GroupRole struct {
	Group string
	Team  gatehouse.ID
	Role  gatehouse.Role
}

// DefaultSignIn is how long a sign-in lasts, a working day, and MaxSignIn the
// most that can be configured.
const (
	DefaultSignIn = 12 * time.Hour
	MaxSignIn     = 24 * time.Hour
)

// SignInMethod implements gatehouse.SignIns.
func (c *Caller) SignInMethod(context.Context) (gatehouse.SignInMethod, error) {
	if c.s.Identities == nil {
		return gatehouse.SignInMethod{}, gatehouse.Errorf(gatehouse.NotFound, "sign-in is not configured here: use a management key")
	}
	return c.s.Identities.Method(), nil
}

// signIn is one sign-in under way.
type signIn struct {
	newcomer
	s      *Service
	who    gatehouse.Identity
	asked  gatehouse.ID // the team that the person named
	once   string       // what the ID token is remembered as
	now    time.Time
	signed *gatehouse.User // in the end
	denied error           // decided, and what was found out is kept all the same
}

// SignIn implements gatehouse.SignIns. The ID token is judged before the
// transaction, and remembered in it: each is good for one sign-in.
func (c *Caller) SignIn(ctx context.Context, in gatehouse.SignIn) (mintedManager, error) {
	if _, err := c.SignInMethod(ctx); err != nil {
		return mintedManager{}, err
	}
	who, err := c.s.Identities.Verify(ctx, in.IDToken, in.Nonce)
	if err != nil {
		c.s.Logger.WarnContext(ctx, "a sign-in was refused", slog.String("ip", c.call.IP.String()),
			slog.String("request_id", c.call.RequestID), slog.Any("why", err))
		return mintedManager{}, err
	}
	si := &signIn{s: c.s, who: who, asked: in.TeamID, once: "id-token/" + hex.EncodeToString(who.Token[:])}
	si.newcomer = newcomer{user: gatehouse.NewID(), key: gatehouse.NewID()}
	si.newcomer.token = gatehouse.MintToken(c.s.Brand, gatehouse.Management, si.key)
	var out mintedManager
	rev, err := c.s.Store.Update(store.System(ctx), c.causeOf(gatehouse.Actor{Kind: gatehouse.ActorSignIn}), func(tx store.Tx) (err error) {
		si.now, si.denied, si.signed = utc(c.s.Now()), nil, nil
		out, err = si.run(tx)
		return err
	})
	if err = orElse(err, si.denied); err != nil {
		return mintedManager{}, err
	}
	c.call.Committed = &rev
	return out, c.s.keepSignIn(ctx, si.signed.ID, in.RefreshToken)
}

// run is the transaction of a sign-in.
func (si *signIn) run(tx store.Tx) (mintedManager, error) {
	_, used, err := tx.Recall(si.once, si.now)
	if err != nil || used {
		return mintedManager{}, orElse(err, gatehouse.Errorf(gatehouse.Unauthenticated, "this ID token was used before: sign in again"))
	}
	roles, err := si.roles(tx)
	if err != nil {
		return mintedManager{}, err
	}
	team, err := si.team(roles)
	if err != nil {
		return mintedManager{}, err
	}
	if err := tx.Remember(si.once, []byte{1}, si.who.Expire); err != nil {
		return mintedManager{}, err
	}
	if err := si.strip(tx, roles); err != nil {
		return mintedManager{}, err
	}
	if team.IsZero() {
		return mintedManager{}, si.deny(tx)
	}
	if si.signed, err = si.person(tx, team, roles[team]); err != nil {
		return mintedManager{}, err
	}
	life := si.s.SignIns.Lifetime
	if life == 0 {
		life = DefaultSignIn
	}
	return si.mint(tx, gatehouse.SignInWithIdToken, &gatehouse.ManagementKey{
		TeamID: team, UserID: si.signed.ID, Name: "sign-in", ExpireTime: si.now.Add(life),
	}, si.now)
}

// roles is what the person's groups give: the widest role of each team that is
// there.
func (si *signIn) roles(v store.View) (map[gatehouse.ID]gatehouse.Role, error) {
	rules := si.s.SignIns
	out := map[gatehouse.ID]gatehouse.Role{}
	give := func(team gatehouse.ID, r gatehouse.Role) error {
		id, err := si.s.teamOr(v, team)
		if err == nil && !id.IsZero() {
			out[id] = r.Wider(out[id])
		}
		return err
	}
	for _, g := range rules.Groups {
		if slices.Contains(si.who.Groups, g.Group) {
			if err := give(g.Team, g.Role); err != nil {
				return nil, err
			}
		}
	}
	if len(out) == 0 && rules.Default != "" {
		return out, give(gatehouse.ID{}, rules.Default)
	}
	return out, nil
}

// teamOr is a team if it is there, the first for the zero id; zero for none.
func (s *Service) teamOr(v store.View, id gatehouse.ID) (gatehouse.ID, error) {
	if id.IsZero() {
		t, err := s.firstTeam(v)
		if t == nil {
			return id, err
		}
		return t.ID, err
	}
	t, err := found(v.Team(id))
	if err != nil || t == nil || !t.DeleteTime.IsZero() {
		return gatehouse.ID{}, err
	}
	return id, nil
}

// team is the one to sign in to; zero when no group gives a role there.
func (si *signIn) team(roles map[gatehouse.ID]gatehouse.Role) (gatehouse.ID, error) {
	if !si.asked.IsZero() {
		if roles[si.asked] == "" {
			return gatehouse.ID{}, nil
		}
		return si.asked, nil
	}
	teams := slices.Collect(maps.Keys(roles))
	if len(teams) < 2 {
		return append(teams, gatehouse.ID{})[0], nil
	}
	names := make([]string, len(teams))
	for i, t := range teams {
		names[i] = t.String()
	}
	return gatehouse.ID{}, gatehouse.Violations{{Field: "teamId", Problem: "your groups give you a role in several teams; name one of " + strings.Join(sorted(names), ", ")}}.Err()
}

// deny refuses a person whom no group gives a role, and writes it down.
func (si *signIn) deny(tx store.Tx) error {
	si.denied = gatehouse.Errorf(gatehouse.PermissionDenied, "none of your groups at the identity provider gives you a role here: %s", namesOf(si.who.Groups))
	return tx.Record(gatehouse.Act{
		Action: "access.denied", Operation: string(gatehouse.SignInWithIdToken), TeamID: si.asked, Result: gatehouse.Denied,
		Kind: gatehouse.KindUser, Description: "A sign-in was denied: no group gives a role",
	})
}

// namesOf lists groups for the person who is in them.
func namesOf(groups []string) string {
	if len(groups) == 0 {
		return "the ID token names no group"
	}
	return "you are in " + short(strings.Join(groups, ", "))
}

// subjectIn is what a person of the provider is known by in a team: whoever is
// in several teams has a record in each.
func subjectIn(who gatehouse.Identity, team gatehouse.ID) string {
	return who.Subject + " " + team.String()
}

// strip takes the role from the person's records in teams where their groups
// give none any more.
func (si *signIn) strip(tx store.Tx, roles map[gatehouse.ID]gatehouse.Role) error {
	for _, g := range append(slices.Clone(si.s.SignIns.Groups), GroupRole{}) {
		team, err := si.s.teamOr(tx, g.Team)
		if err != nil {
			return err
		}
		if team.IsZero() || roles[team] != "" {
			continue
		}
		u, err := found(tx.UserBySubject(subjectIn(si.who, team)))
		if err != nil {
			return err
		}
		if u == nil || u.Role == "" {
			continue
		}
		last, err := lastOwner(tx, u)
		if err == nil && !last {
			_, err = si.put(tx, u, func(u *gatehouse.User) { u.Role = "" }, "member.updated")
		}
		if err != nil {
			return err
		}
	}
	return nil
}

// person finds who signs in, by subject or else by the address that the provider
// has verified, or makes them. The role is what the groups say now, unless that
// would leave the team without an owner.
func (si *signIn) person(tx store.Tx, team gatehouse.ID, role gatehouse.Role) (*gatehouse.User, error) {
	u, err := found(tx.UserBySubject(subjectIn(si.who, team)))
	if err != nil {
		return nil, err
	}
	if u == nil && si.who.Email != "" {
		if u, err = found(tx.UserByEmail(team, si.who.Email)); err != nil {
			return nil, err
		}
		switch {
		case u == nil:
		case u.Subject != "" || u.Disabled:
			u = nil // somebody else's record, who had the address before
		default:
			if err = si.endPersonal(tx, u); err != nil {
				return nil, err
			}
		}
	}
	action := "member.updated"
	if u == nil {
		u, action = &gatehouse.User{ID: si.newcomer.user, TeamID: team, CreateTime: si.now}, "user.created"
	}
	if last, err := lastOwner(tx, u); err != nil {
		return nil, err
	} else if last {
		role = u.Role
	}
	return si.put(tx, u, func(u *gatehouse.User) {
		u.Subject, u.Role, u.Disabled = subjectIn(si.who, team), role, false
		u.Email = orKeep(u.Email, si.who.Email)
		u.GivenName, u.FamilyName = orKeep(u.GivenName, si.who.GivenName), orKeep(u.FamilyName, si.who.FamilyName)
	}, action)
}

// endPersonal revokes the personal keys of a record that becomes the person's by
// its address alone. They came by links, which others may have seen, and would
// grow to the role that the groups give.
func (si *signIn) endPersonal(tx store.Tx, u *gatehouse.User) error {
	return managersOf(tx, u, func(k *gatehouse.ManagementKey) error {
		if !k.Personal {
			return nil
		}
		return revoke(tx, k, si.now, gatehouse.SignInWithIdToken)
	})
}

// put writes a person if anything about them changed.
func (si *signIn) put(tx store.Tx, before *gatehouse.User, change func(*gatehouse.User), action string) (*gatehouse.User, error) {
	u := *before
	if change(&u); u == *before {
		return &u, nil
	}
	if validateUser(&u) != nil { // names as a provider has them need not be as ours
		u.GivenName, u.FamilyName, u.Email = before.GivenName, before.FamilyName, before.Email
	}
	act := done(gatehouse.SignInWithIdToken, action, u.TeamID, gatehouse.KindUser, u.ID.String(), "User "+u.ID.String()+" signed in")
	act.Details = changes{}
	note(act.Details, "role", string(before.Role), string(u.Role))
	note(act.Details, "disabled", before.Disabled, u.Disabled)
	return &u, tx.PutUser(&u, act)
}

// keepSignIn remembers the refresh token in the place of the person's last.
func (s *Service) keepSignIn(ctx context.Context, user gatehouse.ID, refresh string) error {
	return s.Store.Work(store.System(ctx), func(w store.Work) error {
		if refresh == "" {
			return w.DropSignIn(user)
		}
		return w.PutSignIn(store.SignInState{User: user, Refresh: []byte(refresh), Checked: s.Now()})
	})
}
