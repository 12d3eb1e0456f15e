package feed

import (
	"encoding/binary"
	"fmt"
	"maps"
	"net/netip"
	"slices"
	"time"

	"gatehouse"
)

// The body of a key in layout 2. A million of them are read at a start, and the
// JSON of layout 1 took twice as long to parse as everything else together.
//
// It is a first byte that JSON cannot start with, then members in ascending
// order of their tags, each at most once and never zero: one key has one
// encoding. As in JSON, a reader that meets a tag it does not know denies the key,
// since what it does not know may be a restriction. So a member may be added
// without a new layout: gateways that are older deny the keys that use it.
const compactKey = 0x02

// The tags. They are final; a new one is added at the end.
const (
	tagTeam = iota + 1
	tagUser
	tagOwner
	tagMaker
	tagName
	tagACL
	tagQPS
	tagQPM
	tagTPM
	tagFlags
	tagRanges
	tagTags
	tagCreate
	tagModify
	tagModifiedBy
	tagExpire
	tagSecrets
)

// The bits of a secret.
const (
	secretForeign = 1 << iota
	secretExpires
)

// encodeKey writes k, which is no tombstone. Its id and revision are the
// record's.
func encodeKey(k *gatehouse.Key) []byte {
	e := encoder{out: append(make([]byte, 0, 320), compactKey)}
	e.id(tagTeam, k.TeamID)
	e.id(tagUser, k.UserID)
	e.id(tagOwner, k.OwnerID)
	e.id(tagMaker, k.MakerID)
	if k.Name != "" {
		e.text(tagName, k.Name)
	}
	if len(k.ACL) > 0 {
		e.count(tagACL, len(k.ACL))
		for _, s := range k.ACL {
			e.out = appendBytes(e.out, s)
		}
	}
	e.number(tagQPS, int64(k.Limits.QPS))
	e.number(tagQPM, int64(k.Limits.QPM))
	e.number(tagTPM, k.Limits.TPM)
	e.number(tagFlags, int64(flagsOf(k)))
	if len(k.IPRanges) > 0 {
		e.count(tagRanges, len(k.IPRanges))
		for _, p := range k.IPRanges {
			e.out = appendBytes(e.out, p.String())
		}
	}
	if len(k.Tags) > 0 {
		e.count(tagTags, len(k.Tags))
		for _, name := range slices.Sorted(maps.Keys(k.Tags)) {
			e.out = appendBytes(appendBytes(e.out, name), k.Tags[name])
		}
	}
	e.time(tagCreate, k.CreateTime)
	e.time(tagModify, k.ModifyTime)
	e.id(tagModifiedBy, k.ModifiedBy)
	e.time(tagExpire, k.ExpireTime)
	e.secrets(k.Secrets)
	return e.out
}

func flagsOf(k *gatehouse.Key) (f uint8) {
	for _, x := range []struct {
		on  bool
		bit uint8
	}{{k.Disabled, flagDisabled}, {k.Blocked, flagBlocked}, {k.Strict, flagStrict}, {k.ReserveTPM, flagReserve}} {
		if x.on {
			f |= x.bit
		}
	}
	return f
}

type encoder struct{ out []byte }

func (e *encoder) id(tag byte, id gatehouse.ID) {
	if !id.IsZero() {
		e.out = append(append(e.out, tag), id[:]...)
	}
}

func (e *encoder) text(tag byte, s string) { e.out = appendBytes(append(e.out, tag), s) }

func (e *encoder) count(tag byte, n int) {
	e.out = binary.AppendUvarint(append(e.out, tag), uint64(n))
}

func (e *encoder) number(tag byte, n int64) {
	if n != 0 {
		e.out = binary.AppendVarint(append(e.out, tag), n)
	}
}

func (e *encoder) time(tag byte, t time.Time) {
	if !t.IsZero() {
		e.out = appendTime(append(e.out, tag), t)
	}
}

// appendTime writes seconds and nanoseconds: years beyond 2262 fit too.
func appendTime(out []byte, t time.Time) []byte {
	return binary.AppendUvarint(binary.AppendVarint(out, t.Unix()), uint64(t.Nanosecond()))
}

func (e *encoder) secrets(list []gatehouse.Secret) {
	if len(list) == 0 {
		return
	}
	e.count(tagSecrets, len(list))
	for i := range list {
		s := &list[i]
		e.out = append(e.out, s.Digest[:]...)
		e.out = appendBytes(e.out, s.Last4)
		bits := byte(0)
		if s.Foreign {
			bits |= secretForeign
		}
		if !s.ExpireTime.IsZero() {
			bits |= secretExpires
		}
		e.out = appendTime(append(e.out, bits), s.CreateTime)
		if bits&secretExpires != 0 {
			e.out = appendTime(e.out, s.ExpireTime)
		}
	}
}

