package managementtest

import (
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"gatehouse"
)

// events reads a team's whole log, a few at a time.
func (p *plane) events(t *testing.T, f gatehouse.EventFilter, size int) []gatehouse.EventView {
	t.Helper()
	f.TeamID = p.TeamID
	var all []gatehouse.EventView
	for token, pages := "", 0; ; pages++ {
		page, next, err := p.ListEvents(p.ctx, f, gatehouse.Page{Size: size, Token: token})
		ok(t, err)
		all = append(all, page...)
		if token = next; token == "" {
			return all
		}
		if pages > 1000 {
			t.Fatal("the list of events does not end")
		}
	}
}

func auditLog(t *testing.T, p *plane) {
	m := p.key(t, "Production Key")
	_, poor := p.manager(t, gatehouse.NewManagementKey{TeamID: p.TeamID, Scope: gatehouse.ScopeTeam, Name: "poor"})
	want(t, gatehouse.PermissionDenied, poor.DeleteKey(p.ctx, m.Key.ID))
	must[*gatehouse.Key](t)(p.GetKey(p.ctx, m.Key.ID))
	var said []string
	up := p.events(t, gatehouse.EventFilter{Ascending: true}, 1)
	for _, e := range up {
		said = append(said, e.Description)
	}
	for _, line := range []string{"API key 'Production Key' was created", "Management key 'poor' was denied DeleteApiKey", "GetApiKey was called"} {
		if !strings.Contains(strings.Join(said, "\n"), line) {
			t.Errorf("no event says %q in\n%s", line, strings.Join(said, "\n"))
		}
	}
	down := p.events(t, gatehouse.EventFilter{}, 3)
	if len(down) < len(up) {
		t.Errorf("%d events downwards, %d upwards before", len(down), len(up))
	}
	if !slices.IsSortedFunc(down, func(a, b gatehouse.EventView) int { return b.Time.Compare(a.Time) }) {
		t.Error("events are not newest first")
	}
	one := p.events(t, gatehouse.EventFilter{Query: "Production"}, 0)
	if len(one) != 1 || one[0].User == nil || one[0].User.ID != p.UserID {
		t.Errorf("a search for a word found %d events: %+v", len(one), one)
	}
	if got := p.events(t, gatehouse.EventFilter{EventID: one[0].ID}, 0); len(got) != 1 {
		t.Errorf("an event by its id: %d", len(got))
	}
	var leaves int
	ok(t, p.ExportAudit(p.ctx, 0, 5, func(l gatehouse.AuditLeaf) error {
		if l.Index != int64(leaves) || len(l.Body) == 0 || len(l.Signature) == 0 {
			return fmt.Errorf("leaf %d is not whole", l.Index)
		}
		leaves++
		return nil
	}))
	if leaves != 5 {
		t.Errorf("%d leaves exported, want 5", leaves)
	}
}

func people(t *testing.T, p *plane) {
	team := must[*gatehouse.Team](t)(p.CreateTeam(p.ctx, "  Research  "))
	if team.Name != "Research" || team.Billing != gatehouse.BillingMetering {
		t.Errorf("created %+v", team)
	}
	must[*gatehouse.Team](t)(p.UpdateTeam(p.ctx, gatehouse.TeamUpdate{ID: team.ID, Blocked: gatehouse.Some(true)}))
	if got := must[*gatehouse.Team](t)(p.GetTeam(p.ctx, team.ID)); !got.Blocked || got.Name != "Research" {
		t.Errorf("updated %+v", got)
	}
	wantField(t, "billing", second(p.UpdateTeam(p.ctx, gatehouse.TeamUpdate{ID: team.ID, Billing: gatehouse.Some(gatehouse.BillingMode("free"))})))
	user := must[*gatehouse.User](t)(p.CreateUser(p.ctx, &gatehouse.User{TeamID: team.ID, GivenName: "Ada", Email: "ada@example.com"}))
	must[*gatehouse.User](t)(p.UpdateUser(p.ctx, gatehouse.UserUpdate{ID: user.ID, FamilyName: gatehouse.Some("Lovelace")}))
	got := must[*gatehouse.User](t)(p.GetUser(p.ctx, user.ID))
	if got.GivenName != "Ada" || got.FamilyName != "Lovelace" || got.TeamID != team.ID {
		t.Errorf("user %+v", got)
	}
	_, err := p.CreateUser(p.ctx, &gatehouse.User{TeamID: team.ID, Email: "nobody", ProfileImage: "javascript:1", GivenName: "a\nb"})
	for _, field := range []string{"email", "profileImage", "givenName"} {
		wantField(t, field, err)
	}
	users, _, err := p.ListUsers(p.ctx, team.ID, gatehouse.Page{})
	if ok(t, err); len(users) != 1 {
		t.Errorf("%d users", len(users))
	}
}

