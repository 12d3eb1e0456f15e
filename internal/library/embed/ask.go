package embed

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"io"
	"net/http"
	"net/url"
	"strconv"
	"strings"
	"time"
	"unicode"

	"gatehouse"
)

// Bounds of what is read and passed on of a gateway's answer.
const (
	overhead  = 64 << 10 // bytes of an answer beside what was asked for, and of a refusal
	mostWords = 512      // bytes of a refusal's words
	longest   = time.Hour
)

// ask posts a question and decodes an answer of at most so many bytes.
func (c *Client) ask(ctx context.Context, team gatehouse.ID, path string, question, answer any, most int64) error {
	token, err := c.config.Token(ctx, team)
	if err != nil {
		return err
	}
	within, cancel := context.WithTimeout(ctx, c.config.Patience)
	defer cancel()
	r, err := c.request(within, path, question, token)
	if err != nil {
		return err
	}
	got, err := c.http.Do(r)
	if err != nil {
		return unanswered(ctx, err)
	}
	defer got.Body.Close()
	if got.StatusCode != http.StatusOK {
		return c.refusal(got, token)
	}
	c.known(token)
	body, err := io.ReadAll(io.LimitReader(got.Body, most+overhead+1))
	if err != nil {
		return unanswered(ctx, err)
	}
	if int64(len(body)) > most+overhead {
		return unsound("more than %d bytes", most+overhead)
	}
	if err := json.Unmarshal(body, answer); err != nil {
		return gatehouse.Errorf(gatehouse.Unavailable, "the model's answer cannot be read").Because(err)
	}
	return nil
}

func (c *Client) request(ctx context.Context, path string, question any, token gatehouse.Token) (*http.Request, error) {
	body, err := json.Marshal(question)
	if err != nil {
		return nil, err
	}
	r, err := http.NewRequestWithContext(ctx, http.MethodPost, c.config.BaseURL+path, bytes.NewReader(body))
	if err != nil {
		return nil, err
	}
	r.Header.Set("Authorization", "Bearer "+token.Reveal())
	r.Header.Set("Content-Type", "application/json")
	r.Header.Set("User-Agent", "gatehouse-library")
	return r, nil
}

// unanswered is of a call that nobody answered to its end.
func unanswered(ctx context.Context, err error) error {
	if ctx.Err() != nil {
		return ctx.Err()
	}
	var u *url.Error
	if errors.As(err, &u) {
		err = u.Err // without the URL
	}
	if errors.Is(err, context.DeadlineExceeded) {
		err = errLate // the patience is ours, and no deadline of the caller's
	}
	return gatehouse.Errorf(gatehouse.Unavailable, "the gateway does not answer").Because(err)
}

var errLate = errors.New("no answer in time")

// refusal is what an answer other than 200 means.
func (c *Client) refusal(got *http.Response, token gatehouse.Token) error {
	body, _ := io.ReadAll(io.LimitReader(got.Body, overhead))
	said := words(body)
	if unknownKey(got.StatusCode, said) {
		return c.unknown(token)
	}
	c.known(token)
	if said == "" {
		said = "status " + strconv.Itoa(got.StatusCode)
	}
	switch {
	case got.StatusCode >= 500 || got.StatusCode == http.StatusTooManyRequests || got.StatusCode == http.StatusRequestTimeout:
		return gatehouse.Errorf(gatehouse.Unavailable, "the gateway answers: %s", said).After(c.retryAfter(got.Header))
	case got.StatusCode >= 400:
		return gatehouse.Errorf(gatehouse.FailedPrecondition, "the gateway refuses: %s", said)
	}
	return gatehouse.Errorf(gatehouse.FailedPrecondition, "what answers for the gateway is none: status %d", got.StatusCode)
}

// unknownKey tells a key that the gateway does not know from other refusals. Its
// status is 401 or 400, by the style of errors that is configured.
func unknownKey(status int, said string) bool {
	return status == http.StatusUnauthorized || status == http.StatusBadRequest && strings.HasPrefix(said, "Incorrect API key provided")
}

// unknown is of a key that the gateway does not know: one that was made a moment
// ago, unless that has been so for a while.
func (c *Client) unknown(token gatehouse.Token) error {
	c.mu.Lock()
	defer c.mu.Unlock()
	digest, now := token.Digest(), c.config.Now()
	since, again := c.refused[digest]
	if !again {
		c.refused[digest], since = now, now
	}
	if now.Sub(since) < grace {
		return gatehouse.Errorf(gatehouse.Unavailable, "the gateway does not know the library's key yet").After(time.Second)
	}
	return gatehouse.Errorf(gatehouse.FailedPrecondition, "the gateway does not know the library's key")
}

func (c *Client) known(token gatehouse.Token) {
	c.mu.Lock()
	defer c.mu.Unlock()
	delete(c.refused, token.Digest())
}

// retryAfter is when the gateway wants to be asked again; zero: it does not say.
func (c *Client) retryAfter(h http.Header) time.Duration {
	value := h.Get("Retry-After")
	if seconds, err := strconv.ParseUint(value, 10, 31); err == nil {
		return min(time.Duration(seconds)*time.Second, longest)
	}
	at, err := http.ParseTime(value)
	if err != nil {
		return 0
	}
	return min(max(at.Sub(c.config.Now()), 0), longest)
}

// words are the message of a refusal in xAI's style or in OpenAI's, fit for
// whoever reads why a document failed.
func words(body []byte) string {
	var answer struct {
		Error json.RawMessage `json:"error"`
	}
	if json.Unmarshal(body, &answer) != nil {
		return ""
	}
	var said string
	if json.Unmarshal(answer.Error, &said) != nil {
		var inner struct{ Message string }
		_ = json.Unmarshal(answer.Error, &inner) // another shape says nothing
		said = inner.Message
	}
	said = strings.Map(func(r rune) rune {
		if unicode.IsControl(r) {
			return ' '
		}
		return r
	}, said)
	return strings.ToValidUTF8(said[:min(len(said), mostWords)], "")
}
