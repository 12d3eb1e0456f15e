package gateway

import (
	"bytes"
	"errors"
	"io"
	"mime"
	"net/http"
	"net/netip"
	"strings"
	"time"

	"gatehouse"
	"gatehouse/internal/library/assertion"
	"gatehouse/internal/llm"
	"gatehouse/internal/meter"
)

// Library is where files, collections and search are. It believes what the
// gateway asserts of a request. The request's URL has a path and a query alone;
// its body is read once, and not after the answer's body was closed.
type Library interface {
	Ask(*http.Request, assertion.Assertion) (*http.Response, error)
}

const (
	// maxUpload bounds the body of an upload: a file and the form around it.
	maxUpload = gatehouse.MaxFileSize + 64<<10
	// maxQuestion bounds the other bodies; the largest is a search.
	maxQuestion = 256 << 10
	// linkCrowd is how many public links one address may read at once, and
	// linksAtOnce all of them: nobody's key bounds them.
	linkCrowd, linksAtOnce = 8, 256
	// libraryName stands in usage rows where an upstream's name would.
	libraryName = "library"
)

// judgeLibrary judges what is asked of the library as far as the gateway does:
// that it is offered, and that there is a body of the right kind, of the right
// size. An upload is not read here but sent on as it comes.
func (c *call) judgeLibrary() *refusal {
	if c.g.c.Library == nil {
		return refuse(llm.Missing, "Files and documents are not offered by this gateway.")
	}
	if e := c.r.Header.Get("Content-Encoding"); e != "" && e != "identity" {
		return refuse(llm.MediaType, "Content-Encoding: send the body as it is, uncompressed.")
	}
	n := c.r.ContentLength
	switch {
	case c.route.Multipart:
		kind, params, err := mime.ParseMediaType(c.r.Header.Get("Content-Type"))
		if err != nil || kind != "multipart/form-data" || params["boundary"] == "" || len(c.r.Header["Content-Type"]) > 1 {
			return refuse(llm.MediaType, "Content-Type must be multipart/form-data with a boundary")
		}
		if n > maxUpload {
			return c.tooLong(maxUpload)
		}
		return nil
	case n == 0:
		c.heard = true
		return nil
	case n > maxQuestion:
		return c.tooLong(maxQuestion)
	}
	if no := c.readQuestion(); no != nil {
		return no
	}
	switch {
	case len(c.body) == 0:
		return nil
	case !c.route.JSON:
		return refuse(llm.Invalid, c.route.Path+" takes no request body")
	}
	kind, params, err := mime.ParseMediaType(c.r.Header.Get("Content-Type"))
	if err != nil || kind != "application/json" || params["charset"] != "" && !strings.EqualFold(params["charset"], "utf-8") || len(c.r.Header["Content-Type"]) > 1 {
		return refuse(llm.MediaType, "Content-Type must be application/json")
	}
	return nil
}

// readQuestion reads a small body whole. Unlike readBody it leaves net/http's
// watch for a leaving client alone, whose search is then given up.
func (c *call) readQuestion() *refusal {
	c.readDeadline(c.g.c.BodyTime)
	defer c.readDeadline(0)
	if no := c.readChunked(); no != nil {
		return no
	}
	if len(c.body) > maxQuestion {
		return c.tooLong(maxQuestion)
	}
	return nil
}

// admitLink admits whoever has a public link. What is in it is the library's to
// judge; here it is only kept from crowding out those with keys.
func (c *call) admitLink() (*admitted, *refusal) {
	if !target(c.r.URL.RawQuery) {
		return nil, refuse(llm.Invalid, "The query holds characters that must be escaped.")
	}
	if no := c.judgeLibrary(); no != nil {
		return nil, no
	}
	return &c.admitted, nil
}

// askLibrary passes a request on to the library and its answer back.
func (c *call) askLibrary() *refusal {
	if c.route.Public {
		addr := c.g.clientAddr(c.r)
		if !c.g.readers.Enter(crowdOf(addr)) {
			return refuse(llm.Limited, "Too many public files are being read from your address. Please retry.").wait(time.Second)
		}
		defer c.g.readers.Leave(crowdOf(addr))
	}
	if no := c.beginLibrary(); no != nil {
		return no
	}
	req, in := c.question()
	if in != nil {
		ctx, cancel := in.watched(c.r.Context())
		defer cancel()
		req = req.WithContext(ctx)
	}
	resp, err := c.g.c.Library.Ask(req, c.asserted(req.ContentLength))
	c.reached = err == nil
	if err != nil {
		return c.unasked(in, err)
	}
	defer resp.Body.Close()
	if in != nil {
		c.closeArrival(in) // before the answer: how that is written depends on what was read
	}
	if no := c.libraryRefusal(resp); no != nil {
		if in != nil && in.no != nil {
			return in.no // the cause of what the library says
		}
		return no
	}
	c.outcome = gatehouse.Completed
	if c.route.Endpoint == gatehouse.EndpointDocuments {
		c.usage[gatehouse.Searches] = 1
	}
	return c.relayLibrary(resp)
}

