package sqlstore

import (
	"encoding/json"
	"net/url"
	"time"

	jsonv1 "github.com/go-json-experiment/json/v1"

	"gatehouse"
)

// facts are what the columns beside a record repeat of it.
type facts struct {
	id, team, user, name string
	created, expire      time.Time
	disabled             bool
	deleted              time.Time
}

// authority describes one table of records; see the package comment. All
// tables have the same columns, so one set of statements serves them.
type authority[T any] struct {
	table string
	kind  gatehouse.Kind
	// named kinds are identified by a name. A name may be taken again once its
	// record is gone; an id never.
	named    bool
	facts    func(*T) facts
	revision func(*T) *gatehouse.Revision
	// bare copies a record without its secrets, and returns these; nil for none.
	bare func(*T) (copy T, secret []byte)
	// place is what the secrets are sealed to, and dress puts them back.
	place func(*T) string
	dress func(*T, []byte) error
	// file maintains what is indexed beside the row; may be nil. before is the
	// record that is replaced, nil for none; now is nil when it is dropped.
	file func(t *tx, before, now *T) error
	// dropped kinds leave no tombstone: what is deleted has no row, and the log
	// alone knows that it was. quiet ones are nothing that gateways hold, so the
	// feed does not carry them.
	dropped, quiet bool
}

func plain[T any](v *T) (T, []byte) { return *v, nil }

var keyTable = authority[gatehouse.Key]{
	table: "api_keys", kind: gatehouse.KindKey,
	facts: func(k *gatehouse.Key) facts {
		return facts{k.ID.String(), k.TeamID.String(), k.UserID.String(), k.Name, k.CreateTime, k.ExpireTime, k.Disabled, k.DeleteTime}
	},
	revision: func(k *gatehouse.Key) *gatehouse.Revision { return &k.Revision },
	bare: func(k *gatehouse.Key) (gatehouse.Key, []byte) {
		c := *k
		c.Secrets = nil
		return c, secrets(k.Secrets)
	},
	place: func(k *gatehouse.Key) string {
		return "api_keys/" + k.ID.String() + "/" + k.TeamID.String() + "/digest"
	},
	dress: func(k *gatehouse.Key, b []byte) error { return jsonv1.Unmarshal(b, &k.Secrets) },
	file:  fileACL,
}

var managementKeyTable = authority[gatehouse.ManagementKey]{
	table: "management_keys", kind: gatehouse.KindManagementKey,
	facts: func(k *gatehouse.ManagementKey) facts {
		return facts{k.ID.String(), k.TeamID.String(), k.UserID.String(), k.Name, k.CreateTime, k.ExpireTime, false, k.DeleteTime}
	},
	revision: func(k *gatehouse.ManagementKey) *gatehouse.Revision { return &k.Revision },
	bare: func(k *gatehouse.ManagementKey) (gatehouse.ManagementKey, []byte) {
		c := *k
		c.Secrets = nil
		return c, secrets(k.Secrets)
	},
	place: func(k *gatehouse.ManagementKey) string {
		return "management_keys/" + k.ID.String() + "/" + k.TeamID.String() + "/digest"
	},
	dress: func(k *gatehouse.ManagementKey, b []byte) error { return json.Unmarshal(b, &k.Secrets) },
}

// secrets is nil for none: a tombstone has nothing to seal.
func secrets(s []gatehouse.Secret) []byte {
	if len(s) == 0 {
		return nil
	}
	b, err := json.Marshal(s)
	if err != nil {
		panic(err) // digests, strings and times always marshal
	}
	return b
}

var teamTable = authority[gatehouse.Team]{
	table: "teams", kind: gatehouse.KindTeam,
	facts: func(t *gatehouse.Team) facts {
		return facts{id: t.ID.String(), team: t.ID.String(), name: t.Name, created: t.CreateTime, disabled: t.Blocked, deleted: t.DeleteTime}
	},
	revision: func(t *gatehouse.Team) *gatehouse.Revision { return &t.Revision },
	bare:     plain[gatehouse.Team],
}

var userTable = authority[gatehouse.User]{
	table: "users", kind: gatehouse.KindUser,
	facts: func(u *gatehouse.User) facts {
		return facts{id: u.ID.String(), team: u.TeamID.String(), user: u.ID.String(), name: u.Subject, created: u.CreateTime, deleted: u.DeleteTime}
	},
	revision: func(u *gatehouse.User) *gatehouse.Revision { return &u.Revision },
	bare:     plain[gatehouse.User],
}

