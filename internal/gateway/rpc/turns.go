package rpc

import (
	"encoding/base64"
	"fmt"
	"slices"
	"strings"

	"gatehouse/gen/xai"
)

// turn is one message of a conversation in JSON.
type turn struct {
	Role      string     `json:"role"`
	Content   any        `json:"content"` // a string, parts, or null beside tool calls
	Name      string     `json:"name,omitempty"`
	Reasoning string     `json:"reasoning_content,omitempty"`
	ToolCalls []toolCall `json:"tool_calls,omitempty"`
	CallID    string     `json:"tool_call_id,omitempty"`
}

type toolCall struct {
	ID       string       `json:"id"`
	Type     string       `json:"type"`
	Function functionCall `json:"function"`
}

type functionCall struct {
	Name      string `json:"name"`
	Arguments string `json:"arguments"`
}

type part struct {
	Type  string     `json:"type"`
	Text  *string    `json:"text,omitempty"`
	Image *imagePart `json:"image_url,omitempty"`
	File  *filePart  `json:"file,omitempty"`
}

type imagePart struct {
	URL    string `json:"url,omitempty"`
	FileID string `json:"file_id,omitempty"`
	Detail string `json:"detail,omitempty"`
}

// filePart is a file by id, which the gateway judges as in any body, by address
// as xAI takes it, or itself as OpenAI does.
type filePart struct {
	FileID string `json:"file_id,omitempty"`
	URL    string `json:"url,omitempty"`
	Data   string `json:"file_data,omitempty"`
	Name   string `json:"filename,omitempty"`
}

var roles = map[xai.MessageRole]string{
	xai.MessageRole_ROLE_USER: "user", xai.MessageRole_ROLE_ASSISTANT: "assistant", xai.MessageRole_ROLE_SYSTEM: "system",
	xai.MessageRole_ROLE_FUNCTION: "function", xai.MessageRole_ROLE_TOOL: "tool", xai.MessageRole_ROLE_DEVELOPER: "developer",
}

func at(field string, i int) string { return fmt.Sprintf("%s[%d]", field, i) }

func turns(list []*xai.Message, bad *problems) []turn {
	out := make([]turn, len(list))
	var open []string // calls of the last assistant's turn that no result names yet
	for i, m := range list {
		field := at("messages", i)
		t := turn{
			Role: roles[m.Role], Name: m.Name, Reasoning: m.GetReasoningContent(), CallID: m.GetToolCallId(),
			ToolCalls: toolCalls(m.ToolCalls, field, bad), Content: content(m.Content, field, bad),
		}
		if t.Role == "" {
			bad.addf(field+".role", "must say whose turn it is")
		}
		if t.Content == "" && len(t.ToolCalls) > 0 {
			t.Content = nil
		}
		open = t.link(open)
		out[i] = t
	}
	return out
}

// link gives a tool's result that names no call the first one that is open:
// xAI's SDK may leave the id out, other providers need it.
func (t *turn) link(open []string) []string {
	switch {
	case t.Role != "tool":
		open = nil
		for _, c := range t.ToolCalls {
			open = append(open, c.ID)
		}
	case t.CallID == "" && len(open) > 0:
		t.CallID, open = open[0], open[1:]
	default:
		for i, id := range open {
			if id == t.CallID {
				return append(open[:i:i], open[i+1:]...)
			}
		}
	}
	return open
}

// atProvider are the calls of tools that are carried.
var atProvider = []xai.ToolCallType{
	xai.ToolCallType_TOOL_CALL_TYPE_WEB_SEARCH_TOOL, xai.ToolCallType_TOOL_CALL_TYPE_X_SEARCH_TOOL,
	xai.ToolCallType_TOOL_CALL_TYPE_CODE_EXECUTION_TOOL, xai.ToolCallType_TOOL_CALL_TYPE_MCP_TOOL,
}

// toolCalls are what a model wished before. The client runs functions alone, and
// says how they went in the tool's own turn.
func toolCalls(list []*xai.ToolCall, field string, bad *problems) (out []toolCall) {
	for i, c := range list {
		field := field + "." + at("tool_calls", i)
		switch {
		case slices.Contains(atProvider, c.Type):
			bad.carryf(field+".type", "only functions that the client runs can be sent back")
		case c.Type > xai.ToolCallType_TOOL_CALL_TYPE_CLIENT_SIDE_TOOL:
			bad.addf(field+".type", "only functions that the client runs can be sent back")
		case c.Status > xai.ToolCallStatus_TOOL_CALL_STATUS_COMPLETED:
			bad.carryf(field+".status", "say in the tool's message how the call went")
		case c.GetFunction() == nil:
			bad.addf(field+".function", "is required")
		}
		out = append(out, toolCall{c.Id, "function", functionCall{c.GetFunction().GetName(), c.GetFunction().GetArguments()}})
	}
	return out
}

// content is a string where it is one text: what every upstream takes.
func content(list []*xai.Content, field string, bad *problems) any {
	if len(list) == 0 {
		return ""
	}
	if text, ok := list[0].GetContent().(*xai.Content_Text); ok && len(list) == 1 {
		return text.Text
	}
	parts := make([]part, len(list))
	for i, c := range list {
		field := field + "." + at("content", i)
		switch c := c.GetContent().(type) {
		case *xai.Content_Text:
			parts[i] = part{Type: "text", Text: &c.Text}
		case *xai.Content_ImageUrl:
			parts[i] = part{Type: "image_url", Image: picture(c.ImageUrl, field+".image_url", bad)}
		case *xai.Content_File:
			parts[i] = part{Type: "file", File: file(c.File, field+".file", bad)}
		default:
			bad.addf(field, "must be text, image_url or file")
		}
	}
	return parts
}

func picture(in *xai.ImageUrlContent, field string, bad *problems) *imagePart {
	p := &imagePart{URL: in.GetImageUrl(), FileID: in.GetFileId()}
	if p.URL == "" && p.FileID == "" {
		bad.addf(field, "must have an image_url or a file_id")
	}
	if in.Detail != xai.ImageDetail_DETAIL_INVALID {
		p.Detail = strings.ToLower(strings.TrimPrefix(in.Detail.String(), "DETAIL_"))
	}
	return p
}

func file(in *xai.FileContent, field string, bad *problems) *filePart {
	p := &filePart{FileID: in.FileId, URL: in.Url, Name: in.Filename}
	given := 0
	for _, has := range []bool{in.FileId != "", in.Url != "", len(in.Data) > 0} {
		if has {
			given++
		}
	}
	switch {
	case given != 1:
		bad.addf(field, "must have one of file_id, url and data")
	case len(in.Data) > 0:
		kind := in.MimeType
		if kind == "" {
			kind = "application/octet-stream"
		}
		p.Data = "data:" + kind + ";base64," + base64.StdEncoding.EncodeToString(in.Data)
	case in.MimeType != "":
		bad.addf(field+".mime_type", "goes with data alone")
	}
	return p
}
