package main

import (
	"fmt"
	"io"
	"net/netip"
	"slices"
	"strings"
	"time"

	"gatehouse"
)

type keysCmd struct {
	Create      keysCreateCmd      `cmd:"" help:"Create a key and print it, this once."`
	List        keysListCmd        `cmd:"" help:"List a team's keys, oldest first."`
	Get         keysGetCmd         `cmd:"" help:"Show one key."`
	Update      keysUpdateCmd      `cmd:"" help:"Change what is given of a key and nothing else."`
	Rotate      keysRotateCmd      `cmd:"" help:"Mint a new secret under the same id and print it, this once."`
	Delete      keysDeleteCmd      `cmd:"" help:"Delete a key for ever."`
	Propagation keysPropagationCmd `cmd:"" help:"Say which clusters enforce a key's last change."`
	Orphans     keysOrphansCmd     `cmd:"" help:"List keys whose owner was removed from the team or left at the identity provider."`
	Import      keysImportCmd      `cmd:"" help:"Take over another program's keys by their hashes: their holders change nothing."`
}

// entries are the flags that make up an ACL.
type entries struct {
	ACL      []string `name:"acl" help:"ACL entry as on the wire, such as api-key:model:grok-4. Repeatable." sep:"none" placeholder:"ENTRY"`
	Model    []string `help:"Model that the key may use, or * for every one. Repeatable." sep:"none" placeholder:"NAME"`
	Endpoint []string `help:"Endpoint that the key may use, such as chat, or * for every one. Repeatable." sep:"none" placeholder:"NAME"`
}

func (a entries) acl() (out gatehouse.ACL) {
	out = append(out, a.ACL...)
	out = append(out, each(a.Model, gatehouse.ModelACL)...)
	return append(out, each(a.Endpoint, gatehouse.EndpointACL)...)
}

// idle is the advice about an ACL that admits nothing.
func idle(acl gatehouse.ACL) []string {
	has := func(prefix string) bool {
		return slices.ContainsFunc(acl, func(s string) bool { return strings.HasPrefix(s, prefix) })
	}
	kept := slices.Contains(acl, gatehouse.EndpointACL(gatehouse.EndpointFiles)) || slices.Contains(acl, gatehouse.EndpointACL(gatehouse.EndpointDocuments))
	if has(gatehouse.ModelACL("")) && has(gatehouse.EndpointACL("")) || kept { // files and search name no model
		return nil
	}
	return []string{"this key can do nothing yet: it needs at least one --model and one --endpoint, or '*' for all"}
}

type keysCreateCmd struct {
	remote
	entries
	Name       string            `help:"What to call it." required:"" placeholder:"TEXT"`
	Team       gatehouse.ID      `help:"Team. Default: the management key's own." placeholder:"ID"`
	QPS        amount[int32]     `name:"qps" help:"Most requests in any second." placeholder:"N"`
	QPM        amount[int32]     `name:"qpm" help:"Most requests in any minute." placeholder:"N"`
	TPM        amount[int64]     `name:"tpm" help:"Most tokens in a minute." placeholder:"N"`
	Expire     instant           `help:"When it ends: 90d, 12h, or a time such as 2027-01-31T00:00:00Z. Default: never." placeholder:"WHEN"`
	Strict     bool              `help:"Refuse it where a gateway cannot prove to be current."`
	ReserveTPM bool              `name:"reserve-tpm" help:"Count prompt and max_tokens against tpm before a request, refund after."`
	IP         []origin          `name:"ip" help:"Addresses it may be used from, such as 10.0.0.0/8 or 192.0.2.7. Repeatable. Default: any." placeholder:"CIDR"`
	Tag        map[string]string `help:"Tag for cost allocation. Repeatable." placeholder:"K=V"`
	Owner      gatehouse.ID      `help:"User who answers for it. Default: the management key's owner." placeholder:"ID"`
}

// Run creates a key.
func (c *keysCreateCmd) Run(e *env) error {
	return c.do(e, 0, func(s *session) error {
		m, err := s.CreateKey(s, gatehouse.NewKey{
			TeamID: c.Team, Name: c.Name, ACL: c.acl(), ExpireTime: c.Expire.from(time.Now()), Strict: c.Strict, ReserveTPM: c.ReserveTPM,
			Limits:   gatehouse.Limits{QPS: c.QPS.n, QPM: c.QPM.n, TPM: c.TPM.n},
			IPRanges: prefixes(c.IP), Tags: c.Tag, OwnerID: c.Owner,
		})
		if err != nil {
			return err
		}
		return s.secret(m.Token, fmt.Sprintf("created API key '%s', id %s. It is shown this once:", line(m.Key.Name), m.Key.ID),
			append(m.Warnings, idle(m.Key.ACL)...)...)
	})
}

type keysListCmd struct {
	remote
	paging
	Team   gatehouse.ID `help:"Team. Default: the management key's own." placeholder:"ID"`
	User   gatehouse.ID `help:"Only keys that this user created." placeholder:"ID"`
	ACL    []string     `name:"acl" help:"Only keys with this ACL entry. Repeatable." sep:"none" placeholder:"ENTRY"`
	Active bool         `help:"Only keys that are neither expired nor disabled."`
}

