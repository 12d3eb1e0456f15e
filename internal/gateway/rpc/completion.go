package rpc

import (
	"encoding/json"

	"google.golang.org/protobuf/proto"

	"gatehouse/gen/xai"
)

// answer is a chat completion, or a piece of one, as providers write it.
type answer struct {
	ID          string   `json:"id"`
	Created     int64    `json:"created"`
	Model       string   `json:"model"`
	Fingerprint string   `json:"system_fingerprint"`
	Choices     []choice `json:"choices"`
	Usage       *usage   `json:"usage"`
	Citations   []string `json:"citations"`
	ServiceTier string   `json:"service_tier"`
	Error       fault    `json:"error"` // of a stream that fails
}

type choice struct {
	Index    int32     `json:"index"`
	Message  *said     `json:"message"`
	Delta    *said     `json:"delta"`
	Finish   string    `json:"finish_reason"`
	Logprobs *logprobs `json:"logprobs"`
}

// said is what a model wrote.
type said struct {
	Content   string     `json:"content"`
	Refusal   string     `json:"refusal"`
	Reasoning string     `json:"reasoning_content"`
	ToolCalls []fragment `json:"tool_calls"`
}

// fragment is a tool call or, in a stream, the next piece of the one at Index.
type fragment struct {
	Index    *int         `json:"index"` // nil: a whole call
	ID       string       `json:"id"`
	Function functionCall `json:"function"`
}

type logprobs struct {
	Content []logprob `json:"content"`
}

type logprob struct {
	Token   string    `json:"token"`
	Logprob float32   `json:"logprob"`
	Bytes   []int     `json:"bytes"`
	Top     []logprob `json:"top_logprobs"`
}

type usage struct {
	Prompt        int32 `json:"prompt_tokens"`
	Completion    int32 `json:"completion_tokens"`
	Total         int32 `json:"total_tokens"`
	PromptDetails struct {
		Text   *int32 `json:"text_tokens"`
		Image  int32  `json:"image_tokens"`
		Audio  int32  `json:"audio_tokens"`
		Cached int32  `json:"cached_tokens"`
	} `json:"prompt_tokens_details"`
	CompletionDetails struct {
		Reasoning int32 `json:"reasoning_tokens"`
	} `json:"completion_tokens_details"`
	Sources int32  `json:"num_sources_used"`
	Tools   int32  `json:"num_server_side_tools_used"`
	Cost    *int64 `json:"cost_in_usd_ticks"`
}

// finishes are the reasons that the enum has words for. Others, such as a
// filter's, are REASON_INVALID: none of these.
var finishes = map[string]xai.FinishReason{
	"stop": xai.FinishReason_REASON_STOP, "end_turn": xai.FinishReason_REASON_STOP, "length": xai.FinishReason_REASON_MAX_LEN,
	"tool_calls": xai.FinishReason_REASON_TOOL_CALLS, "function_call": xai.FinishReason_REASON_TOOL_CALLS,
}

// completion is a whole answer as a message.
func completion(asked *xai.GetCompletionsRequest, body []byte) (proto.Message, error) {
	var in answer
	if err := json.Unmarshal(body, &in); err != nil {
		return nil, err
	}
	if in.Choices == nil {
		return nil, errNoAnswer
	}
	out := &xai.GetChatCompletionResponse{
		Id: in.ID, Created: unix(in.Created), Model: in.Model, SystemFingerprint: in.Fingerprint, Usage: in.Usage.message(),
		Citations: in.Citations, ServiceTier: in.tier(), Settings: settings(asked),
	}
	for _, c := range in.Choices {
		if c.Message == nil {
			return nil, errNoAnswer
		}
		out.Outputs = append(out.Outputs, &xai.CompletionOutput{
			Index: c.Index, FinishReason: finishes[c.Finish], Logprobs: c.Logprobs.message(),
			Message: &xai.CompletionMessage{
				Role: xai.MessageRole_ROLE_ASSISTANT, Content: c.Message.text(), ReasoningContent: c.Message.Reasoning,
				ToolCalls: each(c.Message.ToolCalls, fragment.message),
			},
		})
	}
	return out, nil
}

// text is what was written, or the words with which the model refused.
func (s *said) text() string { return s.Content + s.Refusal }

func (f fragment) message() *xai.ToolCall {
	return &xai.ToolCall{
		Id: f.ID, Type: xai.ToolCallType_TOOL_CALL_TYPE_CLIENT_SIDE_TOOL,
		Tool: &xai.ToolCall_Function{Function: &xai.FunctionCall{Name: f.Function.Name, Arguments: f.Function.Arguments}},
	}
}

func (l *logprobs) message() *xai.LogProbs {
	if l == nil {
		return nil
	}
	return &xai.LogProbs{Content: each(l.Content, func(p logprob) *xai.LogProb {
		return &xai.LogProb{Token: p.Token, Logprob: p.Logprob, Bytes: octets(p.Bytes), TopLogprobs: each(p.Top, func(t logprob) *xai.TopLogProb {
			return &xai.TopLogProb{Token: t.Token, Logprob: t.Logprob, Bytes: octets(t.Bytes)}
		})}
	})}
}

func octets(list []int) []byte { return each(list, func(b int) byte { return byte(b) }) }

// message is usage in xAI's terms: reasoning beside the completion. OpenAI
// counts it inside, which the sum betrays.
func (u *usage) message() *xai.SamplingUsage {
	if u == nil {
		return nil
	}
	reasoning, details := u.CompletionDetails.Reasoning, &u.PromptDetails
	out := &xai.SamplingUsage{
		CompletionTokens: u.Completion, ReasoningTokens: reasoning, PromptTokens: u.Prompt, TotalTokens: u.Total,
		CachedPromptTextTokens: details.Cached, PromptImageTokens: details.Image, NumSourcesUsed: u.Sources, CostInUsdTicks: u.Cost,
	}
	if u.Prompt+u.Completion == u.Total {
		out.CompletionTokens = max(0, u.Completion-reasoning)
	}
	out.PromptTextTokens = u.Prompt - details.Image - details.Audio
	if details.Text != nil {
		out.PromptTextTokens = *details.Text
	}
	return out
}

func (a *answer) tier() xai.ServiceTier {
	for tier, name := range tiers {
		if name == a.ServiceTier {
			return tier
		}
	}
	return xai.ServiceTier_SERVICE_TIER_UNSPECIFIED
}

// settings repeats what was asked for; the SDK shows it.
func settings(in *xai.GetCompletionsRequest) *xai.RequestSettings {
	return &xai.RequestSettings{
		MaxTokens: in.MaxTokens, ParallelToolCalls: in.ParallelToolCalls == nil || *in.ParallelToolCalls, ReasoningEffort: in.ReasoningEffort,
		Temperature: in.Temperature, ResponseFormat: in.ResponseFormat, ToolChoice: in.ToolChoice, Tools: in.Tools, TopP: in.TopP, User: in.User,
	}
}
