package managementtest

import (
	"slices"
	"testing"
	"time"

	"gatehouse"
)

func joinTokens(t *testing.T, p *plane) {
	must[*gatehouse.Cluster](t)(p.PutCluster(p.ctx, &gatehouse.Cluster{Name: "east"}))
	m := must[gatehouse.MintedJoinToken](t)(p.CreateJoinToken(p.ctx, gatehouse.NewJoinToken{Cluster: "east"}))
	got := must[*gatehouse.JoinToken](t)(p.GetJoinToken(p.ctx, m.Token.ID))
	switch {
	case m.Secret.Plane() != gatehouse.Join || m.Secret.ID() != got.ID || m.Secret.Last4() != got.Last4:
		t.Errorf("the secret is not the token's: %+v", got)
	case got.Cluster != "east" || got.Uses != 1 || got.Used != 0 || got.MakerID.IsZero() || got.Digest != gatehouse.Digest{}:
		t.Errorf("token %+v", got)
	case got.ExpireTime.Sub(got.CreateTime) != gatehouse.DefaultJoinLifetime:
		t.Errorf("it lives for %s", got.ExpireTime.Sub(got.CreateTime))
	}
	for field, n := range map[string]gatehouse.NewJoinToken{
		"cluster":   {Cluster: "west"},
		"lifetime":  {Cluster: "east", Lifetime: gatehouse.MaxJoinLifetime + time.Second},
		"lifetime ": {Cluster: "east", Lifetime: -time.Second},
		"uses":      {Cluster: "east", Uses: gatehouse.MaxJoinUses + 1},
		"uses ":     {Cluster: "east", Uses: -1},
	} {
		wantField(t, field[:4], second(p.CreateJoinToken(p.ctx, n)))
	}
	more := must[gatehouse.MintedJoinToken](t)(p.CreateJoinToken(p.ctx, gatehouse.NewJoinToken{Cluster: "east", Lifetime: time.Hour, Uses: 3}))
	first, next, err := p.ListJoinTokens(p.ctx, gatehouse.Page{Size: 1})
	ok(t, err)
	rest, end, err := p.ListJoinTokens(p.ctx, gatehouse.Page{Size: 1, Token: next})
	if ok(t, err); len(first) != 1 || len(rest) != 1 || end != "" || first[0].ID != m.Token.ID || rest[0].ID != more.Token.ID || rest[0].Uses != 3 {
		t.Errorf("pages %+v, %+v, %q", first, rest, end)
	}
	ok(t, p.RevokeJoinToken(p.ctx, m.Token.ID))
	want(t, gatehouse.NotFound, p.RevokeJoinToken(p.ctx, m.Token.ID))
	want(t, gatehouse.NotFound, second(p.GetJoinToken(p.ctx, m.Token.ID)))
	if left, _, err := p.ListJoinTokens(p.ctx, gatehouse.Page{}); err != nil || len(left) != 1 {
		t.Errorf("left %+v, %v", left, err)
	}
	_, team := p.team(t, "other")
	want(t, gatehouse.PermissionDenied, second(team.CreateJoinToken(p.ctx, gatehouse.NewJoinToken{Cluster: "east"})))
	want(t, gatehouse.Unauthenticated, second(p.As(m.Secret).Self(p.ctx)))
}

func modelClusters(t *testing.T, p *plane) {
	must[*gatehouse.Cluster](t)(p.PutCluster(p.ctx, &gatehouse.Cluster{Name: "east"}))
	must[*gatehouse.Cluster](t)(p.PutCluster(p.ctx, &gatehouse.Cluster{Name: "west"}))
	must[*gatehouse.Upstream](t)(p.PutUpstream(p.ctx, upstream()))
	must[*gatehouse.Model](t)(p.PutModel(p.ctx, model("everywhere")))
	m := model("eastern")
	m.Clusters = []string{"east", "north"}
	wantField(t, "clusters", second(p.PutModel(p.ctx, m)))
	m.Clusters = []string{"east"}
	if got := must[*gatehouse.Model](t)(p.PutModel(p.ctx, m)); !slices.Equal(got.Clusters, m.Clusters) {
		t.Errorf("clusters %v", got.Clusters)
	}
	only := upstream()
	only.Name, only.Serves, only.Clusters = "western", []gatehouse.Serve{{Model: "everywhere"}}, []string{"west"}
	must[*gatehouse.Upstream](t)(p.PutUpstream(p.ctx, only))
	offered := map[string][]string{}
	for _, c := range must[[]gatehouse.TeamModels](t)(p.TeamModels(p.ctx, p.TeamID)) {
		for _, m := range c.Models {
			offered[c.Cluster] = append(offered[c.Cluster], m.Model.Name)
		}
	}
	if e, w := offered["east"], offered["west"]; !slices.Equal(e, []string{"eastern", "everywhere"}) || !slices.Equal(w, []string{"everywhere"}) {
		t.Errorf("east offers %v, west %v", e, w)
	}
	want(t, gatehouse.FailedPrecondition, p.DeleteCluster(p.ctx, "east"))
	m.Clusters = nil
	must[*gatehouse.Model](t)(p.PutModel(p.ctx, m))
	ok(t, p.DeleteCluster(p.ctx, "east"))
}

