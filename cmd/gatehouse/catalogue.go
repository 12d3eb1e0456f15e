package main

import (
	"slices"
	"strconv"
	"strings"
	"time"

	"gatehouse"
	"gatehouse/internal/catalogue"
)

type modelsCmd struct {
	List   modelsListCmd   `cmd:"" help:"List models by name."`
	Get    modelsGetCmd    `cmd:"" help:"Show one model."`
	Create modelsCreateCmd `cmd:"" help:"Add a model to the catalogue."`
	Update modelsUpdateCmd `cmd:"" help:"Change what is given of a model and nothing else."`
	Delete modelsDeleteCmd `cmd:"" help:"Remove a model."`
}

type modelsListCmd struct {
	remote
	paging
}

// Run lists models.
func (c *modelsListCmd) Run(e *env) error {
	return c.do(e, 0, func(s *session) error {
		all, err := pages(&s.printer, c.paging, func(p gatehouse.Page) ([]*gatehouse.Model, string, error) { return s.ListModels(s, p) })
		if err != nil {
			return err
		}
		return s.table("NAME TYPE OWNER CONTEXT", each(all, func(m *gatehouse.Model) []string {
			return []string{m.Name, string(m.Type), m.Owner, count(m.ContextLength)}
		}))
	})
}

func count(n int64) string {
	if n == 0 {
		return ""
	}
	return strconv.FormatInt(n, 10)
}

type modelsGetCmd struct {
	remote
	Name string `arg:"" help:"The model's name."`
}

// Run shows a model.
func (c *modelsGetCmd) Run(e *env) error {
	return c.do(e, 0, func(s *session) error {
		m, err := s.GetModel(s, c.Name)
		if err != nil {
			return err
		}
		return s.record(modelPairs(m)...)
	})
}

func modelPairs(m *gatehouse.Model) []string {
	return []string{
		"name", m.Name, "type", string(m.Type), "owner", m.Owner, "version", m.Version, "created", clock(m.Created, ""),
		"context", count(m.ContextLength), "input", strings.Join(m.Input, " "), "output", strings.Join(m.Output, " "),
		"function calling", yes(m.Functions), "structured outputs", yes(m.Structured), "reasoning", yes(m.Reasoning),
		"clusters", strings.Join(m.Clusters, " "),
		"source", m.Source, "source date", m.SourceDate, "declared in the file", yes(m.Declared), "revision", m.Revision.String(),
	}
}

type modelsCreateCmd struct {
	remote
	Name       string   `arg:"" help:"The model's name."`
	Type       string   `help:"language, embedding, image, audio or moderation." enum:"language,embedding,image,audio,moderation" default:"language"`
	Owner      string   `help:"Whose model it is, such as xai." required:"" placeholder:"NAME"`
	Version    string   `help:"Its version." placeholder:"TEXT"`
	Context    int64    `help:"Longest prompt in tokens." placeholder:"N"`
	Input      []string `help:"What goes in: TEXT, IMAGE, AUDIO, VIDEO. Repeatable." placeholder:"MODALITY"`
	Output     []string `help:"What comes out. Repeatable." placeholder:"MODALITY"`
	Functions  bool     `help:"It calls functions."`
	Structured bool     `help:"It writes to a schema."`
	Reasoning  bool     `help:"It reasons."`
	Source     string   `help:"Where these facts come from." placeholder:"URL"`
	SourceDate string   `help:"When they were read there." placeholder:"DATE"`
	Cluster    []string `help:"Cluster whose gateways serve it. Repeatable. Default: all." placeholder:"NAME"`
}

// Run creates a model.
func (c *modelsCreateCmd) Run(e *env) error {
	return c.do(e, 0, func(s *session) error {
		m, err := s.CreateModel(s, &gatehouse.Model{
			Name: c.Name, Type: gatehouse.ModelType(c.Type), Owner: c.Owner, Version: c.Version, ContextLength: c.Context,
			Input: c.Input, Output: c.Output, Functions: c.Functions, Structured: c.Structured, Reasoning: c.Reasoning,
			Source: c.Source, SourceDate: c.SourceDate, Clusters: c.Cluster,
		})
		if err != nil {
			return err
		}
		return s.record(modelPairs(m)...)
	})
}

