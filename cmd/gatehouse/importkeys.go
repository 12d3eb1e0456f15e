package main

import (
	"encoding/json"
	"fmt"
	"io"
	"maps"
	"os"
	"slices"
	"strings"
	"time"

	"gatehouse"
)

type keysImportCmd struct {
	remote
	Files       []string          `arg:"" help:"Exports; - reads standard input." placeholder:"FILE"`
	From        string            `help:"Whose export it is. For litellm: JSON of its API (/key/list?return_full_object=true, /team/list) or JSON or CSV of its tables LiteLLM_VerificationToken and LiteLLM_TeamTable." enum:"litellm" required:""`
	DryRun      bool              `help:"Say what would happen and change nothing."`
	Team        gatehouse.ID      `help:"Team of every key. Default: the team whose name is that of the key's team there." placeholder:"ID"`
	TeamMap     map[string]string `help:"Team here for a team there. Repeatable." placeholder:"THEIRS=ID"`
	CreateTeams bool              `help:"Create teams that are not here, under their names."`
}

// Run imports keys. What their holders have goes on working.
func (c *keysImportCmd) Run(e *env) error {
	found := &export{teams: map[string]row{}}
	for _, file := range c.Files {
		if err := readExport(e, file, found); err != nil {
			return gatehouse.Errorf(gatehouse.InvalidArgument, "%s: %v", file, err)
		}
	}
	if len(found.keys) == 0 {
		if found.bare > 0 {
			return gatehouse.Errorf(gatehouse.InvalidArgument, "%d hashes and nothing about them: ask LiteLLM for /key/list?return_full_object=true", found.bare)
		}
		return gatehouse.Errorf(gatehouse.InvalidArgument, "no keys in there")
	}
	if found.pages > 1 {
		fmt.Fprintf(e.err, "warning: LiteLLM said that its list has %d pages; give all of them\n", found.pages)
	}
	return c.do(e, time.Hour, func(s *session) error { return c.run(s, found) })
}

func readExport(e *env, file string, into *export) error {
	if file == "-" {
		return into.read(e.in)
	}
	f, err := os.Open(file)
	if err != nil {
		return err
	}
	defer f.Close()
	return into.read(f)
}

func (c *keysImportCmd) run(s *session, found *export) error {
	places, err := c.places(s)
	if err != nil {
		return err
	}
	models, err := all(func(p gatehouse.Page) ([]*gatehouse.Model, string, error) { return s.ListModels(s, p) })
	if err != nil {
		return err
	}
	m := &mapper{teams: found.teams, models: models, team: places.find, now: time.Now()}
	r := report{DryRun: c.DryRun, Totals: map[string]int{}, Left: map[string]int{}}
	var ask []*candidate
	for _, row := range found.keys {
		k := m.key(row)
		r.add(k)
		if k.skip == "" {
			ask = append(ask, k)
		}
	}
	for batch := range batches(ask) {
		results, err := s.ImportKeys(s, each(batch, func(k *candidate) gatehouse.ForeignKey { return k.ForeignKey }), c.DryRun)
		if err != nil {
			r.print(s)
			return fmt.Errorf("%s; what was imported stays, the same command goes on from there", words(err))
		}
		for i, k := range batch {
			r.answer(k, results[i])
		}
	}
	r.print(s)
	if n := r.Totals[string(gatehouse.ImportRefused)]; n > 0 && !c.DryRun {
		return gatehouse.Errorf(gatehouse.FailedPrecondition, "%d keys were refused", n)
	}
	return nil
}

// all reads a list whole.
func all[T any](fetch func(gatehouse.Page) ([]T, string, error)) (out []T, err error) {
	for at := (gatehouse.Page{}); ; {
		some, next, err := fetch(at)
		if err != nil {
			return nil, err
		}
		out = append(out, some...)
		if next == "" {
			return out, nil
		}
		at.Token = next
	}
}

// batches cuts a list so that no request comes near the size that a server
// refuses, a mebibyte.
func batches(keys []*candidate) func(func([]*candidate) bool) {
	const most, size = 200, 400 << 10
	return func(yield func([]*candidate) bool) {
		from, bytes := 0, 0
		for i, k := range keys {
			b := 1024
			for _, entry := range k.Key.ACL {
				b += len(entry) + 8
			}
			if i > from && (i-from == most || bytes+b > size) {
				if !yield(keys[from:i]) {
					return
				}
				from, bytes = i, 0
			}
			bytes += b
		}
		if from < len(keys) {
			yield(keys[from:])
		}
	}
}

// places finds the team here of a team there.
type places struct {
	c      *keysImportCmd
	s      *session
	here   map[string]gatehouse.ID // by name, zero for a name that several teams have
	mapped map[string]gatehouse.ID
}

func (c *keysImportCmd) places(s *session) (*places, error) {
	p := &places{c: c, s: s, here: map[string]gatehouse.ID{}, mapped: map[string]gatehouse.ID{}}
	for theirs, text := range c.TeamMap {
		id, err := gatehouse.ParseID(text)
		if err != nil {
			return nil, gatehouse.Errorf(gatehouse.InvalidArgument, "--team-map: %q is not the id of a team here", text)
		}
		p.mapped[theirs] = id
	}
	teams, err := all(func(at gatehouse.Page) ([]*gatehouse.Team, string, error) { return s.ListTeams(s, at) })
	for _, t := range teams {
		if _, twice := p.here[t.Name]; twice {
			t.ID = gatehouse.ID{}
		}
		p.here[t.Name] = t.ID
	}
	return p, err
}

