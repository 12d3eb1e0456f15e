package gateway

import (
	"encoding/json"
	"net/http"
	"strings"
	"time"

	"gatehouse"
	"gatehouse/internal/feed"
	"gatehouse/internal/llm"
)

// answerLocally answers what needs no upstream.
func (c *call) answerLocally(a *admitted) *refusal {
	c.outcome = gatehouse.Completed
	switch c.route.Op {
	case llm.ListModels:
		return c.reply(c.listModels(a.catalogue))
	case llm.GetModel:
		return c.getModel(a.catalogue)
	case llm.APIKey:
		return c.reply(c.describeKey(a.team))
	case llm.Me:
		return c.reply(c.describeMe(a.team))
	case llm.Tokenize:
		return c.tokenize()
	case llm.Library:
		return c.askLibrary()
	}
	return refuse(llm.Missing, "There is no such route here.")
}

func (c *call) reply(v any) *refusal {
	body, err := json.Marshal(v)
	if err != nil {
		return refuse(llm.Broken, "internal error").because(err)
	}
	c.writeWhole(http.StatusOK, "application/json", body)
	return nil
}

// keyInfo is GET /v1/api-key (wire.md §6.2); all members are always there.
type keyInfo struct {
	Redacted   string        `json:"redacted_api_key"`
	UserID     string        `json:"user_id"`
	Name       string        `json:"name"`
	CreateTime string        `json:"create_time"`
	ModifyTime string        `json:"modify_time"`
	ModifiedBy string        `json:"modified_by"`
	TeamID     string        `json:"team_id"`
	ACLs       gatehouse.ACL `json:"acls"`
	ID         string        `json:"api_key_id"`
	TeamBlock  bool          `json:"team_blocked"`
	Blocked    bool          `json:"api_key_blocked"`
	Disabled   bool          `json:"api_key_disabled"`
}

func (c *call) describeKey(team *gatehouse.Team) keyInfo {
	k := c.key
	info := keyInfo{
		Redacted: c.redacted(), UserID: k.UserID().String(), Name: k.Name(),
		CreateTime: k.CreateTime().UTC().Format(time.RFC3339Nano), ModifyTime: k.ModifyTime().UTC().Format(time.RFC3339Nano),
		ModifiedBy: k.ModifiedBy().String(), TeamID: k.TeamID().String(), ACLs: k.ACL(), ID: k.ID().String(),
		TeamBlock: team.Blocked, Blocked: k.Blocked(), Disabled: k.Disabled(),
	}
	if info.ACLs == nil {
		info.ACLs = gatehouse.ACL{}
	}
	return info
}

// me is GET /v1/me.
type me struct {
	UserID    string `json:"user_id"`
	TeamID    string `json:"team_id"`
	ZDR       string `json:"zdr_status"`
	TeamBlock bool   `json:"team_blocked"`
	Key       meKey  `json:"api_key"`
}

type meKey struct {
	ID       string `json:"api_key_id"`
	Redacted string `json:"redacted_api_key"`
	Blocked  bool   `json:"blocked"`
	Disabled bool   `json:"disabled"`
}

func (c *call) describeMe(team *gatehouse.Team) me {
	// What the provider keeps is agreed with the provider; nothing here says
	// otherwise, so the least is claimed.
	return me{
		UserID: c.key.UserID().String(), TeamID: c.key.TeamID().String(), ZDR: "no_zdr", TeamBlock: team.Blocked,
		Key: meKey{c.key.ID().String(), c.redacted(), c.key.Blocked(), c.key.Disabled()},
	}
}

// listModels lists what the key may use and could be answered now.
func (c *call) listModels(cat *feed.Catalogue) any {
	list := []any{}
	for _, m := range cat.Models() {
		if p, ok := c.shown(cat, m); ok {
			list = append(list, describeModel(cat, m, p, c.route.ModelType))
		}
	}
	if c.route.ModelType != "" {
		return map[string]any{"models": list}
	}
	return map[string]any{"object": "list", "data": list}
}

