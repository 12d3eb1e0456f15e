package apitest

import (
	"context"
	"net/netip"
	"time"

	"gatehouse"
	"gatehouse/internal/api"
)

// Fake is a backend with one team and little in it, whose answers are the same
// on every run. It judges credentials and scopes as the real one does and
// keeps nothing: it shows what a face decodes by echoing it.
type Fake struct {
	api.Caller // nil: what a transcript does not call is not here
	keys       map[gatehouse.Digest]*gatehouse.ManagementKey
	call       *gatehouse.Call
}

// Now is when everything happens.
var Now = time.Date(2026, 1, 2, 3, 4, 5, 678_901_000, time.UTC)

// The ids that a Fake knows.
var (
	Team  = id("11111111-1111-4111-8111-111111111111")
	User  = id("22222222-2222-4222-8222-222222222222")
	KeyID = id("33333333-3333-4333-8333-333333333333")
	rev   = gatehouse.Revision{Epoch: 1, N: 42}
)

func id(s string) gatehouse.ID {
	out, err := gatehouse.ParseID(s)
	if err != nil {
		panic(err)
	}
	return out
}

// New returns a Fake and the words that transcripts use for it: $full opens
// everything, $narrow opens ListApiKeys alone, $inference is of the other plane.
func New() (api.Backend, map[string]string) {
	f := &Fake{keys: map[gatehouse.Digest]*gatehouse.ManagementKey{}}
	vars := map[string]string{
		"full": f.add(gatehouse.ScopeOrganization, "*"), "narrow": f.add(gatehouse.ScopeTeam, string(gatehouse.ListApiKeys)),
		"unknown":   gatehouse.MintToken(gatehouse.DefaultBrand, gatehouse.Management, gatehouse.NewID()).Reveal(),
		"inference": gatehouse.MintToken(gatehouse.DefaultBrand, gatehouse.Inference, gatehouse.NewID()).Reveal(),
		"team":      Team.String(), "key": KeyID.String(), "user": User.String(), "other": gatehouse.NewID().String(),
		"prepaid": Prepaid.String(), "postpaid": Postpaid.String(),
		"collection": "collection_" + Collection.String(), "document": "file_" + Document.String(), "failed": "file_" + Failed.String(),
	}
	return api.BackendFunc(func(c *gatehouse.Call) api.Caller {
		bound := *f
		bound.call = c
		return &bound
	}), vars
}

func (f *Fake) add(scope gatehouse.Scope, op string) string {
	token := gatehouse.MintToken(gatehouse.DefaultBrand, gatehouse.Management, gatehouse.NewID())
	f.keys[token.Digest()] = &gatehouse.ManagementKey{
		ID: KeyID, Scope: scope, TeamID: Team, UserID: User, Name: "admin", ACL: []string{"team-token:endpoint:" + op},
		CreateTime: Now, ModifyTime: Now, Secrets: []gatehouse.Secret{{Last4: "r42q"}}, Revision: rev,
		IPRanges: []netip.Prefix{netip.MustParsePrefix("192.0.2.0/24"), netip.MustParsePrefix("2001:db8::/32")},
	}
	return token.Reveal()
}

// Authenticate implements api.Caller.
func (f *Fake) Authenticate(context.Context) error {
	if f.keys[f.call.Token.Digest()] == nil {
		return gatehouse.Errorf(gatehouse.Unauthenticated, "Invalid bearer token. Please ensure you use a valid management key.")
	}
	return nil
}

// Authorize implements api.Caller.
func (f *Fake) Authorize(_ context.Context, op gatehouse.Operation) error {
	if !f.keys[f.call.Token.Digest()].MayCall(op) {
		return gatehouse.Errorf(gatehouse.PermissionDenied, "This management key lacks the scope %s", gatehouse.ScopeFor(op))
	}
	return nil
}

// Self implements gatehouse.ManagementKeys.
func (f *Fake) Self(context.Context) (*gatehouse.ManagementKey, error) {
	return f.keys[f.call.Token.Digest()], nil
}

func (f *Fake) commit() { f.call.Committed = &rev }

func (f *Fake) match() error {
	if !f.call.IfMatch.IsZero() && f.call.IfMatch != rev {
		return gatehouse.Errorf(gatehouse.Conflict, "the record is at revision %s", rev)
	}
	return nil
}

func missing(what string) error { return gatehouse.Errorf(gatehouse.NotFound, "Cannot find %s", what) }

func (f *Fake) key() *gatehouse.Key {
	return &gatehouse.Key{
		ID: KeyID, TeamID: Team, UserID: User, Name: "ci", ACL: gatehouse.ACL{"api-key:endpoint:chat", "api-key:model:*"},
		Limits: gatehouse.Limits{QPS: 5, TPM: 9_000_000_000}, CreateTime: Now, ModifyTime: Now, Revision: rev,
		Secrets: []gatehouse.Secret{{Last4: "oYZ4", CreateTime: Now, LastUse: Now}},
	}
}

