package gatehouse

import "time"

// JoinToken lets processes become gateways of one cluster, Uses of them, until
// it expires. It is shown once; the record holds its digest.
type JoinToken struct {
	ID         ID        `json:"id"`
	Cluster    string    `json:"cluster"`
	Digest     Digest    `json:"digest"`
	Last4      string    `json:"last4"`
	Uses       int       `json:"uses"` // how many may join by it
	Used       int       `json:"used"` // how many have
	MakerID    ID        `json:"makerId,omitzero"`
	CreateTime time.Time `json:"createTime"`
	ExpireTime time.Time `json:"expireTime"`
	DeleteTime time.Time `json:"deleteTime,omitzero"` // revoked
	Revision   Revision  `json:"revision"`
}

// Usable reports whether one more process may join by t at now.
func (t *JoinToken) Usable(now time.Time) bool {
	return t.DeleteTime.IsZero() && t.Used < t.Uses && now.Before(t.ExpireTime)
}

// The bounds of a join token, and what it gets unasked.
const (
	DefaultJoinLifetime = 24 * time.Hour
	MaxJoinLifetime     = 30 * 24 * time.Hour
	MaxJoinUses         = 10_000
)

// Membership is the authority of a gateway that joined over the network: by
// what control knows it, and to what its cluster's credentials are sealed. What
// the member last said of itself is its Gateway. The member of a single process
// has none: it never speaks over a network.
type Membership struct {
	ID         ID        `json:"id"` // the gateway's
	Cluster    string    `json:"cluster"`
	Digest     Digest    `json:"digest"`  // of its credential, a Member token
	SealKey    []byte    `json:"sealKey"` // X25519 public key, 32 bytes
	JoinToken  ID        `json:"joinToken"`
	CreateTime time.Time `json:"createTime"`
	DeleteTime time.Time `json:"deleteTime,omitzero"` // forgotten: it must join anew, under another id
	Revision   Revision  `json:"revision"`
}
