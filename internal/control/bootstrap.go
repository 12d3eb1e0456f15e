package control

import (
	"context"
	"fmt"

	"gatehouse"
	"gatehouse/internal/store"
)

// Bootstrapped is what the first start makes. Token is shown once.
type Bootstrapped struct {
	TeamID, UserID, KeyID gatehouse.ID
	Token                 gatehouse.Token
}

// Bootstrap makes the first team, its owner and a management key of the
// organization that may do everything, when the database holds no team yet;
// made reports whether it did. All of it is one transaction: two nodes that
// start at once make one team. Keep, which may be nil, puts the key where its
// owner finds it, and runs before the commit: a key that could not be kept must
// not be the one that there is. It may run more than once; the last one counts.
func (s *Service) Bootstrap(ctx context.Context, keep func(Bootstrapped) error) (out Bootstrapped, made bool, err error) {
	_, err = s.Store.Update(store.System(ctx), s.operator("first start"), func(tx store.Tx) error {
		out, made = Bootstrapped{}, false
		teams, err := tx.Teams(store.Cursor{}, 1)
		if err != nil || len(teams) > 0 {
			return err
		}
		if out, err = s.settle(tx); err == nil && keep != nil {
			err = keep(out)
		}
		made = err == nil
		return err
	})
	if err != nil {
		return Bootstrapped{}, false, err
	}
	return out, made, nil
}

// settle makes the first team and what belongs to it.
func (s *Service) settle(tx store.Tx) (Bootstrapped, error) {
	now := utc(s.Now())
	team := &gatehouse.Team{ID: gatehouse.NewID(), Name: "Default", Billing: gatehouse.BillingMetering, CreateTime: now}
	owner := &gatehouse.User{ID: gatehouse.NewID(), TeamID: team.ID, GivenName: "Owner", Role: gatehouse.RoleOwner, CreateTime: now}
	err := tx.PutTeam(team, done("Bootstrap", "team.created", team.ID, gatehouse.KindTeam, team.ID.String(), "Team 'Default' was created at the first start"))
	if err != nil {
		return Bootstrapped{}, err
	}
	err = tx.PutUser(owner, done("Bootstrap", "user.created", team.ID, gatehouse.KindUser, owner.ID.String(), "User "+owner.ID.String()+" was created at the first start"))
	if err != nil {
		return Bootstrapped{}, err
	}
	return s.mintRoot(tx, "Bootstrap", "bootstrap", team.ID, owner.ID)
}

// Recover mints another such key, for whoever has lost theirs and has the
// machine. It works on a closed installation and leaves its leaf like any act.
func (s *Service) Recover(ctx context.Context) (out Bootstrapped, err error) {
	_, err = s.Store.Update(store.System(ctx), s.operator("recovery"), func(tx store.Tx) error {
		team, err := s.firstTeam(tx)
		if err != nil {
			return err
		}
		if team == nil {
			out, err = s.settle(tx)
			return err
		}
		users, err := tx.Users(team.ID, store.Cursor{}, defaultPage)
		if err != nil {
			return err
		}
		out, err = s.mintRoot(tx, "Recover", "recovery "+s.Now().UTC().Format("2006-01-02"), team.ID, recoverer(users))
		return err
	})
	if err != nil {
		return Bootstrapped{}, err
	}
	return out, nil
}

// recoverer is whose a recovered key is: the oldest owner who is there, else the
// oldest person. A key of somebody who left would be refused.
func recoverer(users []*gatehouse.User) (id gatehouse.ID) {
	for _, u := range users {
		if !there(u) {
			continue
		}
		if u.Role == gatehouse.RoleOwner {
			return u.ID
		}
		if id.IsZero() {
			id = u.ID
		}
	}
	return id
}

// firstTeam is the oldest team that is not deleted; nil when there is none.
func (s *Service) firstTeam(v store.View) (*gatehouse.Team, error) {
	teams, err := v.Teams(store.Cursor{}, defaultPage)
	if err != nil {
		return nil, err
	}
	for _, t := range teams {
		if t.DeleteTime.IsZero() {
			return t, nil
		}
	}
	return nil, nil
}

// mintRoot makes a management key that may do everything.
func (s *Service) mintRoot(tx store.Tx, op gatehouse.Operation, called string, team, owner gatehouse.ID) (Bootstrapped, error) {
	now, id := utc(s.Now()), gatehouse.NewID()
	token := gatehouse.MintToken(s.Brand, gatehouse.Management, id)
	k := &gatehouse.ManagementKey{
		ID: id, Scope: gatehouse.ScopeOrganization, TeamID: team, UserID: owner, Name: called,
		ACL: []string{gatehouse.ScopeFor("*")}, CreateTime: now, ModifyTime: now,
		Secrets: []gatehouse.Secret{{Digest: token.Digest(), Last4: token.Last4(), CreateTime: now}},
	}
	act := done(op, "management_key.created", team, gatehouse.KindManagementKey, id.String(), fmt.Sprintf("Management key '%s' was created", called))
	act.Details = map[string]string{"scope": string(k.Scope), "acls": k.ACL[0], "last4": token.Last4()}
	if err := tx.PutManagementKey(k, act); err != nil {
		return Bootstrapped{}, err
	}
	return Bootstrapped{TeamID: team, UserID: owner, KeyID: id, Token: token}, nil
}

// operator is whoever has the machine.
func (s *Service) operator(reason string) gatehouse.Cause {
	return gatehouse.Cause{Actor: gatehouse.Actor{Kind: gatehouse.ActorOperator}, Reason: reason}
}
