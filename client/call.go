package client

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"strconv"
	"strings"

	"google.golang.org/genproto/googleapis/api/annotations"
	"google.golang.org/protobuf/encoding/protojson"
	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/reflect/protoreflect"

	"gatehouse"
)

// maxAnswer bounds what is read of an answer. The largest page, a thousand
// keys, fits with 64 KiB for each; a peer that streams for ever does not.
const maxAnswer = 64 << 20

// request is one call. The set members of query become its query string, so
// that parameters are spelled by the generated code too.
type request struct {
	method, path string
	query, body  proto.Message
	snake        bool  // members are spelled as in the proto, not in camelCase
	form         *form // in the place of body
	ifMatch      gatehouse.Revision
	team         gatehouse.ID // of a path that names none, in the dialect of /v1
}

// message is a generated message by its struct: P is *T.
type message[T any] interface {
	*T
	proto.Message
}

// call sends r and decodes the answer. Members that this version does not know
// are skipped: a server may be newer than its clients.
func call[T any, P message[T]](ctx context.Context, c *Client, r request) (P, error) {
	out, _, err := exchange[T, P](ctx, c, r)
	return out, err
}

// exchange is call with the answer's header, where revision and warnings are.
func exchange[T any, P message[T]](ctx context.Context, c *Client, r request) (P, http.Header, error) {
	res, err := c.send(ctx, r)
	if err != nil {
		return nil, nil, err
	}
	defer res.Body.Close()
	text, err := bounded(ctx, c, res.Body)
	if err != nil {
		return nil, nil, err
	}
	out := P(new(T))
	if err := (protojson.UnmarshalOptions{DiscardUnknown: true}).Unmarshal(text, out); err != nil {
		return nil, nil, gatehouse.Errorf(gatehouse.Internal, "%s answers, but not as a management plane does", c.base.Host).Because(err)
	}
	if c.tap != nil {
		c.tap(text)
	}
	return out, res.Header, nil
}

func bounded(ctx context.Context, c *Client, r io.Reader) ([]byte, error) {
	text, err := io.ReadAll(io.LimitReader(r, maxAnswer+1))
	if err != nil {
		return nil, c.unreachable(ctx, err)
	}
	if len(text) > maxAnswer {
		return nil, gatehouse.Errorf(gatehouse.Internal, "%s answers with more than %d bytes", c.base.Host, maxAnswer)
	}
	return text, nil
}

// send does r and returns a successful answer, its body unread.
func (c *Client) send(ctx context.Context, r request) (*http.Response, error) {
	req, err := c.build(ctx, r)
	if err != nil {
		return nil, err
	}
	res, err := c.http.Do(req)
	if err != nil {
		return nil, c.unreachable(ctx, err)
	}
	if res.StatusCode/100 == 2 {
		return res, nil
	}
	defer res.Body.Close()
	return nil, refusal(res)
}

func (c *Client) build(ctx context.Context, r request) (*http.Request, error) {
	target := c.base.String() + r.path
	q := url.Values{}
	if r.query != nil {
		q = queryOf(r.query, r.snake)
	}
	if !r.team.IsZero() {
		q.Set("team_id", r.team.String())
	}
	if len(q) > 0 {
		target += "?" + q.Encode()
	}
	var body io.Reader
	kind := "application/json"
	if r.form != nil {
		body, kind = r.form.reader(), r.form.contentType()
	}
	if r.body != nil {
		text, err := protojson.MarshalOptions{UseProtoNames: r.snake}.Marshal(r.body)
		if err != nil {
			return nil, gatehouse.Errorf(gatehouse.InvalidArgument, "not valid UTF-8, or a time that cannot be written").Because(err)
		}
		body = bytes.NewReader(text)
	}
	req, err := http.NewRequestWithContext(ctx, r.method, target, body)
	if err != nil {
		return nil, gatehouse.Errorf(gatehouse.InvalidArgument, "no URL can name this").Because(err)
	}
	req.Header.Set("User-Agent", "gatehouse-client")
	req.Header.Set("Accept", "application/json")
	if body != nil {
		req.Header.Set("Content-Type", kind)
	}
	if r.form != nil {
		req.Header.Set("Expect", "100-continue") // a refusal comes before the file goes
	}
	if key := c.bearer(); key != "" {
		req.Header.Set("Authorization", "Bearer "+key)
	}
	if c.reason != "" {
		req.Header.Set("X-Gatehouse-Reason", c.reason)
	}
	if !r.ifMatch.IsZero() {
		req.Header.Set("If-Match", strconv.Quote(r.ifMatch.String()))
	}
	return req, nil
}

// unreachable says why no answer came. The text of net/http's errors holds the
// URL and never a header.
func (c *Client) unreachable(ctx context.Context, err error) error {
	if cause := ctx.Err(); errors.Is(cause, context.Canceled) {
		return fmt.Errorf("request to %s: %w", c.base.Host, cause)
	}
	var u *url.Error
	why := err
	if errors.As(err, &u) {
		why = u.Err
	}
	if errors.Is(err, context.DeadlineExceeded) || u != nil && u.Timeout() {
		return gatehouse.Errorf(gatehouse.DeadlineExceeded, "%s did not answer in time", c.base.Host).Because(err)
	}
	return gatehouse.Errorf(gatehouse.Unavailable, "cannot reach %s://%s: %v", c.base.Scheme, c.base.Host, why).Because(err)
}

// queryOf spells the set members of m as grpc-gateway reads a query string.
func queryOf(m proto.Message, snake bool) url.Values {
	out := url.Values{}
	name := protoreflect.FieldDescriptor.JSONName
	if snake {
		name = func(f protoreflect.FieldDescriptor) string { return string(f.Name()) }
	}
	addQuery(out, "", name, m.ProtoReflect())
	return out
}

func addQuery(out url.Values, prefix string, nameOf func(protoreflect.FieldDescriptor) string, m protoreflect.Message) {
	m.Range(func(f protoreflect.FieldDescriptor, v protoreflect.Value) bool {
		name := prefix + nameOf(f)
		switch {
		case f.IsList():
			for i := range v.List().Len() {
				out.Add(name, v.List().Get(i).String())
			}
		case f.Enum() != nil:
			out.Set(name, string(f.Enum().Values().ByNumber(v.Enum()).Name()))
		case f.Message() == nil:
			out.Set(name, v.String())
		case f.Message().ParentFile().Package() == "google.protobuf":
			// A time, a duration or a mask: a string in JSON.
			text, _ := protojson.Marshal(v.Message().Interface())
			out.Set(name, strings.Trim(string(text), `"`))
		default:
			addQuery(out, name+".", nameOf, v.Message())
		}
		return true
	})
}

// writable lists the members that a request may set, for an update that
// replaces the whole record.
func writable(m proto.Message) (paths []string) {
	fields := m.ProtoReflect().Descriptor().Fields()
	for i := range fields.Len() {
		f := fields.Get(i)
		if list, _ := proto.GetExtension(f.Options(), annotations.E_FieldBehavior).([]annotations.FieldBehavior); len(list) == 0 {
			paths = append(paths, string(f.Name()))
		}
	}
	return paths
}
