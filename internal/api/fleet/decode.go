package fleet

import (
	"bytes"
	"encoding/json"
	"time"

	"gatehouse"
	wire "gatehouse/gen/fleet"
	"gatehouse/internal/feed"
	"gatehouse/internal/meter"
	"gatehouse/internal/store"
)

// maxText bounds what a gateway can make us store: its version, its problem.
const maxText = 512

func clip(s string) string {
	if len(s) > maxText {
		s = s[:maxText]
	}
	return s
}

func idOf(b []byte) (id gatehouse.ID, err error) {
	if len(b) != len(id) {
		return id, gatehouse.Errorf(gatehouse.InvalidArgument, "an id has %d bytes", len(id))
	}
	return gatehouse.ID(b), nil
}

// pollOf is a poll of the member m. What the gateway says of itself must be what
// control knows of it: a data directory copied beside another identity would
// otherwise acknowledge for the wrong one.
func pollOf(in *wire.Poll, m *gatehouse.Membership) (feed.Poll, error) {
	id, err := idOf(in.GetGatewayId())
	if err != nil {
		return feed.Poll{}, err
	}
	if id != m.ID || in.GetCluster() != m.Cluster {
		return feed.Poll{}, gatehouse.Errorf(gatehouse.PermissionDenied, "gateway %s of cluster '%s' cannot speak for another", m.ID, m.Cluster)
	}
	if len(m.SealKey) != len(feed.SealKey{}) {
		return feed.Poll{}, gatehouse.Errorf(gatehouse.FailedPrecondition, "gateway %s has no seal key: join anew", m.ID)
	}
	if in.GetEpoch() < 0 || in.GetN() < 0 {
		return feed.Poll{}, gatehouse.Errorf(gatehouse.InvalidArgument, "a revision is not negative")
	}
	p := feed.Poll{
		Gateway: m.ID, Cluster: m.Cluster, Version: clip(in.GetVersion()), Enforced: gatehouse.Revision{Epoch: in.GetEpoch(), N: in.GetN()},
		Ready: in.GetReady(), Problem: clip(in.GetProblem()), Nonce: in.GetNonce(), Session: in.GetSession(), Part: in.GetPart(),
		Wire: in.GetWire(), Archive: in.GetArchive(), SealTo: feed.SealKey(m.SealKey),
	}
	if !p.Ready {
		p.Enforced = gatehouse.Revision{} // who serves nothing enforces nothing, whatever it says
	}
	p.Offer, err = offerOf(in.GetOffer())
	return p, err
}

// offerOf is what a gateway knows to be deleted. A member can delete keys by
// it, and does so rather than have a deleted one come back: it is audited.
func offerOf(in *wire.Offer) (*feed.Offer, error) {
	if in == nil {
		return nil, nil
	}
	out := &feed.Offer{}
	for _, t := range in.GetTombstones() {
		id, err := idOf(t.GetKeyId())
		if err != nil {
			return nil, err
		}
		out.Tombstones = append(out.Tombstones, feed.Tombstone{ID: id, Revision: gatehouse.Revision{Epoch: t.GetEpoch(), N: t.GetN()}})
	}
	return out, nil
}

// clockMargin is how far the clocks of a gateway and of control may be apart when
// it is asked whether a request was served before the gateway joined. Usage that
// is refused blocks all that comes after it, so the margin is wide.
const clockMargin = time.Hour

// batchOf is usage of the member m. Rows of another gateway refuse the whole, and
// so do those of another cluster since m joined this one: they would be billed
// under a name that did not serve them. What m served before it joined, alone or
// elsewhere, bears the name of that place and is its own all the same.
func batchOf(body []byte, m *gatehouse.Membership) (meter.Batch, error) {
	var b meter.Batch
	d := json.NewDecoder(bytes.NewReader(body))
	d.DisallowUnknownFields()
	if err := d.Decode(&b); err != nil {
		return b, gatehouse.Errorf(gatehouse.InvalidArgument, "the usage is not readable here; is the gateway newer than control?").Because(err)
	}
	foreign := b.Gateway != m.ID
	for i := range b.Records {
		r := &b.Records[i]
		foreign = foreign || r.Gateway != m.ID || r.Cluster != m.Cluster && r.Start.After(m.CreateTime.Add(clockMargin))
	}
	if foreign {
		return b, gatehouse.Errorf(gatehouse.PermissionDenied, "gateway %s of cluster '%s' cannot ship another's usage; gatehouse journal ship brings that in", m.ID, m.Cluster)
	}
	return b, nil
}

// maxUses bounds one report of last uses.
const maxUses = 5000

func usesOf(r *wire.TouchRequest) ([]store.LastUse, error) {
	if len(r.GetUses()) > maxUses {
		return nil, gatehouse.Errorf(gatehouse.InvalidArgument, "at most %d uses at once", maxUses)
	}
	out := make([]store.LastUse, 0, len(r.GetUses()))
	for _, u := range r.GetUses() {
		id, err := idOf(u.GetKeyId())
		if err != nil {
			return nil, err
		}
		if len(u.GetLast4()) > 4 {
			return nil, gatehouse.Errorf(gatehouse.InvalidArgument, "last4 is four characters")
		}
		out = append(out, store.LastUse{KeyID: id, Last4: u.GetLast4(), Time: time.Unix(0, u.GetTime()).UTC()})
	}
	return out, nil
}
