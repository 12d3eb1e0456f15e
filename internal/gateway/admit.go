package gateway

import (
	"errors"
	"slices"
	"strings"
	"time"

	"gatehouse"
	"gatehouse/internal/feed"
	"gatehouse/internal/limit"
	"gatehouse/internal/llm"
	"gatehouse/internal/meter"
)

// admitted is a request that may be dispatched, and where to. Only admit makes
// one, and forward takes nothing else.
type admitted struct {
	catalogue *feed.Catalogue
	team      *gatehouse.Team
	legs      []leg // in the order to try; empty for routes answered here
	room      [2]leg
}

// leg is one way to answer: an upstream for a model that the key may use.
type leg struct {
	model string // canonical; empty for what hangs below an object
	as    string // what the upstream calls it
	up    *gatehouse.Upstream

	native bool // as the request came, instead of its body
}

// admit judges a request by what the replica knows. The order is that of cost:
// nothing is read before the credential has shape, and no body before the key
// may use the route.
func (c *call) admit() (*admitted, *refusal) {
	route, match := llm.Classify(c.r.Method, c.r.URL.EscapedPath())
	c.route, c.style = route, route.Style
	if c.style == llm.StyleXAI && c.g.c.OpenAIErrors {
		c.style = llm.StyleOpenAI
	}
	if !route.Public {
		if no := c.authenticate(); no != nil {
			return nil, no
		}
	}
	switch match {
	case llm.NoRoute:
		return nil, refuse(llm.Missing, "There is no route "+clip(c.r.Method+" "+c.r.URL.Path)+" here.")
	case llm.WrongMethod:
		return nil, refuse(llm.MethodNotAllowed, "This route takes "+route.Allow+".")
	}
	if route.Public {
		return c.admitLink()
	}
	if e := route.Endpoint; e != "" && !c.key.AllowsEndpoint(e) {
		return nil, refuse(llm.Denied, llm.EndpointDeniedText(e))
	}
	if !target(c.r.URL.RawQuery) {
		return nil, refuse(llm.Invalid, "The query holds characters that must be escaped.")
	}
	a, no := c.judge()
	// Windows take nothing back, money does: it comes first, and settling returns
	// it when a limit refuses.
	if no == nil {
		no = c.pay(a)
	}
	if no == nil {
		no = c.limit(a)
	}
	if no != nil {
		return nil, no
	}
	c.g.used.touch(c.key.ID(), c.key.Last4(), c.start)
	return a, nil
}

// authenticate finds the key and says whether it may be used at all.
func (c *call) authenticate() *refusal {
	g := c.g
	presented, err := llm.Credential(c.r.Header)
	if err != nil {
		return refusalOf(err)
	}
	bad := func() *refusal { return refuse(llm.BadKey, llm.BadKeyText(presented)) }
	replica := g.c.Replica
	switch {
	case len(presented) > maxForeign:
		return bad()
	case !replica.Fresh(c.start):
		if !g.shaped(presented) {
			return bad() // whoever is asked, and whenever
		}
		return refuse(llm.NotReady, "This gateway cannot tell yet. Please retry.").wait(time.Second)
	}
	// What has no shape is in no replica, so looking is the check: hashing costs
	// less than reading the shape.
	key, ok := replica.Lookup(gatehouse.DigestOf(presented))
	if !ok {
		return bad()
	}
	c.key, c.known = key, true
	return c.usable(replica)
}

// shaped checks length, prefix, alphabet and checksum, where nothing can be
// looked up. A management key has shape and is none of ours.
func (g *Gateway) shaped(presented string) bool {
	token, err := gatehouse.ParseToken(g.c.Brand, presented)
	if err == nil {
		return token.Plane() == gatehouse.Inference
	}
	// What looks like ours is ours and mistyped. The rest may be an imported key,
	// but only where there is one. An unready replica cannot tell: what begins as
	// LiteLLM's keys all do goes on to the answer that says so.
	ours := len(presented) > len(g.c.Brand)+1 && strings.HasPrefix(presented, g.c.Brand) && presented[len(g.c.Brand)+1] == '_'
	foreign, known := g.c.Replica.Foreign()
	return !ours && len(presented) <= maxForeign && (foreign || !known && strings.HasPrefix(presented, "sk-"))
}

