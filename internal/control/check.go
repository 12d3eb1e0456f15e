package control

import (
	"errors"
	"fmt"
	"net/netip"
	"slices"
	"strings"
	"time"

	"golang.org/x/text/unicode/norm"

	"gatehouse"
	"gatehouse/internal/store"
)

// name puts a name into the form that is stored: trimmed, normal form C. Two
// names that look the same are then the same bytes.
func name(field, s string, v *gatehouse.Violations) string {
	s = norm.NFC.String(strings.TrimSpace(s))
	gatehouse.ValidateName(field, s, v)
	return s
}

// optionalName is name where nothing is fine too.
func optionalName(field, s string, v *gatehouse.Violations) string {
	if strings.TrimSpace(s) == "" {
		return ""
	}
	return name(field, s, v)
}

// expiry refuses a time that has come: whoever sends one has mistaken a date,
// and would get a key that never works.
func expiry(field string, t, now time.Time, v *gatehouse.Violations) time.Time {
	if past(t, now) {
		v.Addf(field, "must be in the future, or null for never")
	}
	return utc(t)
}

// utc is a time as stores and wires keep it: to the microsecond.
func utc(t time.Time) time.Time {
	if t.IsZero() {
		return time.Time{}
	}
	return t.UTC().Truncate(time.Microsecond)
}

// ranges puts an allow-list into canonical form: 10.1.2.3/8 means 10.0.0.0/8.
func ranges(field string, list []netip.Prefix, v *gatehouse.Violations) []netip.Prefix {
	if len(list) > gatehouse.MaxIPRanges {
		v.Addf(field, "at most %d ranges", gatehouse.MaxIPRanges)
	}
	var out []netip.Prefix
	for _, p := range list {
		if !p.IsValid() || p.Addr().Is4In6() {
			v.Addf(field, "not an IPv4 or IPv6 range")
			continue
		}
		if p = p.Masked(); !slices.Contains(out, p) {
			out = append(out, p)
		}
	}
	return out
}

// rangesWithin reports whether child admits no address that parent does not.
// An empty list admits all.
func rangesWithin(child, parent []netip.Prefix) bool {
	if len(parent) == 0 {
		return true
	}
	inside := func(c netip.Prefix) bool {
		return slices.ContainsFunc(parent, func(p netip.Prefix) bool { return p.Bits() <= c.Bits() && p.Contains(c.Addr()) })
	}
	return len(child) > 0 && !slices.ContainsFunc(child, func(c netip.Prefix) bool { return !inside(c) })
}

// grantable puts an ACL into the form that is stored. An alias stands for its
// target of this moment: were the alias itself stored, whoever moves an alias
// would widen every key that names it. An unknown model is kept, with a
// warning, so that keys may precede models.
func grantable(v store.View, field string, acl gatehouse.ACL, bad *gatehouse.Violations) (gatehouse.ACL, []string, error) {
	var mine gatehouse.Violations
	if acl.Validate(field, &mine); len(mine) > 0 {
		*bad = append(*bad, mine...)
		return acl, nil, nil
	}
	var warnings []string
	out := slices.Clone(acl)
	for i, entry := range acl {
		for _, model := range (gatehouse.ACL{entry}).Models() {
			canonical, warning, err := resolve(v, model)
			if err != nil {
				return nil, nil, err
			}
			out[i] = gatehouse.ModelACL(canonical)
			if warning != "" {
				warnings = append(warnings, warning)
			}
		}
	}
	return out.Normal(), warnings, nil
}

// resolve follows an alias and knows a model.
func resolve(v store.View, model string) (canonical, warning string, err error) {
	if model == "*" {
		return model, "", nil
	}
	known, err := found(v.Model(model))
	if err != nil || known != nil && known.DeleteTime.IsZero() {
		return model, "", err
	}
	alias, err := found(v.Alias(model))
	if err != nil {
		return "", "", err
	}
	if alias != nil && alias.DeleteTime.IsZero() {
		return alias.Target, fmt.Sprintf("%s is an alias: its target of today, %s, is granted", model, alias.Target), nil
	}
	return model, fmt.Sprintf("unknown model %s", model), nil
}

// found turns NotFound into nil, for records that may be absent.
func found[T any](x *T, err error) (*T, error) {
	if errors.Is(err, gatehouse.NotFound) {
		return nil, nil
	}
	return x, err
}

// liveTeam is the team if the caller may know it and it is there.
func liveTeam(v store.View, who *principal, id gatehouse.ID) (*gatehouse.Team, error) {
	if !who.reaches(id) {
		return nil, missing("team")
	}
	t, err := found(v.Team(id))
	if err != nil {
		return nil, err
	}
	if t == nil || !t.DeleteTime.IsZero() {
		return nil, missing("team")
	}
	return t, nil
}

// memberOf records when user is not one of team's, or is there no more.
func memberOf(v store.View, field string, user, team gatehouse.ID, bad *gatehouse.Violations) error {
	if user.IsZero() {
		return nil
	}
	u, err := found(v.User(user))
	if err == nil && (u == nil || u.TeamID != team || !there(u)) {
		bad.Addf(field, "is not a user of the team")
	}
	return err
}

// beyond is the refusal of something that exceeds its maker.
func beyond(bad gatehouse.Violations) error {
	err := bad.Err()
	var e *gatehouse.Error
	if errors.As(err, &e) {
		e.Code = gatehouse.PermissionDenied
	}
	return err
}

func sorted(list []string) []string {
	slices.Sort(list)
	return list
}

// short bounds what goes into the audit log: in characters, since cutting
// bytes could leave half of one.
func short(s string) string {
	const most = 200
	r := []rune(s)
	if len(r) <= most {
		return s
	}
	return string(r[:most]) + "…"
}
