// Package embed calls models for the library, through a gateway, as any client
// of the team would: with an API key of the team, under its limits and at its
// cost. What a gateway or an upstream answers is believed only as far as it was
// checked.
package embed

import (
	"context"
	"net/http"
	"strings"
	"sync"
	"time"

	"gatehouse"
)

// The bounds of a request, where Config has none.
const (
	defaultBatch    = 64        // texts; the wire allows 128 (wire.md §6.7)
	defaultBytes    = 256 << 10 // of text: some 64,000 tokens, which upstreams take at once
	defaultPatience = 2 * time.Minute
)

// MaxDimension is the length of the longest vector: what the engines of the
// index can keep.
const MaxDimension = 16_000

// grace is how long a gateway may not know a key that control has made.
const grace = time.Minute

// Config says where models are called. BaseURL and Token are required.
type Config struct {
	BaseURL string       // of a gateway, without the /v1
	HTTP    *http.Client // nil: one of its own; redirects are never followed
	// Token is the API key for a team's calls. Its error is the call's.
	Token func(ctx context.Context, team gatehouse.ID) (gatehouse.Token, error)
	// Batch and BatchBytes bound the texts of a request; one text always fits.
	Batch, BatchBytes int
	Patience          time.Duration // with a request, at most; 0: two minutes
	Now               func() time.Time
}

// Client calls models. It is safe for concurrent use.
type Client struct {
	config Config
	http   *http.Client

	mu      sync.Mutex
	refused map[gatehouse.Digest]time.Time // keys that no gateway knew, and since when
}

// New makes a Client.
func New(c Config) *Client {
	c.BaseURL = strings.TrimRight(c.BaseURL, "/")
	setDefault(&c.Batch, defaultBatch)
	setDefault(&c.BatchBytes, defaultBytes)
	setDefault(&c.Patience, defaultPatience)
	if c.Now == nil {
		c.Now = time.Now
	}
	h := http.Client{}
	if c.HTTP != nil {
		h = *c.HTTP
	}
	// The key is for this gateway alone.
	h.CheckRedirect = func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse }
	return &Client{config: c, http: &h, refused: map[gatehouse.Digest]time.Time{}}
}

func setDefault[T int | time.Duration](field *T, value T) {
	if *field <= 0 {
		*field = value
	}
}

// Embed makes a vector of each text, all of one dimension. It is Unavailable
// where trying again may help, with a RetryAfter where one is known, and
// FailedPrecondition where it will not, in the gateway's words.
func (c *Client) Embed(ctx context.Context, team gatehouse.ID, model string, texts []string) ([][]float32, error) {
	vectors := make([][]float32, 0, len(texts))
	for len(texts) > 0 {
		n := c.batch(texts)
		some, err := c.embed(ctx, team, model, texts[:n])
		if err != nil {
			return nil, err
		}
		vectors, texts = append(vectors, some...), texts[n:]
		if len(some[0]) != len(vectors[0]) {
			return nil, unsound("vectors of %d and of %d numbers", len(vectors[0]), len(some[0]))
		}
	}
	return vectors, nil
}

// batch is how many of the texts go into one request.
func (c *Client) batch(texts []string) int {
	n, size := 0, 0
	for n < min(len(texts), c.config.Batch) {
		if size += len(texts[n]); n > 0 && size > c.config.BatchBytes {
			break
		}
		n++
	}
	return n
}

func (c *Client) embed(ctx context.Context, team gatehouse.ID, model string, texts []string) ([][]float32, error) {
	question := struct {
		Model    string   `json:"model"`
		Input    []string `json:"input"`
		Encoding string   `json:"encoding_format"`
	}{model, texts, "float"} // base64 would be shorter, and not every upstream knows it
	var answer embeddings
	// Of a float, "-1.1754943508222875e-38," is the longest.
	if err := c.ask(ctx, team, "/v1/embeddings", question, &answer, int64(len(texts))*MaxDimension*24); err != nil {
		return nil, err
	}
	return answer.vectors(len(texts))
}

// maxWords bounds the answer to a prompt, in bytes.
const maxWords = 1 << 20

// Complete answers a prompt in words. Errors are those of Embed.
func (c *Client) Complete(ctx context.Context, team gatehouse.ID, model, prompt string) (string, error) {
	type message struct {
		Role    string `json:"role"`
		Content string `json:"content"`
	}
	question := struct {
		Model    string    `json:"model"`
		Messages []message `json:"messages"`
	}{model, []message{{"user", prompt}}}
	var answer struct {
		Choices []struct {
			Message message `json:"message"`
		} `json:"choices"`
	}
	if err := c.ask(ctx, team, "/v1/chat/completions", question, &answer, maxWords); err != nil {
		return "", err
	}
	if len(answer.Choices) == 0 || strings.TrimSpace(answer.Choices[0].Message.Content) == "" {
		return "", unsound("no words")
	}
	return answer.Choices[0].Message.Content, nil
}
