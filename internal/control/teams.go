package control

import (
	"context"
	"fmt"
	"maps"
	"slices"
	"time"

	"gatehouse"
	"gatehouse/internal/store"
)

// ListTeams implements gatehouse.Teams: a team's key sees its team.
func (c *Caller) ListTeams(ctx context.Context, page gatehouse.Page) ([]*gatehouse.Team, string, error) {
	out, err := read(ctx, c, query[listed[*gatehouse.Team]]{
		op: gatehouse.ListTeams, act: gatehouse.Act{Action: "team.listed", Kind: gatehouse.KindTeam},
		run: func(v store.View, who *principal) (out listed[*gatehouse.Team], err error) {
			var of gatehouse.ID // zero: all that there are
			if who.Scope != gatehouse.ScopeOrganization {
				of = who.TeamID
			}
			p, err := c.pager(gatehouse.ListTeams, of, "", page)
			if err != nil {
				return out, err
			}
			if who.Scope != gatehouse.ScopeOrganization {
				t, err := liveTeam(v, who, who.TeamID)
				return listed[*gatehouse.Team]{items: []*gatehouse.Team{t}}, err
			}
			teams, err := v.Teams(p.cursor(), p.size+1)
			if err != nil {
				return out, err
			}
			return cut(p, teams, func(t *gatehouse.Team) place { return place{Time: t.CreateTime, ID: t.ID.String()} })
		},
	})
	return out.unpack(err)
}

// GetTeam implements gatehouse.Teams.
func (c *Caller) GetTeam(ctx context.Context, id gatehouse.ID) (*gatehouse.Team, error) {
	return read(ctx, c, query[*gatehouse.Team]{
		op: gatehouse.GetTeam, act: reading("team.read", gatehouse.KindTeam, id.String()),
		run: func(v store.View, who *principal) (*gatehouse.Team, error) {
			return liveTeam(v, who, who.home(id))
		},
	})
}

// CreateTeam implements gatehouse.Teams. The new team has nobody: people and
// keys are made in it by whoever made it.
func (c *Caller) CreateTeam(ctx context.Context, called string) (*gatehouse.Team, error) {
	id := gatehouse.NewID()
	return mutate(ctx, c, mutation[*gatehouse.Team]{
		op: gatehouse.CreateTeam,
		run: func(tx store.Tx, who *principal) (*gatehouse.Team, error) {
			var bad gatehouse.Violations
			t := &gatehouse.Team{ID: id, Name: name("name", called, &bad), Billing: gatehouse.BillingMetering, CreateTime: utc(who.now)}
			if err := bad.Err(); err != nil {
				return nil, err
			}
			return t, tx.PutTeam(t, done(gatehouse.CreateTeam, "team.created", id, gatehouse.KindTeam, id.String(),
				fmt.Sprintf("Team '%s' was created", t.Name)))
		},
	})
}

// UpdateTeam implements gatehouse.Teams. Blocking stops the team's inference
// keys; its management keys go on, or nobody could look into why.
func (c *Caller) UpdateTeam(ctx context.Context, u gatehouse.TeamUpdate) (*gatehouse.Team, error) {
	return mutate(ctx, c, mutation[*gatehouse.Team]{
		op: gatehouse.UpdateTeam, target: u.ID.String(),
		run: func(tx store.Tx, who *principal) (*gatehouse.Team, error) {
			before, err := liveTeam(tx, who, u.ID)
			if err == nil {
				err = c.matches(before.Revision)
			}
			if err != nil {
				return nil, err
			}
			t := *before
			set(&t.Name, u.Name)
			set(&t.Blocked, u.Blocked)
			set(&t.Billing, u.Billing)
			set(&t.ModelLimits, u.ModelLimits)
			if err := validateTeam(tx, before, &t, u); err != nil {
				return nil, err
			}
			turned(before, &t, who.now)
			act := done(gatehouse.UpdateTeam, "team.updated", t.ID, gatehouse.KindTeam, t.ID.String(), fmt.Sprintf("Team '%s' was updated", t.Name))
			act.Details = teamChanges(before, &t)
			return &t, tx.PutTeam(&t, act)
		},
	})
}

// turned notes when a team comes to pay, or to be only metered.
func turned(before, t *gatehouse.Team, now time.Time) {
	if before.Billing.Pays() == t.Billing.Pays() {
		return
	}
	turns := append(slices.Clone(before.BillingTurns), utc(now))
	t.BillingTurns = turns[max(0, len(turns)-gatehouse.MaxBillingTurns):]
}

// validateTeam checks what the update named, and gives back the default to a
// billing mode that it cleared.
func validateTeam(v store.View, before, t *gatehouse.Team, u gatehouse.TeamUpdate) error {
	var bad gatehouse.Violations
	if u.ModelLimits.Set {
		if err := checkModelLimits(v, before, t, &bad); err != nil {
			return err
		}
	}
	if u.Name.Set {
		t.Name = name("name", t.Name, &bad)
	}
	switch t.Billing {
	case "":
		t.Billing = gatehouse.BillingMetering
	case gatehouse.BillingMetering, gatehouse.BillingPrepaid, gatehouse.BillingPostpaid:
	default:
		bad.Addf("billing", "must be metering, prepaid or postpaid")
	}
	return bad.Err()
}

// teamChanges compares what an update may touch.
func teamChanges(before, after *gatehouse.Team) changes {
	c := changes{}
	note(c, "name", before.Name, after.Name)
	note(c, "blocked", before.Blocked, after.Blocked)
	note(c, "billing", string(before.Billing), string(after.Billing))
	note(c, "modelLimits", before.ModelLimits, after.ModelLimits)
	return c
}

// maxModelLimits bounds the models that a team has limits for: its record goes
// to every gateway.
const maxModelLimits = 200

// checkModelLimits refuses names that would limit nothing: what a request is
// counted under is the model that its name leads to. A limit that was there may
// stay when its model has gone. One that limits nothing is left out.
func checkModelLimits(v store.View, before, t *gatehouse.Team, bad *gatehouse.Violations) error {
	kept := map[string]gatehouse.Limits{}
	for _, model := range slices.Sorted(maps.Keys(t.ModelLimits)) {
		l := t.ModelLimits[model]
		if l == (gatehouse.Limits{}) {
			continue
		}
		checkLimits("modelLimits."+short(model), l, bad)
		if _, was := before.ModelLimits[model]; !was {
			if err := limited(v, model, bad); err != nil {
				return err
			}
		}
		kept[model] = l
	}
	if len(kept) > maxModelLimits {
		bad.Addf("modelLimits", "at most %d models", maxModelLimits)
	}
	t.ModelLimits = nil
	if len(kept) > 0 {
		t.ModelLimits = kept
	}
	return nil
}

// limited checks that a name is a model's own.
func limited(v store.View, model string, bad *gatehouse.Violations) error {
	m, err := present(v.Model(model))
	if m != nil || err != nil {
		return err
	}
	a, err := present(v.Alias(model))
	if a != nil {
		bad.Addf("modelLimits", "%q is an alias: limit its target, %s", short(model), a.Target)
	} else {
		bad.Addf("modelLimits", "unknown model %q", short(model))
	}
	return err
}

// checkLimits names what is wrong with limits that are a member of something.
func checkLimits(field string, l gatehouse.Limits, bad *gatehouse.Violations) {
	var mine gatehouse.Violations
	l.Validate(&mine)
	for _, v := range mine {
		bad.Addf(field+"."+v.Field, "%s", v.Problem)
	}
}
