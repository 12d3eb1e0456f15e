package sqlstore

import (
	"encoding/binary"
	"encoding/json"
	"time"

	"gatehouse"
)

// usageRest is what a usage row says beyond its columns and its vector.
type usageRest struct {
	Close         int64             `json:"c"` // µs
	UserID        gatehouse.ID      `json:"u,omitzero"`
	Tags          map[string]string `json:"g,omitempty"`
	EndUser       string            `json:"e,omitempty"`
	Asked         string            `json:"a,omitempty"`
	Gateway       gatehouse.ID      `json:"w,omitzero"`
	RequestID     string            `json:"r,omitempty"`
	Upstream      string            `json:"s,omitempty"`
	Attempts      int               `json:"n,omitempty"`
	Status        int               `json:"t,omitempty"`
	Outcome       gatehouse.Outcome `json:"o,omitempty"`
	Estimated     bool              `json:"x,omitempty"`
	LongContext   bool              `json:"l,omitempty"`
	ServiceTier   string            `json:"v,omitempty"`
	FirstByte     time.Duration     `json:"f,omitempty"`
	Latency       time.Duration     `json:"d,omitempty"`
	UpstreamUsage string            `json:"p,omitempty"`
	Unpriced      bool              `json:"z,omitempty"`
	PriceEpoch    int64             `json:"pe,omitempty"`
	PriceN        int64             `json:"pn,omitempty"`
}

func restOf(u *gatehouse.UsageRecord) ([]byte, error) {
	return json.Marshal(usageRest{
		micros(u.Close), u.UserID, u.Tags, u.EndUser, u.Asked, u.Gateway, u.RequestID, u.Upstream, u.Attempts, u.Status,
		u.Outcome, u.Estimated, u.LongContext, u.ServiceTier, u.FirstByte, u.Latency, u.UpstreamUsage, u.Unpriced,
		u.PriceRevision.Epoch, u.PriceRevision.N,
	})
}

func (r *usageRest) into(u *gatehouse.UsageRecord) {
	u.Close, u.UserID, u.Tags, u.EndUser, u.Asked = fromMicros(r.Close), r.UserID, r.Tags, r.EndUser, r.Asked
	u.Gateway, u.RequestID, u.Upstream, u.Attempts, u.Status = r.Gateway, r.RequestID, r.Upstream, r.Attempts, r.Status
	u.Outcome, u.Estimated, u.LongContext, u.ServiceTier = r.Outcome, r.Estimated, r.LongContext, r.ServiceTier
	u.FirstByte, u.Latency, u.UpstreamUsage, u.Unpriced = r.FirstByte, r.Latency, r.UpstreamUsage, r.Unpriced
	u.PriceRevision = gatehouse.Revision{Epoch: r.PriceEpoch, N: r.PriceN}
}

// packVector writes usage and costs: for each unit that is not zero its
// number, count and cost as varints. Most requests have three units of fifteen.
func packVector(u *gatehouse.UsageRecord) []byte {
	b := make([]byte, 0, 32)
	for i := range u.Usage {
		if u.Usage[i] == 0 && u.Costs[i] == 0 {
			continue
		}
		b = append(b, byte(i))
		b = binary.AppendVarint(b, u.Usage[i])
		b = binary.AppendVarint(b, int64(u.Costs[i]))
	}
	return b
}

func unpackVector(b []byte, usage *gatehouse.Usage, costs *gatehouse.Costs) error {
	for len(b) > 0 {
		unit := int(b[0])
		count, n := binary.Varint(b[1:])
		if unit >= len(usage) || n <= 0 {
			return badVector()
		}
		cost, m := binary.Varint(b[1+n:])
		if m <= 0 {
			return badVector()
		}
		usage[unit], costs[unit] = count, gatehouse.Ticks(cost)
		b = b[1+n+m:]
	}
	return nil
}

func badVector() error {
	return gatehouse.Errorf(gatehouse.Internal, "a usage row's vector is damaged")
}
