package embed_test

import (
	"context"
	"encoding/base64"
	"encoding/binary"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"math"
	"net/http"
	"net/http/httptest"
	"slices"
	"strings"
	"testing"
	"time"

	"gatehouse"
	"gatehouse/internal/library/embed"
)

var (
	team  = gatehouse.NewID()
	token = gatehouse.MintToken("gth", gatehouse.Inference, gatehouse.NewID())
	noon  = time.Unix(1_767_225_600, 0)
)

// gateway is one that answers by a function, and a client of it.
func gateway(t *testing.T, answer http.HandlerFunc, adjust ...func(*embed.Config)) *embed.Client {
	t.Helper()
	srv := httptest.NewServer(answer)
	t.Cleanup(srv.Close)
	c := embed.Config{BaseURL: srv.URL + "/", HTTP: srv.Client(), Now: func() time.Time { return noon }}
	c.Token = func(_ context.Context, id gatehouse.ID) (gatehouse.Token, error) {
		if id != team {
			t.Errorf("asked for the key of %s", id)
		}
		return token, nil
	}
	for _, a := range adjust {
		a(&c)
	}
	return embed.New(c)
}

// says answers always alike.
func says(status int, body string) http.HandlerFunc {
	return func(w http.ResponseWriter, _ *http.Request) {
		w.WriteHeader(status)
		io.WriteString(w, body)
	}
}

type question struct {
	Model, Encoding_Format string
	Input                  []string
}

// lengths embeds each text as its length and its first byte, in reverse order.
func lengths(t *testing.T, asked *[]question) http.HandlerFunc {
	return func(w http.ResponseWriter, r *http.Request) {
		var q question
		if err := json.NewDecoder(r.Body).Decode(&q); err != nil {
			t.Error(err)
		}
		*asked = append(*asked, q)
		if got := r.Method + " " + r.URL.Path + " " + r.Header.Get("Authorization"); got != "POST /v1/embeddings Bearer "+token.Reveal() {
			t.Error("another request than one of /v1/embeddings with the team's key")
		}
		var data []string
		for i, text := range slices.Backward(q.Input) {
			data = append(data, fmt.Sprintf(`{"object":"embedding","index":%d,"embedding":[%d,%d]}`, i, len(text), text[0]))
		}
		fmt.Fprintf(w, `{"object":"list","data":[%s],"usage":{}}`, strings.Join(data, ","))
	}
}

func TestTextsAreEmbeddedInTheirOrderAndInBatches(t *testing.T) {
	texts := []string{"a", "bb", strings.Repeat("c", 50), strings.Repeat("d", 3), "ee", "f", "g", "h"}
	var asked []question
	c := gateway(t, lengths(t, &asked), func(c *embed.Config) { c.Batch, c.BatchBytes = 3, 10 })
	got, err := c.Embed(t.Context(), team, "m", texts)
	if err != nil {
		t.Fatal(err)
	}
	for i, text := range texts {
		if want := []float32{float32(len(text)), float32(text[0])}; !slices.Equal(got[i], want) {
			t.Errorf("%s: %v", text, got[i])
		}
	}
	var sizes []int
	for _, q := range asked {
		sizes = append(sizes, len(q.Input))
		if q.Model != "m" || q.Encoding_Format != "float" {
			t.Errorf("asked %+v", q)
		}
	}
	// By count, by bytes, and one too long for any batch alone.
	if want := []int{2, 1, 3, 2}; !slices.Equal(sizes, want) {
		t.Errorf("batches of %v, want %v", sizes, want)
	}
}

func TestNoTextsAskNobody(t *testing.T) {
	c := gateway(t, func(http.ResponseWriter, *http.Request) { t.Error("asked") })
	if got, err := c.Embed(t.Context(), team, "m", nil); err != nil || len(got) != 0 {
		t.Error(got, err)
	}
}

func packed(numbers ...float32) string {
	b, _ := binary.Append(nil, binary.LittleEndian, numbers)
	return `"` + base64.StdEncoding.EncodeToString(b) + `"`
}