// foreign is a key of another program whose credential was secret.
func foreign(p *plane, secret string) gatehouse.ForeignKey {
	return gatehouse.ForeignKey{
		Digest: gatehouse.DigestOf(secret), Last4: secret[len(secret)-4:], Source: "litellm",
		Key: gatehouse.NewKey{TeamID: p.TeamID, Name: "from elsewhere", ACL: everything, Limits: gatehouse.Limits{QPM: 7}},
	}
}

func imports(t *testing.T, p *plane) {
	run := func(dry bool, keys ...gatehouse.ForeignKey) []gatehouse.ImportedKey {
		t.Helper()
		return must[[]gatehouse.ImportedKey](t)(p.ImportKeys(p.ctx, keys, dry))
	}
	good, off, bad := foreign(p, "sk-good-0001"), foreign(p, "sk-off-00002"), foreign(p, "sk-bad-00003")
	off.Disabled = true
	bad.Key.Name = ""
	outcomes := func(in []gatehouse.ImportedKey) (out []gatehouse.ImportOutcome) {
		for _, r := range in {
			out = append(out, r.Outcome)
		}
		return out
	}
	wanted := []gatehouse.ImportOutcome{gatehouse.ImportCreated, gatehouse.ImportRefused, gatehouse.ImportCreated, gatehouse.ImportUnchanged}
	for _, dry := range []bool{true, false} {
		if got := outcomes(run(dry, good, bad, off, good)); !slices.Equal(got, wanted) {
			t.Errorf("dry %v: %v, want %v", dry, got, wanted)
		}
	}
	again := run(false, good, bad, off)
	if got := outcomes(again); !slices.Equal(got, []gatehouse.ImportOutcome{gatehouse.ImportUnchanged, gatehouse.ImportRefused, gatehouse.ImportUnchanged}) {
		t.Errorf("again: %v", got)
	}
	if again[1].Problem == "" || again[0].Digest != good.Digest {
		t.Errorf("results %+v", again)
	}
	k := must[*gatehouse.Key](t)(p.GetKey(p.ctx, again[0].KeyID))
	if k.Name != "from elsewhere" || k.Limits.QPM != 7 || k.Disabled || len(k.Secrets) != 1 || !k.Secrets[0].Foreign || k.Last4() != "0001" {
		t.Errorf("imported %+v", k)
	}
	if k := must[*gatehouse.Key](t)(p.GetKey(p.ctx, again[2].KeyID)); !k.Disabled {
		t.Error("a blocked key came in enabled")
	}
	if got := p.events(t, gatehouse.EventFilter{Action: "api_key.imported"}, 0); len(got) != 2 {
		t.Errorf("%d events of imports, want one for each key", len(got))
	}
	ok(t, p.DeleteKey(p.ctx, again[0].KeyID))
	if got := run(false, good); got[0].Outcome != gatehouse.ImportRefused {
		t.Errorf("a deleted key came back: %+v", got)
	}
	want(t, gatehouse.InvalidArgument, second(p.ImportKeys(p.ctx, nil, false)))
	_, team := p.team(t, "other")
	want(t, gatehouse.PermissionDenied, second(team.ImportKeys(p.ctx, []gatehouse.ForeignKey{good}, true)))
}

