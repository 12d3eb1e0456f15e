package llm

import (
	"gatehouse"
)

// counts is a provider's usage object, flattened, in its own terms: parts may
// lie inside others. The names of both OpenAI dialects share a field.
type counts struct {
	prompt, completion, total            int64 // prompt_tokens or input_tokens, …
	cached, promptImage, promptAudio     int64 // inside prompt
	reasoning, completionAudio           int64 // inside completion, except xAI's reasoning
	cacheRead, cacheWrite, write5m, wr1h int64 // Anthropic: beside input_tokens
	searches, sources, tools, toolCalls  int64
	seconds                              int64
	hasTotal, hasSplit, detailed, typed  bool
	any, flawed                          bool
}

// Convert turns a provider's usage object into the disjoint vector. ok is false
// when raw holds no usage; flawed says that its numbers contradict each other.
// A record keeps raw as its UpstreamUsage, so that a mistake made here can be
// found and put right.
func Convert(kind gatehouse.UpstreamKind, family gatehouse.Family, raw []byte) (u gatehouse.Usage, flawed, ok bool) {
	var c counts
	c.read(raw)
	switch {
	case !c.any:
		return u, c.flawed, false
	case family == gatehouse.FamilyMessages:
		c.anthropic(&u)
	default:
		c.openAI(&u, kind, family)
	}
	c.shared(&u)
	return u, c.flawed, true
}

// read parses one usage object, or several one after another as a stream of
// Anthropic's reports them: its counters only grow, so the greatest holds.
func (c *counts) read(raw []byte) {
	s := scanner{b: raw}
	for s.space() == '{' && c.object(&s, nil) {
	}
}

// object reads an object in place, once; in is its name, nil for the outermost.
func (c *counts) object(s *scanner, in []byte) bool {
	s.i++
	for more := !s.closed('}'); more; {
		name, _, ok := s.name()
		if !ok {
			return false
		}
		first, start := s.space(), s.i
		if first == '{' && in == nil {
			ok = c.object(s, name)
		} else {
			ok = s.value(3)
		}
		if !ok {
			return false
		}
		if first != '{' {
			c.member(in, name, s.b[start:s.i])
		}
		if more, ok = s.next('}'); !ok {
			return false
		}
	}
	return true
}

// member takes a counter, by the object that it stands in.
func (c *counts) member(in, name, v []byte) {
	switch string(in) {
	case "":
		c.top(name, v)
	case "prompt_tokens_details", "input_tokens_details", "input_token_details":
		c.promptDetail(name, v)
	case "completion_tokens_details", "output_tokens_details", "output_token_details":
		c.completionDetail(name, v)
	case "cache_creation", "server_tool_use":
		c.anthropicDetail(name, v)
	case "server_side_tool_usage_details", "server_side_tool_usage":
		var n int64
		if c.put(&n, v) {
			c.toolCalls = min(c.toolCalls+n, maxCount)
		}
	}
}

// top takes a counter of the usage object itself.
func (c *counts) top(name, v []byte) {
	switch string(name) {
	case "type":
		c.typed = true
	case "prompt_tokens", "input_tokens":
		c.put(&c.prompt, v)
	case "completion_tokens", "output_tokens":
		c.put(&c.completion, v)
	case "total_tokens":
		c.hasTotal = c.put(&c.total, v) || c.hasTotal
	case "cache_read_input_tokens":
		c.put(&c.cacheRead, v)
	case "cache_creation_input_tokens":
		c.put(&c.cacheWrite, v)
	case "num_sources_used":
		c.put(&c.sources, v)
	case "num_server_side_tools_used":
		c.put(&c.tools, v)
	case "seconds":
		c.put(&c.seconds, v)
	}
}

func (c *counts) promptDetail(name, v []byte) {
	c.detailed = true
	switch string(name) {
	case "cached_tokens":
		c.put(&c.cached, v)
	case "image_tokens":
		c.put(&c.promptImage, v)
	case "audio_tokens":
		c.put(&c.promptAudio, v)
	}
}

func (c *counts) completionDetail(name, v []byte) {
	switch string(name) {
	case "reasoning_tokens":
		c.put(&c.reasoning, v)
	case "audio_tokens":
		c.put(&c.completionAudio, v)
	}
}

func (c *counts) anthropicDetail(name, v []byte) {
	switch string(name) {
	case "ephemeral_5m_input_tokens":
		c.hasSplit = c.put(&c.write5m, v) || c.hasSplit
	case "ephemeral_1h_input_tokens":
		c.hasSplit = c.put(&c.wr1h, v) || c.hasSplit
	case "web_search_requests":
		c.put(&c.searches, v)
	}
}