// maxForeign bounds imported keys; the longest known has about 200 characters.
const maxForeign = 512

// usable names the first reason why the key may not be used now.
func (c *call) usable(replica *feed.Replica) *refusal {
	team, ok := c.key.Team()
	if !ok {
		return refuse(llm.NotReady, "This gateway does not know the team of this API key yet. Please retry.").wait(time.Second)
	}
	addr := c.g.clientAddr(c.r)
	c.clientIP = c.wire.text(addr)
	switch c.key.State(replica.Now(c.start)) {
	case feed.Blocked:
		return refuse(llm.Denied, "The API key "+c.redacted()+" is blocked.")
	case feed.Disabled:
		return refuse(llm.Denied, "The API key "+c.redacted()+" is disabled.")
	case feed.Expired:
		return refuse(llm.Denied, "The API key "+c.redacted()+" has expired.")
	}
	switch {
	case team.Blocked:
		return refuse(llm.Denied, "The team "+team.ID.String()+" is blocked.")
	case !c.key.AllowedFrom(addr):
		return refuse(llm.Denied, "The API key "+c.redacted()+" may not be used from the IP address "+c.clientIP+".")
	case c.key.Strict() && !replica.Leased(c.g.c.Now()):
		// The clock is read after the look-up: a process that was paused between
		// the two finds its lease gone.
		return refuse(llm.NotReady, "This gateway has lost touch with its control plane, and the API key is strict. Please retry.").wait(time.Second)
	}
	return nil
}

func (c *call) redacted() string {
	return gatehouse.Redact(c.g.c.Brand, gatehouse.Inference, c.key.Last4())
}

// judge reads the body and finds where the request may go.
func (c *call) judge() (*admitted, *refusal) {
	team, _ := c.key.Team()
	a := &c.admitted
	*a = admitted{catalogue: c.key.Catalogue(), team: team, legs: a.room[:0]}
	if c.route.Op == llm.Library {
		return a, c.judgeLibrary()
	}
	if no := c.readBody(); no != nil {
		return nil, no
	}
	if len(c.r.Header["Content-Type"]) > 1 {
		// The first would be judged, and all are forwarded.
		return nil, refuse(llm.MediaType, "Content-Type: send one.")
	}
	c.route.Inlines = c.route.Inlines && c.g.c.Library != nil
	scan, err := llm.Scan(&c.route, c.r.Header.Get("Content-Type"), c.body)
	if err != nil {
		return nil, refusalOf(err)
	}
	c.scan = scan
	c.nativeForm()
	var no *refusal
	switch c.route.Op {
	case llm.Create, llm.CountTokens, llm.Tokenize:
		no = c.judgeModel(a)
	case llm.Get, llm.Delete, llm.Cancel, llm.InputItems:
		no = c.judgeObject(a)
	}
	if no == nil && c.scan.Files > 0 {
		no = c.inlineFiles()
	}
	return a, no
}

// judgeModel resolves the model and checks the key's ACL on what will be
// dispatched, never on the name that was written.
func (c *call) judgeModel(a *admitted) *refusal {
	if no := c.unmeterable(); no != nil {
		return no
	}
	m, alias, ok := a.catalogue.Resolve(c.scan.Model)
	if !ok {
		return c.noModel()
	}
	c.model = m.Name
	if !c.key.AllowsModel(m.Name) {
		return refuse(llm.Denied, llm.ModelDeniedText(c.redacted(), m.Name))
	}
	if no := c.serveable(a, m.Name); no != nil || c.route.Local {
		return no
	}
	pinned, no := c.pinned()
	if no != nil {
		return no
	}
	a.legs = c.plan(a.catalogue, m.Name, a.legs)
	if alias != nil {
		for _, name := range alias.Fallbacks {
			if c.key.AllowsModel(name) && c.serveable(a, name) == nil {
				a.legs = c.plan(a.catalogue, name, a.legs)
			}
		}
	}
	if no := c.settleForm(a.legs); no != nil {
		return no
	}
	if pinned != nil {
		return a.pin(pinned)
	}
	return nil
}

