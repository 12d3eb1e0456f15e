package gatehouse

import (
	"net/netip"
	"strings"
	"time"
	"unicode"
	"unicode/utf8"
)

// Key is an inference API key: a durable identity with one secret, or two
// during a rotation. A deleted key stays as a tombstone for ever, so that
// nothing can revive it.
type Key struct {
	ID       ID     `json:"id"`
	TeamID   ID     `json:"teamId"`
	UserID   ID     `json:"userId"`           // who created it
	OwnerID  ID     `json:"ownerId,omitzero"` // who answers for it; the creator unless set
	MakerID  ID     `json:"makerId,omitzero"` // the management key that created it
	Name     string `json:"name"`
	ACL      ACL    `json:"acl"`
	Limits   Limits `json:"limits"`
	Disabled bool   `json:"disabled,omitempty"` // by its users
	Blocked  bool   `json:"blocked,omitempty"`  // by the installation
	Strict   bool   `json:"strict,omitempty"`   // refused when its gateway's lease ran out
	// StrictSince is the revision since which Strict has held without a break. It
	// stays with control: whoever enforces it refuses the key without a lease.
	StrictSince Revision          `json:"strictSince,omitzero"`
	ReserveTPM  bool              `json:"reserveTpm,omitempty"` // count prompt and max_tokens before, refund after
	IPRanges    []netip.Prefix    `json:"ipRanges,omitempty"`   // empty: from anywhere
	Tags        map[string]string `json:"tags,omitempty"`
	CreateTime  time.Time         `json:"createTime"`
	ModifyTime  time.Time         `json:"modifyTime"`
	ModifiedBy  ID                `json:"modifiedBy,omitzero"`
	ExpireTime  time.Time         `json:"expireTime,omitzero"` // zero: never
	DeleteTime  time.Time         `json:"deleteTime,omitzero"` // not zero: a tombstone
	Secrets     []Secret          `json:"secrets"`             // newest first; at most two; none on a tombstone
	Revision    Revision          `json:"revision"`            // of the last change; set by the store
}

// Secret is one credential of a key. The digest leaves control only towards
// gateways.
type Secret struct {
	Digest     Digest    `json:"digest"`
	Last4      string    `json:"last4"`
	Foreign    bool      `json:"foreign,omitempty"` // minted elsewhere and imported by its digest: it has another shape
	CreateTime time.Time `json:"createTime"`
	ExpireTime time.Time `json:"expireTime,omitzero"` // beside the key's own; set on the old one at rotation
	LastUse    time.Time `json:"-"`                   // no part of the record: control adds it for GetKey
}

// MaxOverlap bounds how long the old secret works after a rotation, and
// DefaultOverlap is what it gets unasked (wire.md §2.2).
const (
	MaxOverlap     = 7 * 24 * time.Hour
	DefaultOverlap = 24 * time.Hour
	// MaxTags and MaxTagLen bound a key's tags: pairs, and characters of a key or value.
	MaxTags   = 16
	MaxTagLen = 64
	// MaxName bounds names in characters.
	MaxName = 128
	// MaxIPRanges bounds an IP allow-list.
	MaxIPRanges = 64
)

// Expired reports whether the key as a whole is past its time.
func (k *Key) Expired(now time.Time) bool { return !k.ExpireTime.IsZero() && !now.Before(k.ExpireTime) }

// Deleted reports whether k is a tombstone.
func (k *Key) Deleted() bool { return !k.DeleteTime.IsZero() }

// Owner is who answers for the key.
func (k *Key) Owner() ID {
	if k.OwnerID.IsZero() {
		return k.UserID
	}
	return k.OwnerID
}

// Last4 is the visible end of the newest secret.
func (k *Key) Last4() string {
	if len(k.Secrets) == 0 {
		return ""
	}
	return k.Secrets[0].Last4
}

// ValidateName records what is wrong with a name. The caller has put it into
// normal form C and trimmed it; that needs tables the standard library lacks.
func ValidateName(field, s string, v *Violations) {
	switch {
	case !utf8.ValidString(s):
		v.Addf(field, "must be valid UTF-8")
	case s == "":
		v.Addf(field, "is required")
	case utf8.RuneCountInString(s) > MaxName:
		v.Addf(field, "must be at most %d characters", MaxName)
	case strings.IndexFunc(s, unicode.IsControl) >= 0:
		v.Addf(field, "must not contain control characters")
	}
}

// ValidateTags checks the pairs that cost allocation groups by.
func ValidateTags(field string, tags map[string]string, v *Violations) {
	if len(tags) > MaxTags {
		v.Addf(field, "at most %d pairs", MaxTags)
	}
	for k, val := range tags {
		for _, s := range []string{k, val} {
			if s == "" || utf8.RuneCountInString(s) > MaxTagLen || strings.IndexFunc(s, unicode.IsControl) >= 0 {
				v.Addf(field, "keys and values must be 1 to %d characters without control characters", MaxTagLen)
				return
			}
		}
	}
}

// AllowedFrom reports whether addr is in ranges; no ranges allow all.
func AllowedFrom(ranges []netip.Prefix, addr netip.Addr) bool {
	if len(ranges) == 0 {
		return true
	}
	addr = addr.Unmap()
	for _, r := range ranges {
		if r.Contains(addr) {
			return true
		}
	}
	return false
}