// personal is that a credential speaks for whoever holds it, or for a person
// whom its maker could have invented.
func personal(t *testing.T, p *plane) {
	team := must[*gatehouse.Team](t)(p.CreateTeam(p.ctx, "people"))
	ada := must[*gatehouse.User](t)(p.CreateUser(p.ctx, &gatehouse.User{TeamID: team.ID, GivenName: "Ada"}))
	ben := must[*gatehouse.User](t)(p.CreateUser(p.ctx, &gatehouse.User{TeamID: team.ID, GivenName: "Ben"}))
	plain := []string{gatehouse.ScopeFor(gatehouse.CreateManagementKey), gatehouse.ScopeFor(gatehouse.RotateManagementKey)}
	make := func(c Client, user gatehouse.ID, acl []string) (gatehouse.MintedManagementKey, error) {
		return c.CreateManagementKey(p.ctx, gatehouse.NewManagementKey{TeamID: team.ID, Name: "k", ACL: acl, UserID: user})
	}
	adas := must[gatehouse.MintedManagementKey](t)(make(p, ada.ID, plain))
	bens := must[gatehouse.MintedManagementKey](t)(make(p, ben.ID, nil))
	want(t, gatehouse.PermissionDenied, second(make(p.As(adas.Token), ben.ID, nil)))
	want(t, gatehouse.PermissionDenied, second(p.As(adas.Token).RotateManagementKey(p.ctx, gatehouse.KeyRotation{ID: bens.Key.ID})))
	if own := must[gatehouse.MintedManagementKey](t)(make(p.As(adas.Token), gatehouse.ID{}, nil)); own.Key.UserID != ada.ID {
		t.Errorf("a child belongs to %s, its maker to %s", own.Key.UserID, ada.ID)
	}
	hers := must[gatehouse.MintedManagementKey](t)(make(p, ada.ID, append(plain, gatehouse.ScopeFor(gatehouse.CreateUser))))
	if k := must[gatehouse.MintedManagementKey](t)(make(p.As(hers.Token), ben.ID, nil)); k.Key.UserID != ben.ID {
		t.Errorf("made for %s, belongs to %s", ben.ID, k.Key.UserID)
	}
}

func sharedLimits(t *testing.T, p *plane) {
	must[*gatehouse.Model](t)(p.PutModel(p.ctx, model("m")))
	must[*gatehouse.Alias](t)(p.PutAlias(p.ctx, &gatehouse.Alias{Name: "a", Target: "m"}))
	set := func(l map[string]gatehouse.Limits) (*gatehouse.Team, error) {
		return p.UpdateTeam(p.ctx, gatehouse.TeamUpdate{ID: p.TeamID, ModelLimits: gatehouse.Some(l)})
	}
	some := gatehouse.Limits{QPS: 1, QPM: 2, TPM: 3}
	must[*gatehouse.Team](t)(set(map[string]gatehouse.Limits{"m": some}))
	must[*gatehouse.Team](t)(p.UpdateTeam(p.ctx, gatehouse.TeamUpdate{ID: p.TeamID, Name: gatehouse.Some("renamed")}))
	if got := must[*gatehouse.Team](t)(p.GetTeam(p.ctx, p.TeamID)); len(got.ModelLimits) != 1 || got.ModelLimits["m"] != some {
		t.Errorf("limits %+v", got.ModelLimits)
	}
	for _, wrong := range []map[string]gatehouse.Limits{
		{"a": some}, {"unknown": some}, {"m": {QPS: -1}}, {"m": {TPM: gatehouse.MaxTPM + 1}},
	} {
		wantField(t, "modelLimits", second(set(wrong)))
	}
	ok(t, p.DeleteAlias(p.ctx, "a"))
	ok(t, p.DeleteModel(p.ctx, "m"))
	must[*gatehouse.Team](t)(set(map[string]gatehouse.Limits{"m": {QPS: 9}})) // its model has gone, and may come back
	must[*gatehouse.Team](t)(set(nil))
	if got := must[*gatehouse.Team](t)(p.GetTeam(p.ctx, p.TeamID)); len(got.ModelLimits) != 0 {
		t.Errorf("limits that were taken away: %+v", got.ModelLimits)
	}
	u := upstream()
	u.Limits = some
	u = must[*gatehouse.Upstream](t)(p.PutUpstream(p.ctx, u))
	if got := must[*gatehouse.Upstream](t)(p.GetUpstream(p.ctx, u.ID)); got.Limits != some {
		t.Errorf("limits of an upstream %+v", got.Limits)
	}
	u.Limits = gatehouse.Limits{QPM: -1}
	wantField(t, "limits.qpm", second(p.PutUpstream(p.ctx, u)))
	u.Limits = gatehouse.Limits{}
	if got := must[*gatehouse.Upstream](t)(p.PutUpstream(p.ctx, u)); got.Limits != (gatehouse.Limits{}) || !got.HasCredential {
		t.Errorf("after they were taken away %+v", got)
	}
}
