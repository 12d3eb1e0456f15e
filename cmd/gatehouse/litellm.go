package main

import (
	"bufio"
	"encoding/csv"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"strconv"
	"strings"
	"time"
	"unicode"

	"gatehouse"
)

// What LiteLLM knows of its keys, as its database and its API spell it: table
// LiteLLM_VerificationToken (exported as CSV or JSON), GET /key/list with
// return_full_object, GET /key/info, and LiteLLM_TeamTable, GET /team/list. The
// column "token" is the SHA-256 of the whole key, in hex. Names and types are
// those of its migrations up to February 2026; columns that a version lacks are
// absent, and columns that are not known here change nothing.

// maxExport bounds what is read of one file.
const maxExport = 256 << 20

// export is what was found in the files.
type export struct {
	keys  []row
	teams map[string]row
	bare  int // hashes without anything beside them
	pages int // how many pages there are of what we have one of
}

// row is one record: of JSON with json.Number for numbers, of CSV all text.
type row map[string]any

// read adds a file: JSON values one after the other, or CSV with a header.
func (x *export) read(in io.Reader) error {
	buffered := bufio.NewReader(io.LimitReader(in, maxExport))
	for {
		r, _, err := buffered.ReadRune()
		if err != nil {
			return errors.New("the file is empty")
		}
		if !unicode.IsSpace(r) && r != '\ufeff' {
			buffered.UnreadRune()
			if r == '{' || r == '[' {
				return x.readJSON(buffered)
			}
			return x.readCSV(buffered)
		}
	}
}

func (x *export) readJSON(in io.Reader) error {
	d := json.NewDecoder(in)
	d.UseNumber()
	for {
		var v any
		if err := d.Decode(&v); errors.Is(err, io.EOF) {
			return nil
		} else if err != nil {
			return fmt.Errorf("not JSON: at byte %d", d.InputOffset()) // the error itself may quote a secret
		}
		x.walk(v)
	}
}

// walk finds keys and teams in whatever they are wrapped in.
func (x *export) walk(v any) {
	switch v := v.(type) {
	case []any:
		for _, e := range v {
			x.walk(e)
		}
	case string:
		x.bare++
	case map[string]any:
		x.object(v)
	}
}

func (x *export) object(o row) {
	if info, ok := o["info"].(map[string]any); ok { // GET /key/info
		if info["token"] == nil {
			info["token"] = o["key"]
		}
		x.walk(info)
		return
	}
	if o["token"] != nil {
		x.keys = append(x.keys, o)
		return
	}
	if n, ok := o["total_pages"].(json.Number); ok {
		pages, _ := n.Int64()
		x.pages = max(x.pages, int(pages))
	}
	for _, wrapper := range []string{"keys", "teams", "data", "team_info"} {
		switch v := o[wrapper].(type) {
		case []any, map[string]any:
			x.walk(v)
		}
	}
	if id := o.text("team_id"); id != "" && o["team_info"] == nil {
		x.teams[id] = o
	}
}

func (x *export) readCSV(in io.Reader) error {
	lines := csv.NewReader(in)
	header, err := lines.Read()
	if err != nil {
		return errors.New("neither JSON nor CSV")
	}
	named := strings.Join(header, ",")
	if !strings.Contains(","+named+",", ",token,") && !strings.Contains(","+named+",", ",team_id,") {
		return errors.New("the first line names neither a column token nor a column team_id: is this LiteLLM_VerificationToken or LiteLLM_TeamTable, with its header?")
	}
	for {
		cells, err := lines.Read()
		if errors.Is(err, io.EOF) {
			return nil
		}
		if err != nil {
			var bad *csv.ParseError
			if errors.As(err, &bad) {
				return fmt.Errorf("not CSV: at line %d", bad.Line)
			}
			return err
		}
		o := row{}
		for i, name := range header {
			if cells[i] != "" && cells[i] != `\N` && cells[i] != "NULL" {
				o[name] = cells[i]
			}
		}
		x.object(o)
	}
}

// text is a member as text; empty when it is absent or of another type.
func (r row) text(name string) string {
	switch v := r[name].(type) {
	case string:
		return strings.TrimSpace(v)
	case json.Number:
		return v.String()
	}
	return ""
}

