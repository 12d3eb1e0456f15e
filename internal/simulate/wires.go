package simulate

import (
	"encoding/json"
	"strings"

	"gatehouse"
)

const created = 1700000000

// arguments is what every simulated tool call passes.
const arguments = `{"city":"Paris"}`

func data(v any) string {
	b, _ := json.Marshal(v)
	return "data: " + string(b) + "\n\n"
}

func event(name string, v obj) string {
	v["type"] = name
	return "event: " + name + "\n" + data(v)
}

func (c *call) text() string { return strings.TrimSpace(strings.Join(c.words, "")) }

// usage is the OpenAI-shaped usage object in the habits of the upstream's kind:
// xAI counts reasoning beside the completion, OpenAI inside it.
func (c *call) usage(prompt, completion string) obj {
	e := c.entry
	done := e.Completion
	if c.u.opt.Kind != gatehouse.XAI {
		done += e.Reasoning
	}
	return obj{
		prompt: e.Prompt, completion: done, "total_tokens": e.Prompt + e.Completion + e.Reasoning,
		prompt + "_details":     obj{"cached_tokens": e.Cached},
		completion + "_details": obj{"reasoning_tokens": e.Reasoning},
	}
}

type chatWire struct{}

func (chatWire) frame(c *call, delta obj, finish any) obj {
	return obj{
		"id": "chatcmpl-" + c.id, "object": "chat.completion.chunk", "created": created, "model": c.entry.Model,
		"choices": []any{obj{"index": 0, "delta": delta, "finish_reason": finish}},
	}
}

func (chatWire) finish(c *call) string {
	if c.tool != "" {
		return "tool_calls"
	}
	return "stop"
}

func (c *call) toolCalls(index bool) []any {
	t := obj{"id": "call_" + c.id, "type": "function", "function": obj{"name": c.tool, "arguments": arguments}}
	if index {
		t["index"] = 0
	}
	return []any{t}
}

func (w chatWire) whole(c *call) any {
	msg := obj{"role": "assistant", "content": c.text(), "refusal": nil}
	if c.tool != "" {
		msg["content"], msg["tool_calls"] = nil, c.toolCalls(false)
	}
	out := obj{
		"id": "chatcmpl-" + c.id, "object": "chat.completion", "created": created, "model": c.entry.Model,
		"choices":            []any{obj{"index": 0, "message": msg, "finish_reason": w.finish(c), "logprobs": nil}},
		"system_fingerprint": "fp_simulate",
	}
	if !c.knobs.NoUsage {
		out["usage"] = c.usage("prompt_tokens", "completion_tokens")
	}
	return out
}

func (w chatWire) open(c *call) []string {
	return []string{data(w.frame(c, obj{"role": "assistant", "content": ""}, nil))}
}

func (w chatWire) chunk(c *call, i int) string {
	switch {
	case c.tool != "" && i == 0:
		return data(w.frame(c, obj{"tool_calls": c.toolCalls(true)}, nil))
	case c.tool != "" || i >= len(c.words):
		return ": keep-alive\n\n"
	}
	return data(w.frame(c, obj{"content": c.words[i]}, nil))
}

func (w chatWire) close(c *call) []string {
	frames := []string{data(w.frame(c, obj{}, w.finish(c)))}
	if (c.askedUsage || c.u.opt.Kind == gatehouse.XAI) && !c.knobs.NoUsage {
		last := w.frame(c, nil, nil)
		last["choices"], last["usage"] = []any{}, c.usage("prompt_tokens", "completion_tokens")
		frames = append(frames, data(last))
	}
	return append(frames, "data: [DONE]\n\n")
}

type completionsWire struct{}

func (completionsWire) frame(c *call, text string, finish any) obj {
	return obj{
		"id": "cmpl-" + c.id, "object": "text_completion", "created": created, "model": c.entry.Model,
		"choices": []any{obj{"index": 0, "text": text, "finish_reason": finish, "logprobs": nil}},
	}
}

func (w completionsWire) whole(c *call) any {
	out := w.frame(c, c.text(), "stop")
	if !c.knobs.NoUsage {
		out["usage"] = c.usage("prompt_tokens", "completion_tokens")
	}
	return out
}

func (completionsWire) open(*call) []string { return nil }

func (w completionsWire) chunk(c *call, i int) string {
	if i >= len(c.words) {
		return ": keep-alive\n\n"
	}
	return data(w.frame(c, c.words[i], nil))
}

func (w completionsWire) close(c *call) []string {
	frames := []string{data(w.frame(c, "", "stop"))}
	if c.askedUsage && !c.knobs.NoUsage {
		last := w.frame(c, "", nil)
		last["choices"], last["usage"] = []any{}, c.usage("prompt_tokens", "completion_tokens")
		frames = append(frames, data(last))
	}
	return append(frames, "data: [DONE]\n\n")
}

type messagesWire struct{}

// messageUsage follows Anthropic: input excludes what the cache served, and
// output includes thinking.
func (c *call) messageUsage(output int64) obj {
	return obj{
		"input_tokens": c.entry.Prompt - c.entry.Cached, "cache_read_input_tokens": c.entry.Cached,
		"cache_creation_input_tokens": 0, "output_tokens": output,
	}
}

func (messagesWire) stop(c *call) string {
	if c.tool != "" {
		return "tool_use"
	}
	return "end_turn"
}

func (c *call) message(content []any, stop any, usage obj) obj {
	m := obj{
		"id": "msg_" + c.id, "type": "message", "role": "assistant", "model": c.entry.Model,
		"content": content, "stop_reason": stop, "stop_sequence": nil,
	}
	if !c.knobs.NoUsage {
		m["usage"] = usage
	}
	return m
}

