package sqlstore

import (
	"encoding/binary"
	"encoding/json"
	"maps"
	"slices"
	"strconv"
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

// restOf is the JSON of a usageRest, written by hand: every metered request
// pays for it, and reflection takes several times as long. Its test compares it
// with encoding/json.
func restOf(u *gatehouse.UsageRecord) []byte {
	b := jsonRest{make([]byte, 0, 384)}
	b.b = strconv.AppendInt(append(b.b, `{"c":`...), micros(u.Close), 10)
	b.id("u", u.UserID)
	b.tags("g", u.Tags)
	b.text("e", u.EndUser)
	b.text("a", u.Asked)
	b.id("w", u.Gateway)
	b.text("r", u.RequestID)
	b.text("s", u.Upstream)
	b.number("n", int64(u.Attempts))
	b.number("t", int64(u.Status))
	b.text("o", string(u.Outcome))
	b.truth("x", u.Estimated)
	b.truth("l", u.LongContext)
	b.text("v", u.ServiceTier)
	b.number("f", int64(u.FirstByte))
	b.number("d", int64(u.Latency))
	b.text("p", u.UpstreamUsage)
	b.truth("z", u.Unpriced)
	b.number("pe", u.PriceRevision.Epoch)
	b.number("pn", u.PriceRevision.N)
	return append(b.b, '}')
}

// jsonRest appends members, leaving out what is zero.
type jsonRest struct{ b []byte }

func (j *jsonRest) name(name string) {
	j.b = append(append(append(j.b, `,"`...), name...), `":`...)
}

func (j *jsonRest) number(name string, n int64) {
	if n != 0 {
		j.name(name)
		j.b = strconv.AppendInt(j.b, n, 10)
	}
}

func (j *jsonRest) truth(name string, yes bool) {
	if yes {
		j.name(name)
		j.b = append(j.b, "true"...)
	}
}

func (j *jsonRest) id(name string, id gatehouse.ID) {
	if !id.IsZero() {
		j.text(name, id.String())
	}
}

func (j *jsonRest) text(name, s string) {
	if s != "" {
		j.name(name)
		j.b = appendText(j.b, s)
	}
}

func (j *jsonRest) tags(name string, tags map[string]string) {
	if len(tags) == 0 {
		return
	}
	j.name(name)
	j.b = append(j.b, '{')
	for i, k := range slices.Sorted(maps.Keys(tags)) {
		if i > 0 {
			j.b = append(j.b, ',')
		}
		j.b = append(appendText(j.b, k), ':')
		j.b = appendText(j.b, tags[k])
	}
	j.b = append(j.b, '}')
}

// appendText quotes. What is not plain is left to encoding/json, quotes alone
// excepted: the provider's usage object is full of them.
func appendText(b []byte, s string) []byte {
	at := len(b)
	b = append(b, '"')
	for i := range len(s) {
		switch c := s[i]; {
		case c == '"' || c == '\\':
			b = append(b, '\\', c)
		case c < 0x20 || c >= 0x7f || c == '<' || c == '>' || c == '&':
			quoted, _ := json.Marshal(s) // a string cannot fail
			return append(b[:at], quoted...)
		default:
			b = append(b, c)
		}
	}
	return append(b, '"')
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
