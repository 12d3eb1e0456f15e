package control

import (
	"context"
	"errors"
	"log/slog"
	"slices"
	"sync"
	"time"

	"gatehouse"
	"gatehouse/internal/store"
)

// principal is a proven caller at one moment. It lives no longer than the
// snapshot or transaction that proved it.
type principal struct {
	*gatehouse.ManagementKey
	owner *gatehouse.User // the person behind the key; nil where it names none
	now   time.Time
	path  gatehouse.ID // the team that the route names; zero for none
	dead  bool         // proven and good for nothing: expired, of a team or a person that is gone, or from elsewhere
}

// MayCall reports whether the caller may call op. A personal key may what both
// its ACL and its owner's present role open.
func (p *principal) MayCall(op gatehouse.Operation) bool {
	return p.ManagementKey.MayCall(op) && (!p.Personal || op == gatehouse.ValidateManagementKey || p.owner.Role.May(op))
}

// reaches reports whether the caller may know that the team exists. A route
// that names a team leads to what is that team's and nowhere else.
func (p *principal) reaches(team gatehouse.ID) bool {
	if !p.path.IsZero() && p.path != team {
		return false
	}
	return p.Scope == gatehouse.ScopeOrganization || (p.TeamID == team && !team.IsZero())
}

// scoped is the context of what the caller does to the store: a team's key sees
// rows of its team alone, should a statement forget to ask for them. An
// organization's sees all, and so does one whose owner is of another team: they
// have to be looked at too.
func (p *principal) scoped(ctx context.Context) context.Context {
	if p.Scope == gatehouse.ScopeOrganization || p.owner != nil && p.owner.TeamID != p.TeamID {
		return store.System(ctx)
	}
	return store.ForTeam(ctx, p.TeamID)
}

// home is the team that a call means: the one named in its arguments or its
// route, else the caller's own.
func (p *principal) home(team gatehouse.ID) gatehouse.ID {
	switch {
	case !team.IsZero():
		return team
	case !p.path.IsZero():
		return p.path
	}
	return p.TeamID
}

// What a caller learns of a credential that proves nothing. One text for
// every reason: an unknown id, a wrong secret and a revoked key look alike.
const badToken = "Invalid bearer token. Please ensure you use a valid management key."

// Authenticate checks the credential alone.
func (c *Caller) Authenticate(ctx context.Context) error {
	if c.call.Token.Plane() == gatehouse.Invite {
		return c.invited(ctx)
	}
	return c.admit(ctx, gatehouse.ValidateManagementKey)
}

// Authorize checks the credential and that it may call op, before a face looks
// at ids or bodies. The use-case checks again in its own transaction.
func (c *Caller) Authorize(ctx context.Context, op gatehouse.Operation) error {
	if op == gatehouse.AcceptInvitation {
		return c.invited(ctx)
	}
	return c.admit(ctx, op)
}

func (c *Caller) admit(ctx context.Context, op gatehouse.Operation) error {
	_, err := c.identify(ctx, op)
	return err
}

// identify authorises op on a snapshot. A refusal leaves its trace: an audit
// leaf when the caller is known, else a log line, since whoever proves nothing
// must not be able to fill the audit log.
func (c *Caller) identify(ctx context.Context, op gatehouse.Operation) (*principal, error) {
	var who *principal
	var refused error
	err := c.s.Store.View(store.System(ctx), func(v store.View) error {
		who, refused = c.authorise(v, op)
		return nil
	})
	if err != nil {
		return nil, err
	}
	if refused != nil {
		c.refuse(ctx, who, op, refused, "")
		return nil, refused
	}
	return who, nil
}

// authorise proves the caller and checks its scope, in a snapshot or in the
// transaction that acts. With an error, the principal is the known caller or nil.
func (c *Caller) authorise(v store.View, op gatehouse.Operation) (*principal, error) {
	who, err := c.authenticate(v)
	if err != nil {
		return who, err
	}
	if !who.ManagementKey.MayCall(op) {
		return who, gatehouse.Errorf(gatehouse.PermissionDenied, "This management key lacks the scope %s", gatehouse.ScopeFor(op))
	}
	if !who.MayCall(op) {
		return who, gatehouse.Errorf(gatehouse.PermissionDenied, "Your role does not open the scope %s: %s", gatehouse.ScopeFor(op), roleName(who.owner.Role))
	}
	if needsOrganization(op) && who.Scope != gatehouse.ScopeOrganization {
		return who, gatehouse.Errorf(gatehouse.PermissionDenied, "%s needs a management key of %s", gatehouse.ScopeFor(op), gatehouse.ScopeOrganization)
	}
	return who, nil
}

// authenticate finds the key and proves it. An unknown id is compared too,
// with nothing, so that it takes as long as a wrong secret.
func (c *Caller) authenticate(v store.View) (*principal, error) {
	if c.call.Token.IsZero() || c.call.Token.Plane() != gatehouse.Management {
		return nil, gatehouse.Errorf(gatehouse.Unauthenticated, badToken)
	}
	key, err := v.ManagementKey(c.call.Token.ID())
	if errors.Is(err, gatehouse.NotFound) {
		key, err = &gatehouse.ManagementKey{}, nil
	}
	if err != nil {
		return nil, err
	}
	now := c.s.Now()
	if !provenBy(key, c.call.Token.Digest(), now) {
		return nil, gatehouse.Errorf(gatehouse.Unauthenticated, badToken)
	}
	who := &principal{ManagementKey: key, now: now, path: c.call.TeamID}
	err = c.usable(v, who)
	who.dead = err != nil
	return who, err
}