// beginLibrary opens the usage record of an upload, a download or a search. It
// has no model, and nothing of it is priced: what embedding a query costs is in
// a record of its own.
func (c *call) beginLibrary() *refusal {
	c.outcome = gatehouse.Failed
	if !c.route.Metered {
		return nil
	}
	entry, err := c.g.c.Journal.Begin(meter.OpenRecord{
		ID: c.id, Start: c.start, TeamID: c.key.TeamID(), KeyID: c.key.ID(), UserID: c.key.OwnerID(), Tags: c.key.Tags(),
		Endpoint: c.route.Path, Cluster: c.g.c.Cluster, ClientIP: c.clientIP, RequestID: c.requestID, Upstream: libraryName,
	})
	if err != nil {
		return refuse(llm.NotReady, "Usage cannot be recorded at the moment, so nothing was done. Please retry.").wait(time.Second).because(err)
	}
	c.entry = entry
	return nil
}

// question is the request as the library gets it: nothing of the client's but
// what the assertion binds, and the body with its type.
func (c *call) question() (*http.Request, *arrival) {
	u := *c.r.URL
	u.Scheme, u.Opaque, u.User, u.Host, u.Fragment, u.RawFragment, u.ForceQuery = "", "", nil, "", "", "", false
	req := (&http.Request{Method: c.r.Method, URL: &u, Header: http.Header{}, Proto: "HTTP/1.1", ProtoMajor: 1, ProtoMinor: 1}).WithContext(c.r.Context())
	req.Header["X-Request-Id"] = []string{c.requestID}
	var in *arrival
	switch {
	case c.route.Multipart:
		in = &arrival{call: c, most: maxUpload}
		req.Body, req.ContentLength = in, c.r.ContentLength
		in.rearm()
	case len(c.body) > 0:
		req.Body, req.ContentLength = io.NopCloser(bytes.NewReader(bytes.Clone(c.body))), int64(len(c.body))
	default:
		return req, nil
	}
	req.Header["Content-Type"] = c.r.Header["Content-Type"]
	return req, in
}

// asserted is what the gateway says of this request. Whoever signs it adds the
// rest.
func (c *call) asserted(length int64) assertion.Assertion {
	a := assertion.Assertion{RequestID: c.requestID, IP: c.ip(), Base: c.base(), Limit: length, Public: c.route.Public}
	if length < 0 {
		a.Limit = maxUpload
	}
	if c.known {
		a.Team, a.Key = c.key.TeamID(), c.key.ID()
	}
	return a
}

// unasked is the answer when the library gave none.
func (c *call) unasked(in *arrival, err error) *refusal {
	if in != nil {
		c.closeArrival(in)
		if in.no != nil {
			return in.no
		}
	}
	if c.left() {
		return nil
	}
	return refuse(llm.NotReady, "The library cannot be reached at the moment. Please retry.").wait(time.Second).because(err)
}

// libraryRefusal reads a refusal of the library; nil for a success. That the
// library does not believe this gateway, or is broken, is not the client's fault
// and says nothing of its key.
func (c *call) libraryRefusal(resp *http.Response) *refusal {
	if resp.StatusCode == http.StatusOK {
		return nil
	}
	message, code := refusalIn(resp)
	cause := errors.New("library: " + string(code) + ": " + message)
	after := retryAfter(resp.Header)
	switch {
	case code == "" || code == gatehouse.Unauthenticated:
		return refuse(llm.NotReady, "The library cannot be reached at the moment. Please retry.").wait(max(after, time.Second)).because(cause)
	case resp.StatusCode == http.StatusRequestEntityTooLarge:
		return refuse(llm.TooLarge, message)
	}
	no := refusalOf(gatehouse.Errorf(code, "%s", message))
	no.after = max(no.after, after)
	return no.because(cause)
}

// refusalIn reads what the library says; an answer without a code is not from it.
func refusalIn(resp *http.Response) (message string, code gatehouse.Code) {
	const most = 64 << 10
	text, _ := io.ReadAll(io.LimitReader(resp.Body, most))
	return messageOf(text), gatehouse.Code(resp.Header.Get(assertion.CodeHeader))
}

// relayLibrary passes a success on, as it comes.
func (c *call) relayLibrary(resp *http.Response) *refusal {
	for _, name := range [...]string{"Content-Type", "Content-Disposition", "X-Content-Type-Options", "Cache-Control"} {
		if v := resp.Header.Get(name); v != "" {
			c.set(name, v)
		}
	}
	c.firstByte = c.g.c.Now().Sub(c.start)
	c.head(http.StatusOK, resp.ContentLength)
	buf := c.g.pools.chunks.Get().(*[]byte)
	defer c.g.pools.chunks.Put(buf)
	for !c.left() {
		n, err := resp.Body.Read(*buf)
		if n > 0 {
			c.writeDeadline()
			c.gone = c.write((*buf)[:n]) != nil || c.gone
		}
		switch {
		case err == io.EOF:
			return nil
		case err != nil:
			if c.left() {
				return nil // it was given up with the client
			}
			c.outcome = gatehouse.UpstreamLost
			return c.cut(refuse(llm.NotReady, "The library broke off its answer.").because(err))
		}
	}
	return nil
}

// crowdOf is whom an address counts for: an IPv6 subscriber has a /64.
func crowdOf(addr netip.Addr) netip.Prefix {
	bits := addr.BitLen()
	if addr.Is6() {
		bits = 64
	}
	p, _ := addr.Prefix(bits) // what is no address is one crowd of its own
	return p
}
