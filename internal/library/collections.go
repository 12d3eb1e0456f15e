package library

import (
	"encoding/json"
	"fmt"
	"slices"
	"strings"

	"golang.org/x/text/unicode/norm"

	"gatehouse"
	"gatehouse/internal/library/chunk"
	"gatehouse/internal/library/index"
	"gatehouse/internal/store"
)

// Collection is a team's collection; another team's is not there.
func (s *Service) Collection(v store.LibraryView, team, id gatehouse.ID) (*gatehouse.Collection, error) {
	c, err := found(v.Collection(id))
	if err != nil {
		return nil, err
	}
	if c == nil || c.TeamID != team {
		return nil, missing("collection")
	}
	return c, nil
}

// View is a collection with what it holds.
func (s *Service) View(v store.LibraryView, c *gatehouse.Collection) (*gatehouse.CollectionView, error) {
	documents, bytes, err := v.CollectionSize(c.ID)
	return &gatehouse.CollectionView{Collection: c, Documents: documents, Bytes: bytes}, err
}

// CreateCollection keeps a new collection; its id and team are the caller's to
// set. Names need not be unique. The act's team, description and details are
// filled in, here as in what follows.
func (s *Service) CreateCollection(tx store.Tx, asked *gatehouse.Collection, act gatehouse.Act) (*gatehouse.CollectionView, error) {
	c := *asked
	c.CreateTime = utc(s.Now())
	var bad gatehouse.Violations
	describeCollection(&c, &bad)
	setDefault(&c.Metric, string(index.Cosine))
	if !slices.Contains([]index.Metric{index.Cosine, index.Euclidean, index.InnerProduct}, index.Metric(c.Metric)) {
		bad.Addf("metric_space", "is cosine, euclidean or inner_product, not %q", c.Metric)
	}
	c.Fields = slices.Clone(c.Fields)
	checkDefinitions("field_definitions", c.Fields, &bad)
	if err := s.setModel(tx, &c, &bad); err != nil {
		return nil, err
	}
	if err := bad.Err(); err != nil {
		return nil, err
	}
	n, err := tx.CollectionCount(c.TeamID)
	if err == nil && n >= s.Bounds.Collections {
		err = gatehouse.Errorf(gatehouse.ResourceExhausted, "the team has %d collections, which is as many as it may have: delete some first", n)
	}
	if err != nil {
		return nil, err
	}
	act.TeamID, act.Description = c.TeamID, fmt.Sprintf("Collection '%s' was created", c.Name)
	act.Details = map[string]string{"model": c.Model, "metric": c.Metric}
	return &gatehouse.CollectionView{Collection: &c}, tx.PutCollection(&c, act)
}

// describeCollection puts what may change later into the form that is stored.
func describeCollection(c *gatehouse.Collection, bad *gatehouse.Violations) {
	c.Name = norm.NFC.String(strings.TrimSpace(c.Name))
	gatehouse.ValidateName("collection_name", c.Name, bad)
	c.Description = prose("collection_description", c.Description, gatehouse.MaxDescription, bad)
	if len(c.Chunks) == 0 {
		c.Chunks = json.RawMessage("{}")
	}
	config, err := chunk.Parse("chunk_configuration", c.Chunks)
	if err != nil {
		*bad = append(*bad, violations(err)...)
		return
	}
	c.Chunks, _ = json.Marshal(config) // of numbers and strings: cannot fail
}

// setModel resolves the model that embeds. A collection that names none has the
// installation's, or none.
func (s *Service) setModel(v store.View, c *gatehouse.Collection, bad *gatehouse.Violations) error {
	const field = "index_configuration.model_name"
	asked := c.Model
	setDefault(&c.Model, s.Model)
	if c.Model == "" {
		return nil
	}
	name, problem, err := s.embedding(v, c.Model)
	switch {
	case err != nil:
		return err
	case problem != "" && asked == "":
		return gatehouse.Errorf(gatehouse.FailedPrecondition, "library.model %s", problem)
	case problem != "":
		bad.Addf(field, "%s", problem)
	}
	c.Model = name
	return nil
}

// embedding finds the embedding model that a name or an alias stands for, or
// says why it is none that could be called.
func (s *Service) embedding(v store.View, name string) (canonical, problem string, err error) {
	if s.Embed == nil {
		return name, "cannot be used: this installation embeds nothing; leave it out, and documents are found by their words", nil
	}
	alias, err := found(v.Alias(name))
	if err != nil {
		return name, "", err
	}
	if alias != nil && alias.DeleteTime.IsZero() {
		name = alias.Target
	}
	model, err := found(v.Model(name))
	switch {
	case err != nil:
		return name, "", err
	case model == nil || !model.DeleteTime.IsZero():
		return name, "is not a model of this installation", nil
	case model.Type != gatehouse.EmbeddingModel:
		return name, fmt.Sprintf("is a %s model, not one that embeds", model.Type), nil
	}
	priced, err := s.priced(v, name)
	if err == nil && !priced {
		problem = "has no price, so it cannot be called"
	}
	return name, problem, err
}

func (s *Service) priced(v store.View, model string) (bool, error) {
	prices, err := v.Prices()
	return slices.ContainsFunc(prices, func(p *gatehouse.Price) bool { return p.Model == model && !s.Now().Before(p.Effective) }), err
}

// UpdateCollection changes what is set. A field that is removed is gone for
// every reader with this act; its values are taken out of documents behind it
// (see ForgetField).
func (s *Service) UpdateCollection(tx store.Tx, before *gatehouse.Collection, u gatehouse.CollectionUpdate, act gatehouse.Act) (*gatehouse.CollectionView, error) {
	c := *before
	set(&c.Name, u.Name)
	set(&c.Description, u.Description)
	set(&c.Chunks, u.Chunks)
	var bad gatehouse.Violations
	describeCollection(&c, &bad)
	if err := s.redefine(tx, &c, u, &bad); err != nil {
		return nil, err
	}
	act.TeamID, act.Description, act.Details = c.TeamID, fmt.Sprintf("Collection '%s' was updated", c.Name), collectionChanges(before, &c)
	if err := tx.PutCollection(&c, act); err != nil {
		return nil, err
	}
	return s.View(tx, &c)
}

// collectionChanges says what an update did.
func collectionChanges(before, after *gatehouse.Collection) map[string]string {
	out := map[string]string{}
	note := func(name, a, b string) {
		if a != b {
			out[name] = clip(a) + " → " + clip(b)
		}
	}
	note("name", before.Name, after.Name)
	note("description", before.Description, after.Description)
	note("chunks", string(before.Chunks), string(after.Chunks))
	note("fields", strings.Join(keysOf(before), ","), strings.Join(keysOf(after), ","))
	return out
}

// DeleteCollection ends a collection. Its documents, and the files that it owned
// alone, are gone with it for whoever asks, and swept later.
func (s *Service) DeleteCollection(tx store.Tx, c *gatehouse.Collection, act gatehouse.Act) error {
	act.TeamID, act.Description = c.TeamID, fmt.Sprintf("Collection '%s' was deleted", c.Name)
	return tx.DropCollection(c.ID, act)
}