// usable checks the state of a proven key.
func (c *Caller) usable(v store.View, who *principal) error {
	team, err := v.Team(who.TeamID)
	gone := errors.Is(err, gatehouse.NotFound) || err == nil && !team.DeleteTime.IsZero()
	if err != nil && !gone {
		return err
	}
	if !gone {
		if who.owner, err = owner(v, who.ManagementKey); err != nil {
			return err
		}
		gone = who.owner == nil && (who.Personal || !who.UserID.IsZero())
	}
	if gone || !who.DeleteTime.IsZero() || past(who.ExpireTime, who.now) {
		return gatehouse.Errorf(gatehouse.Unauthenticated, badToken)
	}
	if !gatehouse.AllowedFrom(who.IPRanges, c.call.IP) {
		return gatehouse.Errorf(gatehouse.PermissionDenied, "This management key may not be used from this address")
	}
	return nil
}

// owner is the person behind a key while they are there: nil where it names
// none, and where the one that it names was removed or left.
func owner(v store.View, k *gatehouse.ManagementKey) (*gatehouse.User, error) {
	if k.UserID.IsZero() {
		return nil, nil
	}
	u, err := found(v.User(k.UserID))
	if err != nil || u == nil || !there(u) {
		return nil, err
	}
	return u, nil
}

// provenBy compares with every secret, and with a dummy when there are fewer
// than two, so that the time tells neither whether an id exists nor whether a
// rotation is under way.
func provenBy(key *gatehouse.ManagementKey, digest gatehouse.Digest, now time.Time) bool {
	ok := false
	for i := range max(2, len(key.Secrets)) {
		var s gatehouse.Secret
		real := i < len(key.Secrets)
		if real {
			s = key.Secrets[i]
		}
		equal := s.Digest.Equal(digest)
		ok = ok || equal && real && !past(s.ExpireTime, now)
	}
	return ok
}

// past reports whether t, zero for never, has come.
func past(t, now time.Time) bool { return !t.IsZero() && !now.Before(t) }

// needsOrganization reports whether op touches what all teams share.
func needsOrganization(op gatehouse.Operation) bool {
	return slices.ContainsFunc(gatehouse.Operations, func(o gatehouse.OperationInfo) bool { return o.Name == op && o.Organization })
}

// refuse records a denial of a known caller as one leaf, in a transaction of
// its own: that of the denied act is rolled back. When the leaf cannot be
// written the caller is refused all the same; nothing was granted. To act on
// what is not there is written down too: it may be another team's.
func (c *Caller) refuse(ctx context.Context, who *principal, op gatehouse.Operation, why error, target string) {
	code := gatehouse.CodeOf(why)
	if code != gatehouse.Unauthenticated && code != gatehouse.PermissionDenied && code != gatehouse.NotFound {
		return
	}
	if who == nil || who.dead && !c.s.useless.told(who.ID, who.now) {
		c.s.Logger.WarnContext(ctx, "management call refused", slog.String("operation", string(op)),
			slog.String("ip", c.call.IP.String()), slog.String("request_id", c.call.RequestID), slog.String("why", string(code)))
		return
	}
	_, err := c.s.Store.Update(store.System(ctx), c.cause(who), func(tx store.Tx) error {
		act := gatehouse.Act{
			Action: "access.denied", Operation: string(op), TeamID: who.TeamID, Result: gatehouse.Denied,
			Kind: gatehouse.KindManagementKey, Subject: who.ID.String(),
			Description: "Management key '" + who.Name + "' was denied " + string(op),
			Details:     changes{"why": short(gatehouse.Public(why))},
		}
		if code == gatehouse.NotFound {
			act = gatehouse.Act{
				Action: "access.missed", Operation: act.Operation, TeamID: act.TeamID, Result: act.Result, Kind: act.Kind, Subject: act.Subject,
				Description: "Management key '" + who.Name + "' called " + string(op) + " for what is not there",
				Details:     changes{"why": act.Details["why"], "target": sought(target)},
			}
		}
		return tx.Record(act)
	})
	if err != nil {
		c.s.Logger.ErrorContext(ctx, "denial not audited", slog.String("operation", string(op)),
			slog.String("request_id", c.call.RequestID), slog.Any("error", err))
	}
}

// useless remembers when a key that is good for nothing was last written down.
// Its holder is refused before the limit on requests is asked, and must not be
// able to fill a log from which nothing is ever deleted; the program's log has
// the rest.
type useless struct {
	mu   sync.Mutex
	last map[gatehouse.ID]time.Time
}

// told reports whether the denial is to be a leaf: one a second and key.
func (u *useless) told(id gatehouse.ID, now time.Time) bool {
	u.mu.Lock()
	defer u.mu.Unlock()
	if now.Sub(u.last[id]) < time.Second {
		return false
	}
	u.last[id] = now
	return true
}

// cause is the author of what this call writes. Key and owner never change
// while a management key lives, so a snapshot's answer holds in the transaction.
func (c *Caller) cause(who *principal) gatehouse.Cause {
	return c.causeOf(gatehouse.Actor{Kind: gatehouse.ActorManagementKey, KeyID: who.ID, UserID: who.UserID})
}

// causeOf is what an actor does by this call.
func (c *Caller) causeOf(a gatehouse.Actor) gatehouse.Cause {
	ip := ""
	if c.call.IP.IsValid() {
		ip = c.call.IP.Unmap().String()
	}
	a.IP = ip
	return gatehouse.Cause{Actor: a, Reason: c.call.Reason, RequestID: c.call.RequestID}
}
