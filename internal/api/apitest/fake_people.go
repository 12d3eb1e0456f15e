package apitest

import (
	"context"
	"time"

	"gatehouse"
)

// SignInMethod implements gatehouse.SignIns.
func (f *Fake) SignInMethod(context.Context) (gatehouse.SignInMethod, error) {
	return gatehouse.SignInMethod{Issuer: "https://idp.example.com", ClientID: "gatehouse", Scopes: []string{"openid", "email"}}, nil
}

// SignIn implements gatehouse.SignIns. The ID token "good" is; the key's name
// echoes the rest.
func (f *Fake) SignIn(_ context.Context, s gatehouse.SignIn) (m gatehouse.MintedManagementKey, err error) {
	switch s.IDToken {
	case "good":
	case "groupless":
		return m, gatehouse.Errorf(gatehouse.PermissionDenied, "none of your groups at the identity provider gives you a role here")
	default:
		return m, gatehouse.Errorf(gatehouse.Unauthenticated, "the ID token is refused: it is no JWT")
	}
	f.commit()
	return gatehouse.MintedManagementKey{
		Key: &gatehouse.ManagementKey{
			ID: KeyID, Scope: gatehouse.ScopeTeam, TeamID: Team, UserID: User, Personal: true, Name: s.RefreshToken + " " + s.Nonce + " " + s.TeamID.String(),
			ACL: []string{gatehouse.ScopeFor("*")}, CreateTime: Now, ModifyTime: Now, ExpireTime: Now.Add(12 * time.Hour),
			Secrets: []gatehouse.Secret{{Last4: "r42q"}}, Revision: rev,
		},
		Token: gatehouse.MintToken(gatehouse.DefaultBrand, gatehouse.Management, KeyID),
	}, nil
}

// Orphans implements gatehouse.Members. Any team but $other has one.
func (f *Fake) Orphans(_ context.Context, team gatehouse.ID, p gatehouse.Page) ([]*gatehouse.Key, string, error) {
	if team != Team && !team.IsZero() {
		return nil, "", missing("team")
	}
	if p.Size == 1 && p.Token == "" {
		return []*gatehouse.Key{f.key()}, "NEXT", nil
	}
	return []*gatehouse.Key{f.key()}, "", nil
}
