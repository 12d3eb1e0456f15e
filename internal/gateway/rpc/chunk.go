package rpc

import (
	"cmp"
	"encoding/json"
	"slices"

	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"
	"google.golang.org/protobuf/proto"

	"gatehouse/gen/xai"
)

// chunker makes messages of a stream's frames. Providers send a tool call in
// fragments, xAI's SDK takes each for a call of its own: so calls are gathered,
// and leave whole with the end of their choice.
type chunker struct {
	calls map[int32][]fragment // by choice
	size  int                  // of what is gathered
}

func (k *chunker) frame(data []byte) (proto.Message, error) {
	var in answer
	if err := json.Unmarshal(data, &in); err != nil {
		return nil, status.Error(codes.Unavailable, "The upstream provider sent something that is no piece of an answer.")
	}
	if in.Error.there {
		return nil, status.Error(codes.Unavailable, "The upstream provider's answer ended in an error: "+clip(in.Error.text))
	}
	out := &xai.GetChatCompletionChunk{
		Id: in.ID, Created: unix(in.Created), Model: in.Model, SystemFingerprint: in.Fingerprint, Usage: in.Usage.message(),
		Citations: in.Citations, ServiceTier: in.tier(),
	}
	for _, c := range in.Choices {
		piece, err := k.piece(&c)
		if err != nil {
			return nil, err
		}
		if piece != nil {
			out.Outputs = append(out.Outputs, piece)
		}
	}
	if len(out.Outputs) == 0 && out.Usage == nil && len(out.Citations) == 0 {
		return nil, nil
	}
	return out, nil
}

// piece is what one choice adds; nil when that is nothing yet.
func (k *chunker) piece(c *choice) (*xai.CompletionOutputChunk, error) {
	d := c.Delta
	if d == nil {
		d = &said{}
	}
	if err := k.gather(c.Index, d.ToolCalls); err != nil {
		return nil, err
	}
	out := &xai.CompletionOutputChunk{
		Index: c.Index, FinishReason: finishes[c.Finish], Logprobs: c.Logprobs.message(),
		Delta: &xai.Delta{Role: xai.MessageRole_ROLE_ASSISTANT, Content: d.text(), ReasoningContent: d.Reasoning},
	}
	if c.Finish != "" {
		out.Delta.ToolCalls = each(k.calls[c.Index], fragment.message)
		delete(k.calls, c.Index)
		return out, nil
	}
	if out.Delta.Content == "" && out.Delta.ReasoningContent == "" && out.Logprobs == nil {
		return nil, nil
	}
	return out, nil
}

// gather adds fragments to the calls of a choice. The name and the id come with
// the first fragment of a call, and with some providers again.
func (k *chunker) gather(choice int32, list []fragment) error {
	for _, f := range list {
		if k.size += len(f.ID) + len(f.Function.Name) + len(f.Function.Arguments) + 64; k.size > maxMessage {
			return status.Errorf(codes.ResourceExhausted, "The tool calls are larger than %d bytes.", maxMessage)
		}
		if k.calls == nil {
			k.calls = map[int32][]fragment{}
		}
		calls := k.calls[choice]
		i := slices.IndexFunc(calls, f.continues)
		if i < 0 {
			k.calls[choice] = append(calls, f)
			continue
		}
		have := &calls[i]
		have.ID = cmp.Or(have.ID, f.ID)
		have.Function.Name = cmp.Or(have.Function.Name, f.Function.Name)
		have.Function.Arguments += f.Function.Arguments
	}
	return nil
}

// continues says whether f is the next piece of a call.
func (f fragment) continues(call fragment) bool {
	return f.Index != nil && call.Index != nil && *f.Index == *call.Index && (f.ID == "" || f.ID == call.ID)
}
