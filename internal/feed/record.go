package feed

import (
	stdjson "encoding/json"
	"fmt"
	"slices"

	"github.com/go-json-experiment/json"
	jsonv1 "github.com/go-json-experiment/json/v1"

	"gatehouse"
)

// upstreamBody is an upstream with its credential, which the type itself never
// marshals. In process it travels in the clear; over a network it will be
// sealed to the gateway's key pair.
type upstreamBody struct {
	gatehouse.Upstream
	Credential string `json:"credential,omitempty"`
}

// KeyRecord is the record of a key; a tombstone's has no body.
func KeyRecord(k *gatehouse.Key) (Record, error) {
	return record(gatehouse.KindKey, k.ID.String(), k.Revision, k.Deleted(), k)
}

// UpstreamRecord is the record of an upstream for the gateways of a cluster. It
// is withheld from those that the upstream is not for: they must not hold its
// credential.
func UpstreamRecord(u *gatehouse.Upstream, cluster string) (Record, error) {
	if len(u.Clusters) > 0 && !slices.Contains(u.Clusters, cluster) {
		return Record{Kind: gatehouse.KindUpstream, ID: u.ID.String(), Revision: u.Revision}, nil
	}
	return record(gatehouse.KindUpstream, u.ID.String(), u.Revision, !u.DeleteTime.IsZero(), upstreamBody{*u, u.Credential})
}

func teamRecord(t *gatehouse.Team) (Record, error) {
	return record(gatehouse.KindTeam, t.ID.String(), t.Revision, !t.DeleteTime.IsZero(), t)
}

func clusterRecord(c *gatehouse.Cluster) (Record, error) {
	return record(gatehouse.KindCluster, c.Name, c.Revision, !c.DeleteTime.IsZero(), c)
}

func modelRecord(m *gatehouse.Model) (Record, error) {
	return record(gatehouse.KindModel, m.Name, m.Revision, !m.DeleteTime.IsZero(), m)
}

func aliasRecord(a *gatehouse.Alias) (Record, error) {
	return record(gatehouse.KindAlias, a.Name, a.Revision, !a.DeleteTime.IsZero(), a)
}

func priceRecord(p *gatehouse.Price) (Record, error) {
	return record(gatehouse.KindPrice, p.ID.String(), p.Revision, !p.DeleteTime.IsZero(), p)
}

func record(kind gatehouse.Kind, id string, rev gatehouse.Revision, deleted bool, v any) (Record, error) {
	r := Record{Kind: kind, ID: id, Revision: rev, Deleted: deleted}
	if deleted {
		return r, nil
	}
	body, err := stdjson.Marshal(v)
	if err != nil {
		return Record{}, fmt.Errorf("feed: encoding %s %s: %w", kind, id, err)
	}
	r.Body = body
	return r, nil
}

// parse reads a body strictly. A member that this program does not know may be
// one that takes authority away, so the record is denied and not half
// understood; so is one with a member twice, which two readers could take
// differently.
func parse[T any](r *Record) (*T, error) {
	v := new(T)
	err := json.Unmarshal(r.Body, v, json.RejectUnknownMembers(true), jsonv1.FormatDurationAsNano(true))
	return v, err
}

// validKey checks what the replica computes with. Control checked it too; a
// gateway takes every record as hostile (design §7).
func validKey(k *gatehouse.Key, id string) error {
	var v gatehouse.Violations
	k.ACL.Validate("acl", &v)
	k.Limits.Validate(&v)
	switch {
	case k.ID.IsZero() || k.ID.String() != id:
		v.Addf("id", "is not the record's")
	case k.TeamID.IsZero():
		v.Addf("teamId", "is required")
	case k.Deleted():
		v.Addf("deleteTime", "set on a record that is not a tombstone")
	case len(k.Secrets) == 0 || len(k.Secrets) > 2:
		v.Addf("secrets", "must be one or two")
	case len(k.Name) > 4*gatehouse.MaxName:
		v.Addf("name", "is too long")
	case len(k.IPRanges) > gatehouse.MaxIPRanges || len(k.Tags) > gatehouse.MaxTags:
		v.Addf("ipRanges", "or tags are too many")
	}
	for _, p := range k.IPRanges {
		if !p.IsValid() {
			v.Addf("ipRanges", "holds an invalid range")
		}
	}
	return v.Err()
}
