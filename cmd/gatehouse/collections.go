package main

import (
	"encoding/json"
	"fmt"
	"io"
	"strconv"
	"strings"

	"gatehouse"
)

type collectionsCmd struct {
	Create   collectionsCreateCmd   `cmd:"" help:"Create a collection."`
	List     collectionsListCmd     `cmd:"" help:"List collections by name."`
	Get      collectionsGetCmd      `cmd:"" help:"Show one collection."`
	Update   collectionsUpdateCmd   `cmd:"" help:"Change what is given of a collection and nothing else."`
	Delete   collectionsDeleteCmd   `cmd:"" help:"Delete a collection, its documents, and files that it alone owns, for ever."`
	Describe collectionsDescribeCmd `cmd:"" help:"Have a model word a description from what the documents say, and print it. Changes nothing."`
}

// collectionID is the id of a collection as the wire spells it.
func collectionID(id gatehouse.ID) string { return "collection_" + id.String() }

// ofTeam is the flag of commands that may be about another team's library.
type ofTeam struct {
	Team gatehouse.ID `help:"Team. Default: the management key's own." placeholder:"ID"`
}

// fieldFlag is a field definition in one flag.
type fieldFlag gatehouse.FieldDefinition

// UnmarshalText reads KEY[:required][:unique][:inject].
func (f *fieldFlag) UnmarshalText(b []byte) error {
	key, rest, more := strings.Cut(string(b), ":")
	*f = fieldFlag{Key: key}
	for more {
		var word string
		word, rest, more = strings.Cut(rest, ":")
		switch word {
		case "required":
			f.Required = true
		case "unique":
			f.Unique = true
		case "inject":
			f.Inject = true
		default:
			return fmt.Errorf("%q is none of required, unique and inject", word)
		}
	}
	if key == "" {
		return fmt.Errorf("%q names no field", b)
	}
	return nil
}

// fieldWords spells a definition in the words of --field.
func fieldWords(f gatehouse.FieldDefinition) string {
	out := escaped(f.Key)
	for _, x := range []struct {
		word string
		on   bool
	}{{"required", f.Required}, {"unique", f.Unique}, {"inject", f.Inject}} {
		if x.on {
			out += ":" + x.word
		}
	}
	return out
}

func fieldsOf(in []fieldFlag) []gatehouse.FieldDefinition {
	return each(in, func(f fieldFlag) gatehouse.FieldDefinition { return gatehouse.FieldDefinition(f) })
}

// cutting are the flags that say how documents are cut.
type cutting struct {
	ChunkTokens *int   `help:"Cut documents into chunks of at most this many tokens." placeholder:"N"`
	Overlap     *int   `help:"Tokens that a chunk shares with each of its neighbours." placeholder:"N"`
	ChunkConfig string `help:"A whole chunk_configuration instead, as on the wire." placeholder:"JSON"`
}

// chunks is the configuration; nil when nothing was said.
func (c cutting) chunks() (json.RawMessage, error) {
	if c.ChunkConfig != "" {
		if c.ChunkTokens != nil || c.Overlap != nil {
			return nil, gatehouse.Errorf(gatehouse.InvalidArgument, "--chunk-config: says all; leave out --chunk-tokens and --overlap")
		}
		if !json.Valid([]byte(c.ChunkConfig)) {
			return nil, gatehouse.Errorf(gatehouse.InvalidArgument, "--chunk-config: is not JSON")
		}
		return json.RawMessage(c.ChunkConfig), nil
	}
	if c.ChunkTokens == nil && c.Overlap == nil {
		return nil, nil
	}
	if c.ChunkTokens == nil {
		return nil, gatehouse.Errorf(gatehouse.InvalidArgument, "--overlap: needs --chunk-tokens")
	}
	type tokens struct {
		Most    int  `json:"max_chunk_size_tokens"`
		Overlap *int `json:"chunk_overlap_tokens,omitempty"`
	}
	return json.Marshal(struct {
		Tokens tokens `json:"tokens_configuration"`
		Strip  bool   `json:"strip_whitespace"` // as where nothing is said
	}{tokens{*c.ChunkTokens, c.Overlap}, true})
}

type collectionsCreateCmd struct {
	remote
	ofTeam
	cutting
	Name        string      `arg:"" help:"What to call it."`
	Description string      `help:"What is in it." placeholder:"TEXT"`
	Model       string      `help:"Model that embeds its documents. Default: the server's; where that has none, documents are found by their words." placeholder:"NAME"`
	Metric      string      `help:"How vectors are compared: cosine, euclidean or inner_product." placeholder:"NAME"`
	Field       []fieldFlag `help:"Field that documents carry: KEY[:required][:unique][:inject]. inject puts its value before every chunk. Repeatable." sep:"none" placeholder:"FIELD"`
}

