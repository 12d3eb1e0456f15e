// Command goclient is the official Go SDKs, unchanged, against a running
// gateway. It is a module of its own so that the product does not depend on
// them. The environment and the output are those of ../python/check.py.
package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"strings"

	"github.com/anthropics/anthropic-sdk-go"
	claudeoption "github.com/anthropics/anthropic-sdk-go/option"
	"github.com/openai/openai-go/v3"
	"github.com/openai/openai-go/v3/option"
	"github.com/openai/openai-go/v3/responses"
)

var (
	ctx      = context.Background()
	failures int
)

func key(name string) string {
	if v := os.Getenv(name); v != "" {
		return v
	}
	return name
}

func client(k string) openai.Client {
	return openai.NewClient(option.WithBaseURL(os.Getenv("GATEWAY")+"/v1"), option.WithAPIKey(key(k)), option.WithMaxRetries(0))
}

// plain talks to a gateway that answers errors in OpenAI's own shape: this SDK
// cannot read xAI's.
func plain(k string) openai.Client {
	return openai.NewClient(option.WithBaseURL(os.Getenv("GATEWAY_OPENAI")+"/v1"), option.WithAPIKey(key(k)), option.WithMaxRetries(0))
}

func claude(k string) anthropic.Client {
	return anthropic.NewClient(claudeoption.WithBaseURL(os.Getenv("GATEWAY")), claudeoption.WithAPIKey(key(k)), claudeoption.WithMaxRetries(0))
}

func test(name string, f func() error) {
	if err := f(); err != nil {
		failures++
		fmt.Printf("FAIL %s: %.500s\n", name, strings.ReplaceAll(err.Error(), "\n", " "))
		return
	}
	fmt.Println("ok", name)
}

func chat(model, text string) openai.ChatCompletionNewParams {
	return openai.ChatCompletionNewParams{Model: model, Messages: []openai.ChatCompletionMessageParamUnion{openai.UserMessage(text)}}
}

func message(model, text string) anthropic.MessageNewParams {
	return anthropic.MessageNewParams{Model: anthropic.Model(model), MaxTokens: 100,
		Messages: []anthropic.MessageParam{anthropic.NewUserMessage(anthropic.NewTextBlock(text))}}
}

// status is the HTTP status of an SDK's error, 0 for another error.
func status(err error) int {
	var o *openai.Error
	var a *anthropic.Error
	switch {
	case errors.As(err, &o):
		return o.StatusCode
	case errors.As(err, &a):
		return a.StatusCode
	}
	return 0
}

func want(n int, err error) error {
	if status(err) != n {
		return fmt.Errorf("want status %d, got %v", n, err)
	}
	return nil
}

func main() {
	test("openai_chat", func() error {
		c := client("KEY")
		r, err := c.Chat.Completions.New(ctx, chat("grok-4", "[[sim: words=5]] hi"))
		if err == nil && r.Usage.CompletionTokens != 5 {
			err = fmt.Errorf("usage %+v", r.Usage)
		}
		return err
	})
	test("openai_stream", func() error {
		c := client("KEY")
		s := c.Chat.Completions.NewStreaming(ctx, chat("gpt-4o", "[[sim: words=7]] hi"))
		var text string
		for s.Next() {
			text += s.Current().Choices[0].Delta.Content
		}
		if n := len(strings.Fields(text)); n != 7 {
			return fmt.Errorf("%d words, %v", n, s.Err())
		}
		return s.Err()
	})
	test("openai_tools", func() error {
		c := client("KEY")
		p := chat("gpt-4o", "[[sim: tool]] weather?")
		p.Tools = []openai.ChatCompletionToolUnionParam{openai.ChatCompletionFunctionTool(openai.FunctionDefinitionParam{Name: "weather"})}
		r, err := c.Chat.Completions.New(ctx, p)
		if err == nil && (len(r.Choices[0].Message.ToolCalls) == 0 || r.Choices[0].Message.ToolCalls[0].Function.Name != "weather") {
			err = fmt.Errorf("no tool call: %s", r.RawJSON())
		}
		return err
	})
	test("openai_responses", func() error {
		c := client("KEY")
		r, err := c.Responses.New(ctx, responses.ResponseNewParams{Model: "gpt-4o", Input: responses.ResponseNewParamsInputUnion{OfString: openai.String("[[sim: words=4]] hi")}})
		if err != nil {
			return err
		}
		if _, err = c.Responses.Get(ctx, r.ID, responses.ResponseGetParams{}); err != nil {
			return err
		}
		return c.Responses.Delete(ctx, r.ID)
	})
	test("openai_models", func() error {
		c := client("KEY_MODEL")
		r, err := c.Models.List(ctx)
		if err == nil && (len(r.Data) != 1 || r.Data[0].ID != "grok-4") {
			err = fmt.Errorf("models %s", r.RawJSON())
		}
		return err
	})
	test("openai_errors", func() error {
		var problems []error
		for _, x := range []struct {
			key, model, text string
			status           int
		}{{"gthk_wrong", "grok-4", "hi", 401}, {"KEY_OPENAI_IMAGE", "grok-4", "hi", 403}, {"KEY_OPENAI", "no-such-model", "hi", 404},
			{"KEY_OPENAI", "grok-4", "[[sim: status=500]]", 502}, {"KEY_OPENAI", "grok-4", "[[sim: status=429]]", 429}} {
			c := plain(x.key)
			_, err := c.Chat.Completions.New(ctx, chat(x.model, x.text))
			problems = append(problems, want(x.status, err))
		}
		return errors.Join(problems...)
	})
	test("anthropic_messages", func() error {
		c := claude("KEY")
		r, err := c.Messages.New(ctx, message("claude-sonnet-4-5", "[[sim: words=6]] hi"))
		if err == nil && r.Usage.OutputTokens != 6 {
			err = fmt.Errorf("usage %+v", r.Usage)
		}
		return err
	})
	test("anthropic_stream", func() error {
		c := claude("KEY")
		s := c.Messages.NewStreaming(ctx, message("claude-sonnet-4-5", "[[sim: words=6]] hi"))
		var m anthropic.Message
		for s.Next() {
			if err := m.Accumulate(s.Current()); err != nil {
				return err
			}
		}
		if s.Err() == nil && m.Usage.OutputTokens != 6 {
			return fmt.Errorf("usage %+v", m.Usage)
		}
		return s.Err()
	})
	test("anthropic_errors", func() error {
		var problems []error
		for _, x := range []struct {
			key, model string
			status     int
		}{{"gthk_wrong", "claude-sonnet-4-5", 401}, {"KEY_IMAGE", "claude-sonnet-4-5", 403}, {"KEY", "no-such-model", 404}} {
			c := claude(x.key)
			_, err := c.Messages.New(ctx, message(x.model, "hi"))
			problems = append(problems, want(x.status, err))
		}
		return errors.Join(problems...)
	})
	os.Exit(failures)
}
