package gateway

import (
	"encoding/hex"
	"errors"
	"io"
	"net/http"
	"strconv"
	"strings"
	"time"

	"gatehouse"
	"gatehouse/internal/llm"
	"gatehouse/internal/meter"
)

// forward sends what was admitted and passes the answer on. Attempts go on
// along the legs as long as the client has been told nothing and the upstream
// cannot have done the work.
func (c *call) forward(a *admitted) *refusal {
	if c.left() {
		return nil
	}
	if no := c.begin(a.legs[0]); no != nil {
		return no
	}
	if c.g.c.OnSettled != nil {
		c.sent = c.g.c.Now().Sub(c.start)
	}
	x := &c.exchange
	drain := c.g.c.DrainTime
	if !c.route.Metered {
		drain = 0 // nothing at its end that anybody needs
	}
	c.g.leavers.add(x, c.r.Context(), c.wire, drain)
	defer c.g.leavers.remove(x)
	c.g.spares.earn()
	var no *refusal
	for i, l := range a.legs {
		if i > 0 {
			if c.left() || !c.g.spares.spend() {
				break
			}
			c.retarget(l)
		}
		var again bool
		if no, again = c.attempt(x, l); !again {
			break
		}
	}
	if c.status == 0 {
		c.left()
	}
	return no
}

// begin writes the open record, before the first byte of the request leaves.
func (c *call) begin(l leg) *refusal {
	c.upstream, c.asked, c.model = l.up.Name, l.up, l.model
	if !c.route.Metered {
		return nil
	}
	open := meter.OpenRecord{
		ID: c.id, Start: c.start, TeamID: c.key.TeamID(), KeyID: c.key.ID(), UserID: c.key.OwnerID(), Tags: c.key.Tags(),
		EndUser: c.scan.User, Model: l.model, Endpoint: c.route.Path, Cluster: c.g.c.Cluster, ClientIP: c.clientIP,
		RequestID: c.requestID, Upstream: l.up.Name, UpstreamID: l.up.ID, PromptEstimate: c.scan.EstimatePrompt(),
	}
	if c.scan.Model != l.model {
		open.Asked = c.scan.Model
	}
	entry, err := c.g.c.Journal.Begin(open)
	if err != nil {
		return refuse(llm.NotReady, "Usage cannot be recorded at the moment, so nothing was sent. Please retry.").wait(time.Second).because(err)
	}
	c.entry = entry
	return nil
}

func (c *call) retarget(l leg) {
	c.upstream, c.asked, c.model = l.up.Name, l.up, l.model
	if c.entry != nil {
		c.entry.Retarget(l.up.ID, l.up.Name, l.model)
	}
}

// attempt sends to one upstream. again says that another may be asked.
func (c *call) attempt(x *exchange, l leg) (no *refusal, again bool) {
	c.attempts++
	link, err := c.g.links.get(l.up)
	if err != nil {
		return refuse(llm.UpstreamFailed, "The upstream provider is not configured in a way that can be used.").because(err), true
	}
	h := c.g.pools.headers.Get().(http.Header)
	o := order{method: c.r.Method, suffix: c.route.Suffix, query: c.r.URL.RawQuery, header: h}
	c.headerFor(h, link)
	gone := c.sendOn(x, link, &o, l)
	clear(h)
	c.g.pools.headers.Put(h)
	if gone != nil {
		c.g.metrics.attempt(l.up.Name, "lost")
		return c.lostOn(l, gone)
	}
	defer x.release()
	c.reached = true
	c.g.metrics.attempt(l.up.Name, class(x.status))
	return c.judgeAnswer(x, l)
}

// sendOn sends the request in the form of a leg.
func (c *call) sendOn(x *exchange, link *link, o *order, l leg) *lost {
	if l.native {
		return x.sendNative(link, o, c.native, l.as)
	}
	o.body = c.body
	if c.route.Op == llm.Create || c.route.Op == llm.CountTokens {
		o.body = c.scan.Rewrite(c.body, l.as, l.up.AskUsage)
	}
	return x.send(link, o)
}