// Run creates a collection.
func (c *collectionsCreateCmd) Run(e *env) error {
	chunks, err := c.chunks()
	if err != nil {
		return err
	}
	return c.do(e, 0, func(s *session) error {
		return s.collection(s.CreateCollection(s, &gatehouse.Collection{
			TeamID: c.Team, Name: c.Name, Description: c.Description, Model: c.Model, Metric: c.Metric, Chunks: chunks, Fields: fieldsOf(c.Field),
		}))
	})
}

// collection prints one.
func (s *session) collection(c *gatehouse.CollectionView, err error) error {
	if err != nil {
		return err
	}
	return s.record("id", collectionID(c.ID), "name", escaped(c.Name), "description", escaped(c.Description), "model", c.Model, "metric", c.Metric,
		"chunks", string(c.Chunks), "fields", strings.Join(each(c.Fields, fieldWords), " "), "documents", strconv.Itoa(c.Documents),
		"size", size(c.Bytes), "created", clock(c.CreateTime, ""), "revision", c.Revision.String())
}

type collectionsListCmd struct {
	remote
	ofTeam
	paging
	Filter string `help:"Only those that fit, such as 'collection_name:\"SEC\" AND documents_count:>10'." placeholder:"FILTER"`
	Sort   string `help:"By what: name or age." enum:"name,age" default:"name"`
	Desc   bool   `help:"Last or newest first."`
}

// Run lists collections.
func (c *collectionsListCmd) Run(e *env) error {
	return c.do(e, 0, func(s *session) error {
		all, err := pages(&s.printer, c.paging, func(p gatehouse.Page) ([]*gatehouse.CollectionView, string, error) {
			return s.ListCollections(s, gatehouse.LibraryQuery{TeamID: c.Team, Filter: c.Filter, Sort: gatehouse.LibrarySort(c.Sort), Ascending: !c.Desc, Page: p})
		})
		if err != nil {
			return err
		}
		return s.table("ID DOCUMENTS SIZE MODEL NAME", each(all, func(v *gatehouse.CollectionView) []string {
			return []string{collectionID(v.ID), strconv.Itoa(v.Documents), size(v.Bytes), v.Model, escaped(v.Name)}
		}))
	})
}

type collectionsGetCmd struct {
	remote
	ofTeam
	ID gatehouse.ID `arg:"" help:"The collection's id."`
}

// Run shows a collection.
func (c *collectionsGetCmd) Run(e *env) error {
	return c.do(e, 0, func(s *session) error { return s.collection(s.GetCollection(s, c.Team, c.ID)) })
}

type collectionsUpdateCmd struct {
	remote
	ofTeam
	cutting
	ID          gatehouse.ID `arg:"" help:"The collection's id. Documents that are there stay as they were cut until they are indexed again."`
	Name        *string      `help:"New name." placeholder:"TEXT"`
	Description *string      `help:"New description; empty: none." placeholder:"TEXT"`
	Field       []fieldFlag  `help:"Add or replace a field: KEY[:unique][:inject], and :required for one that is there. Repeatable." sep:"none" placeholder:"FIELD"`
	RemoveField []string     `help:"Take a field away, and its values from all documents. Repeatable." sep:"none" placeholder:"KEY"`
}

// Run updates a collection.
func (c *collectionsUpdateCmd) Run(e *env) error {
	chunks, err := c.chunks()
	if err != nil {
		return err
	}
	u := gatehouse.CollectionUpdate{
		TeamID: c.Team, ID: c.ID, Name: opt(c.Name), Description: opt(c.Description), AddFields: fieldsOf(c.Field), RemoveFields: c.RemoveField,
		Chunks: gatehouse.Opt[json.RawMessage]{Set: chunks != nil, Value: chunks},
	}
	if !u.Name.Set && !u.Description.Set && !u.Chunks.Set && len(u.AddFields)+len(u.RemoveFields) == 0 {
		return something(nil)
	}
	return c.do(e, 0, func(s *session) error { return s.collection(s.UpdateCollection(s, u)) })
}

type collectionsDeleteCmd struct {
	remote
	ofTeam
	ID gatehouse.ID `arg:"" help:"The collection's id."`
}

// Run deletes a collection.
func (c *collectionsDeleteCmd) Run(e *env) error {
	return c.do(e, 0, func(s *session) error {
		return s.gone("collection", collectionID(c.ID), s.DeleteCollection(s, c.Team, c.ID))
	})
}

type collectionsDescribeCmd struct {
	remote
	ofTeam
	ID gatehouse.ID `arg:"" help:"The collection's id."`
}

// Run has a collection described.
func (c *collectionsDescribeCmd) Run(e *env) error {
	return c.do(e, 0, func(s *session) error {
		text, err := s.DescribeCollection(s, c.Team, c.ID)
		if err != nil {
			return err
		}
		return s.show(func(w io.Writer) { fmt.Fprintln(w, escaped(text)) })
	})
}
