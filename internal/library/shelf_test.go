package library

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"slices"
	"strings"
	"testing"
	"time"

	"gatehouse"
	"gatehouse/internal/store"
)

// do runs a rule in a transaction of its own.
func (r *readingRoom) do(f func(store.Tx) error) error {
	_, err := r.Store.Update(r.ctx, gatehouse.Cause{}, f)
	return err
}

// create makes a collection by the rules.
func (r *readingRoom) create(c gatehouse.Collection) (out *gatehouse.CollectionView, err error) {
	c.ID, c.TeamID = gatehouse.NewID(), r.team
	err = r.do(func(tx store.Tx) (err error) {
		out, err = r.CreateCollection(tx, &c, r.act("collection.created"))
		return err
	})
	return out, err
}

// shelf is a collection with fields.
func (r *readingRoom) shelf(fields ...gatehouse.FieldDefinition) *gatehouse.Collection {
	r.Helper()
	c, err := r.create(gatehouse.Collection{Name: "c", Fields: fields})
	r.must(err)
	return c.Collection
}

// place puts a document in through the management plane's rules.
func (r *readingRoom) place(c *gatehouse.Collection, name, content string, fields map[string]string) (d *gatehouse.Document, err error) {
	r.Helper()
	up, err := r.Stage(r.ctx, r.team, gatehouse.NewFile{Name: name, Content: strings.NewReader(content)})
	r.must(err)
	id := gatehouse.NewID()
	err = r.do(func(tx store.Tx) (err error) {
		d, err = r.UploadDocument(tx, c, id, gatehouse.ID{}, up, fields, r.act("document.uploaded"))
		return err
	})
	return d, err
}

func (r *readingRoom) add(c *gatehouse.Collection, file gatehouse.ID, fields map[string]string) (added bool, err error) {
	err = r.do(func(tx store.Tx) (err error) {
		added, err = r.AddDocument(tx, c, file, fields, r.act("document.added"))
		return err
	})
	return added, err
}

func (r *readingRoom) remove(c *gatehouse.Collection, file gatehouse.ID) error {
	return r.do(func(tx store.Tx) error { return r.RemoveDocument(tx, c, file, r.act("document.removed")) })
}

func (r *readingRoom) alter(c *gatehouse.Collection, u gatehouse.CollectionUpdate) (out *gatehouse.CollectionView, err error) {
	err = r.do(func(tx store.Tx) (err error) {
		out, err = r.UpdateCollection(tx, c, u, r.act("collection.updated"))
		return err
	})
	return out, err
}

func (r *readingRoom) document(c *gatehouse.Collection, file gatehouse.ID) (d *gatehouse.Document, err error) {
	err = r.Store.View(r.ctx, func(v store.View) (err error) { d, err = r.Document(v, c, file); return err })
	return d, err
}

func TestACollectionHasDefaultsAndEveryMistakeIsNamed(t *testing.T) {
	r := newReadingRoom(t, func(c *Config) { c.Bounds.Collections = 2 })
	c, err := r.create(gatehouse.Collection{Name: " Papers "})
	r.must(err)
	if c.Name != "Papers" || c.Metric != "cosine" || !strings.Contains(string(c.Chunks), "o200k_base") || c.Documents != 0 || c.Revision.IsZero() {
		t.Errorf("%+v", c.Collection)
	}
	_, err = r.create(gatehouse.Collection{
		Name: "", Description: "a\x00", Chunks: json.RawMessage(`{"chars_configuration":{"max_chunk_size_chars":0}}`), Metric: "manhattan", Model: "m",
		Fields: []gatehouse.FieldDefinition{{Key: ""}, {Key: "a"}, {Key: "a"}},
	})
	r.want(gatehouse.InvalidArgument, err, "collection_name", "collection_description", "chunk_configuration.chars_configuration.max_chunk_size_chars",
		"metric_space", "index_configuration.model_name", "field_definitions[0].key", "field_definitions[2].key")
	r.must(fail(r.create(gatehouse.Collection{Name: "Papers"})))
	r.want(gatehouse.ResourceExhausted, fail(r.create(gatehouse.Collection{Name: "c"})), "2 collections")
}