// Run lists keys.
func (c *keysListCmd) Run(e *env) error {
	return c.do(e, 0, func(s *session) error {
		keys, err := pages(&s.printer, c.paging, func(p gatehouse.Page) ([]*gatehouse.Key, string, error) {
			return s.ListKeys(s, gatehouse.KeyQuery{TeamID: c.Team, UserID: c.User, ACL: c.ACL, ActiveOnly: c.Active, Page: p})
		})
		if err != nil {
			return err
		}
		return s.table("ID NAME KEY STATE LIMITS EXPIRES", each(keys, func(k *gatehouse.Key) []string {
			return []string{k.ID.String(), k.Name, "..." + k.Last4(), state(k, time.Now()), limits(k.Limits), clock(k.ExpireTime, "never")}
		}))
	})
}

// state is what a key is, worst first.
func state(k *gatehouse.Key, now time.Time) string {
	switch {
	case k.Blocked:
		return "blocked"
	case k.Disabled:
		return "disabled"
	case k.Expired(now):
		return "expired"
	}
	return "active"
}

type keysGetCmd struct {
	remote
	ID gatehouse.ID `arg:"" help:"The key's id."`
}

// Run shows a key.
func (c *keysGetCmd) Run(e *env) error {
	return c.do(e, 0, func(s *session) error {
		k, err := s.GetKey(s, c.ID)
		if err != nil {
			return err
		}
		return s.record(keyPairs(k)...)
	})
}

func keyPairs(k *gatehouse.Key) []string {
	out := []string{
		"id", k.ID.String(), "name", k.Name, "team", k.TeamID.String(), "state", state(k, time.Now()), "acl", strings.Join(k.ACL, " "),
		"limits", limits(k.Limits), "expires", clock(k.ExpireTime, "never"), "strict", yes(k.Strict), "reserve tpm", yes(k.ReserveTPM),
		"ip ranges", ranges(k.IPRanges), "tags", tags(k.Tags), "created by", k.UserID.String(), "owner", k.OwnerID.String(),
		"created", clock(k.CreateTime, ""), "modified", clock(k.ModifyTime, ""), "revision", k.Revision.String(),
	}
	for _, x := range k.Secrets {
		text := "..." + x.Last4 + ", last used " + clock(x.LastUse, "never")
		if !x.ExpireTime.IsZero() {
			text += ", ends " + clock(x.ExpireTime, "")
		}
		out = append(out, "secret", text)
	}
	return out
}

func ranges(in []netip.Prefix) string { return strings.Join(each(in, netip.Prefix.String), " ") }

func tags(in map[string]string) string {
	var out []string
	for k, v := range in {
		out = append(out, k+"="+v)
	}
	slices.Sort(out)
	return strings.Join(out, " ")
}

type keysUpdateCmd struct {
	remote
	entries
	ID         gatehouse.ID      `arg:"" help:"The key's id."`
	Name       *string           `help:"New name." placeholder:"TEXT"`
	QPS        amount[int32]     `name:"qps" help:"Most requests in any second, or none." placeholder:"N"`
	QPM        amount[int32]     `name:"qpm" help:"Most requests in any minute, or none." placeholder:"N"`
	TPM        amount[int64]     `name:"tpm" help:"Most tokens in a minute, or none." placeholder:"N"`
	Expire     instant           `help:"When it ends: 90d, 12h, a time, or never." placeholder:"WHEN"`
	Disable    bool              `help:"Refuse it until enabled again." xor:"switch"`
	Enable     bool              `help:"Accept it again." xor:"switch"`
	Strict     *bool             `help:"Refuse it where a gateway cannot prove to be current." negatable:""`
	ReserveTPM *bool             `name:"reserve-tpm" help:"Count prompt and max_tokens against tpm before a request." negatable:""`
	IP         []origin          `name:"ip" help:"Replace the addresses it may be used from. Repeatable." placeholder:"CIDR" xor:"ip"`
	AnyIP      bool              `name:"any-ip" help:"Accept it from anywhere." xor:"ip"`
	Tag        map[string]string `help:"Replace the tags. Repeatable." placeholder:"K=V" xor:"tag"`
	NoTags     bool              `help:"Take all tags away." xor:"tag"`
	Owner      gatehouse.ID      `help:"User who answers for it." placeholder:"ID"`
	IfMatch    string            `help:"Only if the key is still at this revision." placeholder:"REVISION"`
}

// Run updates a key.
func (c *keysUpdateCmd) Run(e *env) error {
	return c.do(e, 0, func(s *session) error {
		u, err := c.update()
		if err != nil {
			return err
		}
		m, err := s.UpdateKey(s, u)
		if err != nil {
			return err
		}
		for _, w := range m.Warnings {
			fmt.Fprintln(e.err, "warning:", w)
		}
		return s.record(keyPairs(m.Key)...)
	})
}

