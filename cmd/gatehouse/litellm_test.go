package main

import (
	"encoding/json"
	"fmt"
	"io"
	"maps"
	"net/http"
	"os"
	"path/filepath"
	"reflect"
	"slices"
	"strings"
	"testing"
	"time"

	"gatehouse"
)

func hashed(secret string) string {
	text, _ := gatehouse.DigestOf(secret).MarshalText()
	return string(text)
}

// What LiteLLM's API and its tables say of the same keys is read as the same.
func TestAnExportMeansTheSameInEveryForm(t *testing.T) {
	digest := hashed("sk-one-abcd")
	forms := map[string][]string{
		"key list and team list": {
			`{"keys":[{"token":"` + digest + `","key_name":"sk-...abcd","key_alias":"one","models":["a","b, \"c\""],"team_id":"t1","rpm_limit":5,"tpm_limit":null,
			 "expires":"2030-01-02T03:04:05Z","blocked":true,"max_budget":1.5,"metadata":{"x":1}}],"total_count":1,"current_page":1,"total_pages":1}`,
			`[{"team_id":"t1","team_alias":"Team","models":[],"keys":[]}]`,
		},
		"array and object": {
			`[{"token":"` + digest + `","key_name":"sk-...abcd","key_alias":"one","models":["a","b, \"c\""],"team_id":"t1","rpm_limit":5.0,"expires":"2030-01-02T03:04:05.000+00:00","blocked":true,"max_budget":1.5,"metadata":{"x":1}}]
			 {"teams":{"team_id":"t1","team_alias":"Team"}}`,
		},
		"key info": {
			`{"key":"` + digest + `","info":{"key_name":"sk-...abcd","key_alias":"one","models":["a","b, \"c\""],"team_id":"t1","rpm_limit":5,"expires":"2030-01-02T03:04:05","blocked":true,"max_budget":1.5,"metadata":{"x":1}}}
			 {"team_id":"t1","team_info":{"team_id":"t1","team_alias":"Team"}}`,
		},
		"tables as CSV": {
			"token,key_name,key_alias,models,team_id,rpm_limit,tpm_limit,expires,blocked,max_budget,metadata,aliases\n" +
				digest + `,sk-...abcd,one,"{a,""b, \""c\""""}",t1,5,,2030-01-02 03:04:05,t,1.5,"{""x"": 1}",{}` + "\n",
			"team_id,team_alias,models,blocked\nt1,Team,{},f\n",
		},
	}
	want := gatehouse.ForeignKey{
		Digest: gatehouse.DigestOf("sk-one-abcd"), Last4: "abcd", Source: "litellm", Disabled: true,
		Key: gatehouse.NewKey{
			Name: "one", ACL: gatehouse.ACL{"api-key:model:a", "api-key:endpoint:*"}, Limits: gatehouse.Limits{QPM: 5},
			ExpireTime: time.Date(2030, 1, 2, 3, 4, 5, 0, time.UTC), Tags: map[string]string{"litellm_team": "t1"},
		},
	}
	for name, files := range forms {
		t.Run(strings.ReplaceAll(name, " ", "_"), func(t *testing.T) {
			found := &export{teams: map[string]row{}}
			for _, file := range files {
				check(t, found.read(strings.NewReader(file)))
			}
			if len(found.keys) != 1 || found.teams["t1"].text("team_alias") != "Team" {
				t.Fatalf("found %+v", found)
			}
			k := mapping(found).key(found.keys[0])
			if k.skip != "" || !reflect.DeepEqual(k.ForeignKey, want) {
				t.Errorf("%s\n got %+v\nwant %+v", k.skip, k.ForeignKey, want)
			}
			if got := slices.Sorted(maps.Keys(k.notes)); !slices.Equal(got, []string{"budget", "metadata", "model name that cannot be granted"}) {
				t.Errorf("notes %v", k.notes)
			}
		})
	}
}

func mapping(x *export) *mapper {
	return &mapper{
		teams: x.teams, now: time.Date(2026, 1, 1, 0, 0, 0, 0, time.UTC),
		models: []*gatehouse.Model{{Name: "gpt-x", Owner: "openai"}, {Name: "grok", Owner: "xai"}, {Name: "xai/old", Owner: "else"}},
		team:   func(string, string) (gatehouse.ID, string, error) { return gatehouse.ID{}, "", nil },
	}
}

