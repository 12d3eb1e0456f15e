package control

import (
	"context"
	"fmt"
	"slices"

	"gatehouse"
	"gatehouse/internal/store"
)

// maxFallbacks bounds the models that one request may be tried on.
const maxFallbacks = 8

// ListModels implements gatehouse.Catalogue.
func (c *Caller) ListModels(ctx context.Context, page gatehouse.Page) ([]*gatehouse.Model, string, error) {
	return listAll(ctx, c, gatehouse.ListModels, "model.listed", gatehouse.KindModel, page, store.View.Models,
		func(m *gatehouse.Model) string { return m.Name })
}

// GetModel implements gatehouse.Catalogue.
func (c *Caller) GetModel(ctx context.Context, model string) (*gatehouse.Model, error) {
	return get(ctx, c, gatehouse.GetModel, reading("model.read", gatehouse.KindModel, short(model)),
		func(v store.View) (*gatehouse.Model, error) { return present(v.Model(model)) })
}

// PutModel implements gatehouse.Catalogue.
func (c *Caller) PutModel(ctx context.Context, m *gatehouse.Model) (*gatehouse.Model, error) {
	return put(ctx, c, gatehouse.CreateModel, gatehouse.UpdateModel, m.Name, func(tx store.Tx, op gatehouse.Operation) (*gatehouse.Model, error) {
		before, err := present(tx.Model(m.Name))
		if err != nil {
			return nil, err
		}
		next := *m
		next.Declared = false
		if before != nil {
			if err := c.matches(before.Revision); err != nil {
				return nil, err
			}
			next = *gatehouse.Overlay(before, m, c.call.Fields)
			next.Declared = before.Declared
		}
		return &next, c.s.putModel(tx, before, &next, op)
	}, func(v store.View) (bool, error) { m, err := present(v.Model(m.Name)); return m != nil, err })
}

// putModel keeps models and aliases apart: they share one name space, because a
// request names either in the same field.
func (s *Service) putModel(tx store.Tx, before, m *gatehouse.Model, op gatehouse.Operation) error {
	var bad gatehouse.Violations
	checkModel(m, &bad)
	if err := knownClusters(tx, m.Clusters, &bad); err != nil {
		return err
	}
	m.Clusters = unique(m.Clusters)
	if err := bad.Err(); err != nil {
		return err
	}
	if alias, err := present(tx.Alias(m.Name)); err != nil || alias != nil {
		return first(gatehouse.Errorf(gatehouse.AlreadyExists, "%s is an alias of %s", m.Name, target(alias)), err)
	}
	if m.Created.IsZero() {
		m.Created = utc(s.Now())
	}
	m.DeleteTime = never
	act := s.named(op, "model", gatehouse.KindModel, m.Name, before != nil)
	act.Details = modelChanges(before, m)
	return tx.PutModel(m, act)
}

// modelChanges says whose gateways served the model and whose do: the rest of a
// model is facts, this is who may have it.
func modelChanges(before, m *gatehouse.Model) changes {
	c := changes{}
	if before == nil {
		before = &gatehouse.Model{}
	}
	note(c, "clusters", before.Clusters, m.Clusters)
	return c
}

// target is where an alias leads, for words about it.
func target(a *gatehouse.Alias) string {
	if a == nil {
		return ""
	}
	return a.Target
}

// checkModel names everything that is wrong with a model.
func checkModel(m *gatehouse.Model, bad *gatehouse.Violations) {
	modelName("name", m.Name, bad)
	if m.Name == "*" {
		bad.Addf("name", "* stands for every model")
	}
	types := []gatehouse.ModelType{gatehouse.LanguageModel, gatehouse.EmbeddingModel, gatehouse.ImageModel, gatehouse.AudioModel, gatehouse.ModerationModel}
	if !slices.Contains(types, m.Type) {
		bad.Addf("type", "must be one of %v", types)
	}
	m.Owner = optionalName("owner", m.Owner, bad)
	m.Version = optionalName("version", m.Version, bad)
	if m.ContextLength < 0 {
		bad.Addf("contextLength", "must not be negative")
	}
	for field, list := range map[string][]string{"input": m.Input, "output": m.Output} {
		for _, s := range list {
			if !slices.Contains([]string{"TEXT", "IMAGE", "AUDIO", "VIDEO"}, s) {
				bad.Addf(field, "must be of TEXT, IMAGE, AUDIO, VIDEO")
			}
		}
	}
}

// DeleteModel implements gatehouse.Catalogue.
func (c *Caller) DeleteModel(ctx context.Context, model string) error {
	return drop(ctx, c, gatehouse.DeleteModel, model, func(tx store.Tx) error {
		m, err := present(tx.Model(model))
		if err == nil && m == nil {
			err = missing("model")
		}
		if err == nil {
			err = c.matches(m.Revision)
		}
		if err != nil {
			return err
		}
		return c.s.dropModel(tx, m)
	})
}

// dropModel refuses while an alias leads there: it would lead nowhere.
func (s *Service) dropModel(tx store.Tx, m *gatehouse.Model) error {
	aliases, err := tx.Aliases()
	if err != nil {
		return err
	}
	for _, a := range aliases {
		if a.Target == m.Name || slices.Contains(a.Fallbacks, m.Name) {
			return gatehouse.Errorf(gatehouse.FailedPrecondition, "the alias %s leads to %s", a.Name, m.Name)
		}
	}
	gone := *m
	gone.DeleteTime = utc(s.Now())
	return tx.PutModel(&gone, s.deleted(gatehouse.DeleteModel, "model", gatehouse.KindModel, m.Name))
}