// parseKey reads a key in either layout.
func parseKey(r *Record) (*gatehouse.Key, error) {
	if len(r.Body) == 0 || r.Body[0] != compactKey {
		return parse[gatehouse.Key](r)
	}
	id, err := gatehouse.ParseID(r.ID)
	if err != nil {
		return nil, err
	}
	k := &gatehouse.Key{ID: id, Revision: r.Revision}
	in := keyReader{reader: reader{rest: r.Body[1:]}}
	for last := byte(0); len(in.rest) > 0 && !in.bad; {
		tag := in.byte()
		if tag <= last {
			return nil, fmt.Errorf("member %d after %d", tag, last)
		}
		last = tag
		if !in.member(tag, k) {
			return nil, fmt.Errorf("unknown member %d", tag)
		}
	}
	if in.bad {
		return nil, fmt.Errorf("malformed")
	}
	return k, nil
}

// keyReader reads members of a key. Like reader it is bad for good after the
// first mistake.
type keyReader struct{ reader }

// member reads what stands behind a tag. It is false for one that is unknown.
func (r *keyReader) member(tag byte, k *gatehouse.Key) bool {
	switch tag {
	case tagTeam:
		k.TeamID = r.id()
	case tagUser:
		k.UserID = r.id()
	case tagOwner:
		k.OwnerID = r.id()
	case tagMaker:
		k.MakerID = r.id()
	case tagModifiedBy:
		k.ModifiedBy = r.id()
	case tagName:
		k.Name = string(r.bytes())
		r.bad = r.bad || k.Name == ""
	case tagQPS:
		k.Limits.QPS = int32(r.number(1<<31 - 1))
	case tagQPM:
		k.Limits.QPM = int32(r.number(1<<31 - 1))
	case tagTPM:
		k.Limits.TPM = r.number(gatehouse.MaxTPM)
	case tagFlags:
		r.flags(k)
	case tagCreate:
		k.CreateTime = r.time()
	case tagModify:
		k.ModifyTime = r.time()
	case tagExpire:
		k.ExpireTime = r.time()
	default:
		return r.list(tag, k)
	}
	return true
}

// list reads a member that is one.
func (r *keyReader) list(tag byte, k *gatehouse.Key) bool {
	switch tag {
	case tagACL:
		k.ACL = make(gatehouse.ACL, 0, r.most(gatehouse.MaxACLs))
		for range cap(k.ACL) {
			k.ACL = append(k.ACL, string(r.bytes()))
		}
	case tagRanges:
		for range r.most(gatehouse.MaxIPRanges) {
			text := string(r.bytes())
			p, err := netip.ParsePrefix(text)
			r.bad = r.bad || err != nil || p.String() != text
			k.IPRanges = append(k.IPRanges, p)
		}
	case tagTags:
		n := r.most(gatehouse.MaxTags)
		k.Tags = make(map[string]string, n)
		for i, last := 0, ""; i < n; i++ {
			name := string(r.bytes())
			r.bad = r.bad || i > 0 && name <= last
			k.Tags[name], last = string(r.bytes()), name
		}
	case tagSecrets:
		for range r.most(2) {
			k.Secrets = append(k.Secrets, r.secret())
		}
	default:
		return false
	}
	return true
}

func (r *keyReader) flags(k *gatehouse.Key) {
	f := r.number(flagDisabled | flagBlocked | flagStrict | flagReserve)
	k.Disabled, k.Blocked = f&flagDisabled != 0, f&flagBlocked != 0
	k.Strict, k.ReserveTPM = f&flagStrict != 0, f&flagReserve != 0
}

func (r *keyReader) secret() (s gatehouse.Secret) {
	copy(s.Digest[:], r.take(len(s.Digest)))
	s.Last4 = string(r.bytes())
	bits := r.byte()
	r.bad = r.bad || bits&^(secretForeign|secretExpires) != 0
	s.Foreign = bits&secretForeign != 0
	s.CreateTime = r.time()
	if bits&secretExpires != 0 {
		s.ExpireTime = r.time()
	}
	return s
}

func (r *keyReader) id() (id gatehouse.ID) {
	copy(id[:], r.take(len(id)))
	r.bad = r.bad || id.IsZero()
	return id
}

// number reads one of 1 to most. Zero is written by leaving the member out: for
// a limit it means none, and must not come in two spellings.
func (r *keyReader) number(most int64) int64 {
	n := r.varint()
	if n < 1 || n > most {
		r.bad = true
		return 0
	}
	return n
}

// most reads a count of 1 to most, and no more than what follows can hold.
func (r *keyReader) most(most int) int {
	n := r.uvarint()
	if n < 1 || n > uint64(most) || n > uint64(len(r.rest)) {
		r.bad = true
		return 0
	}
	return int(n)
}

func (r *keyReader) varint() int64 {
	u := r.uvarint()
	return int64(u>>1) ^ -int64(u&1)
}

func (r *keyReader) time() time.Time {
	sec, nsec := r.varint(), r.uvarint()
	// Before the year 1 or after 9999 JSON could not say it either. The zero time
	// would mean never, and never is written by leaving the member out.
	t := time.Unix(sec, int64(nsec)).UTC()
	if sec < -62135596800 || sec > 253402300799 || nsec > 999_999_999 || t.IsZero() {
		r.bad = true
		return time.Time{}
	}
	return t
}
