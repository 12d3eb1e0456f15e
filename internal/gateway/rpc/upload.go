package rpc

import (
	"crypto/rand"
	"errors"
	"fmt"
	"io"
	"os"
	"strings"
	"sync"
	"unicode"

	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/mem"
	"google.golang.org/grpc/status"
	"google.golang.org/protobuf/encoding/protowire"
	"google.golang.org/protobuf/proto"

	"gatehouse"
	"gatehouse/gen/xai"
)

// upload is the stream of an UploadFile as a form. The gateway reads it once it
// has admitted the call; each message is asked for when the one before it was
// read, so that no more than one is here.
type upload struct {
	c        *call
	boundary string
	rest     []byte     // of the form, as far as it is known
	message  mem.Buffer // that rest is of
	begun    bool
	end      error // what follows rest
	got      chan received
	asked    bool // for what is to come from got
	limit    deadline

	mu   sync.Mutex
	over bool // the gateway has answered: what is read now has no bearing on it
}

func newUpload(c *call) *upload {
	u := &upload{c: c, boundary: rand.Text() + rand.Text(), got: make(chan received, 1)}
	u.limit.passed = make(chan struct{})
	return u
}

func (u *upload) contentType() string { return "multipart/form-data; boundary=" + u.boundary }

// Read implements [io.Reader]. A client that leaves ends it with an error, never
// with the end of the form.
func (u *upload) Read(p []byte) (int, error) {
	for len(u.rest) == 0 && u.end == nil {
		u.rest, u.end = u.next()
		if _, lost := u.end.(brokenOff); u.end != nil && u.end != io.EOF && !lost {
			u.blame(u.end)
		}
	}
	if len(u.rest) == 0 {
		return 0, u.end
	}
	n := copy(p, u.rest)
	if u.rest = u.rest[n:]; len(u.rest) == 0 {
		u.free() // up to 20 MiB are not kept while the next are waited for
		u.c.edge.tap.release()
	}
	return n, nil
}

// free gives a message back that was read: the next may well be as large.
func (u *upload) free() {
	if u.rest = nil; u.message != nil {
		u.message.Free()
		u.message = nil
	}
}

// next is what the next message adds to the form.
func (u *upload) next() ([]byte, error) {
	raw, err := u.receive()
	switch {
	case errors.Is(err, io.EOF) && u.begun:
		return []byte("\r\n--" + u.boundary + "--\r\n"), io.EOF
	case errors.Is(err, io.EOF):
		return nil, errNoInit
	case u.c.edge.tap.full(), status.Code(err) == codes.ResourceExhausted, status.Code(err) == codes.Unimplemented:
		return nil, err // too many, too large, or compressed
	case err != nil:
		return nil, brokenOff{err}
	}
	if data, ok := onlyData(raw); ok && u.begun {
		return data, nil
	}
	return u.odd(raw)
}

// received is a message, or why there is none.
type received struct {
	raw mem.Buffer
	err error
}

// receive waits for the next message until the deadline. The library's own wait
// goes on, until the call is over: to end it is to end the call, in the library's
// words and not in those of the gateway's answer.
func (u *upload) receive() ([]byte, error) {
	if !u.asked {
		u.asked = true
		go func() {
			u.c.edge.tap.next()
			var r received
			r.err = u.c.ss.RecvMsg(&r.raw)
			u.got <- r
		}()
	}
	select {
	case r := <-u.got:
		u.asked = false
		if r.err != nil {
			return nil, r.err
		}
		u.message = r.raw
		return r.raw.ReadOnlyData(), nil
	case <-u.limit.wait():
		return nil, os.ErrDeadlineExceeded
	}
}

// brokenOff is a stream that ended early: the client has left, was too slow, or
// the gateway wants no more of it. Which it is, the gateway's answer says.
type brokenOff struct{ error }

func (b brokenOff) Unwrap() error { return b.error }

var errNoInit = status.Error(codes.InvalidArgument, "The first message of an upload must be init.")

// onlyData is the data of a message that holds nothing else, where it stands:
// decoding would copy it.
func onlyData(raw []byte) ([]byte, bool) {
	number, kind, n := protowire.ConsumeTag(raw)
	if n < 0 || number != 2 || kind != protowire.BytesType {
		return nil, false
	}
	data, m := protowire.ConsumeBytes(raw[n:])
	return data, m >= 0 && n+m == len(raw)
}

// odd judges a message that is not simply data: the first, or a wrong one.
func (u *upload) odd(raw []byte) ([]byte, error) {
	in := &xai.UploadFileChunk{}
	if err := countable(in.ProtoReflect().Descriptor(), raw); err != nil {
		return nil, err
	}
	if err := proto.Unmarshal(raw, in); err != nil {
		return nil, status.Errorf(codes.InvalidArgument, "The message is none of %s.", u.c.m.name)
	}
	if err := known(in); err != nil {
		return nil, err
	}
	switch {
	case u.begun && in.GetInit() != nil:
		return nil, status.Error(codes.InvalidArgument, "An upload has one init, and it is the first message.")
	case u.begun && in.Chunk != nil:
		return in.GetData(), nil
	case u.begun:
		return nil, status.Error(codes.InvalidArgument, "A message of an upload must hold data.")
	case in.GetInit() == nil:
		return nil, errNoInit
	}
	u.begun = true
	return u.head(in.GetInit())
}

// head is the form up to the file's first byte.
func (u *upload) head(in *xai.UploadFileInit) ([]byte, error) {
	var bad problems
	if in.Name == "" {
		bad.addf("init.name", "is required")
	}
	if strings.ContainsFunc(in.Name, func(r rune) bool { return unicode.IsControl(r) || strings.ContainsRune(`";\`, r) }) {
		bad.addf("init.name", `must not hold control characters, ", ; or \`)
	}
	life(&bad, "init.expires_after", in.ExpiresAfter)
	if err := bad.err(); err != nil {
		return nil, err
	}
	out := ""
	if in.ExpiresAfter != nil {
		out = fmt.Sprintf("--%s\r\nContent-Disposition: form-data; name=\"expires_after\"\r\n\r\n%d\r\n", u.boundary, *in.ExpiresAfter)
	}
	return fmt.Appendf(nil, "%s--%s\r\nContent-Disposition: form-data; name=\"file\"; filename=\"%s\"\r\nContent-Type: application/octet-stream\r\n\r\n",
		out, u.boundary, in.Name), nil
}

// life judges an expires_after, in seconds.
func life(bad *problems, field string, seconds *int64) {
	least, most := int64(gatehouse.MinFileLife.Seconds()), int64(gatehouse.MaxFileLife.Seconds())
	if seconds != nil && (*seconds < least || *seconds > most) {
		bad.addf(field, "must be %d to %d seconds", least, most)
	}
}

// blame says that the form ends early by a mistake of the client's.
func (u *upload) blame(err error) {
	u.mu.Lock()
	defer u.mu.Unlock()
	if !u.over {
		u.c.mistake, u.c.blamed = err, true
	}
}

// close says that the gateway has answered. Whoever still reads for it, to send
// on what nobody wants, changes nothing of the answer.
func (u *upload) close() {
	u.mu.Lock()
	defer u.mu.Unlock()
	u.over = true
}
