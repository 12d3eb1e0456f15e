package verify

import (
	"encoding/json"
	"net/http"
	"testing"
	"time"

	"gatehouse"
	"gatehouse/internal/simulate"
)

func newBadHouse(t *testing.T) *badHouse {
	b := &badHouse{house: newHouse(t, simulate.Options{Key: canary}, "GATEHOUSE_GATEWAY_MAX_BODY_BYTES=262144"), vars: map[string]string{}}
	b.vars["team"], b.vars["manager"], b.vars["never"] = b.team, b.key, gatehouse.NewID().String()
	b.vars["stranger"] = gatehouse.MintToken(gatehouse.DefaultBrand, gatehouse.Management, gatehouse.NewID()).Reveal()
	b.vars["unknown"] = gatehouse.MintToken(gatehouse.DefaultBrand, gatehouse.Inference, gatehouse.NewID()).Reveal()
	mine := b.createKey("")
	b.vars["key"], b.vars["secret"] = mine.ID, mine.Secret
	b.createKey(`"qpm":100`)
	b.vars["nothing"] = b.createKeyWith(b.team, `"acls":["api-key:model:gpt-4o","api-key:endpoint:embed"]`).Secret
	b.vars["once"] = b.createKey(`"qpm":1`).Secret
	var team, manager struct{ ID, APIKey, APIKeyID string }
	b.must("POST", "/admin/v1/teams", `{"name":"other"}`, &team)
	b.vars["other"] = team.ID
	theirs := b.createKeyWith(team.ID, `"acls":["api-key:model:*","api-key:endpoint:*"]`)
	b.vars["theirs"], b.vars["theirsecret"] = theirs.ID, theirs.Secret
	b.must("POST", "/admin/v1/management-keys", `{"name":"team","teamId":"`+b.team+`","acls":["team-token:endpoint:*"]}`, &manager)
	b.vars["teammanager"] = manager.APIKey
	b.must("POST", "/admin/v1/management-keys", `{"name":"reader","teamId":"`+b.team+`","acls":["team-token:endpoint:ListApiKeys"]}`, &manager)
	b.vars["reader"] = manager.APIKey
	b.giveProviders(t)
	b.collectTokens(t)
	b.secrets = append(b.secrets, mine.Secret, b.vars["once"], b.vars["teammanager"], b.vars["reader"])
	for b.readiness(theirs) != http.StatusOK {
		time.Sleep(10 * time.Millisecond)
	}
	return b
}

// readiness asks whether the gateway knows the last thing that was made, the
// upstream that answers nonsense included: the feed is in order.
func (b *badHouse) readiness(k key) int {
	status, _ := b.chat(k.Secret, "ready", `{"model":"odd","messages":[{"role":"user","content":"fine"}]}`)
	return status
}

func (b *badHouse) must(method, path, body string, into any) {
	b.t.Helper()
	status, answer := b.manage(method, b.expand(path), body)
	if err := json.Unmarshal(answer, into); err != nil || status != http.StatusOK {
		b.t.Fatalf("%s %s: %d %s", method, path, status, answer)
	}
}

func (b *badHouse) createKeyWith(team, members string) (k key) {
	b.t.Helper()
	b.must("POST", "/auth/teams/"+team+"/api-keys", `{"name":"verify",`+members+`}`, &k)
	b.secrets = append(b.secrets, k.Secret)
	return k
}

// giveProviders replaces the shared credential, and adds an upstream whose
// answers are canned and whose patience is short.
func (b *badHouse) giveProviders(t *testing.T) {
	var list struct{ Upstreams []struct{ ID string } }
	b.must("GET", "/admin/v1/upstreams", "", &list)
	owners := `[{"model":"*","owner":"openai"},{"model":"*","owner":"anthropic"},{"model":"*","owner":"xai"}]`
	b.must("PATCH", "/admin/v1/upstreams/"+list.Upstreams[0].ID, `{"serves":`+owners+`,"credential":"`+canary+`"}`, new(any))
	b.must("POST", "/admin/v1/models", `{"name":"odd","type":"language","owner":"verify"}`, new(any))
	b.must("POST", "/admin/v1/models", `{"name":"unpriced","type":"language","owner":"openai"}`, new(any))
	b.must("POST", "/admin/v1/prices", `{"model":"odd","units":{"Prompt text tokens":"1","Completion text tokens":"1"},"source":"operator"}`, new(any))
	var made struct{ ID string }
	b.must("POST", "/admin/v1/upstreams", `{"name":"odd","kind":"openai","baseUrl":"`+oddProvider(t)+`/v1","allowPrivate":true,`+
		`"families":["chat"],"serves":[{"model":"odd"}],"headerTimeout":"0.4s","idleTimeout":"0.4s","credential":"`+canary+`"}`, &made)
	b.vars["upstream"] = made.ID
}

// collectTokens gets a page token of one list and an id that an upstream handed
// out to the other team.
func (b *badHouse) collectTokens(t *testing.T) {
	var page struct{ PaginationToken string }
	b.must("GET", "/auth/teams/$team/api-keys?pageSize=1", "", &page)
	token := page.PaginationToken
	if len(token) < 20 {
		t.Fatalf("page token %q", token)
	}
	b.vars["page"] = token
	flipped := byte('A')
	if token[10] == flipped {
		flipped = 'B'
	}
	b.vars["forged"] = token[:10] + string(flipped) + token[11:]
	var made struct{ ID string }
	deadline := time.Now().Add(10 * time.Second)
	for made.ID == "" && time.Now().Before(deadline) {
		_, answer := b.responses("POST", "", b.vars["theirsecret"], `{"model":"gpt-4o","input":"theirs"}`)
		json.Unmarshal(answer, &made)
	}
	b.vars["response"] = made.ID
}
