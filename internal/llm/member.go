package llm

import (
	"errors"
	"strings"
	"unicode"
	"unicode/utf8"

	"gatehouse"
)

// member identifies a member of a request that admission judges.
type member uint8

// The members. Their order is that in memberName.
const (
	memberModel member = iota
	memberStream
	memberStreamOptions
	memberMaxTokens
	memberMaxCompletion
	memberMaxOutput
	memberN
	memberPrevious
	memberConversation
	memberUser
	memberStore
	memberBackground
	memberDeferred
	memberTier
	memberCacheKey
	numMembers
	memberOther = numMembers
)

// memberName is how m is spelt.
func memberName(m member) string {
	return [...]string{
		"model", "stream", "stream_options", "max_tokens", "max_completion_tokens", "max_output_tokens", "n",
		"previous_response_id", "conversation", "user", "store", "background", "deferred", "service_tier",
		"prompt_cache_key",
	}[m]
}

// memberOf is the judged member of that exact name.
func memberOf(name []byte) member {
	switch string(name) {
	case "model":
		return memberModel
	case "stream":
		return memberStream
	case "stream_options":
		return memberStreamOptions
	case "max_tokens":
		return memberMaxTokens
	case "max_completion_tokens":
		return memberMaxCompletion
	case "max_output_tokens":
		return memberMaxOutput
	case "n":
		return memberN
	case "previous_response_id":
		return memberPrevious
	case "conversation":
		return memberConversation
	case "user":
		return memberUser
	case "store":
		return memberStore
	case "background":
		return memberBackground
	case "deferred":
		return memberDeferred
	case "service_tier":
		return memberTier
	case "prompt_cache_key":
		return memberCacheKey
	}
	return memberOther
}

// lookalike is the judged member that a lenient decoder would take name for:
// Go's encoding/json folds case (with Unicode's odd cases, ſ and K), its second
// version ignores underscores and hyphens too, and protobuf's JSON takes
// camelCase for snake_case. Empty when there is none. name is not a judged one.
func lookalike(name []byte) string {
	var room [24]byte // longer than any judged name
	folded := room[:0]
	for _, c := range name {
		switch {
		case c >= utf8.RuneSelf:
			return matching([]byte(fold(string(name))))
		case c == '_' || c == '-':
			continue
		case len(folded) == len(room):
			return ""
		case 'A' <= c && c <= 'Z':
			c |= 0x20
		}
		folded = append(folded, c)
	}
	return matching(folded)
}

// matching is the judged member that folded is the folded form of.
func matching(folded []byte) string {
	switch string(folded) {
	case "model", "stream", "n", "conversation", "user", "store", "background", "deferred":
		return string(folded)
	case "streamoptions":
		return "stream_options"
	case "maxtokens":
		return "max_tokens"
	case "maxcompletiontokens":
		return "max_completion_tokens"
	case "maxoutputtokens":
		return "max_output_tokens"
	case "previousresponseid":
		return "previous_response_id"
	case "servicetier":
		return "service_tier"
	case "promptcachekey":
		return "prompt_cache_key"
	}
	return ""
}

// fold drops case, underscores and hyphens.
func fold(s string) string {
	return strings.Map(func(r rune) rune {
		if r == '_' || r == '-' {
			return -1
		}
		return unicode.ToLower(unicode.ToUpper(r))
	}, s)
}

// roster finds repeated names in one object. The bitmap answers for nearly all
// names; only a collision compares.
type roster struct {
	seen uint64
	n    int
	room [32][]byte // inside, so that a usual body's roster stays on the stack
	more [][]byte
}

// maxMembers bounds one judged object, so that comparing stays cheap whatever
// a client sends. The richest real request has about forty.
const maxMembers = 256

// add reports why name may not join: "" when it may.
func (r *roster) add(name []byte) string {
	if r.n == maxMembers {
		return "more than 256 members"
	}
	h := uint(len(name)) * 7
	if len(name) > 0 {
		h += uint(name[0]) + uint(name[len(name)-1])*5 + uint(name[len(name)/2])*3
	}
	bit := uint64(1) << (h & 63)
	if r.seen&bit != 0 {
		if among(r.room[:min(r.n, len(r.room))], name) || among(r.more, name) {
			return "appears twice: send it once"
		}
	}
	r.seen |= bit
	if r.n < len(r.room) {
		r.room[r.n] = name
	} else {
		r.more = append(r.more, name)
	}
	r.n++
	return ""
}

func among(names [][]byte, name []byte) bool {
	for _, n := range names {
		if string(n) == string(name) {
			return true
		}
	}
	return false
}

// errMediaType marks the errors that a status table answers with 415.
var errMediaType = errors.New("media type")

// refuse words a refusal of one member.
func refuse(name, problem string) error {
	name = clip(name)
	return &gatehouse.Error{
		Code: gatehouse.InvalidArgument, Message: name + ": " + problem,
		Violations: []gatehouse.Violation{{Field: name, Problem: problem}},
	}
}

// flaw words what ended the scan.
func (s *scanner) flaw() error {
	if s.pointed != "" {
		return refuse(s.pointed, pointerProblem)
	}
	return gatehouse.Errorf(gatehouse.InvalidArgument, "the request body is not one valid JSON object: %s at byte %d", s.bad, s.badPos)
}

// clip keeps an echoed value short: errors must not become an amplifier.
func clip(s string) string { return clipTo(s, 64) }

func clipTo(s string, most int) string {
	if len(s) <= most {
		return s
	}
	return strings.ToValidUTF8(s[:most], "") + "…"
}
