package main

import (
	"strings"

	"gatehouse"
)

type aliasesCmd struct {
	List   aliasesListCmd   `cmd:"" help:"List aliases by name."`
	Get    aliasesGetCmd    `cmd:"" help:"Show one alias."`
	Create aliasesCreateCmd `cmd:"" help:"Add another name for a model."`
	Update aliasesUpdateCmd `cmd:"" help:"Change where an alias leads."`
	Delete aliasesDeleteCmd `cmd:"" help:"Remove an alias."`
}

type aliasesListCmd struct {
	remote
	paging
}

// Run lists aliases.
func (c *aliasesListCmd) Run(e *env) error {
	return c.do(e, 0, func(s *session) error {
		all, err := pages(&s.printer, c.paging, func(p gatehouse.Page) ([]*gatehouse.Alias, string, error) { return s.ListAliases(s, p) })
		if err != nil {
			return err
		}
		return s.table("NAME TARGET FALLBACKS", each(all, aliasRow))
	})
}

func aliasRow(a *gatehouse.Alias) []string {
	return []string{a.Name, a.Target, strings.Join(a.Fallbacks, " ")}
}

type aliasesGetCmd struct {
	remote
	Name string `arg:"" help:"The alias."`
}

// Run shows an alias.
func (c *aliasesGetCmd) Run(e *env) error {
	return c.do(e, 0, func(s *session) error {
		a, err := s.GetAlias(s, c.Name)
		if err != nil {
			return err
		}
		return s.record(aliasPairs(a)...)
	})
}

func aliasPairs(a *gatehouse.Alias) []string {
	return []string{"name", a.Name, "target", a.Target, "fallbacks", strings.Join(a.Fallbacks, " "),
		"declared in the file", yes(a.Declared), "revision", a.Revision.String()}
}

type aliasesCreateCmd struct {
	remote
	Name     string   `arg:"" help:"The new name."`
	Target   string   `arg:"" help:"The model that it stands for."`
	Fallback []string `help:"Model to try when no upstream of the target can answer. Repeatable, in order." sep:"none" placeholder:"NAME"`
}

// Run creates an alias.
func (c *aliasesCreateCmd) Run(e *env) error {
	return c.do(e, 0, func(s *session) error {
		a, err := s.CreateAlias(s, &gatehouse.Alias{Name: c.Name, Target: c.Target, Fallbacks: c.Fallback})
		if err != nil {
			return err
		}
		return s.table("NAME TARGET FALLBACKS", [][]string{aliasRow(a)})
	})
}

type aliasesUpdateCmd struct {
	remote
	Name       string   `arg:"" help:"The alias."`
	Target     *string  `help:"The model that it stands for." placeholder:"NAME"`
	Fallback   []string `help:"Replace the models to try when no upstream of the target can answer. Repeatable, in order." sep:"none" placeholder:"NAME" xor:"fallback"`
	NoFallback bool     `help:"Try no other model." xor:"fallback"`
}

// Run updates an alias.
func (c *aliasesUpdateCmd) Run(e *env) error {
	return c.do(e, 0, func(s *session) error {
		a := &gatehouse.Alias{Name: c.Name}
		var members []string
		say(&members, "target", c.Target, &a.Target)
		sayAll(&members, "fallbacks", c.Fallback, &a.Fallbacks)
		if c.NoFallback {
			members = append(members, "fallbacks")
		}
		if err := something(members); err != nil {
			return err
		}
		out, err := s.UpdateAlias(s, a, members...)
		if err != nil {
			return err
		}
		return s.record(aliasPairs(out)...)
	})
}

type aliasesDeleteCmd struct {
	remote
	Name string `arg:"" help:"The alias."`
}

// Run deletes an alias.
func (c *aliasesDeleteCmd) Run(e *env) error {
	return c.do(e, 0, func(s *session) error { return s.gone("alias", c.Name, s.DeleteAlias(s, c.Name)) })
}