func (w messagesWire) whole(c *call) any {
	block := obj{"type": "text", "text": c.text()}
	if c.tool != "" {
		block = obj{"type": "tool_use", "id": "toolu_" + c.id, "name": c.tool, "input": json.RawMessage(arguments)}
	}
	return c.message([]any{block}, w.stop(c), c.messageUsage(c.entry.Completion+c.entry.Reasoning))
}

func (messagesWire) open(c *call) []string {
	block := obj{"type": "text", "text": ""}
	if c.tool != "" {
		block = obj{"type": "tool_use", "id": "toolu_" + c.id, "name": c.tool, "input": obj{}}
	}
	return []string{
		event("message_start", obj{"message": c.message([]any{}, nil, c.messageUsage(1))}),
		event("content_block_start", obj{"index": 0, "content_block": block}),
		event("ping", obj{}),
	}
}

func (messagesWire) chunk(c *call, i int) string {
	delta := obj{"type": "text_delta", "text": ""}
	switch {
	case c.tool != "" && i == 0:
		delta = obj{"type": "input_json_delta", "partial_json": arguments}
	case c.tool != "":
		return event("ping", obj{})
	case i < len(c.words):
		delta["text"] = c.words[i]
	}
	return event("content_block_delta", obj{"index": 0, "delta": delta})
}

func (w messagesWire) close(c *call) []string {
	end := obj{"delta": obj{"stop_reason": w.stop(c), "stop_sequence": nil}}
	if !c.knobs.NoUsage {
		end["usage"] = obj{"output_tokens": c.entry.Completion + c.entry.Reasoning}
	}
	return []string{
		event("content_block_stop", obj{"index": 0}),
		event("message_delta", end),
		event("message_stop", obj{}),
	}
}

type responsesWire struct{}

func (c *call) response(status string, output []any, usage any) obj {
	return obj{
		"id": "resp_" + c.id, "object": "response", "created_at": created, "status": status, "model": c.entry.Model,
		"output": output, "usage": usage, "error": nil, "incomplete_details": nil, "instructions": c.body["instructions"],
		"max_output_tokens": nil, "parallel_tool_calls": true, "previous_response_id": c.body["previous_response_id"],
		"reasoning": obj{"effort": nil, "summary": nil}, "store": true, "temperature": 1, "text": obj{"format": obj{"type": "text"}},
		"tool_choice": "auto", "tools": []any{}, "top_p": 1, "truncation": "disabled", "metadata": obj{},
	}
}

func (c *call) outputItem(text, status string) obj {
	if c.tool != "" {
		return obj{"type": "function_call", "id": "fc_" + c.id, "call_id": "call_" + c.id, "name": c.tool, "arguments": arguments, "status": status}
	}
	content := []any{}
	if text != "" {
		content = append(content, obj{"type": "output_text", "text": text, "annotations": []any{}})
	}
	return obj{"type": "message", "id": "msg_" + c.id, "role": "assistant", "status": status, "content": content}
}

func (c *call) finished() obj {
	var usage any
	if !c.knobs.NoUsage {
		usage = c.usage("input_tokens", "output_tokens")
	}
	done := c.response("completed", []any{c.outputItem(c.text(), "completed")}, usage)
	c.u.store(c, done)
	return done
}

func (responsesWire) whole(c *call) any { return c.finished() }

func (responsesWire) open(c *call) []string {
	frames := []string{
		event("response.created", obj{"sequence_number": 0, "response": c.response("in_progress", []any{}, nil)}),
		event("response.in_progress", obj{"sequence_number": 1, "response": c.response("in_progress", []any{}, nil)}),
		event("response.output_item.added", obj{"sequence_number": 2, "output_index": 0, "item": c.outputItem("", "in_progress")}),
	}
	if c.tool == "" {
		frames = append(frames, event("response.content_part.added", obj{"sequence_number": 3, "item_id": "msg_" + c.id, "output_index": 0,
			"content_index": 0, "part": obj{"type": "output_text", "text": "", "annotations": []any{}}}))
	}
	return frames
}

func (responsesWire) chunk(c *call, i int) string {
	switch {
	case c.tool != "" && i == 0:
		return event("response.function_call_arguments.delta", obj{"sequence_number": 4, "item_id": "fc_" + c.id, "output_index": 0, "delta": arguments})
	case c.tool != "" || i >= len(c.words):
		return ": keep-alive\n\n"
	}
	return event("response.output_text.delta", obj{"sequence_number": 4 + i, "item_id": "msg_" + c.id, "output_index": 0,
		"content_index": 0, "delta": c.words[i], "logprobs": []any{}})
}

func (responsesWire) close(c *call) []string {
	n := 4 + len(c.words)
	var frames []string
	if c.tool == "" {
		frames = append(frames, event("response.output_text.done", obj{"sequence_number": n, "item_id": "msg_" + c.id, "output_index": 0,
			"content_index": 0, "text": c.text(), "logprobs": []any{}}))
	} else {
		frames = append(frames, event("response.function_call_arguments.done", obj{"sequence_number": n, "item_id": "fc_" + c.id,
			"output_index": 0, "arguments": arguments, "name": c.tool}))
	}
	return append(frames,
		event("response.output_item.done", obj{"sequence_number": n + 1, "output_index": 0, "item": c.outputItem(c.text(), "completed")}),
		event("response.completed", obj{"sequence_number": n + 2, "response": c.finished()}),
		"data: [DONE]\n\n",
	)
}
