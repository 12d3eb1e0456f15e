package fleet

import (
	"context"
	"crypto/tls"
	"encoding/json"
	"time"

	"gatehouse"
	wire "gatehouse/gen/fleet"
	"gatehouse/internal/feed"
	"gatehouse/internal/meter"
	"gatehouse/internal/store"
)

// Config is what a Client works with.
type Config struct {
	Control  []string // base URLs of control nodes
	Identity *Identity
	TLS      *tls.Config // nil: the system's roots
}

// Client is control, seen from a gateway in another process. Its methods are
// safe for concurrent use.
type Client struct {
	id *Identity
	// Small calls and bulk have connections of their own: a limit must not wait
	// behind a snapshot.
	quick, bulk *nodes
	// limits goes to the same nodes by the same connections, and looks for the one
	// that shares out limits: the feed stays where it is well.
	limits        *nodes
	changes, disk *stream
}

// Feed, sink and look-up in one.
var (
	_ feed.Feed  = (*Client)(nil)
	_ meter.Sink = (*Client)(nil)
)

// callTime bounds calls that are answered at once.
const callTime = 10 * time.Second

// New returns a client. It connects when it is first used. Close it.
func New(c Config) (*Client, error) {
	quick, err := dial(c.Control, c.TLS, c.Identity.credential)
	if err != nil {
		return nil, err
	}
	bulk, err := dial(c.Control, c.TLS, c.Identity.credential)
	if err != nil {
		return nil, err
	}
	limits := &nodes{list: quick.list, transport: quick.transport}
	return &Client{id: c.Identity, quick: quick, bulk: bulk, limits: limits, changes: newStream(quick), disk: newStream(bulk)}, nil
}

// Close ends the streams and their connections.
func (c *Client) Close() {
	c.changes.drop(nil)
	c.disk.drop(nil)
	c.quick.close()
	c.bulk.close()
}

// Pull implements feed.Feed. One caller at a time follows changes, and beside it
// one may take a snapshot for the disk.
func (c *Client) Pull(ctx context.Context, p feed.Poll) (feed.Signed, error) {
	s := c.changes
	if p.Archive {
		s = c.disk
	}
	out, err := s.pull(ctx, p)
	return out, c.id.dismissed(err)
}

// Ingest implements meter.Sink.
func (c *Client) Ingest(ctx context.Context, b meter.Batch) error {
	body, err := json.Marshal(b)
	if err != nil {
		return gatehouse.Errorf(gatehouse.Internal, "usage cannot be encoded").Because(err)
	}
	return c.bulk.each(ctx, callTime, func(ctx context.Context, n *node) error {
		_, err := n.rpc.Ship(ctx, &wire.ShipRequest{Batch: body})
		return err
	})
}

// Object finds who owns an id that an upstream handed out; it is the gateway's
// Lookup.
func (c *Client) Object(ctx context.Context, id string) (meter.Object, error) {
	var reply *wire.ObjectReply
	err := c.quick.each(ctx, callTime, func(ctx context.Context, n *node) (err error) {
		reply, err = n.rpc.Object(ctx, &wire.ObjectRequest{Id: id})
		return err
	})
	if err != nil {
		return meter.Object{}, err
	}
	o := meter.Object{ID: id, Model: reply.GetModel(), CreateTime: time.Unix(0, reply.GetCreated()).UTC()}
	if reply.GetId() != id || len(reply.GetTeamId()) != len(o.TeamID) || len(reply.GetUpstreamId()) != len(o.UpstreamID) {
		return meter.Object{}, gatehouse.Errorf(gatehouse.Unavailable, "control answered about another id")
	}
	o.TeamID, o.UpstreamID = gatehouse.ID(reply.GetTeamId()), gatehouse.ID(reply.GetUpstreamId())
	return o, nil
}

// Touch reports when secrets were last used. It is worth one attempt: the next
// report is newer.
func (c *Client) Touch(ctx context.Context, uses []store.LastUse) error {
	req := new(wire.TouchRequest)
	for _, u := range uses {
		req.Uses = append(req.Uses, &wire.LastUse{KeyId: u.KeyID[:], Last4: u.Last4, Time: u.Time.UnixNano()})
	}
	return c.quick.each(ctx, callTime, func(ctx context.Context, n *node) error {
		_, err := n.rpc.Touch(ctx, req)
		return err
	})
}

// Leave says that this gateway stops on purpose. It changes nothing that safety
// rests on: a gateway that left may start again from its disk.
func (c *Client) Leave(ctx context.Context) error {
	return c.quick.each(ctx, callTime, func(ctx context.Context, n *node) error {
		_, err := n.rpc.Leave(ctx, &wire.LeaveRequest{})
		return err
	})
}