// headerFor makes the header of the request to an upstream: the client's by an
// allow-list, then what is ours.
func (c *call) headerFor(h http.Header, l *link) {
	llm.ForwardRequest(h, c.r.Header)
	h["X-Request-Id"] = c.ids[:]
	c.trace(h)
	c.scopeIdempotency(h)
	l.authorize(h, c.route.Family)
}

// scopeIdempotency makes an Idempotency-Key the team's own. Teams share the
// provider's account, and whoever guessed another's key would be answered with
// the other's answer.
func (c *call) scopeIdempotency(h http.Header) {
	const name = "Idempotency-Key"
	if v := h[name]; v != nil {
		d := gatehouse.DigestOf(c.key.TeamID().String() + "\x00" + strings.Join(v, ","))
		h[name] = []string{hex.EncodeToString(d[:])}
	}
}

// lostOn classifies an attempt without an answer. Only one that cannot have
// reached the upstream may be tried elsewhere: the other may be working.
func (c *call) lostOn(l leg, gone *lost) (no *refusal, again bool) {
	c.outcome = gatehouse.UpstreamLost
	if gone.reached {
		c.reached = true
	} else {
		c.g.cooling.note(cold{upstream: l.up.ID}, time.Now(), minCooldown)
	}
	if gone.timeout {
		return refuse(llm.UpstreamTimeout, "The upstream provider did not answer in time.").because(gone), !gone.reached
	}
	return refuse(llm.UpstreamFailed, "The upstream provider could not be reached or broke off.").because(gone), !gone.reached
}

// judgeAnswer decides by the status what becomes of an answer.
func (c *call) judgeAnswer(x *exchange, l leg) (no *refusal, again bool) {
	c.outcome = gatehouse.Failed
	after := retryAfter(x.header)
	switch s := x.status; {
	case s == http.StatusUnauthorized || s == http.StatusForbidden || s == http.StatusProxyAuthRequired:
		no = refuse(llm.UpstreamCredential, "The upstream provider did not accept this gateway's credential.")
		after = 30 * time.Second
	case s == http.StatusTooManyRequests:
		no = refuse(llm.UpstreamExhausted, "The upstream provider's rate limit is exhausted.").wait(max(after, time.Second))
	case s >= 500:
		no = refuse(llm.UpstreamFailed, "The upstream provider answered with status "+strconv.Itoa(s)+".").wait(after)
	case s >= 300 && s < 400:
		c.outcome = gatehouse.UpstreamLost
		return refuse(llm.UpstreamFailed, "The upstream provider answered with a redirect, which is not followed."), false
	case s >= 400:
		return c.relay(x), false
	default:
		c.outcome = gatehouse.Completed
		return c.relay(x), false
	}
	c.g.cooling.note(cold{l.up.ID, l.as, l.native}, time.Now(), after)
	no.because(errors.New("upstream " + l.up.Name + ": status " + strconv.Itoa(x.status)))
	discard(x)
	return no, true
}

// discard reads a short answer to its end, so that its connection can be used
// again. The client waits meanwhile, so it takes no longer than a connection
// is worth.
func discard(x *exchange) {
	const most = 64 << 10
	if x.length <= most {
		x.hurry(discardTime)
		_, _ = io.CopyN(io.Discard, x, most)
	}
}

const discardTime = 250 * time.Millisecond

// retryAfter reads seconds or a date; 0 when there is none that makes sense.
func retryAfter(h http.Header) time.Duration {
	v := strings.TrimSpace(h.Get("Retry-After"))
	if v == "" {
		return 0 // of nearly all answers: parsing nothing would make two errors
	}
	if n, err := strconv.ParseFloat(v, 64); err == nil && n > 0 && n < 1e6 {
		return time.Duration(n * float64(time.Second))
	}
	if t, err := http.ParseTime(v); err == nil {
		return max(0, min(time.Until(t), 24*time.Hour))
	}
	return 0
}

func class(status int) string {
	return [...]string{"other", "1xx", "2xx", "3xx", "4xx", "5xx"}[max(0, min(status/100, 9))%6]
}