// unmeterable refuses by name what would cost money that nobody could count.
func (c *call) unmeterable() *refusal {
	switch s := &c.scan; {
	case s.Deferred:
		return refuse(llm.Invalid, "deferred: deferred completions cannot be metered here; leave it out.")
	case s.Background:
		return refuse(llm.Invalid, "background: background responses cannot be metered here; leave it out.")
	case s.ItemReference:
		return refuse(llm.Invalid, "input: item references are not accepted, since the owner of an item cannot be checked; send the item or previous_response_id.")
	}
	return nil
}

func (c *call) noModel() *refusal {
	return refuse(llm.Missing, llm.ModelMissingText(c.scan.Model, c.key.TeamID().String()))
}

// serveable says whether a model has a price and an upstream of the family.
func (c *call) serveable(a *admitted, model string) *refusal {
	if asItCame, asBody := c.ways(a.catalogue, model); !c.route.Local && len(asItCame)+len(asBody) == 0 {
		switch {
		case !served(a.catalogue, model):
			return c.noModel()
		case c.bodyFails != nil:
			return refusalOf(c.bodyFails)
		}
		return refuse(llm.Invalid, "No upstream of the model "+model+" speaks "+string(c.route.Family)+" ("+c.route.Path+").")
	}
	if _, ok := a.catalogue.Price(model, c.start); !ok {
		return refuse(llm.Invalid, "The model "+model+" has no price in force, so its use cannot be billed. Please ask the administrator of this gateway to set one.")
	}
	return nil
}

// served says whether any upstream answers for a model at all.
func served(cat *feed.Catalogue, model string) bool {
	speaks := func(f gatehouse.Family) bool { return len(cat.Routes(model, f)) > 0 }
	return slices.ContainsFunc(gatehouse.AllFamilies, speaks) || speaks(gatehouse.FamilyGRPC)
}

// judgeObject finds whose the id in the path is, and sends the request back to
// the upstream that handed it out.
func (c *call) judgeObject(a *admitted) *refusal {
	o, no := c.object(c.route.ObjectID)
	if no != nil {
		return no
	}
	up, ok := a.catalogue.Upstream(o.UpstreamID)
	if !ok {
		return noObject(c.route.ObjectID)
	}
	c.model = o.Model
	if !c.key.AllowsModel(o.Model) {
		return refuse(llm.Denied, llm.ModelDeniedText(c.redacted(), o.Model))
	}
	a.legs = []leg{{model: o.Model, up: up}}
	return nil
}

// pinned finds the upstream that a continued response binds the request to.
func (c *call) pinned() (*meter.Object, *refusal) {
	var found *meter.Object
	for _, id := range []string{c.scan.PreviousResponseID, c.scan.Conversation} {
		if id == "" {
			continue
		}
		o, no := c.object(id)
		if no != nil {
			return nil, no
		}
		found = &o
	}
	return found, nil
}

// pin keeps the legs of the upstream that has the object. There is no other
// that could answer.
func (a *admitted) pin(o *meter.Object) *refusal {
	legs := a.legs[:0]
	for _, l := range a.legs {
		if l.up.ID == o.UpstreamID {
			legs = append(legs, l)
		}
	}
	if a.legs = legs; len(legs) == 0 {
		return refuse(llm.Invalid, "previous_response_id: the upstream that has it does not serve this model.")
	}
	return nil
}

// object finds an id that an upstream handed out to this key's team. Another
// team's and an unknown one are the same: the caller cannot tell which.
func (c *call) object(id string) (meter.Object, *refusal) {
	o, ok := c.g.c.Journal.Object(id)
	if !ok && c.g.c.Lookup != nil {
		var err error
		o, err = c.g.c.Lookup(c.r.Context(), id)
		if ok = err == nil; !ok && !errors.Is(err, gatehouse.NotFound) {
			return o, refuse(llm.NotReady, "This gateway cannot tell whose object this is. Please retry.").wait(time.Second).because(err)
		}
	}
	if !ok || o.TeamID != c.key.TeamID() {
		return meter.Object{}, noObject(id)
	}
	return o, nil
}