// put keeps the greater of what was there and v, and reports whether v is a
// number at all.
func (c *counts) put(to *int64, v []byte) bool {
	n, flawed, ok := count(v)
	c.flawed = c.flawed || flawed
	if !ok {
		return false
	}
	c.any = true
	*to = max(*to, n)
	return true
}

// carve takes part out of *whole, as far as it is there: parts that overlap
// must not make the remainder negative.
func carve(whole *int64, part int64) int64 {
	part = min(part, *whole)
	*whole -= part
	return part
}

// openAI converts the dialects in which details lie inside the counters.
func (c *counts) openAI(u *gatehouse.Usage, kind gatehouse.UpstreamKind, family gatehouse.Family) {
	c.settle(kind, family)
	rest := c.prompt
	u[gatehouse.CacheRead] = carve(&rest, c.cached)
	u[gatehouse.PromptAudio] = carve(&rest, c.promptAudio)
	u[gatehouse.PromptImage] = carve(&rest, c.promptImage)
	u[gatehouse.PromptText] = rest
	rest = c.completion
	u[gatehouse.Reasoning] = carve(&rest, c.reasoning)
	u[gatehouse.CompletionAudio] = carve(&rest, c.completionAudio)
	if family == gatehouse.FamilyAudio && !c.typed && !c.detailed {
		// Speech: what comes out is sound. Transcriptions carry a type or details.
		u[gatehouse.CompletionAudio], rest = u[gatehouse.CompletionAudio]+rest, 0
	}
	u[gatehouse.CompletionText] = rest
}

// settle brings every part inside its whole. xAI's chat counts reasoning beside
// completion_tokens, everyone else inside; the provider's own total decides
// where it speaks, so that an upstream of the wrong kind is still billed right.
func (c *counts) settle(kind gatehouse.UpstreamKind, family gatehouse.Family) {
	cachedIn, cachedOut := c.prompt, c.prompt+c.cached
	inside, outside := c.completion, c.completion+c.reasoning
	is := func(prompt, completion int64) bool { return c.hasTotal && c.total == prompt+completion }
	switch {
	case is(cachedIn, inside) && c.reasoning <= inside && c.cached <= cachedIn:
	case is(cachedIn, outside) && c.cached <= cachedIn:
		c.completion = outside
	case c.cached > c.prompt && is(cachedOut, inside):
		c.prompt = cachedOut
	case c.cached > c.prompt && is(cachedOut, outside):
		c.prompt, c.completion = cachedOut, outside
	default:
		c.guess(kind, family)
	}
	if c.cached > c.prompt || c.completionAudio > c.completion || c.promptAudio > c.prompt || c.promptImage > c.prompt {
		c.flawed = true
	}
}

// guess decides without a total that fits.
func (c *counts) guess(kind gatehouse.UpstreamKind, family gatehouse.Family) {
	if c.reasoning > c.completion || kind == gatehouse.XAI && family == gatehouse.FamilyChat {
		c.completion += c.reasoning
	}
	// A total that no reading explains is the provider's contradiction. Duration
	// answers and xAI's pictures have no token counts to compare with.
	c.flawed = c.flawed || c.hasTotal && c.total != c.prompt+c.completion
}

// anthropic converts counters that are disjoint already, except for the split
// of cache writes by lifetime.
func (c *counts) anthropic(u *gatehouse.Usage) {
	u[gatehouse.PromptText] = c.prompt
	u[gatehouse.CacheRead] = c.cacheRead
	u[gatehouse.CompletionText] = c.completion
	u[gatehouse.Reasoning] = carve(&u[gatehouse.CompletionText], c.reasoning)
	writes := max(c.cacheWrite, c.write5m+c.wr1h)
	c.flawed = c.flawed || c.hasSplit && writes != c.write5m+c.wr1h || writes > c.cacheWrite
	u[gatehouse.CacheWrite1h] = carve(&writes, c.wr1h)
	u[gatehouse.CacheWrite5m] = writes
	u[gatehouse.Searches] = c.searches
}

// shared converts what means the same everywhere.
func (c *counts) shared(u *gatehouse.Usage) {
	u[gatehouse.Searches] = max(u[gatehouse.Searches], c.sources)
	u[gatehouse.ServerTools] = c.toolCalls
	if c.toolCalls == 0 {
		u[gatehouse.ServerTools] = c.tools
	}
	u[gatehouse.Seconds] = c.seconds
}

// tierWithin reads the service tier that Anthropic puts into its usage.
func tierWithin(usage []byte) string {
	w := walk(usage)
	for name, v := w.next(); name != nil; name, v = w.next() {
		if string(name) == "service_tier" {
			return tierText(v)
		}
	}
	return ""
}
