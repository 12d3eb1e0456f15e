package verify

import (
	"context"
	"fmt"
	"hash/fnv"
	"io"
	"maps"
	"math/rand/v2"
	"net/http"
	"regexp"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"time"
)

// booksWorkers is how many requests run at once.
const booksWorkers = 16

// shapes are the kinds of requests: a path, and a body that takes whether to
// stream and the prompt.
var shapes = []struct {
	path, body string
	streams    bool
	dear       bool // and so only for who has no limit
}{
	{"/v1/chat/completions", `{"model":"gpt-4o","max_tokens":40,"stream":%t,"messages":[{"role":"user","content":%q}]}`, true, false},
	{"/v1/chat/completions", `{"model":"gpt-4o-mini","max_completion_tokens":40,"stream":%t,"messages":[{"role":"user","content":%q}]}`, true, false},
	{"/v1/chat/completions", `{"model":"grok-4-fast","max_tokens":40,"stream":%t,"messages":[{"role":"user","content":%q}]}`, true, false},
	{"/v1/responses", `{"model":"gpt-4.1-mini","max_output_tokens":40,"stream":%t,"input":%q}`, true, false},
	{"/v1/messages", `{"model":"claude-haiku-4-5","max_tokens":40,"stream":%t,"messages":[{"role":"user","content":%q}]}`, true, false},
	{"/v1/completions", `{"model":"gpt-3.5-turbo-instruct","max_tokens":40,"stream":%t,"prompt":%q}`, true, false},
	{"/v1/embeddings", `{"model":"text-embedding-3-small","input":%[2]q}`, false, false},
	{"/v1/images/generations", `{"model":"grok-2-image-1212","prompt":%[2]q}`, false, true},
}

// faults are what the provider is asked to do wrong now and then.
var faults = []string{"status=500", "status=429", "status=400", "nousage", "garbage", "lie", "cut=2", "break=2"}

// run sends requests, whose ids begin with the phase, until enough says so. It
// returns the answers that should not have been.
func (b *books) run(phase string, enough func(metered int64) bool) []string {
	var sent, metered atomic.Int64
	var mu sync.Mutex
	var bad []string
	var group sync.WaitGroup
	name := fnv.New64()
	io.WriteString(name, phase)
	for range booksWorkers {
		group.Go(func() {
			for !enough(metered.Load()) {
				i := sent.Add(1)
				r := rand.New(rand.NewPCG(uint64(i), name.Sum64()))
				p, k := b.who(r)
				status, answer := b.one(r, p, k, fmt.Sprintf("%s-%d", phase, i))
				switch {
				case status == 0 || status == http.StatusServiceUnavailable || status == http.StatusForbidden && !p.bounded(k):
					mu.Lock()
					bad = append(bad, fmt.Sprintf("%d for %s: %s", status, p.mode, answer))
					mu.Unlock()
				case status != http.StatusForbidden:
					metered.Add(1)
				}
			}
		})
	}
	group.Wait()
	b.t.Logf("%s: %d requests, %d refused", phase, sent.Load(), sent.Load()-metered.Load())
	b.metered += int(metered.Load())
	return bad
}

// send sends until n requests were metered.
func (b *books) send(phase string, n int) {
	b.t.Helper()
	if bad := b.run(phase, func(metered int64) bool { return metered >= int64(n) }); len(bad) > 0 {
		b.t.Errorf("%s: %d answers such as %s", phase, len(bad), bad[0])
	}
}

// sendAndKill kills everything in the middle of the load, once n requests were
// metered and some long answers have begun. Who was running then gets no answer.
func (b *books) sendAndKill(phase string, n int) {
	b.t.Helper()
	var dead atomic.Bool
	var once sync.Once
	bad := b.run(phase, func(metered int64) bool {
		if metered >= int64(n) {
			once.Do(func() {
				b.begin(phase, 8)
				b.kill()
				dead.Store(true)
			})
		}
		return dead.Load()
	})
	for _, what := range bad {
		if !strings.HasPrefix(what, "0 ") {
			b.t.Errorf("%s: answered %s", phase, what)
		}
	}
}

// begin opens some long answers and reads their first byte.
func (b *books) begin(phase string, n int) {
	p := b.payers[0]
	long := fmt.Sprintf(shapes[0].body, true, "[[sim: words=40 delay=100ms]] a long story")
	for i := range n {
		resp, err := b.client.Do(b.request(shapes[0].path, long, p.keys[0], fmt.Sprintf("%s-long-%d", phase, i)))
		if err != nil {
			continue // nobody was interrupted, which will be seen
		}
		resp.Body.Read(make([]byte, 1))
		b.t.Cleanup(func() { resp.Body.Close() })
	}
}

// openHouse waits until every gateway can ask for money again: one that has just
// started, and whose control has too, is ready before that, and says 503 to who
// must pay.
func (b *books) openHouse(phase string) {
	b.t.Helper()
	text := fmt.Sprintf(shapes[0].body, false, "good morning")
	for i, m := range b.Members {
		for try, deadline := 0, time.Now().Add(20*time.Second); ; try++ {
			status, answer := b.Chat(m.URL, b.payers[3].keys[0].Secret, fmt.Sprintf("%s-first-%d-%d", phase, i, try), text)
			if status == http.StatusOK {
				b.metered++
				break
			}
			if status != http.StatusServiceUnavailable || time.Now().After(deadline) {
				b.t.Fatalf("the first request after the restart: %d %s", status, answer)
			}
			time.Sleep(50 * time.Millisecond)
		}
	}
}