type modelsUpdateCmd struct {
	remote
	Name       string   `arg:"" help:"The model's name."`
	Type       *string  `help:"language, embedding, image, audio or moderation." placeholder:"TYPE"`
	Owner      *string  `help:"Whose model it is, such as xai." placeholder:"NAME"`
	Version    *string  `help:"Its version." placeholder:"TEXT"`
	Context    *int64   `help:"Longest prompt in tokens; 0: unknown." placeholder:"N"`
	Input      []string `help:"Replace what goes in: TEXT, IMAGE, AUDIO, VIDEO. Repeatable." placeholder:"MODALITY"`
	Output     []string `help:"Replace what comes out. Repeatable." placeholder:"MODALITY"`
	Functions  *bool    `help:"It calls functions." negatable:""`
	Structured *bool    `help:"It writes to a schema." negatable:""`
	Reasoning  *bool    `help:"It reasons." negatable:""`
	Source     *string  `help:"Where these facts come from." placeholder:"URL"`
	SourceDate *string  `help:"When they were read there." placeholder:"DATE"`
	where
}

// Run updates a model.
func (c *modelsUpdateCmd) Run(e *env) error {
	return c.do(e, 0, func(s *session) error {
		m := &gatehouse.Model{Name: c.Name}
		members := c.into(m)
		if err := something(members); err != nil {
			return err
		}
		out, err := s.UpdateModel(s, m, members...)
		if err != nil {
			return err
		}
		return s.record(modelPairs(out)...)
	})
}

// into writes what was said to m and lists the members, by their proto names.
func (c *modelsUpdateCmd) into(m *gatehouse.Model) (members []string) {
	if c.Type != nil {
		m.Type, members = gatehouse.ModelType(*c.Type), append(members, "type")
	}
	say(&members, "owner", c.Owner, &m.Owner)
	say(&members, "version", c.Version, &m.Version)
	say(&members, "context_length", c.Context, &m.ContextLength)
	sayAll(&members, "input", c.Input, &m.Input)
	sayAll(&members, "output", c.Output, &m.Output)
	say(&members, "function_calling", c.Functions, &m.Functions)
	say(&members, "structured_outputs", c.Structured, &m.Structured)
	say(&members, "reasoning", c.Reasoning, &m.Reasoning)
	say(&members, "source", c.Source, &m.Source)
	say(&members, "source_date", c.SourceDate, &m.SourceDate)
	c.where.into(&members, &m.Clusters)
	return members
}

// where are the flags of an update that say whose gateways may use something.
type where struct {
	Cluster     []string `help:"Replace the clusters whose gateways may use it. Repeatable." xor:"where" placeholder:"NAME"`
	AllClusters bool     `help:"Let the gateways of every cluster use it." xor:"where"`
}

func (w where) into(members, clusters *[]string) {
	sayAll(members, "clusters", w.Cluster, clusters)
	if w.AllClusters {
		*clusters, *members = nil, append(*members, "clusters")
	}
}

type modelsDeleteCmd struct {
	remote
	Name string `arg:"" help:"The model's name."`
}

// Run deletes a model.
func (c *modelsDeleteCmd) Run(e *env) error {
	return c.do(e, 0, func(s *session) error { return s.gone("model", c.Name, s.DeleteModel(s, c.Name)) })
}

type pricesCmd struct {
	List   pricesListCmd   `cmd:"" help:"List prices by model, then by when they hold."`
	Get    pricesGetCmd    `cmd:"" help:"Show one price."`
	Create pricesCreateCmd `cmd:"" help:"Add a price. One in force is never edited, a later one replaces it."`
	Delete pricesDeleteCmd `cmd:"" help:"Remove a price that does not hold yet."`
}

type pricesListCmd struct {
	remote
	paging
	Model string `help:"Only prices of this model." placeholder:"NAME"`
}

