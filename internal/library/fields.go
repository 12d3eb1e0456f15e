package library

import (
	"errors"
	"fmt"
	"maps"
	"slices"
	"strings"
	"time"
	"unicode"
	"unicode/utf8"

	"golang.org/x/text/unicode/norm"

	"gatehouse"
	"gatehouse/internal/store"
)

// checkDefinitions checks the definitions of a collection's fields, each named
// by its place.
func checkDefinitions(field string, all []gatehouse.FieldDefinition, bad *gatehouse.Violations) {
	if len(all) > gatehouse.MaxFields {
		bad.Addf(field, "at most %d", gatehouse.MaxFields)
		return
	}
	seen := map[string]bool{}
	for i := range all {
		d, at := &all[i], fmt.Sprintf("%s[%d]", field, i)
		d.Key = norm.NFC.String(d.Key)
		switch {
		case d.Key == "" || !utf8.ValidString(d.Key) || len(d.Key) > gatehouse.MaxFieldKey:
			bad.Addf(at+".key", "must be 1 to %d bytes of UTF-8", gatehouse.MaxFieldKey)
		case strings.ContainsFunc(d.Key, unicode.IsControl) || strings.TrimSpace(d.Key) != d.Key:
			bad.Addf(at+".key", "must not contain control characters, nor begin or end with a space")
		case seen[d.Key]:
			bad.Addf(at+".key", "%q is there twice", d.Key)
		}
		seen[d.Key] = true
		d.Description = prose(at+".description", d.Description, gatehouse.MaxDescription, bad)
	}
}

// redefine removes and adds field definitions.
func (s *Service) redefine(v store.LibraryView, c *gatehouse.Collection, u gatehouse.CollectionUpdate, bad *gatehouse.Violations) error {
	const field = "field_definition_updates"
	c.Fields = slices.Clone(c.Fields)
	for _, key := range u.RemoveFields {
		i := slices.IndexFunc(c.Fields, func(d gatehouse.FieldDefinition) bool { return d.Key == norm.NFC.String(key) })
		if i < 0 {
			bad.Addf(field, "there is no field %q to delete", clip(key))
			continue
		}
		c.Fields = slices.Delete(c.Fields, i, i+1)
	}
	added := slices.Clone(u.AddFields)
	checkDefinitions(field, added, bad)
	if err := bad.Err(); err != nil {
		return err
	}
	for _, d := range added {
		if slices.Contains(u.RemoveFields, d.Key) {
			bad.Addf(field, "%q is both added and deleted", d.Key)
		}
		if err := s.define(v, c, d, bad); err != nil {
			return err
		}
	}
	if len(c.Fields) > gatehouse.MaxFields {
		bad.Addf(field, "a collection has at most %d fields", gatehouse.MaxFields)
	}
	return bad.Err()
}

// define puts a definition in the place of the one with its key, or behind the
// others. What it promises must be true of the documents that are there.
func (s *Service) define(v store.LibraryView, c *gatehouse.Collection, d gatehouse.FieldDefinition, bad *gatehouse.Violations) error {
	having, err := v.DocumentsHaving(c.ID, d.Key, 1)
	if err != nil {
		return err
	}
	i := slices.IndexFunc(c.Fields, func(o gatehouse.FieldDefinition) bool { return o.Key == d.Key })
	switch {
	case i < 0 && d.Required:
		bad.Addf("field_definition_updates", "%q is new and cannot be required: documents are there that lack it", d.Key)
	case i < 0 && len(having) > 0:
		return leftover(d.Key)
	case i < 0:
		c.Fields = append(c.Fields, d)
	case d.Unique && !c.Fields[i].Unique && len(having) > 0:
		bad.Addf("field_definition_updates", "%q cannot become unique: documents have values of it", d.Key)
	default:
		c.Fields[i] = d
	}
	return nil
}

// Leftover is the private cause of the refusal of a field whose values of
// before are still in documents: call ForgetField and try again.
var Leftover = errors.New("values of a field that was removed")

