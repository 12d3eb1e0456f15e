package control_test

import (
	"strings"
	"testing"
	"time"

	"gatehouse"
	"gatehouse/internal/catalogue"
	"gatehouse/internal/control"
)

func declared() control.Declaration {
	return control.Declaration{
		Clusters: []*gatehouse.Cluster{{Name: "east", Address: "east.example.com"}},
		Models:   []*gatehouse.Model{{Name: "m", Type: gatehouse.LanguageModel, Owner: "me"}},
		Aliases:  []*gatehouse.Alias{{Name: "a", Target: "m"}},
		Prices: []*gatehouse.Price{{
			Model: "m", Effective: time.Date(2026, 1, 1, 0, 0, 0, 0, time.UTC), Source: "operator",
			Units: map[string]gatehouse.Ticks{gatehouse.PromptText.String(): 10},
		}},
		Upstreams: []*gatehouse.Upstream{{
			Name: "up", Kind: gatehouse.OpenAI, BaseURL: "https://up.example/v1", Credential: "sk-1",
			Serves: []gatehouse.Serve{{Model: "*"}}, Clusters: []string{"east"},
		}},
	}
}

func (h *house) declare(t *testing.T, shipped, file control.Declaration) control.Report {
	t.Helper()
	report, err := h.Declare(t.Context(), shipped, file)
	if err != nil {
		t.Fatal(err)
	}
	return report
}

func TestADeclarationThatIsSoWritesNothing(t *testing.T) {
	h := open(t)
	shipped, err := catalogue.Shipped()
	if err != nil {
		t.Fatal(err)
	}
	offer := control.Declaration{Models: shipped.Models, Aliases: shipped.Aliases, Prices: shipped.Prices}
	if r := h.declare(t, offer, declared()); len(r.Changed) < 5+len(shipped.Models) {
		t.Errorf("first: %v", r)
	}
	before := h.leaves(t)
	r := h.declare(t, offer, declared())
	if n := h.leaves(t) - before; n != 0 || len(r.Changed) != 0 || len(r.Drift) != 0 {
		t.Errorf("a restart left %d leaves: %+v", n, r)
	}
}

func TestWhatTheFileSaysIsSetBackAndWhatItLeavesOutIsDeleted(t *testing.T) {
	h := open(t)
	h.declare(t, control.Declaration{}, declared())
	up, _, err := h.root().ListUpstreams(t.Context(), gatehouse.Page{})
	if err != nil || len(up) != 1 || !up[0].Declared || !up[0].HasCredential {
		t.Fatalf("%+v %v", up, err)
	}
	edited := *up[0]
	edited.Disabled = true
	if _, err := h.root().PutUpstream(t.Context(), &edited); err != nil {
		t.Fatal(err)
	}
	if r := h.declare(t, control.Declaration{}, declared()); len(r.Changed) != 1 || !strings.Contains(r.Changed[0], "'up' was updated") {
		t.Errorf("after an edit: %+v", r)
	}
	if u, err := h.root().GetUpstream(t.Context(), edited.ID); err != nil || u.Disabled || !u.HasCredential {
		t.Errorf("not set back: %+v, %v", u, err)
	}
	if e := h.newest(t); e.Action != "upstream.read" {
		t.Errorf("leaf %+v", e)
	}
	r := h.declare(t, control.Declaration{}, control.Declaration{})
	if len(r.Changed) != 5 || len(r.Drift) != 0 {
		t.Errorf("an empty file: %+v", r)
	}
	h.declare(t, control.Declaration{}, declared())
}