func TestBase64IsUnderstood(t *testing.T) {
	c := gateway(t, says(200, `{"data":[{"index":0,"embedding":`+packed(1, -2.5)+`}]}`))
	if got, err := c.Embed(t.Context(), team, "m", []string{"x"}); err != nil || !slices.Equal(got[0], []float32{1, -2.5}) {
		t.Error(got, err)
	}
}

func TestVectorsWithoutIndexAreInOrder(t *testing.T) {
	c := gateway(t, says(200, `{"data":[{"embedding":[1]},{"embedding":[2]}]}`))
	if got, err := c.Embed(t.Context(), team, "m", []string{"x", "y"}); err != nil || got[0][0] != 1 || got[1][0] != 2 {
		t.Error(got, err)
	}
}

func TestUnsoundAnswersAreRefused(t *testing.T) {
	long := strings.Repeat("0,", embed.MaxDimension) + "0"
	for name, data := range map[string]string{
		"none":             ``,
		"too few":          `{"index":0,"embedding":[1]}`,
		"too many":         `{"embedding":[1]},{"embedding":[1]},{"embedding":[1]}`,
		"of one text":      `{"index":1,"embedding":[1]},{"index":1,"embedding":[1]}`,
		"of no text":       `{"index":0,"embedding":[1]},{"index":2,"embedding":[1]}`,
		"below no text":    `{"index":-1,"embedding":[1]},{"index":1,"embedding":[1]}`,
		"of two lengths":   `{"index":0,"embedding":[1]},{"index":1,"embedding":[1,2]}`,
		"empty":            `{"index":0,"embedding":[]},{"index":1,"embedding":[]}`,
		"null":             `{"index":0,"embedding":null},{"index":1,"embedding":null}`,
		"too long":         `{"index":0,"embedding":[` + long + `]},{"index":1,"embedding":[` + long + `]}`,
		"not a number":     `{"index":0,"embedding":` + packed(float32(math.NaN())) + `},{"index":1,"embedding":[1]}`,
		"without an end":   `{"index":0,"embedding":` + packed(float32(math.Inf(-1))) + `},{"index":1,"embedding":[1]}`,
		"without end, few": `{"index":1,"embedding":` + packed(float32(math.Inf(1))) + `},{"index":0,"embedding":[1]}`,
	} {
		c := gateway(t, says(200, `{"data":[`+data+`]}`))
		if got, err := c.Embed(t.Context(), team, "m", []string{"x", "y"}); gatehouse.CodeOf(err) != gatehouse.FailedPrecondition || got != nil {
			t.Errorf("%s: %v %v", name, got, err)
		}
	}
}

func TestBatchesOfTwoLengthsAreRefused(t *testing.T) {
	calls := 0
	c := gateway(t, func(w http.ResponseWriter, _ *http.Request) {
		calls++
		fmt.Fprintf(w, `{"data":[{"embedding":[%s1]}]}`, strings.Repeat("1,", calls))
	}, func(c *embed.Config) { c.Batch = 1 })
	if _, err := c.Embed(t.Context(), team, "m", []string{"x", "y"}); gatehouse.CodeOf(err) != gatehouse.FailedPrecondition {
		t.Error(err)
	}
}

func TestGarbageIsUnavailable(t *testing.T) {
	for _, body := range []string{``, `null and more`, `<html>`, `{"data":[{"embedding":[1`, `{"data":{}}`, `{"data":[{"embedding":"%%%%"}]}`, `{"data":[{"embedding":"AAAA"}]}`, `{"data":[{"embedding":[1e300]}]}`, `{"data":[{"embedding":["1"]}]}`} {
		c := gateway(t, says(200, body))
		if _, err := c.Embed(t.Context(), team, "m", []string{"x"}); gatehouse.CodeOf(err) != gatehouse.Unavailable {
			t.Errorf("%s: %v", body, err)
		}
	}
}

func TestHalfAnswersAreUnavailable(t *testing.T) {
	c := gateway(t, func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("Content-Length", "1000")
		io.WriteString(w, `{"data":[{"embedding":[1]}]}`)
	})
	if _, err := c.Embed(t.Context(), team, "m", []string{"x"}); gatehouse.CodeOf(err) != gatehouse.Unavailable {
		t.Error(err)
	}
}