func TestAModelMustEmbedAndHaveAPrice(t *testing.T) {
	r := newReadingRoom(t, func(c *Config) { c.Embed, c.Model = &letters{dimension: 2}, "std" })
	r.want(gatehouse.FailedPrecondition, fail(r.create(gatehouse.Collection{Name: "c"})), "library.model")
	catalogue := gatehouse.Act{Action: "model.created"}
	r.update(func(tx store.Tx) error {
		return errors.Join(
			tx.PutModel(&gatehouse.Model{Name: "chat", Type: gatehouse.LanguageModel}, catalogue), tx.PutModel(&gatehouse.Model{Name: "free", Type: gatehouse.EmbeddingModel}, catalogue),
			tx.PutModel(&gatehouse.Model{Name: "small", Type: gatehouse.EmbeddingModel}, catalogue),
			tx.PutAlias(&gatehouse.Alias{Name: "std", Target: "small"}, catalogue),
			tx.PutPrice(&gatehouse.Price{ID: gatehouse.NewID(), Model: "small", Effective: r.clock(), Source: "x", Units: map[string]gatehouse.Ticks{"prompt_text": 1}}, catalogue))
	})
	for model, why := range map[string]string{"none": "not a model", "chat": "language", "free": "no price"} {
		r.want(gatehouse.InvalidArgument, fail(r.create(gatehouse.Collection{Name: "c", Model: model})), "index_configuration.model_name", why)
	}
	for _, model := range []string{"", "std", "small"} {
		if c, err := r.create(gatehouse.Collection{Name: "c", Model: model}); err != nil || c.Model != "small" {
			t.Errorf("%q: %v %v", model, c, err)
		}
	}
}

func TestFieldsAreHeldToTheirDefinitions(t *testing.T) {
	r := newReadingRoom(t, nil)
	c := r.shelf(gatehouse.FieldDefinition{Key: "isbn", Required: true, Unique: true}, gatehouse.FieldDefinition{Key: "note"})
	_, err := r.place(c, "a", "x", map[string]string{"colour": "red", "note": strings.Repeat("x", gatehouse.MaxFieldValue+1)})
	r.want(gatehouse.InvalidArgument, err, "fields.colour: is not defined", "isbn, note", "fields.isbn: is required", "fields.note")
	d, err := r.place(c, "a", "x", map[string]string{"isbn": "1", "note": "n"})
	r.must(err)
	if d.State.Status != gatehouse.DocumentProcessing || d.File == nil || !d.File.Owned || !maps.Equal(d.Fields, map[string]string{"isbn": "1", "note": "n"}) {
		t.Errorf("%+v %+v", d, d.File)
	}
	r.want(gatehouse.AlreadyExists, fail(r.place(c, "b", "y", map[string]string{"isbn": "1"})), "fields.isbn")
	if files, _, err := r.ListFiles(r.ctx, r.who, gatehouse.LibraryQuery{}); err != nil || len(files) != 1 {
		t.Errorf("a refused upload left its file: %d %v", len(files), err)
	}
	again := gatehouse.DocumentUpdate{FileID: d.FileID, Fields: gatehouse.Some(map[string]string{"isbn": "1"})}
	r.must(r.do(func(tx store.Tx) error { return fail(r.UpdateDocument(tx, c, again, nil, r.act("document.updated"))) }))
	if got, err := r.document(c, d.FileID); err != nil || len(got.Fields) != 1 || got.Generation <= d.Generation {
		t.Errorf("%+v %v", got, err)
	}
}