func upstream() *gatehouse.Upstream {
	return &gatehouse.Upstream{
		Name: "up", Kind: gatehouse.OpenAI, BaseURL: "https://api.example.com/v1", Credential: "sk-canary-4711",
		Serves: []gatehouse.Serve{{Model: "*"}}, AskUsage: true,
	}
}

func credentials(t *testing.T, p *plane) {
	u := must[*gatehouse.Upstream](t)(p.PutUpstream(p.ctx, upstream()))
	listed, _, err := p.ListUpstreams(p.ctx, gatehouse.Page{})
	ok(t, err)
	for _, got := range append(listed, u, must[*gatehouse.Upstream](t)(p.GetUpstream(p.ctx, u.ID))) {
		if got.Credential != "" || !got.HasCredential || strings.Contains(fmt.Sprintf("%+v", got), "canary") {
			t.Errorf("shown %+v", got)
		}
	}
	moved := *u
	moved.BaseURL = "https://api.example.com/v2"
	if got := must[*gatehouse.Upstream](t)(p.PutUpstream(p.ctx, &moved)); !got.HasCredential {
		t.Error("a new path lost the credential")
	}
	moved.BaseURL = "https://evil.example.net/v1"
	wantField(t, "credential", second(p.PutUpstream(p.ctx, &moved)))
	moved.Credential = "sk-other"
	must[*gatehouse.Upstream](t)(p.PutUpstream(p.ctx, &moved))
	want(t, gatehouse.AlreadyExists, second(p.PutUpstream(p.ctx, func() *gatehouse.Upstream { u := upstream(); return u }())))
	ok(t, p.DeleteUpstream(p.ctx, u.ID))
	want(t, gatehouse.NotFound, second(p.GetUpstream(p.ctx, u.ID)))
	want(t, gatehouse.NotFound, p.DeleteUpstream(p.ctx, u.ID))
}

func badUpstreams(t *testing.T, p *plane) {
	for field, spoil := range map[string]func(*gatehouse.Upstream){
		"name":          func(u *gatehouse.Upstream) { u.Name = " " },
		"kind":          func(u *gatehouse.Upstream) { u.Kind = "other" },
		"baseUrl":       func(u *gatehouse.Upstream) { u.BaseURL = "ftp://x/v1" },
		"user":          func(u *gatehouse.Upstream) { u.BaseURL = "https://a:b@x/v1" },
		"query":         func(u *gatehouse.Upstream) { u.BaseURL = "https://x/v1?a=b" },
		"private":       func(u *gatehouse.Upstream) { u.BaseURL = "http://127.0.0.1:9/v1" },
		"families":      func(u *gatehouse.Upstream) { u.Families = []gatehouse.Family{"smoke"} },
		"grpc":          func(u *gatehouse.Upstream) { u.Families = []gatehouse.Family{gatehouse.FamilyGRPC} },
		"serves":        func(u *gatehouse.Upstream) { u.Serves = nil },
		"serves.weight": func(u *gatehouse.Upstream) { u.Serves[0].Weight = -1 },
		"caCert":        func(u *gatehouse.Upstream) { u.CACert = "not PEM" },
		"proxy":         func(u *gatehouse.Upstream) { u.Proxy = "socks5://x" },
		"http":          func(u *gatehouse.Upstream) { u.HTTP = "3" },
		"headerTimeout": func(u *gatehouse.Upstream) { u.HeaderTimeout = 2 * time.Hour },
		"idleTimeout":   func(u *gatehouse.Upstream) { u.IdleTimeout = -1 },
		"clusters":      func(u *gatehouse.Upstream) { u.Clusters = []string{"nowhere"} },
		"credential":    func(u *gatehouse.Upstream) { u.Credential = "a\r\nHost: b" },
	} {
		u := upstream()
		spoil(u)
		wantField(t, field, second(p.PutUpstream(p.ctx, u)))
	}
}