func (c *keysUpdateCmd) update() (u gatehouse.KeyUpdate, err error) {
	u = gatehouse.KeyUpdate{
		ID: c.ID, Name: opt(c.Name), Strict: opt(c.Strict), ReserveTPM: opt(c.ReserveTPM), ExpireTime: c.Expire.opt(time.Now()),
		QPS:      c.QPS.opt(),
		QPM:      c.QPM.opt(),
		TPM:      c.TPM.opt(),
		Disabled: gatehouse.Opt[bool]{Set: c.Disable || c.Enable, Value: c.Disable},
		IPRanges: gatehouse.Opt[[]netip.Prefix]{Set: len(c.IP) > 0 || c.AnyIP, Value: prefixes(c.IP)},
		Tags:     gatehouse.Opt[map[string]string]{Set: len(c.Tag) > 0 || c.NoTags, Value: c.Tag},
		OwnerID:  gatehouse.Opt[gatehouse.ID]{Set: !c.Owner.IsZero(), Value: c.Owner},
	}
	if acl := c.acl(); len(acl) > 0 {
		u.ACL = gatehouse.Some(acl)
	}
	if c.IfMatch != "" {
		u.IfMatch, err = gatehouse.ParseRevision(c.IfMatch)
	}
	return u, err
}

func opt[T any](p *T) (o gatehouse.Opt[T]) {
	if p != nil {
		o = gatehouse.Some(*p)
	}
	return o
}

// rotation are the flags of both kinds of rotation.
type rotation struct {
	ID        gatehouse.ID `arg:"" help:"The key's id."`
	Expire    instant      `help:"New end of the key itself." placeholder:"WHEN"`
	OldExpire instant      `name:"old-expire" help:"When the old secret ends, at most 7d. Default: in a day; 0s: at once." placeholder:"WHEN"`
}

func (r rotation) ask(now time.Time) gatehouse.KeyRotation {
	out := gatehouse.KeyRotation{ID: r.ID, ExpireTime: r.Expire.opt(now)}
	if r.OldExpire.given {
		if out.OldSecretExpire = r.OldExpire.from(now); out.OldSecretExpire.IsZero() {
			// Zero would be the default of a day. Never is too late, which the
			// server says.
			out.OldSecretExpire = now.AddDate(100, 0, 0)
		}
	}
	return out
}

type keysRotateCmd struct {
	remote
	rotation
}

// Run rotates a key.
func (c *keysRotateCmd) Run(e *env) error {
	return c.do(e, 0, func(s *session) error {
		m, err := s.RotateKey(s, c.ask(time.Now()))
		if err != nil {
			return err
		}
		return s.secret(m.Token, fmt.Sprintf("rotated API key '%s', id %s. The new secret is shown this once:", line(m.Key.Name), m.Key.ID), m.Warnings...)
	})
}

type keysDeleteCmd struct {
	remote
	ID gatehouse.ID `arg:"" help:"The key's id."`
}

// Run deletes a key.
func (c *keysDeleteCmd) Run(e *env) error {
	return c.do(e, 0, func(s *session) error { return s.gone("API key", c.ID.String(), s.DeleteKey(s, c.ID)) })
}

type keysPropagationCmd struct {
	remote
	ID   gatehouse.ID  `arg:"" help:"The key's id; that of a deleted key too."`
	Wait time.Duration `help:"Wait for every cluster for this long; exit code 6 when it was not enough." placeholder:"30s"`
}

// maxWait is the longest wait of one request.
const maxWait = time.Minute

// Run asks about propagation.
func (c *keysPropagationCmd) Run(e *env) error {
	return c.do(e, c.Wait, func(s *session) error {
		state, err := c.await(s)
		if err != nil {
			return err
		}
		var rows [][]string
		late := 0
		for cluster, enforced := range state {
			word := "yes"
			if !enforced {
				word, late = "no", late+1
			}
			rows = append(rows, []string{cluster, word})
		}
		slices.SortFunc(rows, slices.Compare)
		if err := s.table("CLUSTER ENFORCED", rows); err != nil {
			return err
		}
		if c.Wait > 0 && late > 0 {
			return gatehouse.Errorf(gatehouse.DeadlineExceeded, "%d of %d clusters do not enforce it yet", late, len(state))
		}
		return nil
	})
}

func (c *keysPropagationCmd) await(s *session) (map[string]bool, error) {
	if c.Wait > 0 && s.e.terminal() {
		fmt.Fprintf(s.e.err, "waiting for every cluster, up to %s\n", c.Wait)
	}
	for left := c.Wait; ; left -= maxWait {
		state, err := s.Propagation(s, c.ID, min(left, maxWait))
		if err != nil || left <= maxWait || allTrue(state) {
			return state, err
		}
	}
}

func allTrue(m map[string]bool) bool {
	for _, v := range m {
		if !v {
			return false
		}
	}
	return true
}

// gone tells that something is not there any more.
func (s *printer) gone(what, id string, err error) error {
	if err != nil {
		return err
	}
	return s.show(func(w io.Writer) { fmt.Fprintln(w, what, id, "is gone") })
}
