package control

import (
	"context"
	"fmt"
	"slices"

	"gatehouse"
	"gatehouse/internal/store"
)

// ListUpstreams implements gatehouse.Upstreams.
func (c *Caller) ListUpstreams(ctx context.Context, page gatehouse.Page) ([]*gatehouse.Upstream, string, error) {
	return listAll(ctx, c, gatehouse.ListUpstreams, "upstream.listed", gatehouse.KindUpstream, page,
		func(v store.View) ([]*gatehouse.Upstream, error) {
			all, err := v.Upstreams()
			for i, u := range all {
				all[i] = shownUpstream(u)
			}
			return all, err
		},
		func(u *gatehouse.Upstream) string { return u.Name })
}

// listAll is the list of a small set of the installation's, read whole.
func listAll[T any](ctx context.Context, c *Caller, op gatehouse.Operation, action string, kind gatehouse.Kind, page gatehouse.Page,
	all func(store.View) ([]T, error), key func(T) string) ([]T, string, error) {
	out, err := read(ctx, c, query[listed[T]]{
		op: op, act: gatehouse.Act{Action: action, Kind: kind},
		run: func(v store.View, _ *principal) (out listed[T], err error) {
			p, err := c.pager(op, gatehouse.ID{}, "", page)
			if err != nil {
				return out, err
			}
			items, err := all(v)
			if err != nil {
				return out, err
			}
			return slice(p, items, key)
		},
	})
	return out.unpack(err)
}

// GetUpstream implements gatehouse.Upstreams.
func (c *Caller) GetUpstream(ctx context.Context, id gatehouse.ID) (*gatehouse.Upstream, error) {
	u, err := c.upstreamFor(ctx, gatehouse.GetUpstream, "upstream.read", id)
	if err != nil {
		return nil, err
	}
	return shownUpstream(u), nil
}

// upstreamFor reads an upstream with its credential, for callers that show or
// use it; each audits its own act.
func (c *Caller) upstreamFor(ctx context.Context, op gatehouse.Operation, action string, id gatehouse.ID) (*gatehouse.Upstream, error) {
	return read(ctx, c, query[*gatehouse.Upstream]{
		op: op, act: reading(action, gatehouse.KindUpstream, id.String()),
		run: func(v store.View, _ *principal) (*gatehouse.Upstream, error) { return upstreamOf(v, id) },
	})
}

// upstreamOf is the upstream if it is there.
func upstreamOf(v store.View, id gatehouse.ID) (*gatehouse.Upstream, error) {
	u, err := found(v.Upstream(id))
	if err == nil && (u == nil || !u.DeleteTime.IsZero()) {
		err = missing("upstream")
	}
	return u, err
}

// shownUpstream is an upstream as faces get it: its credential is write-only.
func shownUpstream(u *gatehouse.Upstream) *gatehouse.Upstream {
	out := *u
	out.HasCredential = out.HasCredential || out.Credential != ""
	out.Credential = ""
	return &out
}

// PutUpstream implements gatehouse.Upstreams. Whether it was declared is not
// the caller's to say: an edit of a declared upstream is drift, and the next
// start sets it back.
func (c *Caller) PutUpstream(ctx context.Context, u *gatehouse.Upstream) (*gatehouse.Upstream, error) {
	op, id := c.call.Operation, u.ID
	if op != gatehouse.CreateUpstream && op != gatehouse.UpdateUpstream {
		op = gatehouse.UpdateUpstream
		if id.IsZero() {
			op = gatehouse.CreateUpstream
		}
	}
	if op == gatehouse.CreateUpstream {
		id = gatehouse.NewID()
	}
	return mutate(ctx, c, mutation[*gatehouse.Upstream]{
		op: op, target: u.ID.String(),
		run: func(tx store.Tx, _ *principal) (*gatehouse.Upstream, error) {
			var before *gatehouse.Upstream
			next := *u
			next.Declared = false
			if op == gatehouse.UpdateUpstream {
				var err error
				if before, err = upstreamOf(tx, id); err != nil {
					return nil, err
				}
				if err := c.matches(before.Revision); err != nil {
					return nil, err
				}
				next = *gatehouse.Overlay(before, u, c.call.Fields)
				next.Declared = before.Declared
			}
			next.ID, next.DeleteTime = id, never
			kept := before
			if before != nil && slices.Contains(c.call.Fields, "credential") {
				// Named and empty, it is taken away.
				bare := *before
				bare.Credential, bare.HasCredential = "", false
				kept = &bare
			}
			if err := c.s.putUpstream(tx, before, kept, &next, op); err != nil {
				return nil, err
			}
			return shownUpstream(&next), nil
		},
	})
}

