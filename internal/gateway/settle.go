package gateway

import (
	"context"
	"log/slog"
	"time"

	"gatehouse"
	"gatehouse/internal/llm"
	"gatehouse/internal/meter"
)

// settle ends a request, however it ended: the limits learn what was used, the
// record is closed, one line is logged. It runs deferred and takes no context,
// so that no client can keep it from happening.
func (c *call) settle() {
	if c.settled {
		return
	}
	c.settled = true
	defer c.hush(false)
	defer c.dropBody() // also when an observer panics: the budget is everybody's
	now := c.g.c.Now()
	latency := now.Sub(c.start)
	raw, tier := c.count()
	c.ticket.Settle(now.Sub(c.g.epoch), c.usage.Tokens())
	if c.money != nil {
		c.money.Settle(c.cost(tier))
	}
	if c.entry != nil {
		c.closeEntry(now, latency, raw, tier)
	}
	c.report(now, latency)
	c.tell(latency)
	if c.tap != nil {
		c.g.pools.taps.Put(c.tap)
		c.tap = nil
	}
}

// count finds what is to be billed.
func (c *call) count() (raw, tier string) {
	c.finishOutcome()
	if !c.route.Metered || !c.reached || c.route.Op == llm.Library { // what the library did is counted already
		return "", ""
	}
	if c.tap == nil {
		// The client left before the answer came, or something here broke. The
		// upstream may have done the work, so leaving early must not be the way to
		// get it for nothing.
		if c.outcome == gatehouse.ClientGone || c.slug == llm.Broken.Slug() {
			c.usage, c.estimated = meter.Estimate(c.promptTokens(), c.posted), true
		}
		return "", ""
	}
	c.tap.Finish()
	r := c.tap.Result()
	if r.Flawed {
		c.detail = "the upstream's usage contradicts itself"
	}
	switch {
	case r.Seen:
		c.usage, _ = r.Vector(0)
	case c.slug != "" && c.status >= 400:
		// The client got an error instead of the answer, and nothing says that it
		// was billed.
	default:
		c.usage, c.estimated = r.Vector(c.promptTokens())
	}
	return r.Raw, r.ServiceTier
}

func (c *call) finishOutcome() {
	switch {
	case c.gone:
		c.outcome = gatehouse.ClientGone
	case c.outcome == "":
		c.outcome = gatehouse.Failed
	}
}

// promptTokens counts the prompt for an estimate: with the tokenizer, since an
// estimate is billed.
func (c *call) promptTokens() int64 {
	if n := c.g.c.Tokenizer.CountPrompt(c.body); n > 0 {
		return n
	}
	return c.scan.EstimatePrompt()
}

func (c *call) closeEntry(now time.Time, latency time.Duration, raw, tier string) {
	if !c.reached {
		if err := c.entry.Void(); err != nil {
			c.g.c.Logger.Error("usage record not taken back", "request_id", c.requestID, "error", err)
		}
		return
	}
	err := c.entry.Close(meter.CloseRecord{
		Close: now, Attempts: c.attempts, Status: c.status, Outcome: c.outcome, Usage: c.usage, Estimated: c.estimated,
		ServiceTier: tier, FirstByte: c.firstByte, Latency: latency, UpstreamUsage: raw,
	})
	if err != nil {
		c.g.c.Logger.Error("usage record not written yet", "request_id", c.requestID, "error", err)
	}
}

// report writes the metrics and the one log event of a request. It names no
// header but User-Agent, and never a body or a credential.
func (c *call) report(now time.Time, latency time.Duration) {
	path := c.route.Path
	if path == "" {
		path = "unknown"
	}
	c.g.metrics.leave(path, c.status, c.slug, latency, c.firstByte, c.usage.Prompt(), c.usage.Completion())
	log, level := c.g.c.Logger, slog.LevelInfo
	if c.slug == llm.Broken.Slug() {
		level = slog.LevelError
	}
	ctx := context.Background()
	if !log.Enabled(ctx, level) {
		return
	}
	attrs := make([]slog.Attr, 0, 24)
	attrs = append(attrs, slog.String("request_id", c.requestID), slog.String("method", clip(c.r.Method)), slog.String("route", path),
		slog.Int("status", c.status), slog.Int64("latency_us", latency.Microseconds()), slog.String("client_ip", c.ip()))
	if c.known {
		attrs = append(attrs, slog.String("team_id", c.key.TeamID().String()), slog.String("api_key_id", c.key.ID().String()))
	}
	if c.slug != "" {
		attrs = append(attrs, slog.String("error", c.slug))
	}
	if c.detail != "" {
		attrs = append(attrs, slog.String("detail", c.detail))
	}
	if c.model != "" {
		attrs = append(attrs, slog.String("model", c.model))
	}
	if c.attempts > 0 {
		attrs = append(attrs, slog.String("record_id", c.id.String()), slog.String("upstream", c.upstream), slog.Int("attempts", c.attempts),
			slog.String("outcome", string(c.outcome)), slog.Int64("first_byte_us", c.firstByte.Microseconds()),
			slog.Int64("admitted_us", c.admittedAfter().Microseconds()),
			slog.Int64("prompt_tokens", c.usage.Prompt()), slog.Int64("completion_tokens", c.usage.Completion()),
			slog.Bool("estimated", c.estimated))
	}
	if ua := c.r.Header["User-Agent"]; len(ua) > 0 {
		attrs = append(attrs, slog.String("user_agent", clip(ua[0])))
	}
	log.LogAttrs(ctx, level, "request", attrs...)
}

// admittedAfter is how long the decision took: the body's arrival and, where a
// share was asked for, the authority's answer. Zero without a limit.
func (c *call) admittedAfter() time.Duration {
	if c.verdict.At == 0 {
		return 0
	}
	return c.verdict.At - c.start.Sub(c.g.epoch)
}

func (c *call) ip() string {
	if c.clientIP == "" {
		c.clientIP = c.g.clientAddr(c.r).String()
	}
	return c.clientIP
}
