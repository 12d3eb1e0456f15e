package api

import (
	"net/netip"
	"time"

	"google.golang.org/protobuf/types/known/structpb"
	"google.golang.org/protobuf/types/known/timestamppb"

	"gatehouse"
	"gatehouse/gen/authmgmt"
)

// Nobody is the Max UUID (RFC 9562), which names nothing: what an id in a path
// becomes that is no UUID, so that it is not found in the same words as any
// other. The zero ID would not do, it means the caller's own team.
var Nobody = gatehouse.ID{
	0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff,
}

// PathID reads an id of a path.
func PathID(s string) gatehouse.ID {
	id, err := gatehouse.ParseID(s)
	if err != nil || id.IsZero() {
		return Nobody
	}
	return id
}

// ID reads an id of a body or query; absent is the zero ID.
func ID(field, s string, v *gatehouse.Violations) gatehouse.ID {
	if s == "" {
		return gatehouse.ID{}
	}
	id, err := gatehouse.ParseID(s)
	if err != nil {
		v.Addf(field, "is not a UUID")
	}
	return id
}

// Stamp is t on the wire, nil for the zero time.
func Stamp(t time.Time) *timestamppb.Timestamp {
	if t.IsZero() {
		return nil
	}
	return timestamppb.New(t)
}

// Time inverts Stamp. The year 1 is a time like any other on the wire, and
// must not come out as "never".
func Time(ts *timestamppb.Timestamp) time.Time {
	if ts == nil {
		return time.Time{}
	}
	t := ts.AsTime()
	if t.IsZero() {
		return t.Add(1)
	}
	return t
}

// Limit reads a limit: absent is none, which the root package spells 0. A zero
// that somebody wrote becomes -1, out of range there, so that it is refused
// together with everything else that is wrong.
func Limit[T int32 | int64](p *T) T {
	switch {
	case p == nil:
		return 0
	case *p == 0:
		return -1
	}
	return *p
}

// LimitOut inverts Limit.
func LimitOut[T int32 | int64](n T) *T {
	if n == 0 {
		return nil
	}
	return &n
}

// Page reads the paging members of a request.
func Page(size int32, token string) (gatehouse.Page, error) {
	if size < 0 {
		return gatehouse.Page{}, gatehouse.Violations{{Field: "pageSize", Problem: "must not be negative"}}.Err()
	}
	return gatehouse.Page{Size: int(size), Token: token}, nil
}

// Next is a page token on the wire: absent on the last page.
func Next(token string) *string {
	if token == "" {
		return nil
	}
	return &token
}

// Secret shows a token. It is how the reply to create and rotate does.
func Secret(t gatehouse.Token) *string {
	if t.IsZero() {
		return nil
	}
	s := t.Reveal()
	return &s
}

// Strings keeps an empty list from being null in Go where it is not on the wire.
func Strings[S ~[]string](s S) []string { return append([]string{}, s...) }

// ManagementKey is a management key on the wire.
func ManagementKey(k *gatehouse.ManagementKey, token gatehouse.Token, brand string) *authmgmt.ManagementKey {
	out := &authmgmt.ManagementKey{
		ApiKeyId: k.ID.String(), TeamId: k.TeamID.String(), Name: k.Name, Acls: Strings(k.ACL),
		Scope: authmgmt.Scope(authmgmt.Scope_value[string(k.Scope)]), ScopeId: k.TeamID.String(),
		OwnerUserId: k.UserID.String(), CreateTime: Stamp(k.CreateTime), ModifyTime: Stamp(k.ModifyTime),
		ApiKey: Secret(token), IpRanges: ipRanges(k.IPRanges), ExpireTime: Stamp(k.ExpireTime),
		Grant: grant(k.Grant), Revision: k.Revision.String(), Personal: k.Personal,
	}
	last4 := ""
	if len(k.Secrets) > 0 {
		last4 = k.Secrets[0].Last4
	}
	out.RedactedApiKey = gatehouse.Redact(brand, gatehouse.Management, last4)
	return out
}