// putUpstream validates and writes; before is nil for a new one, and kept is
// before with the credential that it may keep.
func (s *Service) putUpstream(tx store.Tx, before, kept, u *gatehouse.Upstream, op gatehouse.Operation) error {
	var bad gatehouse.Violations
	normalUpstream(u, &bad)
	u.Clusters = unique(u.Clusters)
	checkLimits("limits", u.Limits, &bad)
	keepCredential(kept, u, &bad)
	if err := knownClusters(tx, u.Clusters, &bad); err != nil {
		return err
	}
	if err := bad.Err(); err != nil {
		return err
	}
	others, err := tx.Upstreams()
	if err != nil {
		return err
	}
	if slices.ContainsFunc(others, func(o *gatehouse.Upstream) bool { return o.Name == u.Name && o.ID != u.ID }) {
		return gatehouse.Errorf(gatehouse.AlreadyExists, "an upstream named '%s' exists", u.Name)
	}
	verb := "created"
	if before != nil {
		verb = "updated"
	}
	act := done(op, "upstream."+verb, gatehouse.ID{}, gatehouse.KindUpstream, u.ID.String(), fmt.Sprintf("Upstream '%s' was %s", u.Name, verb))
	act.Details = upstreamChanges(before, u)
	return tx.PutUpstream(u, act)
}

// upstreamChanges never holds the credential, not even its length.
func upstreamChanges(before, u *gatehouse.Upstream) changes {
	if before == nil {
		return changes{"baseUrl": short(u.BaseURL), "credential": fmt.Sprint(u.Credential != "")}
	}
	c := changes{}
	note(c, "name", before.Name, u.Name)
	note(c, "kind", string(before.Kind), string(u.Kind))
	note(c, "baseUrl", before.BaseURL, u.BaseURL)
	note(c, "families", before.Families, u.Families)
	note(c, "serves", before.Serves, u.Serves)
	note(c, "clusters", before.Clusters, u.Clusters)
	note(c, "allowPrivate", before.AllowPrivate, u.AllowPrivate)
	note(c, "proxy", before.Proxy, u.Proxy)
	note(c, "http", before.HTTP, u.HTTP)
	note(c, "askUsage", before.AskUsage, u.AskUsage)
	note(c, "headerTimeout", before.HeaderTimeout, u.HeaderTimeout)
	note(c, "idleTimeout", before.IdleTimeout, u.IdleTimeout)
	note(c, "qps", before.Limits.QPS, u.Limits.QPS)
	note(c, "qpm", before.Limits.QPM, u.Limits.QPM)
	note(c, "tpm", before.Limits.TPM, u.Limits.TPM)
	note(c, "disabled", before.Disabled, u.Disabled)
	if before.CACert != u.CACert {
		c["caCert"] = "changed"
	}
	switch {
	case before.Credential != "" && u.Credential == "":
		c["credential"] = "removed"
	case before.Credential != u.Credential:
		c["credential"] = "changed"
	}
	return c
}

// DeleteUpstream implements gatehouse.Upstreams.
func (c *Caller) DeleteUpstream(ctx context.Context, id gatehouse.ID) error {
	_, err := mutate(ctx, c, mutation[struct{}]{
		op: gatehouse.DeleteUpstream, target: id.String(),
		run: func(tx store.Tx, _ *principal) (struct{}, error) {
			u, err := upstreamOf(tx, id)
			if err == nil {
				err = c.matches(u.Revision)
			}
			if err != nil {
				return struct{}{}, err
			}
			return struct{}{}, c.s.dropUpstream(tx, u)
		},
	})
	return err
}

// dropUpstream forgets the credential with the upstream.
func (s *Service) dropUpstream(tx store.Tx, u *gatehouse.Upstream) error {
	gone := *u
	gone.Credential, gone.HasCredential, gone.DeleteTime = "", false, utc(s.Now())
	return tx.PutUpstream(&gone, done(gatehouse.DeleteUpstream, "upstream.deleted", gatehouse.ID{}, gatehouse.KindUpstream,
		gone.ID.String(), fmt.Sprintf("Upstream '%s' was deleted", gone.Name)))
}

// TestUpstream implements gatehouse.Upstreams. It dials outside any
// transaction: an upstream that hangs holds up nobody.
func (c *Caller) TestUpstream(ctx context.Context, id gatehouse.ID) (gatehouse.UpstreamReport, error) {
	u, err := c.upstreamFor(ctx, gatehouse.TestUpstream, "upstream.tested", id)
	if err != nil {
		return gatehouse.UpstreamReport{}, err
	}
	if c.s.Tester == nil {
		return gatehouse.UpstreamReport{}, gatehouse.Errorf(gatehouse.Unimplemented, "this node does not dial upstreams")
	}
	return c.s.Tester.TestUpstream(ctx, u), nil
}