func TestANameThatTheFileLetGoIsTheCataloguesAgain(t *testing.T) {
	h := open(t)
	offer := declared()
	offer.Upstreams, offer.Clusters = nil, nil
	offer.Models = append(offer.Models, &gatehouse.Model{Name: "n", Type: gatehouse.LanguageModel})
	file := declared()
	file.Models[0].Owner = "the file"
	file.Models = append(file.Models, offer.Models[1])
	file.Aliases[0].Target = "n"
	file.Prices[0].Effective = file.Prices[0].Effective.Add(time.Hour)
	h.declare(t, offer, file)
	if r := h.declare(t, offer, control.Declaration{}); len(r.Drift) != 0 {
		t.Errorf("%+v", r)
	}
	if m, err := h.root().GetModel(t.Context(), "m"); err != nil || m.Owner != "me" || m.Declared {
		t.Errorf("model %+v, %v", m, err)
	}
	aliases, _, err := h.root().ListAliases(t.Context(), gatehouse.Page{})
	if err != nil || len(aliases) != 1 || aliases[0].Target != "m" || aliases[0].Declared {
		t.Errorf("aliases %+v, %v", aliases, err)
	}
	prices, _, err := h.root().ListPrices(t.Context(), gatehouse.Page{})
	if err != nil || len(prices) != 1 || prices[0].Declared {
		t.Errorf("prices %+v, %v", prices, err)
	}
	before := h.leaves(t)
	h.declare(t, offer, control.Declaration{})
	if n := h.leaves(t) - before; n != 0 {
		t.Errorf("not settled: %d leaves", n)
	}
}

func TestAPriceInForceIsDriftAndNotEdited(t *testing.T) {
	h := open(t)
	h.declare(t, control.Declaration{}, declared())
	d := declared()
	d.Prices[0].Units[gatehouse.PromptText.String()] = 99
	if r := h.declare(t, control.Declaration{}, d); len(r.Drift) != 1 || len(r.Changed) != 0 {
		t.Errorf("%+v", r)
	}
}

func TestTheCatalogueDoesNotOverruleAnOperator(t *testing.T) {
	h := open(t)
	offer := control.Declaration{
		Models:  []*gatehouse.Model{{Name: "m", Type: gatehouse.LanguageModel, Owner: "x", Source: "https://x.example/m", SourceDate: "2026-01-01"}, {Name: "n", Type: gatehouse.LanguageModel, Source: "https://x.example/n", SourceDate: "2026-01-01"}},
		Aliases: []*gatehouse.Alias{{Name: "latest", Target: "m"}},
		Prices:  []*gatehouse.Price{{Model: "m", Effective: time.Date(2026, 1, 1, 0, 0, 0, 0, time.UTC), Source: "https://x.example/p", Units: map[string]gatehouse.Ticks{gatehouse.PromptText.String(): 1}}},
	}
	h.declare(t, offer, control.Declaration{})
	if err := h.root().DeleteModel(t.Context(), "n"); err != nil {
		t.Fatal(err)
	}
	if _, err := h.root().PutAlias(t.Context(), &gatehouse.Alias{Name: "latest", Target: "m", Fallbacks: []string{"m"}}); err != nil {
		t.Fatal(err)
	}
	offer.Models[0].SourceDate, offer.Models[0].ContextLength = "2026-06-01", 1000
	r := h.declare(t, offer, control.Declaration{})
	if len(r.Changed) != 1 || !strings.Contains(r.Changed[0], "model 'm' was updated") {
		t.Errorf("%+v", r)
	}
	_, err := h.root().GetModel(t.Context(), "n")
	wantCode(t, gatehouse.NotFound, err)
}

func TestABadDeclarationNamesItsRecordAndChangesNothing(t *testing.T) {
	h := open(t)
	d := declared()
	d.Aliases[0].Target = "nowhere"
	before := h.leaves(t)
	_, err := h.Declare(t.Context(), control.Declaration{}, d)
	if wantCode(t, gatehouse.InvalidArgument, err); !strings.Contains(gatehouse.Public(err), "alias 'a'") {
		t.Errorf("%v", err)
	}
	if n := h.leaves(t) - before; n != 0 {
		t.Errorf("%d leaves", n)
	}
}