// The official SDK tries again when an answer was lost.
func TestAddingADocumentAgainIsFineWhenNothingDiffers(t *testing.T) {
	r := newReadingRoom(t, nil)
	c := r.shelf(gatehouse.FieldDefinition{Key: "k"})
	f := r.send("a", "x")
	for i, want := range []bool{true, false} {
		if added, err := r.add(c, f.ID, map[string]string{"k": "v"}); err != nil || added != want {
			t.Errorf("%d: %v %v", i, added, err)
		}
	}
	r.want(gatehouse.AlreadyExists, fail(r.add(c, f.ID, nil)), "other fields")
	r.want(gatehouse.NotFound, fail(r.add(c, gatehouse.NewID(), nil)))
}

func TestAnOwnedFileLivesAsLongAsACollectionHoldsIt(t *testing.T) {
	r := newReadingRoom(t, nil)
	one, two := r.shelf(), r.shelf()
	d, err := r.place(one, "a", "x", nil)
	r.must(err)
	sent := r.send("b", "y")
	for _, id := range []gatehouse.ID{d.FileID, sent.ID} {
		r.must(fail(r.add(two, id, nil)))
	}
	r.must(fail(r.add(one, sent.ID, nil)))
	r.must(r.remove(one, d.FileID))
	r.want(gatehouse.NotFound, r.remove(one, d.FileID))
	r.must(fail(r.GetFile(r.ctx, r.who, d.FileID)))
	r.must(r.remove(two, d.FileID))
	r.want(gatehouse.NotFound, fail(r.GetFile(r.ctx, r.who, d.FileID)))
	r.must(r.remove(one, sent.ID))
	r.must(r.do(func(tx store.Tx) error { return r.DeleteCollection(tx, two, r.act("collection.deleted")) }))
	r.must(fail(r.GetFile(r.ctx, r.who, sent.ID)))
}

// A file is one in all collections: what changes in it changes in all of them.
func TestNewContentIsIndexedWhereverTheFileIs(t *testing.T) {
	r := newReadingRoom(t, nil)
	one, two := r.shelf(), r.shelf()
	d, err := r.place(one, "a.txt", "old", nil)
	r.must(err)
	r.must(fail(r.add(two, d.FileID, nil)))
	before, err := r.document(two, d.FileID)
	r.must(err)
	p, err := r.PublishFile(r.ctx, r.who, d.FileID, time.Time{})
	r.must(err)
	up, err := r.StageContent(r.ctx, r.team, gatehouse.NewFile{Name: "b.txt", Content: strings.NewReader("newer")}, 3)
	r.must(err)
	u := gatehouse.DocumentUpdate{FileID: d.FileID, Name: gatehouse.Some("b.txt")}
	var out *gatehouse.Document
	r.must(r.do(func(tx store.Tx) (err error) {
		out, err = r.UpdateDocument(tx, one, u, up, r.act("document.updated"))
		return err
	}))
	if out.FileID != d.FileID || out.File.Name != "b.txt" || out.File.Size != 5 || out.Generation <= d.Generation {
		t.Errorf("%+v %+v", out, out.File)
	}
	if after, err := r.document(two, d.FileID); err != nil || after.Generation <= before.Generation || after.File.Name != "b.txt" {
		t.Errorf("%+v %v", after, err)
	}
	if f, err := r.GetFile(r.ctx, r.who, d.FileID); err != nil || f.LinkURL != p.LinkURL || r.read(f.ID, 0) != "newer" {
		t.Errorf("%+v %v", f, err)
	}
	r.must(r.do(func(tx store.Tx) (err error) {
		out, err = r.UpdateDocument(tx, one, gatehouse.DocumentUpdate{FileID: d.FileID}, nil, r.act("document.updated"))
		return err
	}))
	if again, err := r.document(one, d.FileID); err != nil || again.Generation != out.Generation {
		t.Errorf("an update of nothing has it indexed: %v", err)
	}
}