func model(name string) *gatehouse.Model {
	return &gatehouse.Model{Name: name, Type: gatehouse.LanguageModel, Owner: "me"}
}

func catalogue(t *testing.T, p *plane) {
	must[*gatehouse.Model](t)(p.PutModel(p.ctx, model("org/m:1")))
	if got := must[*gatehouse.Model](t)(p.GetModel(p.ctx, "org/m:1")); got.Owner != "me" {
		t.Errorf("model %+v", got)
	}
	want(t, gatehouse.NotFound, second(p.GetModel(p.ctx, "none")))
	wantField(t, "type", second(p.PutModel(p.ctx, &gatehouse.Model{Name: "x", Type: "smell"})))
	wantField(t, "name", second(p.PutModel(p.ctx, model("a b"))))
	wantField(t, "target", second(p.PutAlias(p.ctx, &gatehouse.Alias{Name: "a", Target: "none"})))
	must[*gatehouse.Alias](t)(p.PutAlias(p.ctx, &gatehouse.Alias{Name: "a", Target: "org/m:1"}))
	if got := must[*gatehouse.Alias](t)(p.GetAlias(p.ctx, "a")); got.Target != "org/m:1" || got.Revision.IsZero() {
		t.Errorf("alias %+v", got)
	}
	wantField(t, "target", second(p.PutAlias(p.ctx, &gatehouse.Alias{Name: "b", Target: "a"})))
	want(t, gatehouse.AlreadyExists, second(p.PutModel(p.ctx, model("a"))))
	want(t, gatehouse.AlreadyExists, second(p.PutAlias(p.ctx, &gatehouse.Alias{Name: "org/m:1", Target: "org/m:1"})))
	want(t, gatehouse.FailedPrecondition, p.DeleteModel(p.ctx, "org/m:1"))
	ok(t, p.DeleteAlias(p.ctx, "a"))
	want(t, gatehouse.NotFound, second(p.GetAlias(p.ctx, "a")))
	ok(t, p.DeleteModel(p.ctx, "org/m:1"))
	want(t, gatehouse.NotFound, p.DeleteModel(p.ctx, "org/m:1"))
	must[*gatehouse.Model](t)(p.PutModel(p.ctx, model("org/m:1")))
}

func prices(t *testing.T, p *plane) {
	must[*gatehouse.Model](t)(p.PutModel(p.ctx, model("m")))
	price := func() *gatehouse.Price {
		return &gatehouse.Price{Model: "m", Source: "operator", Units: map[string]gatehouse.Ticks{gatehouse.PromptText.String(): 20000}}
	}
	now := must[*gatehouse.Price](t)(p.PutPrice(p.ctx, price()))
	if now.Effective.IsZero() || now.Effective.After(p.Now().Add(time.Minute)) {
		t.Errorf("a price without a time holds from %s", now.Effective)
	}
	want(t, gatehouse.FailedPrecondition, p.DeletePrice(p.ctx, now.ID))
	edited := *now
	edited.Units = map[string]gatehouse.Ticks{gatehouse.PromptText.String(): 1}
	want(t, gatehouse.FailedPrecondition, second(p.PutPrice(p.ctx, &edited)))
	for field, spoil := range map[string]func(*gatehouse.Price){
		"model":                func(x *gatehouse.Price) { x.Model = "none" },
		"units":                func(x *gatehouse.Price) { x.Units = nil },
		"unknown unit":         func(x *gatehouse.Price) { x.Units = map[string]gatehouse.Ticks{"Smoke": 1} },
		"negative":             func(x *gatehouse.Price) { x.Units[gatehouse.PromptText.String()] = -1 },
		"source":               func(x *gatehouse.Price) { x.Source = "" },
		"effective":            func(x *gatehouse.Price) { x.Effective = p.Now().AddDate(-2, 0, 0) },
		"longContextThreshold": func(x *gatehouse.Price) { x.LongThreshold = 5 },
	} {
		x := price()
		spoil(x)
		wantField(t, field, second(p.PutPrice(p.ctx, x)))
	}
	mended := price()
	mended.Effective = p.Now().Add(-time.Hour) // a correction, for what arrives late and for re-rating
	must[*gatehouse.Price](t)(p.PutPrice(p.ctx, mended))
	later := price()
	later.Effective = p.Now().Add(time.Hour)
	next := must[*gatehouse.Price](t)(p.PutPrice(p.ctx, later))
	if all, _, err := p.ListPrices(p.ctx, gatehouse.Page{}); err != nil || len(all) != 3 || all[2].ID != next.ID {
		t.Errorf("prices %+v, %v", all, err)
	}
	if got := must[*gatehouse.Price](t)(p.GetPrice(p.ctx, next.ID)); got.Model != "m" || !got.Effective.Equal(next.Effective) {
		t.Errorf("price %+v", got)
	}
	ok(t, p.DeletePrice(p.ctx, next.ID))
	want(t, gatehouse.NotFound, second(p.GetPrice(p.ctx, next.ID)))
}