// flag is a member that may be said in the words of SQL.
func (r row) flag(name string) bool {
	if b, ok := r[name].(bool); ok {
		return b
	}
	switch strings.ToLower(r.text(name)) {
	case "t", "true", "1":
		return true
	}
	return false
}

// number is a whole number; given is false when there is none. A fraction is cut.
func (r row) number(name string) (n int64, given bool, err error) {
	text := r.text(name)
	if text == "" {
		return 0, false, nil
	}
	if n, err = strconv.ParseInt(text, 10, 64); err == nil {
		return n, true, nil
	}
	f, err := strconv.ParseFloat(text, 64)
	if err != nil || !(f >= 0 && f < 1<<62) {
		return 0, true, fmt.Errorf("%s is not a number", name)
	}
	return int64(f), true, nil
}

// list is an array of texts: of JSON, or PostgreSQL's {a,"b c"}.
func (r row) list(name string) (out []string) {
	v := r[name]
	if text, ok := v.(string); ok {
		if inner, ok := strings.CutPrefix(text, "{"); ok && strings.HasSuffix(inner, "}") {
			return elements(strings.TrimSuffix(inner, "}"))
		}
		if json.Unmarshal([]byte(text), &v) != nil {
			return []string{text}
		}
	}
	items, _ := v.([]any)
	for _, e := range items {
		if s, ok := e.(string); ok {
			out = append(out, s)
		}
	}
	return out
}

// elements splits the inside of a PostgreSQL array of texts.
func elements(s string) (out []string) {
	var item strings.Builder
	quoted, escaped, some := false, false, false
	for _, c := range s {
		switch {
		case escaped:
			escaped = false
			item.WriteRune(c)
		case c == '\\':
			escaped, some = true, true
		case c == '"':
			quoted, some = !quoted, true
		case c == ',' && !quoted:
			out = append(out, item.String())
			item.Reset()
			some = false
		default:
			some = true
			item.WriteRune(c)
		}
	}
	if some || len(out) > 0 {
		out = append(out, item.String())
	}
	return out
}

// object is a JSON object, or its text.
func (r row) object(name string) row {
	v := r[name]
	if text, ok := v.(string); ok && json.Unmarshal([]byte(text), &v) != nil {
		return nil
	}
	o, _ := v.(map[string]any)
	return o
}

// given reports whether a member says anything: null, nothing, no elements and
// false do not.
func (r row) given(name string) bool {
	switch v := r[name].(type) {
	case nil:
		return false
	case bool:
		return v
	case []any:
		return len(v) > 0
	case map[string]any:
		return len(v) > 0
	}
	switch r.text(name) {
	case "", "{}", "[]", "null", "f", "false":
		return false
	}
	return true
}

// when is a time; LiteLLM's database keeps UTC without saying so.
func (r row) when(name string) (time.Time, error) {
	text := r.text(name)
	if text == "" || text == "null" {
		return time.Time{}, nil
	}
	for _, layout := range []string{time.RFC3339, "2006-01-02T15:04:05", "2006-01-02 15:04:05", "2006-01-02 15:04:05Z07", "2006-01-02 15:04:05Z07:00", time.DateOnly} {
		if t, err := time.Parse(layout, text); err == nil {
			return t.UTC(), nil
		}
	}
	return time.Time{}, fmt.Errorf("%s is not a time", name)
}

// digest is what the key is known by. A key that was kept in the clear is
// hashed as LiteLLM would; it is never shown.
func (r row) digest() (d gatehouse.Digest, last4 string, err error) {
	token := r.text("token")
	if strings.HasPrefix(token, "sk-") {
		return gatehouse.DigestOf(token), tail(token), nil
	}
	if d.UnmarshalText([]byte(token)) != nil {
		return d, "", errors.New("token is not a SHA-256 digest in hex")
	}
	return d, tail(r.text("key_name")), nil // sk-...abcd
}

// tail is the visible end of a key.
func tail(s string) string {
	if len(s) < 4 || strings.ContainsFunc(s[len(s)-4:], func(c rune) bool { return c <= ' ' || c > '~' }) {
		return ""
	}
	return s[len(s)-4:]
}