// No key may do more here than there: what cannot be said is left out.
func TestAnImportedKeyNeverGains(t *testing.T) {
	digest := hashed("sk-x")
	teams := map[string]row{
		"narrow": {"team_id": "narrow", "models": []any{"grok", "openai/*"}}, "open": {"team_id": "open"},
		"blocked": {"team_id": "blocked", "blocked": true},
	}
	for name, c := range map[string]struct {
		in       row
		acl      string
		skip     string
		disabled bool
	}{
		"nothing said is everything":          {in: row{}, acl: "m:* e:*"},
		"a team's list bounds an open key":    {in: row{"team_id": "narrow"}, acl: "m:grok m:gpt-x e:*"},
		"a key's list within its team's":      {in: row{"team_id": "narrow", "models": []any{"grok", "other", "openai/z"}}, acl: "m:grok m:openai/z e:*"},
		"everything of the proxy, in a team":  {in: row{"team_id": "narrow", "models": []any{"all-proxy-models"}}, acl: "m:grok m:gpt-x e:*"},
		"everything of the team":              {in: row{"team_id": "open", "models": []any{"all-team-models"}}, acl: "m:* e:*"},
		"no models":                           {in: row{"models": []any{"no-default-models"}}, acl: "e:*"},
		"a wildcard is today's models":        {in: row{"models": []any{"xai/*"}}, acl: "m:grok m:xai/old e:*"},
		"a wildcard of nobody is nothing":     {in: row{"models": []any{"bedrock/*"}}, acl: "e:*"},
		"routes":                              {in: row{"allowed_routes": []any{"/v1/embeddings", "/chat/completions", "/key/info"}}, acl: "m:* e:embed e:chat"},
		"unknown routes alone":                {in: row{"allowed_routes": []any{"management_routes"}}, acl: "m:*"},
		"a blocked key":                       {in: row{"blocked": true}, acl: "m:* e:*", disabled: true},
		"a key of a blocked team":             {in: row{"team_id": "blocked"}, acl: "m:* e:*", disabled: true},
		"a limit of nothing":                  {in: row{"rpm_limit": json.Number("0")}, acl: "m:* e:*", disabled: true},
		"an expired key":                      {in: row{"expires": "2025-12-31T23:59:59Z"}, acl: "m:* e:*", skip: "expired"},
		"an unreadable expiry":                {in: row{"expires": "soon"}, acl: "m:* e:*", skip: "expires"},
		"an unreadable limit":                 {in: row{"tpm_limit": "many"}, acl: "m:* e:*", skip: "tpm_limit"},
		"a session of the dashboard":          {in: row{"team_id": "litellm-dashboard"}, acl: "m:* e:*", skip: "dashboard"},
		"a token that is no digest":           {in: row{"token": "abc"}, acl: "m:* e:*", skip: "digest"},
		"a key in the clear counts as hashed": {in: row{"token": "sk-x"}, acl: "m:* e:*"},
	} {
		t.Run(strings.ReplaceAll(name, " ", "_"), func(t *testing.T) {
			if c.in["token"] == nil {
				c.in["token"] = digest
			}
			k := mapping(&export{teams: teams}).key(c.in)
			var acl []string
			for _, entry := range k.Key.ACL {
				entry = strings.Replace(strings.TrimPrefix(entry, "api-key:"), "model:", "m:", 1)
				acl = append(acl, strings.Replace(entry, "endpoint:", "e:", 1))
			}
			if got := strings.Join(acl, " "); got != c.acl || k.Disabled != c.disabled {
				t.Errorf("may %q, disabled %v; want %q, %v", got, k.Disabled, c.acl, c.disabled)
			}
			if (k.skip == "") != (c.skip == "") || !strings.Contains(k.skip, c.skip) {
				t.Errorf("skipped for %q, want %q", k.skip, c.skip)
			}
			if c.skip == "" && k.Digest != gatehouse.DigestOf("sk-x") {
				t.Error("another digest")
			}
		})
	}
}

