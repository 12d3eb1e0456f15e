package gateway

import (
	"encoding/base64"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"time"

	"gatehouse"
	"gatehouse/internal/library/assertion"
	"gatehouse/internal/llm"
)

// The bounds of what is put in the place of files in one request, besides that
// of its body.
const (
	maxInlined   = 16      // files
	maxFileText  = 1 << 20 // bytes of one file's text
	maxFilesText = 4 << 20 // bytes of all text
	maxImage     = 20 << 20
	// Text is extracted before the limits are asked, since they count it: so each
	// key may have so many requests at it, and all together.
	inlineCrowd, inlinesAtOnce = 4, 64
)

// inlineFiles puts the team's files in the place of their ids. What comes of it
// is scanned like a body that came so, and is all that is counted, paid for and
// forwarded.
func (c *call) inlineFiles() *refusal {
	if !c.key.AllowsEndpoint(gatehouse.EndpointFiles) {
		return refuse(llm.Denied, llm.EndpointDeniedText(gatehouse.EndpointFiles))
	}
	if c.scan.Files > maxInlined {
		return refuse(llm.Invalid, fmt.Sprintf("file_id: a request may name at most %d files, and this one names %d.", maxInlined, c.scan.Files))
	}
	if !c.g.inliners.Enter(c.key.ID()) {
		return refuse(llm.Limited, "Too many requests of this API key are reading files. Please retry.").wait(time.Second)
	}
	defer c.g.inliners.Leave(c.key.ID())
	in := inlining{call: c, known: map[string]llm.Inlined{}, size: int64(len(c.body))}
	body, err := llm.Inline(&c.route, c.body, in.fetch)
	switch {
	case in.no != nil:
		return in.no
	case err != nil:
		return refusalOf(err)
	}
	return c.rejudge(body, in.held)
}

// rejudge takes another body in the place of the client's. held of the budget
// was taken for what went into it.
func (c *call) rejudge(body []byte, held int64) *refusal {
	c.route.Inlines = false
	scan, err := llm.Scan(&c.route, "application/json", body)
	if err != nil {
		return refusalOf(err)
	}
	if !c.charge(int64(cap(body)) - held) {
		return c.full()
	}
	c.recycle()
	c.body, c.scan = body, scan
	return nil
}

// inlining is the files of one request.
type inlining struct {
	call  *call
	known map[string]llm.Inlined
	text  int64
	size  int64    // of the body with what is known so far, at most
	held  int64    // of the budget for bodies
	no    *refusal // what ended it
}

func (in *inlining) fetch(id string) (llm.Inlined, error) {
	f, ok := in.known[id]
	if !ok {
		if in.no = in.read(id, &f); in.no != nil {
			return f, in.no
		}
		in.known[id] = f
	}
	if f.Type == "" {
		if in.text += int64(len(f.Data)); in.text > maxFilesText {
			in.no = tooMuch(id, "with it the text of all files is", maxFilesText)
			return f, in.no
		}
	}
	in.no = in.room(&f)
	if in.no != nil {
		return f, in.no
	}
	return f, nil
}

// room makes sure that a file has its place before it is written there, each
// time that it is named: as a part, and in the body that comes of it.
func (in *inlining) room(f *llm.Inlined) *refusal {
	c, n := in.call, written(f)
	if in.size += n; in.size > c.g.c.MaxBody {
		return refuse(llm.TooLarge, fmt.Sprintf("file_id: with its files the body is larger than %d bytes.", c.g.c.MaxBody))
	}
	if !c.charge(2 * n) {
		return c.full()
	}
	in.held += 2 * n
	return nil
}

// written is how long a file is in JSON, at most: an image in base64, and text
// with what has to be escaped.
func written(f *llm.Inlined) int64 {
	if f.Type != "" {
		return int64(base64.StdEncoding.EncodedLen(len(f.Data)))
	}
	n := int64(len(f.Data))
	for _, b := range f.Data {
		switch {
		case b < ' ', b == '<', b == '>', b == '&':
			n += 5
		case b == '"', b == '\\':
			n++
		}
	}
	return n
}

func tooMuch(id, what string, most int64) *refusal {
	return refuse(llm.Invalid, fmt.Sprintf("file_id: %s: %s larger than %d bytes.", id, what, most))
}

// read asks the library for what of a file goes into a prompt.
func (in *inlining) read(id string, f *llm.Inlined) *refusal {
	c := in.call
	u := &url.URL{Path: assertion.InlinePath + id, RawQuery: fmt.Sprintf("image=%d&text=%d", maxImage, maxFileText)}
	req := (&http.Request{Method: http.MethodGet, URL: u, Header: http.Header{"X-Request-Id": {c.requestID}}}).WithContext(c.r.Context())
	resp, err := c.g.c.Library.Ask(req, c.asserted(0))
	if err != nil {
		return c.unasked(nil, err)
	}
	defer resp.Body.Close()
	if resp.StatusCode != http.StatusOK {
		return in.refusal(id, resp)
	}
	if !c.charge(max(resp.ContentLength, 0)) {
		return c.full()
	}
	in.held += max(resp.ContentLength, 0)
	if f.Data, err = io.ReadAll(io.LimitReader(resp.Body, maxImage+1)); err != nil || int64(len(f.Data)) != resp.ContentLength {
		return refuse(llm.NotReady, "The library broke off its answer. Please retry.").wait(time.Second).because(err)
	}
	if f.Name, err = url.PathUnescape(resp.Header.Get(assertion.NameHeader)); err != nil {
		f.Name = id
	}
	switch kind := resp.Header.Get(assertion.TypeHeader); kind {
	case "image/png", "image/jpeg", "image/gif", "image/webp":
		f.Type = kind
	}
	return nil
}

// refusal says which of the files it is about.
func (in *inlining) refusal(id string, resp *http.Response) *refusal {
	no := in.call.libraryRefusal(resp)
	switch {
	case no.fault == llm.Missing:
		no.message = "The file " + id + " does not exist or your team does not have access to it."
	case no.fault == llm.Invalid, no.fault == llm.Limited && no.after == 0: // more of it than was asked for
		no.fault, no.message = llm.Invalid, "file_id: "+id+": "+no.message
	}
	return no
}
