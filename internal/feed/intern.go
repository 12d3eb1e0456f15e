package feed

import (
	"fmt"
	"maps"
	"net/netip"
	"slices"
	"strings"

	"gatehouse"
)

// pool keeps one copy of each value. Readers hold the slice as it was when
// their state was published; the writer only appends, so an index once given
// means the same for ever.
type pool[V any] struct {
	list  []V
	index map[string]uint32
}

// of returns the index of the value called key. A new one is made, and counted
// in made.
func (p *pool[V]) of(made *int, key string, value func() V) uint32 {
	if i, ok := p.index[key]; ok {
		return i
	}
	if p.index == nil {
		p.index = make(map[string]uint32)
	}
	i := uint32(len(p.list))
	p.list = append(p.list, value())
	p.index[key] = i
	*made++
	return i
}

// pools are everything that keys share.
type pools struct {
	ids    pool[gatehouse.ID]
	acls   pool[*aclSet]
	tags   pool[map[string]string]
	ranges pool[[]netip.Prefix]
	names  names
	made   int // additions since the last compaction: at most so many values are dead
}

func (p *pools) id(id gatehouse.ID) uint32 {
	return p.ids.of(&p.made, string(id[:]), func() gatehouse.ID { return id })
}

func (p *pools) acl(a gatehouse.ACL) uint32 {
	return p.acls.of(&p.made, strings.Join(a, "\x00"), func() *aclSet { return compileACL(a) })
}

func (p *pools) tag(t map[string]string) uint32 {
	if len(t) == 0 {
		return p.tags.of(&p.made, "", func() map[string]string { return t })
	}
	key := make([]byte, 0, 64)
	for _, name := range slices.Sorted(maps.Keys(t)) {
		key = appendBytes(appendBytes(key, name), t[name])
	}
	return p.tags.of(&p.made, string(key), func() map[string]string { return t })
}

func (p *pools) prefixes(r []netip.Prefix) uint32 {
	key := ""
	if len(r) > 0 {
		key = fmt.Sprint(r)
	}
	return p.ranges.of(&p.made, key, func() []netip.Prefix { return slices.Clip(r) })
}

// names is an arena of strings: a million of them without a million objects.
type names struct {
	blocks []*[nameBlock]byte
	used   int // of the last block
}

const nameBlock = 64 << 10

// span is a place in names: block, offset, length.
type span struct {
	block  uint32
	offset uint16
	length uint16
}

// put appends s, which is shorter than a block: names are at most
// gatehouse.MaxName characters of four bytes.
func (n *names) put(s string) span {
	if s == "" {
		return span{}
	}
	if len(n.blocks) == 0 || n.used+len(s) > nameBlock {
		n.blocks, n.used = append(n.blocks, new([nameBlock]byte)), 0
	}
	at := span{uint32(len(n.blocks) - 1), uint16(n.used), uint16(len(s))}
	n.used += copy(n.blocks[at.block][n.used:], s)
	return at
}

func (n *names) at(s span) string {
	if s.length == 0 {
		return ""
	}
	return string(n.blocks[s.block][s.offset : int(s.offset)+int(s.length)])
}