// The secret of an imported key works at the gateway, and at no time before.
func TestAnOldSecretGoesOnWorking(t *testing.T) {
	in := start(t)
	const secret, off = "sk-5kT0ldSecretOfSomebody", "sk-0ffSecretOfSomebody00"
	file := filepath.Join(t.TempDir(), "keys.json")
	keys := []map[string]any{
		{"token": hashed(secret), "key_name": "sk-...body", "key_alias": "app", "models": []string{"grok-4.3", "nowhere"}, "rpm_limit": 100, "max_budget": 10, "max_parallel_requests": 3},
		{"token": hashed(off), "key_name": "sk-...dy00", "key_alias": "off", "blocked": true},
		{"token": hashed("sk-t"), "key_alias": "teamed", "team_id": "t1"},
	}
	text, err := json.Marshal(map[string]any{"keys": keys, "teams": []any{map[string]any{"team_id": "t1", "team_alias": "Research"}}})
	check(t, err)
	check(t, os.WriteFile(file, text, 0o600))
	said := ""
	ask := func(secret string) int {
		req, err := http.NewRequestWithContext(t.Context(), http.MethodPost, "http://"+in.Gateway+"/v1/chat/completions",
			strings.NewReader(`{"model":"grok-4.3","messages":[{"role":"user","content":"hi"}]}`))
		check(t, err)
		req.Header.Set("Authorization", "Bearer "+secret)
		req.Header.Set("Content-Type", "application/json")
		res, err := http.DefaultClient.Do(req)
		check(t, err)
		defer res.Body.Close()
		if res.StatusCode != http.StatusOK {
			text, err := io.ReadAll(res.Body)
			check(t, err)
			said = string(text)
		}
		return res.StatusCode
	}
	before := ask(secret)
	for deadline := time.Now().Add(10 * time.Second); before == http.StatusServiceUnavailable && time.Now().Before(deadline); {
		before = ask(secret) // it has no snapshot yet, and cannot tell
	}
	if before/100 != 4 {
		t.Fatalf("before: %d", before)
	}
	dry := must(t, "keys", "import", "--from", "litellm", "--dry-run", file)
	for _, line := range []string{
		"app (...body): created", "max_budget", "unknown model nowhere", "off (...dy00): created", ", disabled", "there is no team 'Research' here",
		"dry run, nothing was changed: 3 keys: created 2, skipped 1", "budget 1, max_parallel_requests 1, unknown models 1",
	} {
		if !strings.Contains(dry, line) {
			t.Errorf("the report lacks %q:\n%s", line, dry)
		}
	}
	if got := ask(secret); got != before {
		t.Fatalf("a dry run let the key in: %d", got)
	}
	must(t, "keys", "import", "--from", "litellm", "--create-teams", file)
	// Two acts: the one may be enforced before the other.
	for deadline := time.Now().Add(10 * time.Second); ask(secret) != http.StatusOK || ask(off) == before; {
		if time.Now().After(deadline) {
			t.Fatalf("the old secret does not work: %s", said)
		}
	}
	if got := ask(off); got != http.StatusForbidden {
		t.Errorf("a key that was blocked: %d", got)
	}
	if got := ask(secret + "x"); got != before {
		t.Errorf("another secret: %d", got)
	}
	var again report
	check(t, json.Unmarshal([]byte(must(t, "keys", "import", "--from", "litellm", "--create-teams", "--json", file)), &again))
	if again.Totals["unchanged"] != 3 || len(again.Totals) != 1 {
		t.Errorf("repeated: %v", again.Totals)
	}
	if teams := must(t, "team", "list"); strings.Count(teams, "Research") != 1 {
		t.Errorf("teams:\n%s", teams)
	}
	if all := fmt.Sprint(dry, again); strings.Contains(all, secret) || strings.Contains(all, hashed(secret)) {
		t.Error("a report shows a secret or its digest")
	}
}

// Whatever is given as an export, reading it ends, and what comes out is whole.
func FuzzExport(f *testing.F) {
	for _, seed := range []string{
		`{"keys":[{"token":"` + hashed("sk-a") + `","models":["*"],"expires":"2030-01-01"}]}`, "token,models\n" + hashed("sk-a") + ",\"{a,\\\"b\\\"}\"\n",
		`{"info":{"token":null},"key":5}`, `[["x"],{"team_id":"t","models":"{"}]`, "\ufeff{}", "team_id\n{", `{"token":{},"metadata":"{\"a\":"}`,
	} {
		f.Add(seed)
	}
	f.Fuzz(func(t *testing.T, text string) {
		found := &export{teams: map[string]row{}}
		if found.read(strings.NewReader(text)) != nil {
			return
		}
		m := mapping(found)
		for _, r := range found.keys {
			k := m.key(r)
			var bad gatehouse.Violations
			if k.Key.ACL.Validate("acl", &bad); k.skip == "" && len(bad) > 0 {
				t.Errorf("%q became %v", text, k.Key.ACL)
			}
		}
	})
}
