package api

import (
	"strings"

	"google.golang.org/genproto/googleapis/api/annotations"
	"google.golang.org/protobuf/reflect/protoreflect"
)

// How an update reads its object (contract.md "Update"): a PUT may hold the
// whole object as a list returned it, so what only we may say is ignored unless
// the mask names it; masked and null, or masked and absent, is cleared; a PATCH
// without a mask changes the members it has, null included.

// prune removes what an output cannot be told by a request, before the types
// of the rest are looked at. Under update the immutable ones go too.
func (s *shaper) prune(n *node, m protoreflect.MessageDescriptor, update bool) {
	kept := n.members[:0]
	for _, x := range n.members {
		f := s.member(m, x.name)
		if f == nil || !readOnly(f, update) {
			kept = append(kept, x)
		}
	}
	n.members = kept
}

func readOnly(f protoreflect.FieldDescriptor, update bool) bool {
	return behaves(f, annotations.FieldBehavior_OUTPUT_ONLY) || update && behaves(f, annotations.FieldBehavior_IMMUTABLE)
}

// present is the mask of the members that n has, in proto spelling.
func (s *shaper) present(n *node, m protoreflect.MessageDescriptor) (mask []string) {
	for _, x := range n.members {
		if f := s.member(m, x.name); f != nil && !behaves(f, annotations.FieldBehavior_IDENTIFIER) {
			mask = append(mask, string(f.Name()))
		}
	}
	return mask
}

// parse reads a mask as sent, in any spelling of its members.
func (s *shaper) parse(text string, m protoreflect.MessageDescriptor) (mask []string) {
	for part := range strings.SplitSeq(text, ",") {
		part = strings.TrimSpace(part)
		switch f := s.member(m, part); {
		case f == nil:
			s.bad.Addf("fieldMask", "unknown member %q", clip(part))
		case readOnly(f, true) || behaves(f, annotations.FieldBehavior_IDENTIFIER):
			s.bad.Addf("fieldMask", "%s cannot be changed", f.JSONName())
		default:
			mask = append(mask, string(f.Name()))
		}
	}
	return mask
}

// keep drops the members that the mask does not name: what is not to be
// changed need not even be well formed. Unknown ones stay, to be refused.
func (s *shaper) keep(n *node, m protoreflect.MessageDescriptor, mask []string) {
	kept := n.members[:0]
	for _, x := range n.members {
		f := s.member(m, x.name)
		if f == nil || behaves(f, annotations.FieldBehavior_IDENTIFIER) || contains(mask, f) {
			kept = append(kept, x)
		}
	}
	n.members = kept
}

func contains(mask []string, f protoreflect.FieldDescriptor) bool {
	for _, name := range mask {
		if name == string(f.Name()) {
			return true
		}
	}
	return false
}

// maskOf decides the mask of an update of object n.
func (s *shaper) maskOf(method, sent string, n *node, m protoreflect.MessageDescriptor) []string {
	before := len(s.bad)
	var mask []string
	switch {
	case strings.TrimSpace(sent) != "":
		mask = s.parse(sent, m)
	case method == "PUT":
		s.bad.Addf("fieldMask", "is required with PUT: name the members to change, such as \"name,qpm\"")
	default:
		mask = s.present(n, m)
	}
	if len(s.bad) == before {
		s.keep(n, m, mask)
	}
	return mask
}