func TestEndlessAnswersEnd(t *testing.T) {
	c := gateway(t, func(w http.ResponseWriter, _ *http.Request) {
		for block := strings.Repeat(" ", 64<<10); ; {
			if _, err := io.WriteString(w, block); err != nil {
				return
			}
		}
	})
	if _, err := c.Embed(t.Context(), team, "m", []string{"x"}); gatehouse.CodeOf(err) != gatehouse.FailedPrecondition {
		t.Error(err)
	}
	if _, err := c.Complete(t.Context(), team, "m", "x"); gatehouse.CodeOf(err) != gatehouse.FailedPrecondition {
		t.Error(err)
	}
}

// hang answers nothing, or half.
func hang(half string) http.HandlerFunc {
	return func(w http.ResponseWriter, r *http.Request) {
		io.Copy(io.Discard, r.Body) // so that the server notes when the client leaves
		if half != "" {
			io.WriteString(w, half)
			w.(http.Flusher).Flush()
		}
		<-r.Context().Done()
	}
}

func TestAGatewayThatHangsIsUnavailable(t *testing.T) {
	for _, half := range []string{"", `{"data":`} {
		c := gateway(t, hang(half), func(c *embed.Config) { c.Patience = 20 * time.Millisecond })
		_, err := c.Embed(t.Context(), team, "m", []string{"x"})
		if gatehouse.CodeOf(err) != gatehouse.Unavailable || errors.Is(err, context.DeadlineExceeded) {
			t.Errorf("%q: %v", half, err)
		}
	}
}

func TestACallEndsWithItsContext(t *testing.T) {
	ctx, cancel := context.WithCancel(t.Context())
	c := gateway(t, func(w http.ResponseWriter, r *http.Request) { cancel(); hang("")(w, r) })
	if _, err := c.Embed(ctx, team, "m", []string{"x"}); !errors.Is(err, context.Canceled) || gatehouse.CodeOf(err) == gatehouse.Unavailable {
		t.Error(err)
	}
}

func TestAGatewayThatIsAwayIsUnavailable(t *testing.T) {
	c := gateway(t, nil, func(c *embed.Config) { c.BaseURL = "http://127.0.0.1:1" })
	_, err := c.Embed(t.Context(), team, "m", []string{"x"})
	if gatehouse.CodeOf(err) != gatehouse.Unavailable || strings.Contains(gatehouse.Public(err), "127.0.0.1") {
		t.Error(err)
	}
}

func TestRefusalsSayWhetherToTryAgain(t *testing.T) {
	for _, test := range []struct {
		status     int
		after      string
		body       string
		code       gatehouse.Code
		retryAfter time.Duration
		words      string
	}{
		{429, "7", `{"code":"resource-exhausted","error":"qpm"}`, gatehouse.Unavailable, 7 * time.Second, "qpm"},
		{429, noon.Add(time.Minute).UTC().Format(http.TimeFormat), `{"error":{"message":"slow down"}}`, gatehouse.Unavailable, time.Minute, "slow down"},
		{429, "99999999", ``, gatehouse.Unavailable, time.Hour, "429"},
		{429, "-3", ``, gatehouse.Unavailable, 0, "429"},
		{500, "", `{"error":7}`, gatehouse.Unavailable, 0, "500"},
		{502, "", `{"error":"upstream-credential"}`, gatehouse.Unavailable, 0, "upstream-credential"},
		{503, "1", `{"error":"not ready"}`, gatehouse.Unavailable, time.Second, "not ready"},
		{504, "soon", `<html>`, gatehouse.Unavailable, 0, "504"},
		{408, "", ``, gatehouse.Unavailable, 0, "408"},
		{400, "", `{"error":"the text is too long\n\u0000!"}`, gatehouse.FailedPrecondition, 0, "the text is too long  !"},
		{403, "", `{"error":"no credit"}`, gatehouse.FailedPrecondition, 0, "no credit"},
		{404, "", `{"error":"no such model"}`, gatehouse.FailedPrecondition, 0, "no such model"},
		{413, "", `{"error":"` + strings.Repeat("é", 1000) + `"}`, gatehouse.FailedPrecondition, 0, "é"},
		{307, "", ``, gatehouse.FailedPrecondition, 0, "307"},
		{204, "", ``, gatehouse.FailedPrecondition, 0, "204"},
	} {
		c := gateway(t, func(w http.ResponseWriter, _ *http.Request) {
			if test.after != "" {
				w.Header().Set("Retry-After", test.after)
			}
			w.Header().Set("Location", "http://127.0.0.1:1/") // not to be followed
			says(test.status, test.body)(w, nil)
		})
		for what, err := range map[string]error{"embed": second(c.Embed(t.Context(), team, "m", []string{"x"})), "complete": second(c.Complete(t.Context(), team, "m", "x"))} {
			var e *gatehouse.Error
			if !errors.As(err, &e) || e.Code != test.code || e.RetryAfter != test.retryAfter || !strings.Contains(e.Message, test.words) || len(e.Message) > 600 {
				t.Errorf("%d %s: %+v", test.status, what, err)
			}
		}
	}
}

