package llm

import (
	"unicode/utf8"

	"gatehouse"
)

// maxLabel bounds the strings that end in records and hashes.
const maxLabel = 512

// take judges one top-level member.
func (b *Body) take(r *Route, name []byte, at span, s *scanner) error {
	m := memberOf(name)
	if m == memberOther {
		if exact := lookalike(name); exact != "" {
			return refuse(string(name), "did you mean "+exact+"? Members are case-sensitive")
		}
		return b.takeExtra(r, name, s.b[at.from:at.to])
	}
	v := s.b[at.from:at.to]
	switch m {
	case memberModel:
		b.model = at
		return b.takeModel(v)
	case memberStreamOptions:
		return b.takeOptions(v, at)
	case memberConversation:
		return b.takeConversation(v)
	}
	if string(v) == "null" {
		return nil // every other judged member is optional, and SDKs write null for absent
	}
	return b.takeScalar(m, v)
}

// takeScalar judges the members that are one number, flag or string.
func (b *Body) takeScalar(m member, v []byte) error {
	switch m {
	case memberMaxTokens, memberMaxCompletion, memberMaxOutput:
		return b.takeMax(m, v)
	case memberN:
		return b.takeN(v)
	case memberStream:
		return flag(m, v, &b.Stream)
	case memberStore:
		return flag(m, v, &b.Store)
	case memberBackground:
		return flag(m, v, &b.Background)
	case memberDeferred:
		return flag(m, v, &b.Deferred)
	case memberPrevious:
		return label(m, v, &b.PreviousResponseID)
	case memberUser:
		return label(m, v, &b.User)
	case memberTier:
		return label(m, v, &b.ServiceTier)
	}
	return label(memberCacheKey, v, &b.PromptCacheKey)
}

func (b *Body) takeModel(v []byte) error {
	if v[0] != '"' || len(v) == 2 {
		return refuse("model", "must be a string that names a model")
	}
	b.Model = unquote(v[1 : len(v)-1])
	if len(b.Model) > gatehouse.MaxModelName {
		return refuse("model", "at most 256 bytes")
	}
	return nil
}

func (b *Body) takeMax(m member, v []byte) error {
	n, ok := integer(v)
	if !ok {
		return refuse(memberName(m), "must be an integer that is not negative")
	}
	b.MaxTokens = max(b.MaxTokens, n)
	return nil
}

// maxN is OpenAI's own bound. Without one, n times max_tokens could reserve
// any amount of credit.
const maxN = 128

// maxAnswers bounds what one request may ask for in all, so that no product of
// it with MaxTPM overflows.
const maxAnswers = 8192

func (b *Body) takeN(v []byte) error {
	n, ok := integer(v)
	if !ok || n < 1 || n > maxN {
		return refuse("n", "must be an integer from 1 to 128")
	}
	b.N = n
	return nil
}

// integer parses a JSON integer of at most 18 digits without sign, fraction or
// exponent: decoders disagree on 1e3 where they want an integer.
func integer(v []byte) (int64, bool) {
	if len(v) == 0 || len(v) > 18 {
		return 0, false
	}
	var n int64
	for _, c := range v {
		if c < '0' || c > '9' {
			return 0, false
		}
		n = n*10 + int64(c-'0')
	}
	return n, true
}

func flag(m member, v []byte, to *bool) error {
	switch string(v) {
	case "true":
		*to = true
	case "false":
		*to = false
	default:
		return refuse(memberName(m), "must be true or false")
	}
	return nil
}

func label(m member, v []byte, to *string) error {
	if v[0] != '"' {
		return refuse(memberName(m), "must be a string")
	}
	if len(v)-2 > maxLabel {
		return refuse(memberName(m), "at most 512 bytes")
	}
	*to = unquote(v[1 : len(v)-1])
	return nil
}

// takeOptions judges stream_options, strictly: a second include_usage would
// decide whether we see usage at all.
func (b *Body) takeOptions(v []byte, at span) error {
	b.options = at
	if string(v) == "null" {
		return nil
	}
	if v[0] != '{' {
		return refuse("stream_options", "must be an object")
	}
	return members(v, func(name string, value span) error {
		if name != "include_usage" {
			if fold(name) == "includeusage" {
				return refuse("stream_options."+name, "did you mean include_usage?")
			}
			return nil
		}
		b.include = span{at.from + value.from, at.from + value.to}
		switch string(v[value.from:value.to]) {
		case "true":
			b.IncludeUsage = true
		case "false", "null":
		default:
			return refuse("stream_options.include_usage", "must be true or false")
		}
		return nil
	})
}