// Run lists prices, a unit a line: a price has many.
func (c *pricesListCmd) Run(e *env) error {
	return c.do(e, 0, func(s *session) error {
		all, err := pages(&s.printer, c.paging, func(p gatehouse.Page) ([]*gatehouse.Price, string, error) { return s.ListPrices(s, p) })
		if err != nil {
			return err
		}
		var rows [][]string
		for _, p := range all {
			if c.Model == "" || c.Model == p.Model {
				rows = append(rows, priceRows(p)...)
			}
		}
		return s.table("ID MODEL FROM UNIT PRICE", rows)
	})
}

type pricesGetCmd struct {
	remote
	ID gatehouse.ID `arg:"" help:"The price's id."`
}

// Run shows a price, a unit a line.
func (c *pricesGetCmd) Run(e *env) error {
	return c.do(e, 0, func(s *session) error {
		p, err := s.GetPrice(s, c.ID)
		if err != nil {
			return err
		}
		return s.table("ID MODEL FROM UNIT PRICE", priceRows(p))
	})
}

func priceRows(p *gatehouse.Price) (rows [][]string) {
	add := func(kind string, units map[string]gatehouse.Ticks) {
		for u := range gatehouse.NumUnits {
			if t, ok := units[u.String()]; ok {
				rows = append(rows, []string{p.ID.String(), p.Model, clock(p.Effective, ""), kind + u.String(), perUnit(u, t)})
			}
		}
	}
	add("", p.Units)
	if p.LongThreshold > 0 {
		add("over "+strconv.FormatInt(p.LongThreshold, 10)+": ", p.LongContext)
	}
	var tiers []string
	for name := range p.Tiers {
		tiers = append(tiers, name)
	}
	slices.Sort(tiers)
	for _, name := range tiers {
		add(name+": ", p.Tiers[name])
	}
	return rows
}

// perUnit is a price as providers' price lists have it.
func perUnit(u gatehouse.Unit, t gatehouse.Ticks) string {
	if million, fits := t.Mul(1e6); fits && (u.IsToken() || u == gatehouse.Characters) {
		return million.String() + " per million"
	}
	return t.String() + " each"
}

type pricesCreateCmd struct {
	remote
	Model          string            `arg:"" help:"The model's name."`
	Effective      instant           `help:"From when it holds: a time, or a duration from now. Default: now." placeholder:"WHEN"`
	PerMillion     map[string]string `help:"Dollars per million of a unit, as 'Prompt text tokens=2.50'. Repeatable." mapsep:"none" placeholder:"UNIT=USD"`
	Each           map[string]string `help:"Dollars for one of a unit, as 'Images=0.04'. Repeatable." mapsep:"none" placeholder:"UNIT=USD"`
	LongPerMillion map[string]string `help:"Dollars per million above --long-threshold. Repeatable." mapsep:"none" placeholder:"UNIT=USD"`
	LongThreshold  int64             `help:"Prompt tokens above which the long prices hold." placeholder:"N"`
	Source         string            `help:"Where the price comes from." default:"operator" placeholder:"URL"`
	SourceDate     string            `help:"When it was read there." placeholder:"DATE"`
}

// Run creates a price.
func (c *pricesCreateCmd) Run(e *env) error {
	return c.do(e, 0, func(s *session) error {
		p, err := catalogue.PriceFrom(c.Model, c.Effective.from(time.Now()), c.PerMillion, c.Each, c.LongPerMillion, c.LongThreshold, c.Source)
		if err != nil {
			return gatehouse.Errorf(gatehouse.InvalidArgument, "%v", err)
		}
		p.ID, p.SourceDate = gatehouse.ID{}, c.SourceDate
		out, err := s.PutPrice(s, p)
		if err != nil {
			return err
		}
		return s.table("ID MODEL FROM UNIT PRICE", priceRows(out))
	})
}

type pricesDeleteCmd struct {
	remote
	ID gatehouse.ID `arg:"" help:"The price's id."`
}

// Run deletes a price.
func (c *pricesDeleteCmd) Run(e *env) error {
	return c.do(e, 0, func(s *session) error { return s.gone("price", c.ID.String(), s.DeletePrice(s, c.ID)) })
}