// A removed field is gone at once, and when it comes back its values do not.
func TestARemovedFieldDoesNotComeBackWithItsValues(t *testing.T) {
	r := newReadingRoom(t, nil)
	c := r.shelf(gatehouse.FieldDefinition{Key: "k", Unique: true}, gatehouse.FieldDefinition{Key: "stay"})
	d, err := r.place(c, "a", "x", map[string]string{"k": "v", "stay": "s"})
	r.must(err)
	changed, err := r.alter(c, gatehouse.CollectionUpdate{RemoveFields: []string{"k"}})
	r.must(err)
	c = changed.Collection
	if got, err := r.document(c, d.FileID); err != nil || !maps.Equal(got.Fields, map[string]string{"stay": "s"}) {
		t.Errorf("%+v %v", got, err)
	}
	back := gatehouse.CollectionUpdate{AddFields: []gatehouse.FieldDefinition{{Key: "k"}}}
	if err := fail(r.alter(c, back)); !errors.Is(err, Leftover) || gatehouse.CodeOf(err) != gatehouse.FailedPrecondition {
		t.Errorf("%v", err)
	}
	var more bool
	r.must(r.do(func(tx store.Tx) (err error) {
		more, err = r.ForgetField(tx, c, "k", r.act("document.updated"))
		return err
	}))
	changed, err = r.alter(c, back)
	r.must(err)
	if got, err := r.document(changed.Collection, d.FileID); more || err != nil || got.Fields["k"] != "" {
		t.Errorf("%v %+v %v", more, got, err)
	}
}

func TestDefinitionsPromiseWhatIsTrue(t *testing.T) {
	r := newReadingRoom(t, nil)
	c := r.shelf(gatehouse.FieldDefinition{Key: "k"})
	r.must(fail(r.place(c, "a", "x", map[string]string{"k": "v"})))
	for words, u := range map[string]gatehouse.CollectionUpdate{
		"cannot be required":     {AddFields: []gatehouse.FieldDefinition{{Key: "new", Required: true}}},
		"cannot become unique":   {AddFields: []gatehouse.FieldDefinition{{Key: "k", Unique: true}}},
		"no field":               {RemoveFields: []string{"none"}},
		"both added and deleted": {RemoveFields: []string{"k"}, AddFields: []gatehouse.FieldDefinition{{Key: "k"}}},
		"collection_name":        {Name: gatehouse.Some("")},
		"chunk_configuration":    {Chunks: gatehouse.Some(json.RawMessage(`{"x":1}`))},
	} {
		if err := fail(r.alter(c, u)); words == "both added and deleted" && errors.Is(err, Leftover) {
			continue // either refusal is true
		} else {
			r.want(gatehouse.InvalidArgument, err, words)
		}
	}
	out, err := r.alter(c, gatehouse.CollectionUpdate{Name: gatehouse.Some("n"), AddFields: []gatehouse.FieldDefinition{{Key: "k", Required: true, Description: "d"}, {Key: "u", Unique: true}}})
	r.must(err)
	if out.Name != "n" || out.Documents != 1 || len(out.Fields) != 2 || !out.Fields[0].Required || !out.Fields[1].Unique {
		t.Errorf("%+v", out.Collection)
	}
}

func TestPagesAreWholeInEveryOrder(t *testing.T) {
	r := newReadingRoom(t, nil)
	c := r.shelf()
	for i := range 7 {
		r.must(fail(r.place(c, fmt.Sprintf("n%d", i%3), strings.Repeat("x", 1+i%4), nil)))
		r.pass(time.Second)
	}
	for _, sort := range []gatehouse.LibrarySort{"", gatehouse.SortByName, gatehouse.SortByAge, gatehouse.SortBySize} {
		for _, up := range []bool{true, false} {
			seen, token, after := map[gatehouse.ID]bool{}, "", gatehouse.ID{}
			for range 7 {
				q := gatehouse.LibraryQuery{Sort: sort, Ascending: up, Page: gatehouse.Page{Size: 2, Token: token}}
				if up {
					q.Page.Token, q.After = "", after // OpenAI's way
				}
				files, next, err := r.ListFiles(r.ctx, r.who, q)
				r.must(err)
				for _, f := range files {
					seen[f.ID], after = true, f.ID
				}
				if token = next; token == "" {
					break
				}
			}
			if len(seen) != 7 || token != "" {
				t.Errorf("%q %v: %d of 7, %q", sort, up, len(seen), token)
			}
		}
	}
	_, token, err := r.ListFiles(r.ctx, r.who, gatehouse.LibraryQuery{Page: gatehouse.Page{Size: 2}})
	r.must(err)
	for _, q := range []gatehouse.LibraryQuery{{Ascending: true}, {Filter: "name:n"}, {Sort: gatehouse.SortBySize}} {
		q.Page.Token = token
		r.want(gatehouse.InvalidArgument, fail2(r.ListFiles(r.ctx, r.who, q)), "pagination_token")
	}
}