// request is one to any gateway.
func (b *books) request(path, body string, k key, id string) *http.Request {
	req, _ := http.NewRequest("POST", b.Members[rand.IntN(len(b.Members))].URL+path, strings.NewReader(body))
	req.Header.Set("Authorization", "Bearer "+k.Secret)
	req.Header.Set("Content-Type", "application/json")
	req.Header.Set("X-Request-Id", id)
	return req
}

func (b *books) who(r *rand.Rand) (*payer, key) {
	n := r.IntN(100)
	for _, p := range b.payers {
		if n -= p.share; n < 0 {
			return p, p.keys[r.IntN(len(p.keys))]
		}
	}
	panic("the shares are less than 100")
}

// bounded reports whether the key's money runs out.
func (p *payer) bounded(k key) bool { return p.credit > 0 || k.ID == p.only }

// left stands for the status of a request whose client hung up.
const left = -1

// one sends one request, and hangs up in the middle of some.
func (b *books) one(r *rand.Rand, p *payer, k key, id string) (status int, answer []byte) {
	shape := shapes[r.IntN(len(shapes))]
	for shape.dear && (p.mode != metering || r.IntN(4) > 0) {
		shape = shapes[r.IntN(len(shapes))]
	}
	stream, leaves := shape.streams && r.IntN(2) == 0, r.IntN(8) == 0
	ctx, cancel := context.WithCancel(context.Background())
	defer cancel()
	resp, err := b.client.Do(b.request(shape.path, fmt.Sprintf(shape.body, stream, b.prompt(r, stream)), k, id).WithContext(ctx))
	if err != nil {
		return 0, []byte(err.Error())
	}
	defer resp.Body.Close()
	if stream && leaves && resp.StatusCode == http.StatusOK {
		io.CopyN(io.Discard, resp.Body, 1+r.Int64N(1500))
		cancel()
		return left, nil
	}
	answer, _ = io.ReadAll(resp.Body) // where the provider breaks off, so does the answer
	return resp.StatusCode, answer
}

// prompt is some words, and what the provider is to do. The words are longer
// than a token, so that no request costs more than was reserved for it.
func (b *books) prompt(r *rand.Rand, stream bool) string {
	knobs := fmt.Sprintf("words=%d reasoning=%d cached=%d", 1+r.IntN(20), r.IntN(2)*r.IntN(15), r.IntN(2)*r.IntN(9))
	if stream {
		knobs += fmt.Sprintf(" delay=%dus", r.IntN(1500))
	}
	if r.IntN(12) == 0 {
		knobs += " " + faults[r.IntN(len(faults))]
	}
	return "[[sim: " + knobs + "]]" + strings.Repeat(" something", 1+r.IntN(12))
}

// counters are Prometheus counters of all gateways: requests by route and
// status, and tokens by kind.
type counters map[string]int64

var (
	requestsLine = regexp.MustCompile(`(?m)^gatehouse_requests_total\{error="([^"]*)",route="([^"]*)",status="([^"]*)"\} (\S+)$`)
	tokensLine   = regexp.MustCompile(`(?m)^gatehouse_tokens_total\{kind="([^"]*)"\} (\S+)$`)
	pendingLine  = regexp.MustCompile(`(?m)^(?:gatehouse_requests_in_flight|gatehouse_journal_oldest_seconds) (\S+)$`)
)

// scrape waits until nothing is running or under way to the books, and keeps
// the counters of the processes, which served the phases and nothing else.
// What was refused, for want of money or because nobody could tell, is not
// metered, and not counted here.
func (b *books) scrape(phases ...string) {
	b.t.Helper()
	text := b.settled()
	c := counters{}
	for _, m := range requestsLine.FindAllStringSubmatch(text, -1) {
		if m[1] != "permission-denied" && m[1] != "unavailable" {
			c[m[2]+" "+m[3]] += whole(m[4])
		}
	}
	for _, m := range tokensLine.FindAllStringSubmatch(text, -1) {
		c[m[1]] += whole(m[2])
	}
	maps.DeleteFunc(c, func(_ string, n int64) bool { return n == 0 })
	b.served[strings.Join(phases, ",")] = c
}

// settled waits until no request runs and no usage is on its way, and returns
// the metrics.
func (b *books) settled() string {
	b.t.Helper()
	for deadline, calm := time.Now().Add(time.Minute), 0; ; time.Sleep(50 * time.Millisecond) {
		text, pending := b.Metrics(), 0.0
		for _, m := range pendingLine.FindAllStringSubmatch(text, -1) {
			n, _ := strconv.ParseFloat(m[1], 64)
			pending += n
		}
		if calm++; pending != 0 {
			calm = 0
		}
		if calm == 3 {
			return text
		}
		if time.Now().After(deadline) {
			b.t.Fatalf("usage is still on its way:\n%s", text)
		}
	}
}

func whole(s string) int64 {
	f, _ := strconv.ParseFloat(s, 64) // 1e+06
	return int64(f)
}
