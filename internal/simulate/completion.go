package simulate

import (
	"context"
	"fmt"
	"time"

	"connectrpc.com/connect"
	"google.golang.org/protobuf/types/known/timestamppb"

	"gatehouse/gen/xai"
)

// completion serves xai_api.Chat/GetCompletion.
func (u *Upstream) completion(ctx context.Context, req *connect.Request[xai.GetCompletionsRequest], out *connect.ServerStream[xai.GetChatCompletionResponse]) error {
	n, err := u.newNative(ctx, req.Msg, false)
	if err != nil {
		return err
	}
	defer func() { u.record(n.entry) }()
	if err := n.misbehave(ctx); err != nil {
		return err
	}
	if err := wait(ctx, n.knobs.Delay*time.Duration(len(n.words))); err != nil {
		return err
	}
	switch {
	case n.knobs.Garbage:
		return out.Send(garble(&xai.GetChatCompletionResponse{}))
	case n.knobs.Lie:
		n.breakOff(n.answer())
	}
	err = out.Send(n.answer())
	n.entry.Finished = err == nil && ctx.Err() == nil
	return err
}

// completionChunk serves xai_api.Chat/GetCompletionChunk.
func (u *Upstream) completionChunk(ctx context.Context, req *connect.Request[xai.GetCompletionsRequest], out *connect.ServerStream[xai.GetChatCompletionChunk]) error {
	n, err := u.newNative(ctx, req.Msg, true)
	if err != nil {
		return err
	}
	defer func() { u.record(n.entry) }()
	if err := n.misbehave(ctx); err != nil {
		return err
	}
	if n.knobs.Garbage {
		return out.Send(garble(&xai.GetChatCompletionChunk{}))
	}
	if err := n.deltas(ctx, out); err != nil {
		return err
	}
	err = out.Send(n.last())
	n.entry.Finished = err == nil && ctx.Err() == nil
	return err
}

// deltas sends all but the last chunk, and plays the faults in between.
func (n *nativeCall) deltas(ctx context.Context, out *connect.ServerStream[xai.GetChatCompletionChunk]) error {
	if err := out.Send(n.chunk(&xai.Delta{})); err != nil {
		return err
	}
	for i := range max(len(n.words), 1) {
		if err := wait(ctx, n.knobs.Delay); err != nil {
			return err
		}
		switch i {
		case n.knobs.Cut:
			n.breakOff(n.chunk(n.delta(i)))
		case n.knobs.Stall:
			<-ctx.Done()
			return ctx.Err()
		case n.knobs.Break:
			return connect.NewError(connect.CodeUnavailable, fmt.Errorf("simulated end after %d chunks", i))
		}
		if err := out.Send(n.chunk(n.delta(i))); err != nil {
			return err
		}
	}
	return nil
}

// delta is what chunk i adds: a word, or the tool call and then nothing.
func (n *nativeCall) delta(i int) *xai.Delta {
	switch {
	case n.tool != "" && i == 0:
		return &xai.Delta{ToolCalls: n.nativeTools()}
	case n.tool != "" || i >= len(n.words):
		return &xai.Delta{}
	}
	return &xai.Delta{Content: n.words[i]}
}

func (n *nativeCall) chunk(d *xai.Delta) *xai.GetChatCompletionChunk {
	d.Role = xai.MessageRole_ROLE_ASSISTANT
	return &xai.GetChatCompletionChunk{
		Id: n.id, Model: n.entry.Model, Created: timestamppb.New(time.Unix(created, 0)), SystemFingerprint: "fp_simulate",
		Outputs: []*xai.CompletionOutputChunk{{Delta: d}}, ServiceTier: n.in.ServiceTier,
	}
}

func (n *nativeCall) last() *xai.GetChatCompletionChunk {
	c := n.chunk(&xai.Delta{})
	c.Outputs[0].FinishReason, c.Usage, c.Citations = n.finish(), n.sampling(), n.citations()
	return c
}

func (n *nativeCall) answer() *xai.GetChatCompletionResponse {
	m := &xai.CompletionMessage{Role: xai.MessageRole_ROLE_ASSISTANT, Content: n.text()}
	if n.tool != "" {
		m.Content, m.ToolCalls = "", n.nativeTools()
	}
	return &xai.GetChatCompletionResponse{
		Id: n.id, Model: n.entry.Model, Created: timestamppb.New(time.Unix(created, 0)), SystemFingerprint: "fp_simulate",
		Outputs: []*xai.CompletionOutput{{FinishReason: n.finish(), Message: m}},
		Usage:   n.sampling(), Citations: n.citations(), Settings: n.settings(), ServiceTier: n.in.ServiceTier,
	}
}

func (n *nativeCall) finish() xai.FinishReason {
	if n.tool != "" {
		return xai.FinishReason_REASON_TOOL_CALLS
	}
	return xai.FinishReason_REASON_STOP
}

func (n *nativeCall) nativeTools() []*xai.ToolCall {
	return []*xai.ToolCall{{
		Id: "call_" + n.id, Type: xai.ToolCallType_TOOL_CALL_TYPE_CLIENT_SIDE_TOOL,
		Tool: &xai.ToolCall_Function{Function: &xai.FunctionCall{Name: n.tool, Arguments: arguments}},
	}}
}

// sampling is the entry in xAI's terms: reasoning beside the completion.
func (n *nativeCall) sampling() *xai.SamplingUsage {
	if n.knobs.NoUsage {
		return nil
	}
	e := n.entry
	return &xai.SamplingUsage{
		PromptTokens: int32(e.Prompt), PromptTextTokens: int32(e.Prompt), CachedPromptTextTokens: int32(e.Cached),
		CompletionTokens: int32(e.Completion), ReasoningTokens: int32(e.Reasoning), TotalTokens: int32(e.Prompt + e.Completion + e.Reasoning),
		NumSourcesUsed: int32(e.Sources), ServerSideToolsUsed: n.used,
	}
}

func (n *nativeCall) citations() []string {
	out := make([]string, n.entry.Sources)
	for i := range out {
		out[i] = fmt.Sprintf("https://example.com/%d", i+1)
	}
	return out
}

// settings repeats what was asked for. Tools run side by side unless the request
// says otherwise.
func (n *nativeCall) settings() *xai.RequestSettings {
	in := n.in
	return &xai.RequestSettings{
		MaxTokens: in.MaxTokens, ParallelToolCalls: in.ParallelToolCalls == nil || *in.ParallelToolCalls, PreviousResponseId: in.PreviousResponseId,
		ReasoningEffort: in.ReasoningEffort, Temperature: in.Temperature, ResponseFormat: in.ResponseFormat, ToolChoice: in.ToolChoice,
		Tools: in.Tools, TopP: in.TopP, User: in.User, SearchParameters: in.SearchParameters, StoreMessages: in.StoreMessages,
		UseEncryptedContent: in.UseEncryptedContent, Include: in.Include,
	}
}