// takeConversation reads the id of OpenAI's conversation, a string or an
// object with one.
func (b *Body) takeConversation(v []byte) error {
	switch {
	case string(v) == "null":
		return nil
	case v[0] == '"':
		return label(memberConversation, v, &b.Conversation)
	case v[0] != '{':
		return refuse("conversation", "must be a string or an object with an id")
	}
	return members(v, func(name string, at span) error {
		if name != "id" {
			return nil
		}
		return label(memberConversation, v[at.from:at.to], &b.Conversation)
	})
}

// members tells each member of the object v, which was scanned already, and
// refuses repeated ones.
func members(v []byte, each func(name string, at span) error) error {
	s := scanner{b: v, i: 1}
	var names roster
	for more := !s.closed('}'); more; {
		raw, _, ok := s.name()
		if !ok {
			return s.flaw()
		}
		name := unquote(raw)
		if problem := names.add([]byte(name)); problem != "" {
			return refuse(name, problem)
		}
		s.space()
		at := span{from: s.i}
		if !s.value(2) {
			return s.flaw()
		}
		at.to = s.i
		if err := each(name, at); err != nil {
			return err
		}
		if more, ok = s.next('}'); !ok {
			return s.flaw()
		}
	}
	return nil
}

// takeExtra reads what only some families have and nothing is decided by.
func (b *Body) takeExtra(r *Route, name, v []byte) error {
	switch {
	case string(name) == "response_format" && v[0] == '"':
		b.ResponseFormat = unquote(v[1 : len(v)-1])
	case r.Family == gatehouse.FamilyMessages && string(name) == "metadata" && v[0] == '{':
		return b.takeMetadata(v)
	case r.Family == gatehouse.FamilyAudio && string(name) == "input" && v[0] == '"':
		b.Characters = int64(utf8.RuneCountInString(unquote(v[1 : len(v)-1])))
	case r.Family == gatehouse.FamilyImages && (string(name) == "image" || string(name) == "images"):
		b.PromptImages += elements(v)
	case r.Family == gatehouse.FamilySample && string(name) == "prompt":
		b.prompts = prompts(v)
	case r.Family == gatehouse.FamilySample && string(name) == "best_of" && string(v) != "null":
		var ok bool
		if b.bestOf, ok = integer(v); !ok || b.bestOf < 1 || b.bestOf > maxN {
			return refuse("best_of", "must be an integer from 1 to 128")
		}
	case r.Family == gatehouse.FamilyResponses && string(name) == "input" && v[0] == '[':
		b.ItemReference = refersToItem(v)
	}
	return nil
}

// takeMetadata reads Anthropic's spelling of `user`.
func (b *Body) takeMetadata(v []byte) error {
	return members(v, func(name string, at span) error {
		if name != "user_id" || v[at.from] != '"' {
			return nil
		}
		return label(memberUser, v[at.from:at.to], &b.User)
	})
}

// prompts counts those of a completions request. An array of numbers is one, as
// its tokens.
func prompts(v []byte) int64 {
	if v[0] != '[' {
		return 1
	}
	s := scanner{b: v, i: 1}
	if c := s.space(); c == '"' || c == '[' {
		return elements(v)
	}
	return 1
}

// elements counts the elements of an array; any other value but null is one.
func elements(v []byte) (n int64) {
	if v[0] != '[' {
		if string(v) == "null" {
			return 0
		}
		return 1
	}
	s := scanner{b: v, i: 1}
	for more := !s.closed(']'); more && s.value(2); n++ {
		more, _ = s.next(']')
	}
	return n
}

// refersToItem reports whether an item of a Responses input points at one that
// an upstream stores, which another team may own. An item without a type but
// with an id is such a pointer too, a picture without its data, and whatever
// hides its names.
func refersToItem(v []byte) bool {
	s := scanner{b: v, i: 1}
	for more := !s.closed(']'); more; {
		s.space()
		from := s.i
		if !s.value(2) {
			return true
		}
		if item := v[from:s.i]; item[0] == '{' && isReference(item) {
			return true
		}
		more, _ = s.next(']')
	}
	return false
}

func isReference(item []byte) bool {
	var id, typed, reference, picture, drawn bool
	err := members(item, func(name string, at span) error {
		value := item[at.from:at.to]
		switch name {
		case "id":
			id = string(value) != "null"
		case "type":
			kind := text(value)
			typed, reference, picture = kind != "", kind == "item_reference", kind == "image_generation_call"
		case "result":
			drawn = len(text(value)) > 0
		}
		return nil
	})
	return err != nil || reference || id && !typed || picture && !drawn
}