func second[T any](_ T, err error) error { return err }

func TestAKeyThatWasJustMadeIsWaitedFor(t *testing.T) {
	for status, body := range map[int]string{
		401: `{"error":{"message":"Incorrect API key provided: gt***xx"}}`,
		400: `{"code":"invalid-argument","error":"Incorrect API key provided: gt***xx. You can obtain …"}`,
	} {
		now, answer := noon, says(status, body)
		c := gateway(t, func(w http.ResponseWriter, r *http.Request) { answer(w, r) }, func(c *embed.Config) { c.Now = func() time.Time { return now } })
		ask := func(want gatehouse.Code) {
			t.Helper()
			err := second(c.Embed(t.Context(), team, "m", []string{"x"}))
			if gatehouse.CodeOf(err) != want || err != nil && strings.Contains(err.Error(), "gt***") {
				t.Errorf("%d: %v, want %s", status, err, want)
			}
		}
		ask(gatehouse.Unavailable)
		now = now.Add(time.Minute - 1)
		ask(gatehouse.Unavailable)
		now = now.Add(1)
		ask(gatehouse.FailedPrecondition)
		// Once it was known, the time begins anew.
		answer = says(200, `{"data":[{"embedding":[1]}]}`)
		ask("")
		answer = says(status, body)
		ask(gatehouse.Unavailable)
	}
}

func TestATeamWithoutKeyAsksNobody(t *testing.T) {
	refused := gatehouse.Errorf(gatehouse.FailedPrecondition, "no key")
	c := gateway(t, func(http.ResponseWriter, *http.Request) { t.Error("asked") }, func(c *embed.Config) {
		c.Token = func(context.Context, gatehouse.ID) (gatehouse.Token, error) { return gatehouse.Token{}, refused }
	})
	if _, err := c.Embed(t.Context(), team, "m", []string{"x"}); !errors.Is(err, refused) {
		t.Error(err)
	}
}

func TestAPromptIsAnswered(t *testing.T) {
	c := gateway(t, func(w http.ResponseWriter, r *http.Request) {
		body, _ := io.ReadAll(r.Body)
		if r.URL.Path != "/v1/chat/completions" || string(body) != `{"model":"m","messages":[{"role":"user","content":"what \u003cis\u003e it"}]}` {
			t.Errorf("%s %s", r.URL.Path, body)
		}
		io.WriteString(w, `{"choices":[{"index":0,"message":{"role":"assistant","content":"a thing"}}]}`)
	})
	if got, err := c.Complete(t.Context(), team, "m", "what <is> it"); got != "a thing" || err != nil {
		t.Error(got, err)
	}
	for _, body := range []string{`{}`, `{"choices":[]}`, `{"choices":[{"message":{"content":null}}]}`, `{"choices":[{"message":{"content":" \n"}}]}`} {
		if _, err := gateway(t, says(200, body)).Complete(t.Context(), team, "m", "x"); gatehouse.CodeOf(err) != gatehouse.FailedPrecondition {
			t.Errorf("%s: %v", body, err)
		}
	}
}