func TestAListSaysWhatItDoesNotUnderstand(t *testing.T) {
	r := newReadingRoom(t, nil)
	_, _, err := r.ListFiles(r.ctx, r.who, gatehouse.LibraryQuery{Sort: "colour", Filter: "colour:red", Page: gatehouse.Page{Size: -1}})
	r.want(gatehouse.InvalidArgument, err, "sort_by", "unknown field", "limit")
	huge := strings.Repeat("name:x OR ", 10_000) + "name:x"
	r.want(gatehouse.InvalidArgument, fail2(r.ListFiles(r.ctx, r.who, gatehouse.LibraryQuery{Filter: huge})), "filter", "split the request")
	c := r.shelf(gatehouse.FieldDefinition{Key: "k"})
	for _, v := range []string{"1", "2"} {
		r.must(fail(r.place(c, "doc"+v, "x", map[string]string{"k": v})))
	}
	r.must(r.Store.View(r.ctx, func(v store.View) error {
		docs, _, err := r.ListDocuments(v, c, gatehouse.LibraryQuery{Filter: `fields.k="2" AND name:"DOC"`})
		if err == nil && (len(docs) != 1 || docs[0].Fields["k"] != "2") {
			t.Errorf("%d documents", len(docs))
		}
		all, _, err2 := r.ListCollections(v, r.team, gatehouse.LibraryQuery{Filter: "documents_count:>1"})
		if err2 == nil && (len(all) != 1 || all[0].Documents != 2) {
			t.Errorf("%d collections", len(all))
		}
		ids := []gatehouse.ID{docs[0].FileID, gatehouse.NewID()}
		if _, err := r.Documents(v, c, ids); !strings.Contains(gatehouse.Public(err), ids[1].String()) {
			t.Errorf("the one that is missing is not named: %v", err)
		}
		return errors.Join(err, err2)
	}))
}

// Whoever describes sees names and beginnings, and a document without text is
// no obstacle.
func TestADescriptionIsMadeOfBeginnings(t *testing.T) {
	said := &describer{answer: " About ants. "}
	r := newReadingRoom(t, func(c *Config) { c.Embed = said })
	c := r.shelf()
	r.want(gatehouse.FailedPrecondition, fail(r.DescribeCollection(r.ctx, c)), "library.describe_model")
	r.DescribeModel = "words"
	r.want(gatehouse.FailedPrecondition, fail(r.DescribeCollection(r.ctx, c)), "no documents")
	r.must(fail(r.place(c, "ants.txt", "Ants are "+strings.Repeat("many ", 1000)+"THE END", nil)))
	out, err := r.DescribeCollection(r.ctx, c)
	r.must(err)
	if out != "About ants." || !strings.Contains(said.prompt, "ants.txt") || !strings.Contains(said.prompt, "Ants are many") || strings.Contains(said.prompt, "THE END") {
		t.Errorf("%q from %q", out, said.prompt)
	}
}

type describer struct {
	letters
	prompt, answer string
}

func (d *describer) Complete(_ context.Context, _ gatehouse.ID, _, prompt string) (string, error) {
	d.prompt = prompt
	return d.answer, nil
}

func sortedTexts(matches []gatehouse.SearchMatch) (out []string) {
	for _, m := range matches {
		out = append(out, m.Text)
	}
	slices.Sort(out)
	return out
}
