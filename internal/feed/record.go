package feed

import (
	"bytes"
	stdjson "encoding/json"
	"errors"
	"fmt"
	"reflect"
	"slices"

	"github.com/go-json-experiment/json"
	jsonv1 "github.com/go-json-experiment/json/v1"

	"gatehouse"
)

// upstreamBody is an upstream with its credential, which the type itself never
// marshals: in the clear to a gateway in this process, else sealed to the
// gateway's key pair.
type upstreamBody struct {
	gatehouse.Upstream
	Credential string `json:"credential,omitempty"`
	Sealed     []byte `json:"sealedCredential,omitempty"`
}

// viewer is for whom records are made.
type viewer struct {
	at     string  // the cluster
	sealTo SealKey // zero: in this process
	wire   uint32
}

func (p *Poll) viewer() viewer { return viewer{p.Cluster, p.SealTo, p.Wire} }

// KeyRecord is the record of a key in layout 1; a tombstone's has no body.
func KeyRecord(k *gatehouse.Key) (Record, error) { return viewer{}.key(k) }

func (w viewer) key(k *gatehouse.Key) (Record, error) {
	if w.wire < 2 || k.Deleted() {
		bare := *k
		bare.StrictSince = gatehouse.Revision{}
		return record(gatehouse.KindKey, k.ID.String(), k.Revision, k.Deleted(), &bare)
	}
	return Record{Kind: gatehouse.KindKey, ID: k.ID.String(), Revision: k.Revision, Body: encodeKey(k)}, nil
}

// UpstreamRecord is the record of an upstream for a gateway of a cluster in this
// process. It is withheld from those that the upstream is not for: they must
// not hold its credential.
func UpstreamRecord(u *gatehouse.Upstream, cluster string) (Record, error) {
	return viewer{at: cluster}.upstream(u)
}

func (w viewer) upstream(u *gatehouse.Upstream) (Record, error) {
	if len(u.Clusters) > 0 && !slices.Contains(u.Clusters, w.at) {
		return Record{Kind: gatehouse.KindUpstream, ID: u.ID.String(), Revision: u.Revision}, nil
	}
	body := upstreamBody{Upstream: *u}
	switch {
	case w.sealTo == SealKey{}:
		body.Credential = u.Credential
	case u.Credential != "":
		var err error
		if body.Sealed, err = seal(w.sealTo, u.ID, u.Credential); err != nil {
			return Record{}, err
		}
	}
	return record(gatehouse.KindUpstream, u.ID.String(), u.Revision, !u.DeleteTime.IsZero(), body)
}

// model is withheld from clusters that it is not for.
func (w viewer) model(m *gatehouse.Model) (Record, error) {
	if !m.In(w.at) && m.DeleteTime.IsZero() {
		return Record{Kind: gatehouse.KindModel, ID: m.Name, Revision: m.Revision}, nil
	}
	return record(gatehouse.KindModel, m.Name, m.Revision, !m.DeleteTime.IsZero(), m)
}

func (viewer) team(t *gatehouse.Team) (Record, error) {
	return record(gatehouse.KindTeam, t.ID.String(), t.Revision, !t.DeleteTime.IsZero(), t)
}

func (viewer) cluster(c *gatehouse.Cluster) (Record, error) {
	return record(gatehouse.KindCluster, c.Name, c.Revision, !c.DeleteTime.IsZero(), c)
}

func (viewer) alias(a *gatehouse.Alias) (Record, error) {
	return record(gatehouse.KindAlias, a.Name, a.Revision, !a.DeleteTime.IsZero(), a)
}

func (viewer) price(p *gatehouse.Price) (Record, error) {
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
// differently, and one with a blank that no writer leaves.
func parse[T any](r *Record) (*T, error) {
	v := new(T)
	if err := json.Unmarshal(r.Body, v, json.RejectUnknownMembers(true), jsonv1.FormatDurationAsNano(true)); err != nil {
		return nil, err
	}
	return v, unblanked(r.Body, v)
}

// unblanked refuses a member that is null or zero where every writer would have
// left it out: "expireTime": null reads as never, and a limit of 0 as none. What
// was read must say at least what the body said.
func unblanked(body []byte, v any) error {
	again, err := stdjson.Marshal(v)
	if err != nil {
		return err
	}
	if bytes.Equal(again, body) {
		return nil
	}
	var said, kept any
	if err := errors.Join(json.Unmarshal(body, &said), json.Unmarshal(again, &kept)); err != nil {
		return err
	}
	if at := lost(said, kept); at != "" {
		return fmt.Errorf("blank or unusual member %s", at)
	}
	return nil
}

// lost names a member of said that kept does not have as it was. Kept may have
// more: a member that was added since, which an older writer did not know.
func lost(said, kept any) string {
	s, ok := said.(map[string]any)
	k, also := kept.(map[string]any)
	if !ok || !also {
		if reflect.DeepEqual(said, kept) {
			return ""
		}
		return "."
	}
	for name, v := range s {
		other, there := k[name]
		if !there {
			return name
		}
		if at := lost(v, other); at != "" {
			return name
		}
	}
	return ""
}

// readKey parses and checks the key of a record.
func readKey(r *Record) (*gatehouse.Key, error) {
	k, err := parseKey(r)
	if err == nil {
		err = validKey(k, r.ID)
	}
	if err != nil {
		return nil, err
	}
	k.Revision = r.Revision
	return k, nil
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