func (c *call) getModel(cat *feed.Catalogue) *refusal {
	m, _, ok := cat.Resolve(c.route.ObjectID)
	if ok {
		if p, ok := c.shown(cat, m); ok {
			return c.reply(describeModel(cat, m, p, c.route.ModelType))
		}
	}
	// A model that the key may not use and one that is not there are the same.
	return refuse(llm.Missing, llm.ModelMissingText(c.route.ObjectID, c.key.TeamID().String()))
}

// shown says whether a model is of the asked type, allowed, priced and served.
func (c *call) shown(cat *feed.Catalogue, m *gatehouse.Model) (*gatehouse.Price, bool) {
	if t := c.route.ModelType; t != "" && m.Type != t || !c.key.AllowsModel(m.Name) || !served(cat, m.Name) {
		return nil, false
	}
	return cat.Price(m.Name, c.start)
}

// describeModel is one element of a model list (wire.md §6.3). Prices are in
// USD cents per 100 million tokens, which are ticks per token.
func describeModel(cat *feed.Catalogue, m *gatehouse.Model, p *gatehouse.Price, typed gatehouse.ModelType) map[string]any {
	out := map[string]any{"id": m.Name, "object": "model", "owned_by": m.Owner, "aliases": append([]string{}, cat.AliasesOf(m.Name)...)}
	created := int64(0)
	if !m.Created.IsZero() {
		created = m.Created.Unix()
	}
	out["created"] = created
	addPrices(out, p)
	if typed == "" {
		if m.ContextLength > 0 {
			out["context_length"] = m.ContextLength
		}
		return out
	}
	out["fingerprint"], out["version"] = fingerprint(m), m.Version
	out["input_modalities"], out["output_modalities"] = lower(m.Input), lower(m.Output)
	if typed != gatehouse.EmbeddingModel {
		out["max_prompt_length"] = m.ContextLength // of language models only gRPC has it at xAI
	}
	return out
}

func addPrices(out map[string]any, p *gatehouse.Price) {
	for name, unit := range map[string]gatehouse.Unit{
		"prompt_text_token_price": gatehouse.PromptText, "cached_prompt_text_token_price": gatehouse.CacheRead,
		"prompt_image_token_price": gatehouse.PromptImage, "completion_text_token_price": gatehouse.CompletionText,
		"image_price": gatehouse.Images,
	} {
		if t, ok := p.Units[unit.String()]; ok {
			out[name] = int64(t)
		}
		if t, ok := p.LongContext[unit.String()]; ok {
			out[name+"_long_context"] = int64(t)
		}
	}
	if t, ok := p.Units[gatehouse.Searches.String()]; ok {
		out["search_price"] = int64(t)
	}
	if p.LongThreshold > 0 {
		out["long_context_threshold"] = p.LongThreshold
	}
}

// fingerprint names the state of a model's record.
func fingerprint(m *gatehouse.Model) string {
	d := gatehouse.DigestOf(m.Name + "@" + m.Revision.String())
	text, _ := d.MarshalText()
	return "fp_" + string(text[:10])
}

func lower(list []string) []string {
	out := make([]string, len(list))
	for i, s := range list {
		out[i] = strings.ToLower(s)
	}
	return out
}

// tokenize answers POST /v1/tokenize-text with the tokens of one text.
func (c *call) tokenize() *refusal {
	var in struct {
		Text *string `json:"text"`
	}
	if err := json.Unmarshal(c.body, &in); err != nil || in.Text == nil {
		return refuse(llm.Invalid, "text: must be a string.")
	}
	tokens, err := c.g.c.Tokenizer.Tokens(*in.Text)
	if err != nil {
		return refusalOf(err)
	}
	type token struct {
		ID    uint   `json:"token_id"`
		Text  string `json:"string_token"`
		Bytes []int  `json:"token_bytes"`
	}
	ids := make([]token, len(tokens))
	for i, t := range tokens {
		ids[i] = token{t.ID, strings.ToValidUTF8(string(t.Bytes), "\uFFFD"), make([]int, len(t.Bytes))}
		for j, b := range t.Bytes {
			ids[i].Bytes[j] = int(b)
		}
	}
	return c.reply(map[string]any{"token_ids": ids})
}
