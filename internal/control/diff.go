package control

import (
	"fmt"
	"slices"
	"strings"
	"time"

	"gatehouse"
)

// changes are the details of an audit leaf: per field what it was and what it
// became. Values are bounded and never secret.
type changes map[string]string

// note records a field that changed.
func note[T any](c changes, field string, before, after T) {
	b, a := show(before), show(after)
	if b != a {
		c[field] = short(b) + " → " + short(a)
	}
}

// noteACL records what an ACL gained and lost, since the whole of two long
// lists would say less.
func noteACL(c changes, field string, before, after []string) {
	var parts []string
	for _, s := range after {
		if !slices.Contains(before, s) {
			parts = append(parts, "+"+s)
		}
	}
	for _, s := range before {
		if !slices.Contains(after, s) {
			parts = append(parts, "-"+s)
		}
	}
	if len(parts) > 0 {
		c[field] = short(strings.Join(parts, " "))
	}
}

// show spells a value for a reader of the log.
func show(x any) string {
	switch v := x.(type) {
	case string:
		return fmt.Sprintf("%q", v)
	case time.Time:
		if v.IsZero() {
			return "never"
		}
		return v.UTC().Format(time.RFC3339)
	case int32:
		return limit(int64(v))
	case int64:
		return limit(v)
	}
	return fmt.Sprint(x)
}

// limit spells a limit: 0 is none.
func limit(n int64) string {
	if n == 0 {
		return "none"
	}
	return fmt.Sprint(n)
}

// keyChanges compares what an update may touch.
func keyChanges(before, after *gatehouse.Key) changes {
	c := changes{}
	note(c, "name", before.Name, after.Name)
	noteACL(c, "acls", before.ACL, after.ACL)
	note(c, "qps", before.Limits.QPS, after.Limits.QPS)
	note(c, "qpm", before.Limits.QPM, after.Limits.QPM)
	note(c, "tpm", before.Limits.TPM, after.Limits.TPM)
	note(c, "disabled", before.Disabled, after.Disabled)
	note(c, "expireTime", before.ExpireTime, after.ExpireTime)
	note(c, "strict", before.Strict, after.Strict)
	note(c, "reserveTpm", before.ReserveTPM, after.ReserveTPM)
	note(c, "ipRanges", before.IPRanges, after.IPRanges)
	note(c, "tags", before.Tags, after.Tags)
	note(c, "ownerUserId", before.Owner(), after.Owner())
	return c
}