// ListAliases implements gatehouse.Catalogue.
func (c *Caller) ListAliases(ctx context.Context, page gatehouse.Page) ([]*gatehouse.Alias, string, error) {
	return listAll(ctx, c, gatehouse.ListAliases, "alias.listed", gatehouse.KindAlias, page, store.View.Aliases,
		func(a *gatehouse.Alias) string { return a.Name })
}

// GetAlias implements gatehouse.Catalogue.
func (c *Caller) GetAlias(ctx context.Context, alias string) (*gatehouse.Alias, error) {
	return get(ctx, c, gatehouse.GetAlias, reading("alias.read", gatehouse.KindAlias, short(alias)),
		func(v store.View) (*gatehouse.Alias, error) { return present(v.Alias(alias)) })
}

// PutAlias implements gatehouse.Catalogue.
func (c *Caller) PutAlias(ctx context.Context, a *gatehouse.Alias) (*gatehouse.Alias, error) {
	return put(ctx, c, gatehouse.CreateAlias, gatehouse.UpdateAlias, a.Name, func(tx store.Tx, op gatehouse.Operation) (*gatehouse.Alias, error) {
		before, err := present(tx.Alias(a.Name))
		if err != nil {
			return nil, err
		}
		next := *a
		next.Declared = false
		if before != nil {
			if err := c.matches(before.Revision); err != nil {
				return nil, err
			}
			next = *gatehouse.Overlay(before, a, c.call.Fields)
			next.Declared = before.Declared
		}
		return &next, c.s.putAlias(tx, before, &next, op)
	}, func(v store.View) (bool, error) { a, err := present(v.Alias(a.Name)); return a != nil, err })
}

// putAlias allows one step only, from an alias to models: a chain would have to
// be followed on every request and could be a circle.
func (s *Service) putAlias(tx store.Tx, before, a *gatehouse.Alias, op gatehouse.Operation) error {
	var bad gatehouse.Violations
	modelName("name", a.Name, &bad)
	if len(a.Fallbacks) > maxFallbacks {
		bad.Addf("fallbacks", "at most %d", maxFallbacks)
	}
	for i, model := range append([]string{a.Target}, a.Fallbacks...) {
		field := "target"
		if i > 0 {
			field = "fallbacks"
		}
		m, err := present(tx.Model(model))
		if err != nil {
			return err
		}
		if m == nil {
			bad.Addf(field, "unknown model %q; an alias leads to a model, not to another alias", short(model))
		}
	}
	if err := bad.Err(); err != nil {
		return err
	}
	if m, err := present(tx.Model(a.Name)); err != nil || m != nil {
		return first(gatehouse.Errorf(gatehouse.AlreadyExists, "%s is a model", a.Name), err)
	}
	a.DeleteTime = never
	act := s.named(op, "alias", gatehouse.KindAlias, a.Name, before != nil)
	act.Details = aliasChanges(before, a)
	return tx.PutAlias(a, act)
}

// aliasChanges says where the alias led and where it leads.
func aliasChanges(before, a *gatehouse.Alias) changes {
	c := changes{}
	if before == nil {
		before = &gatehouse.Alias{}
	}
	note(c, "target", before.Target, a.Target)
	note(c, "fallbacks", before.Fallbacks, a.Fallbacks)
	return c
}

// DeleteAlias implements gatehouse.Catalogue.
func (c *Caller) DeleteAlias(ctx context.Context, alias string) error {
	return drop(ctx, c, gatehouse.DeleteAlias, alias, func(tx store.Tx) error {
		a, err := present(tx.Alias(alias))
		if err == nil && a == nil {
			err = missing("alias")
		}
		if err == nil {
			err = c.matches(a.Revision)
		}
		if err != nil {
			return err
		}
		return c.s.dropAlias(tx, a)
	})
}

// dropAlias breaks no key: an alias in an ACL was stored as its target.
func (s *Service) dropAlias(tx store.Tx, a *gatehouse.Alias) error {
	gone := *a
	gone.DeleteTime = utc(s.Now())
	return tx.PutAlias(&gone, s.deleted(gatehouse.DeleteAlias, "alias", gatehouse.KindAlias, a.Name))
}

// named describes a write of a record that is known by its name.
func (s *Service) named(op gatehouse.Operation, noun string, kind gatehouse.Kind, subject string, existed bool) gatehouse.Act {
	verb := "created"
	if existed {
		verb = "updated"
	}
	return done(op, string(kind)+"."+verb, gatehouse.ID{}, kind, subject, fmt.Sprintf("%s '%s' was %s", title(noun), subject, verb))
}

// deleted describes the end of a record that is known by its name.
func (s *Service) deleted(op gatehouse.Operation, noun string, kind gatehouse.Kind, subject string) gatehouse.Act {
	return done(op, string(kind)+".deleted", gatehouse.ID{}, kind, subject, fmt.Sprintf("%s '%s' was deleted", title(noun), subject))
}