func noObject(id string) *refusal {
	return refuse(llm.Missing, "The object "+clip(id)+" does not exist or your team does not have access to it.")
}

// limit takes the request's place in the windows of its key, of its team for
// the model and of the upstream, in all or in none. It comes last, so that a
// request refused for itself uses nothing up. An upstream that is full is
// passed over while there is another.
func (c *call) limit(a *admitted) *refusal {
	r := limit.Request{
		Key: c.key.ID(), Limits: c.key.Limits(), Revision: c.key.Revision(), Reserve: c.key.ReserveTPM() && c.route.Metered,
	}
	if c.route.Metered {
		r.Estimate = c.scan.EstimatePrompt()
	}
	if r.Reserve {
		r.Estimate += min(c.scan.MaxTokens, gatehouse.MaxTPM) * c.scan.N // N ≤ 8192: no overflow
	}
	if l, ok := a.team.ModelLimits[c.model]; ok {
		r.More = []limit.Subject{{ID: limit.TeamModel(a.team.ID, c.model), Limits: l, Revision: a.team.Revision}}
	}
	shared := len(r.More)
	for {
		up := a.upstream()
		if r.More = r.More[:shared]; up != nil && up.Limits != (gatehouse.Limits{}) {
			r.More = append(r.More, limit.Subject{ID: up.ID, Limits: up.Limits, Revision: up.Revision})
		}
		// The time is read now and not when the request came: what counts is how
		// many are let through in a second, however long their bodies took.
		var err error
		if c.verdict, c.ticket, err = c.g.c.Limits.Admit(c.r.Context(), c.now(), r); err != nil {
			return refuse(llm.NotReady, gatehouse.Public(err)).wait(time.Second).because(err)
		}
		if c.verdict.OK {
			a.only(up, c.model)
			return nil
		}
		if c.verdict.Subject <= shared || !a.without(up) {
			return c.limited()
		}
	}
}

// limited words the refusal by the limit that refused.
func (c *call) limited() *refusal {
	v := &c.verdict
	a := v.Requests
	if v.Limit == "tpm" {
		a = v.Tokens
	}
	text := llm.LimitText(c.key.TeamID().String(), c.model, v.Limit, a.Limit-a.Remaining, a.Limit)
	return refuse(llm.Limited, text).wait(max(v.RetryAfter, time.Second))
}

// upstream is the one that would be asked first; nil for routes answered here.
func (a *admitted) upstream() *gatehouse.Upstream {
	if len(a.legs) == 0 {
		return nil
	}
	return a.legs[0].up
}

// only drops the legs to upstreams and models with limits that the request was
// not admitted to: a retry must not pass a limit by.
func (a *admitted) only(up *gatehouse.Upstream, model string) {
	if len(a.legs) < 2 {
		return
	}
	a.legs = slices.DeleteFunc(a.legs, func(l leg) bool {
		_, limited := a.team.ModelLimits[l.model]
		return l.up != up && l.up.Limits != (gatehouse.Limits{}) || limited && l.model != "" && l.model != model
	})
}

// without drops the legs to an upstream and reports whether others are left.
func (a *admitted) without(up *gatehouse.Upstream) bool {
	a.legs = slices.DeleteFunc(a.legs, func(l leg) bool { return l.up == up })
	return len(a.legs) > 0
}

// target refuses what could end a request line early.
func target(s string) bool {
	for i := range len(s) {
		if s[i] <= ' ' || s[i] >= 0x7f {
			return false
		}
	}
	return true
}

// clip keeps an echoed value short.
func clip(s string) string {
	const most = 96
	if len(s) <= most {
		return s
	}
	return s[:most] + "…"
}