// find implements mapper.team. A key without a team goes to that of the caller.
func (p *places) find(theirs, alias string) (gatehouse.ID, string, error) {
	if id := p.mapped[theirs]; !id.IsZero() {
		return id, "", nil
	}
	if !p.c.Team.IsZero() || theirs == "" {
		return p.c.Team, "", nil
	}
	if alias == "" {
		return gatehouse.ID{}, "", fmt.Errorf("its team %s has no name in the files: give the teams' export too, or --team-map", theirs)
	}
	id, here := p.here[alias]
	switch {
	case here && id.IsZero():
		return id, "", fmt.Errorf("several teams here are called '%s': say which by --team-map", alias)
	case here:
		return id, "", nil
	case !p.c.CreateTeams:
		return id, "", fmt.Errorf("there is no team '%s' here: --create-teams makes it, or say another by --team-map or --team", alias)
	case p.c.DryRun:
		return id, "'" + alias + "' would be created", nil
	}
	team, err := p.s.CreateTeam(p.s, alias)
	if err != nil {
		return id, "", fmt.Errorf("its team '%s' cannot be made: %s", alias, words(err))
	}
	p.here[alias] = team.ID
	return team.ID, "", nil
}

// report is what --json prints.
type report struct {
	DryRun bool           `json:"dryRun"`
	Keys   []*reported    `json:"keys"`
	Totals map[string]int `json:"totals"`     // keys by outcome
	Left   map[string]int `json:"notCarried"` // keys by what was not carried over
	of     map[*candidate]*reported
}

// reported is one key of a report.
type reported struct {
	Name     string              `json:"name"`
	Last4    string              `json:"last4"`
	ID       string              `json:"apiKeyId,omitempty"`
	Outcome  string              `json:"outcome"` // created, unchanged, refused or skipped
	Problem  string              `json:"problem,omitempty"`
	Disabled bool                `json:"disabled,omitempty"`
	Warnings []string            `json:"warnings,omitempty"`
	Left     map[string][]string `json:"notCarried,omitempty"`
}

// add notes a key as the mapper left it.
func (r *report) add(k *candidate) {
	if r.of == nil {
		r.of = map[*candidate]*reported{}
	}
	x := &reported{Name: k.Key.Name, Last4: k.Last4, Outcome: "not reached", Disabled: k.Disabled, Left: k.notes}
	if k.skip != "" {
		x.Outcome, x.Problem = "skipped", k.skip
	}
	r.Keys, r.of[k] = append(r.Keys, x), x
	for what := range k.notes {
		r.Left[what]++
	}
}

// answer notes what the server said of a key.
func (r *report) answer(k *candidate, got gatehouse.ImportedKey) {
	x := r.of[k]
	x.Outcome, x.Problem, x.Warnings, x.ID = string(got.Outcome), got.Problem, got.Warnings, got.KeyID.String()
	if got.Outcome == gatehouse.ImportRefused {
		x.ID = ""
	}
	if slices.ContainsFunc(got.Warnings, func(w string) bool { return strings.HasPrefix(w, "unknown model") }) {
		r.Left["unknown models"]++
	}
}

func (r *report) print(s *session) {
	for _, k := range r.Keys {
		r.Totals[k.Outcome]++
	}
	if s.json {
		text, _ := json.Marshal(r) // of texts and numbers: cannot fail
		fmt.Fprintln(s.e.out, string(text))
		return
	}
	for _, k := range r.Keys {
		k.print(s.e.out)
	}
	if r.DryRun {
		fmt.Fprint(s.e.out, "dry run, nothing was changed: ")
	}
	fmt.Fprintf(s.e.out, "%d keys: %s\n", len(r.Keys), tally(r.Totals))
	if len(r.Left) > 0 {
		fmt.Fprintf(s.e.out, "not carried over, by keys: %s\n", tally(r.Left))
	}
}

func (k *reported) print(w io.Writer) {
	fmt.Fprintf(w, "%s (...%s): %s", line(k.Name), k.Last4, k.Outcome)
	for _, part := range []string{k.ID, line(k.Problem)} {
		if part != "" && part != "-" {
			fmt.Fprint(w, " ", part)
		}
	}
	if k.Disabled {
		fmt.Fprint(w, ", disabled")
	}
	fmt.Fprintln(w)
	for _, what := range slices.Sorted(maps.Keys(k.Left)) {
		fmt.Fprintf(w, "  %s: %s\n", what, line(strings.Join(k.Left[what], ", ")))
	}
	for _, warning := range k.Warnings {
		fmt.Fprintln(w, " ", line(warning))
	}
}

// tally spells counts by name.
func tally(counts map[string]int) string {
	var out []string
	for _, name := range slices.Sorted(maps.Keys(counts)) {
		out = append(out, fmt.Sprintf("%s %d", name, counts[name]))
	}
	return strings.Join(out, ", ")
}
