package fleet

import (
	"context"
	"crypto/ecdh"
	"crypto/tls"
	"net"
	"net/http"
	"strings"
	"sync/atomic"
	"time"

	"connectrpc.com/connect"

	"gatehouse"
	wire "gatehouse/gen/fleet"
)

// The times within which a dead connection must be noticed. Together they stay
// below feed.LeaseLength: a gateway whose control node is gone has found another
// before its strict keys are refused.
const (
	dialTime    = 3 * time.Second
	quietTime   = 2 * time.Second // without a frame, the connection is asked whether it lives
	pingTime    = 2 * time.Second // within which it must say so
	idleTimeout = 2 * time.Minute
)

// maxMessage bounds what control may send at once, above feed.MaxPayload.
const maxMessage = 80 << 20

// uncompressed asks control for answers as they are. Gzip makes a snapshot two
// fifths as long, and costs both sides together 3.5 µs of CPU a key, a seventh of
// a join: it would pay on ways of less than about 300 Mb/s.
var uncompressed = connect.WithAcceptCompression("gzip", nil, nil)

// node is one control node.
type node struct {
	url string
	rpc wire.FleetClient
}

// nodes are the control nodes that were named, and which of them answered last.
type nodes struct {
	list      []*node
	at        atomic.Int64
	transport *http.Transport
}

// dial prepares connections to control, which are opened when they are needed.
func dial(urls []string, conf *tls.Config, token gatehouse.Token) (*nodes, error) {
	if len(urls) == 0 {
		return nil, gatehouse.Errorf(gatehouse.InvalidArgument, "no control node is named")
	}
	n := &nodes{transport: newTransport(conf)}
	for _, u := range urls {
		u = strings.TrimRight(u, "/")
		if !strings.HasPrefix(u, "http://") && !strings.HasPrefix(u, "https://") {
			return nil, gatehouse.Errorf(gatehouse.InvalidArgument, "%q is not a URL such as https://control.example.com:8090", u)
		}
		client := wire.NewFleetClient(&authorized{n.transport, token}, u, connect.WithReadMaxBytes(maxMessage), uncompressed)
		n.list = append(n.list, &node{u, client})
	}
	return n, nil
}

// newTransport speaks HTTP/2 alone: the feed needs both directions at once. It
// has no total timeout, since a stream lasts as long as the gateway does.
func newTransport(conf *tls.Config) *http.Transport {
	p := new(http.Protocols)
	p.SetHTTP2(true)
	p.SetUnencryptedHTTP2(true)
	if conf != nil {
		conf = conf.Clone()
	}
	return &http.Transport{
		Proxy:               nil, // the way to control is not the way to the world
		DialContext:         (&net.Dialer{Timeout: dialTime, KeepAlive: dialTime}).DialContext,
		TLSClientConfig:     conf,
		TLSHandshakeTimeout: dialTime,
		IdleConnTimeout:     idleTimeout,
		Protocols:           p,
		HTTP2: &http.HTTP2Config{
			SendPingTimeout: quietTime, PingTimeout: pingTime, WriteByteTimeout: quietTime + pingTime,
			MaxReceiveBufferPerStream: 2 << 20, MaxReceiveBufferPerConnection: 3 << 20,
		},
	}
}

// authorized shows the credential with every request. It follows no redirect:
// whoever can send one would get the credential.
type authorized struct {
	transport *http.Transport
	token     gatehouse.Token
}

// Do implements connect.HTTPClient.
func (a *authorized) Do(r *http.Request) (*http.Response, error) {
	r.Header.Set("Authorization", "Bearer "+a.token.Reveal())
	return a.transport.RoundTrip(r)
}

// now is the node to talk to.
func (n *nodes) now() *node { return n.list[int(n.at.Load())%len(n.list)] }

// failed goes on to the next node, unless somebody already has.
func (n *nodes) failed(was *node) {
	at := n.at.Load()
	if n.list[int(at)%len(n.list)] == was {
		n.at.CompareAndSwap(at, at+1)
	}
}

// each tries a call on one node after the other until one answers. What a node
// says counts, and ends the search; only silence moves on.
func (n *nodes) each(ctx context.Context, limit time.Duration, call func(context.Context, *node) error) error {
	var err error
	for range n.list {
		to := n.now()
		bounded, cancel := context.WithTimeout(ctx, limit)
		err = fault(call(bounded, to))
		cancel()
		if err == nil || !away(err) || ctx.Err() != nil {
			return err
		}
		n.failed(to)
	}
	return err
}

func (n *nodes) close() { n.transport.CloseIdleConnections() }

func (s *stored) sealPublic() ([]byte, error) {
	key, err := ecdh.X25519().NewPrivateKey(s.SealKey)
	if err != nil {
		return nil, gatehouse.Errorf(gatehouse.FailedPrecondition, "%s in the data directory has no usable seal key", identityFile)
	}
	return key.PublicKey().Bytes(), nil
}