func ipRanges(in []netip.Prefix) *authmgmt.IpRanges {
	if len(in) == 0 {
		return nil
	}
	out := &authmgmt.IpRanges{}
	for _, p := range in {
		address := &authmgmt.IpAddress{Address: &authmgmt.IpAddress_Ipv6{Ipv6: p.Addr().String()}}
		if p.Addr().Is4() {
			address.Address = &authmgmt.IpAddress_Ipv4{Ipv4: p.Addr().String()}
		}
		out.IpRanges = append(out.IpRanges, &authmgmt.IpRange{Address: address, PrefixLength: int32(p.Bits())})
	}
	return out
}

// IPRanges reads xAI's shape of an allow-list.
func IPRanges(in *authmgmt.IpRanges, v *gatehouse.Violations) (out []netip.Prefix) {
	for _, r := range in.GetIpRanges() {
		text := r.GetAddress().GetIpv4() + r.GetAddress().GetIpv6()
		addr, err := netip.ParseAddr(text)
		p, err2 := addr.Prefix(int(r.GetPrefixLength()))
		if err != nil || err2 != nil {
			v.Addf("ipRanges", "needs an address and a prefixLength that fits it")
			continue
		}
		out = append(out, p)
	}
	return out
}

func grant(g *gatehouse.Grant) *authmgmt.Grant {
	if g == nil {
		return nil
	}
	out := &authmgmt.Grant{MaxQps: g.MaxQPS, MaxQpm: g.MaxQPM, MaxTpm: g.MaxTPM}
	if g.ACL != nil {
		out.Acls = &structpb.ListValue{}
		for _, s := range *g.ACL {
			out.Acls.Values = append(out.Acls.Values, structpb.NewStringValue(s))
		}
	}
	if g.MaxExpireTime != nil {
		out.MaxExpireTime = Stamp(*g.MaxExpireTime)
	}
	if g.MaxBudget != nil {
		out.MaxBudgetCents = new(int64(*g.MaxBudget / gatehouse.Cent))
	}
	return out
}

// Grant reads a ceiling.
func Grant(in *authmgmt.Grant) *gatehouse.Grant {
	if in == nil {
		return nil
	}
	out := &gatehouse.Grant{MaxQPS: in.MaxQps, MaxQPM: in.MaxQpm, MaxTPM: in.MaxTpm}
	if in.Acls != nil {
		acl := gatehouse.ACL{}
		for _, v := range in.Acls.Values {
			acl = append(acl, v.GetStringValue())
		}
		out.ACL = &acl
	}
	if in.MaxExpireTime != nil {
		t := Time(in.MaxExpireTime)
		out.MaxExpireTime = &t
	}
	if in.MaxBudgetCents != nil {
		out.MaxBudget = new(Ticks(*in.MaxBudgetCents))
	}
	return out
}

// Ticks are cents of the wire as money. What is out of range becomes -1, which
// is refused behind the face like any other amount that nobody may have.
func Ticks(cents int64) gatehouse.Ticks {
	if t, ok := gatehouse.Cent.Mul(cents); ok {
		return t
	}
	return -1
}

// KeyMembers are what both shapes of a key have: xAI's and our own. Limits are
// pointers, since an absent limit clears and a zero is refused.
type KeyMembers struct {
	Name       string
	ACL        []string
	QPS, QPM   *int32
	TPM        *int64
	Disabled   bool
	ExpireTime *timestamppb.Timestamp
}

// Set takes one masked member of an update over; false when it is none of these.
func (k KeyMembers) Set(up *gatehouse.KeyUpdate, name string) bool {
	switch name {
	case "name":
		up.Name = gatehouse.Some(k.Name)
	case "acl_strings":
		up.ACL = gatehouse.Some(gatehouse.ACL(k.ACL))
	case "qps":
		up.QPS = gatehouse.Some(Limit(k.QPS))
	case "qpm":
		up.QPM = gatehouse.Some(Limit(k.QPM))
	case "tpm":
		up.TPM = gatehouse.Some(Limit(k.TPM))
	case "disabled":
		up.Disabled = gatehouse.Some(k.Disabled)
	case "expire_time":
		up.ExpireTime = gatehouse.Some(Time(k.ExpireTime))
	default:
		return false
	}
	return true
}