var upstreamTable = authority[gatehouse.Upstream]{
	table: "upstreams", kind: gatehouse.KindUpstream,
	facts: func(u *gatehouse.Upstream) facts {
		return facts{id: u.ID.String(), name: u.Name, disabled: u.Disabled, deleted: u.DeleteTime}
	},
	revision: func(u *gatehouse.Upstream) *gatehouse.Revision { return &u.Revision },
	bare: func(u *gatehouse.Upstream) (gatehouse.Upstream, []byte) {
		c := *u
		c.Credential, c.HasCredential = "", u.Credential != ""
		if !c.HasCredential {
			return c, nil
		}
		return c, []byte(u.Credential)
	},
	place: func(u *gatehouse.Upstream) string {
		return "upstreams/" + u.ID.String() + "/" + origin(u.BaseURL) + "/credential"
	},
	dress: func(u *gatehouse.Upstream, b []byte) error { u.Credential = string(b); return nil },
}

// origin is what a credential is bound to: pointed at another host, scheme or
// port, it does not open.
func origin(baseURL string) string {
	u, err := url.Parse(baseURL)
	if err != nil {
		return "invalid"
	}
	return u.Scheme + "://" + u.Host
}

var modelTable = authority[gatehouse.Model]{
	table: "models", kind: gatehouse.KindModel, named: true,
	facts: func(m *gatehouse.Model) facts {
		return facts{id: m.Name, name: m.Name, created: m.Created, deleted: m.DeleteTime}
	},
	revision: func(m *gatehouse.Model) *gatehouse.Revision { return &m.Revision },
	bare:     plain[gatehouse.Model],
}

var aliasTable = authority[gatehouse.Alias]{
	table: "aliases", kind: gatehouse.KindAlias, named: true,
	facts:    func(a *gatehouse.Alias) facts { return facts{id: a.Name, name: a.Name, deleted: a.DeleteTime} },
	revision: func(a *gatehouse.Alias) *gatehouse.Revision { return &a.Revision },
	bare:     plain[gatehouse.Alias],
}

var priceTable = authority[gatehouse.Price]{
	table: "prices", kind: gatehouse.KindPrice,
	facts: func(p *gatehouse.Price) facts {
		return facts{id: p.ID.String(), name: p.Model, created: p.Effective, deleted: p.DeleteTime}
	},
	revision: func(p *gatehouse.Price) *gatehouse.Revision { return &p.Revision },
	bare:     plain[gatehouse.Price],
}

var clusterTable = authority[gatehouse.Cluster]{
	table: "clusters", kind: gatehouse.KindCluster, named: true,
	facts:    func(c *gatehouse.Cluster) facts { return facts{id: c.Name, name: c.Name, deleted: c.DeleteTime} },
	revision: func(c *gatehouse.Cluster) *gatehouse.Revision { return &c.Revision },
	bare:     plain[gatehouse.Cluster],
}

var joinTokenTable = authority[gatehouse.JoinToken]{
	table: "join_tokens", kind: gatehouse.KindJoinToken,
	facts: func(t *gatehouse.JoinToken) facts {
		return facts{id: t.ID.String(), name: t.Cluster, created: t.CreateTime, expire: t.ExpireTime, deleted: t.DeleteTime}
	},
	revision: func(t *gatehouse.JoinToken) *gatehouse.Revision { return &t.Revision },
	bare: func(t *gatehouse.JoinToken) (gatehouse.JoinToken, []byte) {
		c := *t
		c.Digest = gatehouse.Digest{}
		return c, t.Digest[:]
	},
	place: func(t *gatehouse.JoinToken) string {
		return "join_tokens/" + t.ID.String() + "/" + t.Cluster + "/digest"
	},
	dress: func(t *gatehouse.JoinToken, b []byte) error { return digest(&t.Digest, b) },
}

var membershipTable = authority[gatehouse.Membership]{
	table: "memberships", kind: gatehouse.KindMembership,
	facts: func(m *gatehouse.Membership) facts {
		return facts{id: m.ID.String(), name: m.Cluster, created: m.CreateTime, deleted: m.DeleteTime}
	},
	revision: func(m *gatehouse.Membership) *gatehouse.Revision { return &m.Revision },
	bare: func(m *gatehouse.Membership) (gatehouse.Membership, []byte) {
		c := *m
		c.Digest = gatehouse.Digest{}
		return c, m.Digest[:]
	},
	place: func(m *gatehouse.Membership) string {
		return "memberships/" + m.ID.String() + "/" + m.Cluster + "/digest"
	},
	dress: func(m *gatehouse.Membership, b []byte) error { return digest(&m.Digest, b) },
}

func digest(d *gatehouse.Digest, b []byte) error {
	if copy(d[:], b) != len(d) || len(b) != len(d) {
		return gatehouse.Errorf(gatehouse.Internal, "a sealed digest has another length")
	}
	return nil
}
