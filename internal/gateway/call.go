package gateway

import (
	"math"
	"net/http"
	"strconv"
	"strings"
	"time"

	"gatehouse"
	"gatehouse/internal/feed"
	"gatehouse/internal/limit"
	"gatehouse/internal/llm"
	"gatehouse/internal/meter"
	"gatehouse/internal/purse"
)

// call is one request from its first line to its settlement. It is wiped then,
// and used again only for the next request of the same connection.
type call struct {
	g     *Gateway
	wire  *wire // nil below HTTP/2 and without Listen
	w     http.ResponseWriter
	r     *http.Request
	start time.Time
	id    gatehouse.ID // of the usage record

	requestID string
	route     llm.Route
	style     llm.Style
	clientIP  string
	key       feed.KeyView
	known     bool // key is set
	model     string
	body      []byte
	pooled    *[]byte // what body lies in, when it came from the pool
	charged   int64   // of the budget for bodies

	verdict  limit.Verdict
	ticket   *limit.Ticket
	money    *purse.Reservation // nil: it need not pay
	entry    *meter.Entry
	tap      *llm.Tap
	scan     llm.Body
	admitted admitted
	posted   int64

	native     native // nil: the body is the request
	nativeSize int64
	bodyFails  error

	exchange  exchange
	upstream  string
	asked     *gatehouse.Upstream // whom upstream names
	sent      time.Duration       // when it was admitted, after start; kept for OnSettled alone
	attempts  int
	reached   bool // a byte went to an upstream
	status    int  // what the client was answered; 0 as long as nothing
	slug      string
	detail    string // private: why, for the log
	outcome   gatehouse.Outcome
	firstByte time.Duration
	gone      bool // the client left
	settled   bool
	abort     bool      // break the connection at the end
	bound     bool      // the object id is recorded
	written   time.Time // when the write deadline was set
	usage     gatehouse.Usage
	estimated bool
	fields    []field   // of the response's header
	ids       [1]string // the request id, as a header's values
	heard     bool      // the body was read to its end, or there is none
	closing   bool      // the connection is not to be kept
	deaf      bool      // the request's context no longer tells whether the client left

	direct  bool // see answer.go
	chunked bool
	last    bool  // what is written now is the end of a stream
	owed    int64 // bytes of the declared length that are still to come
}

// refusal is an answer that is not an upstream's.
type refusal struct {
	fault   llm.Fault
	message string // public
	after   time.Duration
	cause   error // private
}

func (r *refusal) Error() string { return r.fault.Slug() + ": " + r.message }

func refuse(f llm.Fault, message string) *refusal { return &refusal{fault: f, message: message} }

// wait says when a retry makes sense.
func (r *refusal) wait(d time.Duration) *refusal { r.after = d; return r }

func (r *refusal) because(err error) *refusal { r.cause = err; return r }

// refusalOf turns another package's error into an answer.
func refusalOf(err error) *refusal {
	after := time.Duration(0)
	f := llm.FaultOf(err)
	if f == llm.NotReady {
		after = time.Second
	}
	return &refusal{fault: f, message: gatehouse.Public(err), after: after, cause: err}
}

func (g *Gateway) open(w http.ResponseWriter, r *http.Request) *call {
	now := g.c.Now()
	wire := wireOf(r)
	c := wire.spare()
	c.g, c.wire, c.w, c.r, c.start, c.id = g, wire, w, r, now, gatehouse.NewTimeID(now)
	c.requestID = c.chooseRequestID()
	c.ids[0] = c.requestID
	c.set("X-Request-Id", c.requestID)
	g.metrics.enter()
	return c
}

// chooseRequestID takes the client's own when it cannot harm a log.
func (c *call) chooseRequestID() string {
	if v := c.r.Header["X-Request-Id"]; len(v) == 1 && plainID(v[0]) {
		return v[0]
	}
	return c.id.String()
}

func plainID(s string) bool {
	if s == "" || len(s) > 128 {
		return false
	}
	for i := range len(s) {
		c := s[i]
		if !('a' <= c && c <= 'z' || 'A' <= c && c <= 'Z' || '0' <= c && c <= '9' || strings.IndexByte("-_.:/+=", c) >= 0) {
			return false
		}
	}
	return true
}

// serve runs the three steps. Settling is deferred by whoever called.
func (c *call) serve() {
	a, no := c.admit()
	if no == nil {
		c.limitHeaders()
		no = c.dispatch(a)
	}
	if no != nil {
		c.fail(no)
	}
}

func (c *call) dispatch(a *admitted) *refusal {
	if c.route.Local {
		return c.answerLocally(a)
	}
	return c.forward(a)
}

// fail answers with an error of ours. The cause goes to the log alone.
func (c *call) fail(no *refusal) {
	c.slug = no.fault.Slug()
	if no.cause != nil {
		c.detail = no.cause.Error()
	}
	c.tellRefuser(no)
	if c.gone || c.status != 0 {
		return
	}
	if no.after > 0 {
		c.set("Retry-After", seconds(no.after))
	}
	if no.fault == llm.MethodNotAllowed {
		c.set("Allow", c.route.Allow)
	}
	if no.fault == llm.Limited {
		c.limitHeaders()
	}
	c.writeWhole(no.fault.Status(c.style), "application/json", llm.ErrorBody(c.style, no.fault, no.message, c.requestID))
}

// writeWhole answers with a body that is all there.
func (c *call) writeWhole(status int, contentType string, body []byte) {
	c.set("Content-Type", contentType)
	c.head(status, int64(len(body)))
	c.writeWait(len(body))
	c.gone = c.write(body) != nil
}

func (c *call) head(status int, length int64) {
	if c.style == llm.StyleAnthropic {
		c.set("Request-Id", c.requestID) // Anthropic's SDKs read this one
	}
	c.writeHead(status, length)
}

// seconds rounds up: told less, a client would come back too early.
func seconds(d time.Duration) string {
	return strconv.FormatInt(max(1, int64(math.Ceil(d.Seconds()))), 10)
}

// limitHeaders shows the verdict that admitted or refused this request.
func (c *call) limitHeaders() {
	v := &c.verdict
	if a := v.Requests; a.Limit > 0 {
		c.set("X-Ratelimit-Limit-Requests", strconv.FormatInt(a.Limit, 10))
		c.set("X-Ratelimit-Remaining-Requests", strconv.FormatInt(a.Remaining, 10))
		c.set("X-Ratelimit-Reset-Requests", reset(a.Reset))
	}
	if a := v.Tokens; a.Limit > 0 {
		c.set("X-Ratelimit-Limit-Tokens", strconv.FormatInt(a.Limit, 10))
		c.set("X-Ratelimit-Remaining-Tokens", strconv.FormatInt(a.Remaining, 10))
		c.set("X-Ratelimit-Reset-Tokens", reset(a.Reset))
	}
}

// reset is written as OpenAI does: "850ms", "1.5s", "1m0s".
func reset(d time.Duration) string { return d.Round(time.Millisecond).String() }

func (c *call) now() time.Duration { return c.g.c.Now().Sub(c.g.epoch) }