func leftover(key string) error {
	return gatehouse.Errorf(gatehouse.FailedPrecondition, "values of an earlier field %q are still being taken out of documents: try again", key).
		After(time.Second).Because(Leftover)
}

// keysOf lists the keys that a collection defines.
func keysOf(c *gatehouse.Collection) []string {
	keys := make([]string, len(c.Fields))
	for i, d := range c.Fields {
		keys[i] = d.Key
	}
	return keys
}

// defined leaves out the values of fields that were removed.
func defined(c *gatehouse.Collection, fields map[string]string) map[string]string {
	keys := keysOf(c)
	out := maps.Clone(fields)
	maps.DeleteFunc(out, func(k, _ string) bool { return !slices.Contains(keys, k) })
	return out
}

// ForgetField takes the values of a field that a collection does not define (any
// more) out of some of its documents; more says that there are others.
func (s *Service) ForgetField(tx store.Tx, c *gatehouse.Collection, key string, act gatehouse.Act) (more bool, err error) {
	key = norm.NFC.String(key)
	if slices.Contains(keysOf(c), key) {
		return false, nil
	}
	having, err := tx.DocumentsHaving(c.ID, key, mostHolders+1)
	if err != nil {
		return false, err
	}
	act.Details = map[string]string{"field": key}
	for _, id := range having[:min(len(having), mostHolders)] {
		d, err := found(tx.Document(c.ID, id))
		if err != nil {
			return false, err
		}
		if d == nil {
			continue
		}
		d.Fields = maps.Clone(d.Fields)
		delete(d.Fields, key)
		if _, err := s.put(tx, c, d, "lost a field that was removed", act); err != nil {
			return false, err
		}
	}
	return len(having) > mostHolders, nil
}

// checkFields holds a document's fields to what its collection defines. Unknown
// keys are refused: they would be found by nothing, and are mostly misspelt.
func (s *Service) checkFields(v store.LibraryView, c *gatehouse.Collection, file gatehouse.ID, given map[string]string) (map[string]string, error) {
	var bad gatehouse.Violations
	fields := make(map[string]string, len(given))
	for k, value := range given {
		key := norm.NFC.String(k)
		switch {
		case !slices.Contains(keysOf(c), key):
			bad.Addf("fields."+clip(key), "is not defined: the collection defines %s", listed(keysOf(c)))
		case !utf8.ValidString(value) || strings.ContainsRune(value, 0):
			bad.Addf("fields."+key, "must be valid UTF-8 without NUL")
		case len(value) > gatehouse.MaxFieldValue:
			bad.Addf("fields."+key, "must be at most %d bytes", gatehouse.MaxFieldValue)
		}
		fields[key] = value
	}
	for _, d := range c.Fields {
		if d.Required && fields[d.Key] == "" {
			bad.Addf("fields."+d.Key, "is required")
		}
	}
	slices.SortFunc(bad, func(a, b gatehouse.Violation) int { return strings.Compare(a.Field, b.Field) })
	if err := bad.Err(); err != nil {
		return nil, err
	}
	return fields, s.unique(v, c, file, fields)
}

// unique refuses a value that another document of the collection has.
func (s *Service) unique(v store.LibraryView, c *gatehouse.Collection, file gatehouse.ID, fields map[string]string) error {
	for _, d := range c.Fields {
		value, given := fields[d.Key]
		if !d.Unique || !given {
			continue
		}
		other, err := v.DocumentWith(c.ID, d.Key, value)
		if err != nil {
			return err
		}
		if !other.IsZero() && other != file {
			return gatehouse.Errorf(gatehouse.AlreadyExists, "fields.%s: another document of the collection has this value, file_%s", d.Key, other)
		}
	}
	return nil
}

// listed spells keys for a person.
func listed(keys []string) string {
	if len(keys) == 0 {
		return "no fields"
	}
	return strings.Join(keys, ", ")
}