// CreateKey implements gatehouse.Keys.
func (f *Fake) CreateKey(_ context.Context, n gatehouse.NewKey) (m gatehouse.MintedKey, err error) {
	if n.TeamID != Team && !n.TeamID.IsZero() {
		return m, missing("team")
	}
	var bad gatehouse.Violations
	gatehouse.ValidateName("name", n.Name, &bad)
	n.Limits.Validate(&bad)
	n.ACL.Validate("acls", &bad)
	if err := bad.Err(); err != nil {
		return m, err
	}
	k := f.key()
	k.Name, k.ACL, k.Limits, k.ExpireTime = n.Name, n.ACL, n.Limits, n.ExpireTime
	k.Strict, k.ReserveTPM, k.IPRanges, k.Tags, k.OwnerID = n.Strict, n.ReserveTPM, n.IPRanges, n.Tags, n.OwnerID
	m = gatehouse.MintedKey{Key: k, Token: gatehouse.MintToken(gatehouse.DefaultBrand, gatehouse.Inference, KeyID)}
	if len(n.ACL.Models()) > 0 && n.ACL.Models()[0] == "grok-9" {
		m.Warnings = []string{`unknown model "grok-9"`}
	}
	f.commit()
	return m, nil
}

// GetKey implements gatehouse.Keys.
func (f *Fake) GetKey(_ context.Context, id gatehouse.ID) (*gatehouse.Key, error) {
	if id != KeyID || !f.call.TeamID.IsZero() && f.call.TeamID != Team {
		return nil, missing("API key")
	}
	return f.key(), nil
}

// ListKeys implements gatehouse.Keys.
func (f *Fake) ListKeys(_ context.Context, q gatehouse.KeyQuery) ([]*gatehouse.Key, string, error) {
	if q.TeamID != Team && !q.TeamID.IsZero() {
		return nil, "", missing("team")
	}
	if q.Page.Size == 1 && q.Page.Token == "" {
		return []*gatehouse.Key{f.key()}, "NEXT", nil
	}
	return []*gatehouse.Key{f.key()}, "", nil
}

// UpdateKey implements gatehouse.Keys.
func (f *Fake) UpdateKey(ctx context.Context, u gatehouse.KeyUpdate) (m gatehouse.MintedKey, err error) {
	k, err := f.GetKey(ctx, u.ID)
	if err == nil {
		err = f.match()
	}
	if err != nil {
		return m, err
	}
	take(&k.Name, u.Name)
	take(&k.ACL, u.ACL)
	take(&k.Limits.QPS, u.QPS)
	take(&k.Limits.QPM, u.QPM)
	take(&k.Limits.TPM, u.TPM)
	take(&k.Disabled, u.Disabled)
	take(&k.ExpireTime, u.ExpireTime)
	take(&k.Strict, u.Strict)
	take(&k.ReserveTPM, u.ReserveTPM)
	take(&k.IPRanges, u.IPRanges)
	take(&k.Tags, u.Tags)
	take(&k.OwnerID, u.OwnerID)
	var bad gatehouse.Violations
	k.Limits.Validate(&bad)
	if err := bad.Err(); err != nil {
		return m, err
	}
	f.commit()
	return gatehouse.MintedKey{Key: k}, nil
}

func take[T any](to *T, from gatehouse.Opt[T]) {
	if from.Set {
		*to = from.Value
	}
}

// RotateKey implements gatehouse.Keys.
func (f *Fake) RotateKey(ctx context.Context, r gatehouse.KeyRotation) (m gatehouse.MintedKey, err error) {
	k, err := f.GetKey(ctx, r.ID)
	if err != nil {
		return m, err
	}
	take(&k.ExpireTime, r.ExpireTime)
	f.commit()
	return gatehouse.MintedKey{Key: k, Token: gatehouse.MintToken(gatehouse.DefaultBrand, gatehouse.Inference, KeyID)}, nil
}

// DeleteKey implements gatehouse.Keys.
func (f *Fake) DeleteKey(ctx context.Context, id gatehouse.ID) error {
	if _, err := f.GetKey(ctx, id); err != nil {
		return err
	}
	f.commit()
	return nil
}

// Propagation implements gatehouse.Keys. It echoes the wait.
func (f *Fake) Propagation(ctx context.Context, id gatehouse.ID, wait time.Duration) (map[string]bool, error) {
	_, err := f.GetKey(ctx, id)
	return map[string]bool{"us-east-1.api.example": wait > 0}, err
}
