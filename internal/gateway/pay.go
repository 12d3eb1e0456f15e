package gateway

import (
	"time"

	"gatehouse"
	"gatehouse/internal/llm"
	"gatehouse/internal/purse"
)

// pay reserves what the request may cost at worst in every fund that it is paid
// from, or in none. A team that is only metered and has no budgets passes
// untouched.
func (c *call) pay(a *admitted) *refusal {
	if !c.route.Metered || !spends(a.team) && len(a.team.Budgets) == 0 {
		return nil
	}
	funds, bounds := c.funds(a.team)
	worst := c.worst(a, defaultOutput)
	if len(funds) == 0 || worst <= 0 {
		return nil
	}
	r := purse.Request{Funds: funds, Worst: worst}
	if c.scan.MaxTokens == 0 {
		r.Modest = c.worst(a, modestOutput)
	}
	money, short, err := c.g.c.Purse.Reserve(c.r.Context(), r)
	switch {
	case err != nil:
		return refuse(llm.NotReady, gatehouse.Public(err)).wait(time.Second).because(err)
	case short != nil:
		return c.broke(bounds[short.Index], short.Never)
	}
	c.money = money
	return nil
}

// spends reports that the team has money that can run out.
func spends(t *gatehouse.Team) bool {
	return t.Billing == gatehouse.BillingPrepaid || t.Billing == gatehouse.BillingPostpaid
}

// funds are what the request is paid from, and the budget of each; nil is the
// team's money. The subject is what the usage record will say, and the time its
// start, so that the ledger counts it in the same funds.
func (c *call) funds(t *gatehouse.Team) (funds []gatehouse.Fund, bounds []*gatehouse.Budget) {
	if spends(t) {
		funds, bounds = append(funds, gatehouse.Fund{Team: t.ID}), append(bounds, nil)
	}
	if len(t.Budgets) == 0 {
		return funds, bounds
	}
	key, owner, tags := c.key.ID(), c.key.OwnerID(), c.key.Tags()
	names := map[gatehouse.BudgetSubject]string{gatehouse.BudgetKey: key.String(), gatehouse.BudgetOwner: owner.String()}
	for i := range t.Budgets {
		b := &t.Budgets[i]
		if name, one := names[b.Subject]; one && !b.Each() && b.Value != name {
			continue // a team may have a thousand, and asking each costs a name
		}
		if c.start.Before(b.CreateTime) {
			continue // nor does the ledger count it: what was drawn for it would never end
		}
		if of, ok := b.Applies(key, owner, tags); ok {
			funds, bounds = append(funds, b.Fund(t.ID, of, c.start)), append(bounds, b)
		}
	}
	return funds, bounds
}

// broke words the refusal by what is used up.
func (c *call) broke(b *gatehouse.Budget, never bool) *refusal {
	switch {
	case b != nil:
		return refuse(llm.Denied, llm.BudgetText(b, b.End(c.start)))
	case never:
		return refuse(llm.Denied, llm.NoCreditText)
	}
	return refuse(llm.Denied, llm.CreditText(c.key.TeamID().String()))
}

// cost is what the request costs, by the price that the ledger will rate it by.
func (c *call) cost(tier string) gatehouse.Ticks {
	if c.usage == (gatehouse.Usage{}) {
		return 0
	}
	p, ok := c.admitted.catalogue.Price(c.model, c.start)
	if !ok {
		return 0
	}
	costs, _, _ := p.Rate(c.usage, tier)
	return costs.Total()
}

const (
	// defaultOutput bounds the answer of a request that does not: tokens of each
	// choice. Few answers are longer, and one that is pays from what comes next.
	defaultOutput = 4096
	// modestOutput is what such an answer may come to where there is not enough for
	// that: else the last of a small credit could not be used by whoever leaves
	// max_tokens out.
	modestOutput = 512
	// mostOutput bounds what a client may claim of a model whose context is not
	// known, so that no product of it with a price overflows.
	mostOutput = 10_000_000
	// soundBytes is the least of a second of speech that is sent for transcription:
	// 16 kbit/s.
	soundBytes = 2000
	// imageTokens is what the dearest picture takes where pictures are billed as
	// tokens: 1024 × 1536 in high quality at OpenAI, rounded up.
	imageTokens = 6500
)

// worst is the most that the request may cost, at the dearest of the models that
// it may go to; 0 when all of them are free. unsaid bounds each choice of an
// answer that the client does not bound.
func (c *call) worst(a *admitted, unsaid int64) (worst gatehouse.Ticks) {
	for i, l := range a.legs {
		if i > 0 && l.model == a.legs[i-1].model {
			continue
		}
		price, ok := a.catalogue.Price(l.model, c.start)
		if !ok {
			continue
		}
		m, _ := a.catalogue.Model(l.model)
		worst = max(worst, c.dearest(m, price, unsaid))
	}
	return worst
}

// dearest is the most that the request may cost at one model.
func (c *call) dearest(m *gatehouse.Model, p *gatehouse.Price, unsaid int64) (worst gatehouse.Ticks) {
	for _, u := range c.vectors(m, p, unsaid) {
		for _, tier := range []string{"", c.scan.ServiceTier} {
			costs, _, _ := p.Rate(u, tier)
			worst = max(worst, costs.Total())
		}
	}
	return worst
}

// vectors are what the request may come to consume: units that exclude each
// other stand in different ones.
func (c *call) vectors(m *gatehouse.Model, p *gatehouse.Price, unsaid int64) []gatehouse.Usage {
	var u gatehouse.Usage
	u[gatehouse.PromptText] = c.scan.EstimatePrompt()
	out := c.mostTokens(m, unsaid)
	switch c.route.Family {
	case gatehouse.FamilyEmbeddings, gatehouse.FamilyModeration:
		return []gatehouse.Usage{u}
	case gatehouse.FamilyImages:
		u[gatehouse.PromptImages] = c.scan.PromptImages
		if _, each := p.Units[gatehouse.Images.String()]; each {
			u[gatehouse.Images] = c.scan.N
		} else {
			u[gatehouse.CompletionText] = imageTokens * c.scan.N
		}
		return []gatehouse.Usage{u}
	case gatehouse.FamilyAudio:
		u[gatehouse.Characters] = c.scan.Characters
		u[gatehouse.Seconds] = 1 + int64(len(c.body))/soundBytes
		return with(u, out, gatehouse.CompletionText, gatehouse.CompletionAudio)
	case gatehouse.FamilyMessages:
		cached := u
		cached[gatehouse.PromptText], cached[gatehouse.CacheWrite1h] = 0, u[gatehouse.PromptText]
		return append(with(u, out, gatehouse.CompletionText), with(cached, out, gatehouse.CompletionText)...)
	}
	return with(u, out, gatehouse.CompletionText, gatehouse.Reasoning)
}

// with puts so many tokens into each of the units, one after the other.
func with(u gatehouse.Usage, tokens int64, units ...gatehouse.Unit) (out []gatehouse.Usage) {
	for _, unit := range units {
		v := u
		v[unit] = tokens
		out = append(out, v)
	}
	return out
}

// mostTokens bounds the answer: what the client said, of each choice, and never
// more than the model can.
func (c *call) mostTokens(m *gatehouse.Model, unsaid int64) int64 {
	most := int64(mostOutput)
	if m != nil && m.ContextLength > 0 {
		most = min(most, m.ContextLength)
	}
	each := unsaid
	if c.scan.MaxTokens > 0 {
		each = c.scan.MaxTokens
	}
	return min(each, most) * c.scan.N
}