func clusters(t *testing.T, p *plane) {
	must[*gatehouse.Cluster](t)(p.PutCluster(p.ctx, &gatehouse.Cluster{Name: "east", Address: "east.example.com"}))
	want(t, gatehouse.AlreadyExists, second(p.PutCluster(p.ctx, &gatehouse.Cluster{Name: "west", Address: "east.example.com"})))
	wantField(t, "name", second(p.PutCluster(p.ctx, &gatehouse.Cluster{Name: "A b"})))
	all, _, err := p.ListClusters(p.ctx, gatehouse.Page{})
	ok(t, err)
	if !slices.ContainsFunc(all, func(c *gatehouse.Cluster) bool { return c.Label() == "east.example.com" }) {
		t.Errorf("clusters %+v", all)
	}
	want(t, gatehouse.NotFound, p.ForgetGateway(p.ctx, gatehouse.NewID()))
	want(t, gatehouse.NotFound, second(p.GetGateway(p.ctx, gatehouse.NewID())))
	if got := must[*gatehouse.Cluster](t)(p.GetCluster(p.ctx, "east")); got.Address != "east.example.com" {
		t.Errorf("cluster %+v", got)
	}
	u := upstream()
	u.Clusters = []string{"east"}
	u = must[*gatehouse.Upstream](t)(p.PutUpstream(p.ctx, u))
	want(t, gatehouse.FailedPrecondition, p.DeleteCluster(p.ctx, "east"))
	ok(t, p.DeleteUpstream(p.ctx, u.ID))
	ok(t, p.DeleteCluster(p.ctx, "east"))
	want(t, gatehouse.NotFound, p.DeleteCluster(p.ctx, "east"))
	want(t, gatehouse.NotFound, second(p.GetCluster(p.ctx, "east")))
	must[*gatehouse.Cluster](t)(p.PutCluster(p.ctx, &gatehouse.Cluster{Name: "east"}))
}

func discovery(t *testing.T, p *plane) {
	if got := must[[]string](t)(p.Endpoints(p.ctx, p.TeamID)); !slices.Contains(got, gatehouse.EndpointChat) {
		t.Errorf("endpoints %v", got)
	}
	must[*gatehouse.Cluster](t)(p.PutCluster(p.ctx, &gatehouse.Cluster{Name: "east"}))
	must[*gatehouse.Model](t)(p.PutModel(p.ctx, model("m")))
	must[*gatehouse.Model](t)(p.PutModel(p.ctx, &gatehouse.Model{Name: "unserved", Type: gatehouse.LanguageModel, Owner: "other"}))
	must[*gatehouse.Alias](t)(p.PutAlias(p.ctx, &gatehouse.Alias{Name: "a", Target: "m"}))
	u := upstream()
	u.Serves = []gatehouse.Serve{{Model: "*", Owner: "me"}}
	must[*gatehouse.Upstream](t)(p.PutUpstream(p.ctx, u))
	for _, c := range must[[]gatehouse.TeamModels](t)(p.TeamModels(p.ctx, p.TeamID)) {
		if c.Cluster == "east" && (len(c.Models) != 1 || c.Models[0].Model.Name != "m" || !slices.Equal(c.Models[0].Aliases, []string{"a"})) {
			t.Errorf("east offers %+v", c.Models)
		}
	}
}
