package verify

import (
	"regexp"
	"strings"
)

var uuid = regexp.MustCompile(`^[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}$`)

// asking is a request whose slots, such as $key, stand for ids of somebody's.
type asking struct {
	method string
	text   string // target, X-Team-Id and body, a line each
	once   string // Idempotency-Key
	narrow bool   // its extra parameter narrows a list of the caller's own
	on     string // URL of the listener; empty: the management plane's
}

// contentType is what the listener needs to hear of the body: the management
// plane takes JSON unannounced.
func (a asking) contentType() string {
	switch {
	case strings.HasPrefix(a.body(), "--"+boundary):
		return "multipart/form-data; boundary=" + boundary
	case a.on != "" && a.body() != "":
		return "application/json"
	}
	return ""
}

var slot = regexp.MustCompile(`\$[a-z0-9]+`)

func (a asking) line(i int) string { return strings.SplitN(a.text, "\n", 3)[i] }
func (a asking) target() string    { return a.line(0) }
func (a asking) team() string      { return a.line(1) }
func (a asking) body() string      { return a.line(2) }

// String is the request for a report.
func (a asking) String() string { return a.method + " " + a.text }

// slots are the words in it, in order.
func (a asking) slots() []string { return slot.FindAllString(a.text, -1) }

// fill puts somebody's id into each slot.
func (a asking) fill(whose func(i int, word string) *side) asking {
	i := -1
	a.text = slot.ReplaceAllStringFunc(a.text, func(word string) string {
		i++
		return whose(i, word).of(word)
	})
	return a
}

// by fills it with the ids of one side.
func (a asking) by(s *side) asking { return a.fill(func(int, string) *side { return s }) }

// template is the operation's request as its row has it.
func (o *operation) template() asking {
	path := o.path
	for _, p := range o.parameters {
		if p.In != "path" {
			continue
		}
		word := matrixParameters[p.Name]
		if p.Name != "teamId" && p.Name != "collection_id" && o.id != "" {
			word = o.id
		}
		path = strings.ReplaceAll(path, "{"+p.Name+"}", word)
	}
	if o.query != "" {
		path += "?" + o.query
	}
	return asking{method: o.method, text: path + "\n\n" + o.body, on: o.on}
}

// with adds a parameter of the document to a request.
func (a asking) with(in, name, value string) asking {
	target, team, body := a.target(), a.team(), a.body()
	switch {
	case in == "header":
		team = value
	case strings.Contains(target, "?"):
		target += "&" + name + "=" + value
	default:
		target += "?" + name + "=" + value
	}
	a.text = target + "\n" + team + "\n" + body
	return a
}

// asks are the requests by which an operation can be told an id: as its row has
// it, and with each parameter of the document that names something of a team.
func (o *operation) asks() []asking {
	base := o.template()
	out := []asking{base}
	for _, p := range o.parameters {
		word := matrixParameters[p.Name]
		switch {
		case word == "$":
			word = o.id
		case p.Name == "filter" && o.filter != "":
			word = o.filter
		}
		if p.In == "path" || word == "" || strings.Contains(base.target(), p.Name+"=") {
			continue
		}
		a := base.with(p.In, p.Name, word)
		a.narrow = matrixNarrows[p.Name]
		out = append(out, a)
	}
	return out
}

// variants are the ways to put foreign ids among one's own: each alone, and all.
// Each is given as a function of whose the foreign ones are.
func (a asking) variants(own *side) (out []func(foreign *side) asking) {
	words := a.slots()
	for n := range words {
		out = append(out, func(foreign *side) asking {
			return a.fill(func(i int, _ string) *side {
				if i == n {
					return foreign
				}
				return own
			})
		})
	}
	if len(words) > 1 {
		out = append(out, a.by)
	}
	return out
}
