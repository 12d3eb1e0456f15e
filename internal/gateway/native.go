package gateway

import (
	"net/http"
	"slices"

	"gatehouse"
	"gatehouse/internal/feed"
)

// native is a ResponseWriter whose request came in another form than its body,
// and that can send this form to an upstream of [gatehouse.FamilyGRPC]. What is
// judged, limited, paid and counted is the body and the answer that it makes of
// the upstream's: one way in, and two ways out.
type native interface {
	// Native is asked when the body was read: how large this form is, 0 when there is
	// none, and why the body cannot stand for it, nil when it can.
	Native() (size int64, bodyFails error)
	// SendNative is t.RoundTrip for the form, the model named as the upstream does.
	// Of r it takes context, address and header; the answer is one to the body.
	SendNative(t http.RoundTripper, r *http.Request, model string) (*http.Response, error)
	// BodyAlone says that SendNative will not be called.
	BodyAlone()
}

// nativeForm finds the form of a request whose body was read.
func (c *call) nativeForm() {
	if n, ok := c.w.(native); ok {
		if size, fails := n.Native(); size > 0 {
			c.native, c.nativeSize, c.bodyFails = n, size, fails
		}
	}
}

// ways are the upstreams of a model in the two forms. Those of the second stand
// in for those of the first; which of them speaks both is asked once.
func (c *call) ways(cat *feed.Catalogue, model string) (asItCame, asBody []feed.Route) {
	if c.bodyFails == nil {
		asBody = cat.Routes(model, c.route.Family)
	}
	if c.native == nil {
		return nil, asBody
	}
	asItCame = cat.Routes(model, gatehouse.FamilyGRPC)
	return asItCame, slices.DeleteFunc(slices.Clone(asBody), func(r feed.Route) bool {
		return slices.ContainsFunc(asItCame, func(n feed.Route) bool { return n.Upstream == r.Upstream })
	})
}

// settleForm lets go of a form that no leg needs, and takes room for one that some
// leg does: it is there decoded, and again as it is sent.
func (c *call) settleForm(legs []leg) *refusal {
	switch {
	case c.native == nil:
	case !slices.ContainsFunc(legs, func(l leg) bool { return l.native }):
		c.native.BodyAlone()
	case !c.charge(2 * c.nativeSize):
		return c.full()
	}
	return nil
}

// sendNative sends the form in which the request came.
func (x *exchange) sendNative(l *link, o *order, n native, model string) *lost {
	t, err := l.overHTTP2()
	if err != nil {
		return lose(false, err)
	}
	x.link = l
	return x.sendThrough(l.scheme+"://"+l.host+"/", o, func(r *http.Request) (*http.Response, error) { return n.SendNative(t, r, model) })
}

// overHTTP2 is the transport of gRPC, made by need.
func (l *link) overHTTP2() (*http.Transport, error) {
	if l.transport != nil && l.up.HTTP == "2" {
		return l.transport, nil
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.http2 == nil {
		t, err := l.newTransport(true)
		if err != nil {
			return nil, err
		}
		l.http2 = t
	}
	return l.http2, nil
}
