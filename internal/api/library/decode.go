package library

import (
	"bytes"
	"errors"
	"io"
	"net/http"
	"strings"

	"github.com/go-json-experiment/json"
	"github.com/go-json-experiment/json/jsontext"

	"gatehouse"
	"gatehouse/internal/library"
)

// decode reads a JSON object and nothing else: no member twice, none that is not
// known, none in another case, valid UTF-8. An empty body is {} where nothing is
// required.
func decode(r *http.Request, v any, required bool) error {
	body, err := io.ReadAll(io.LimitReader(r.Body, maxJSON+1))
	switch {
	case err != nil:
		return unread(err)
	case len(body) > maxJSON:
		return gatehouse.Errorf(gatehouse.ResourceExhausted, "The body is larger than %d bytes.", maxJSON).Because(library.TooLarge)
	case len(body) == 0 && !required:
		return nil
	case !bytes.HasPrefix(bytes.TrimLeft(body, " \t\r\n"), []byte("{")):
		return gatehouse.Errorf(gatehouse.InvalidArgument, "The body must be one JSON object.")
	}
	return misread(json.Unmarshal(body, v, json.RejectUnknownMembers(true)))
}

// misread words what is wrong with a body, naming the member.
func misread(err error) error {
	var shape *json.SemanticError
	var syntax *jsontext.SyntacticError
	switch {
	case err == nil:
		return nil
	case errors.As(err, &shape):
		problem := "is not of the right type"
		if errors.Is(err, json.ErrUnknownName) {
			problem = "is not known; leave it out"
		}
		return gatehouse.Violations{{Field: dotted(shape.JSONPointer), Problem: problem}}.Err()
	case errors.Is(err, jsontext.ErrDuplicateName) && errors.As(err, &syntax):
		return gatehouse.Violations{{Field: dotted(syntax.JSONPointer), Problem: "appears twice: send it once"}}.Err()
	}
	return gatehouse.Errorf(gatehouse.InvalidArgument, "The body is not one valid JSON object.").Because(err)
}

func dotted(p jsontext.Pointer) string {
	if p == "" {
		return "body"
	}
	return clip(strings.ReplaceAll(strings.TrimPrefix(string(p), "/"), "/", "."))
}

// unread is why a body could not be read to its end.
func unread(err error) error {
	var large *http.MaxBytesError
	if errors.As(err, &large) {
		return gatehouse.Errorf(gatehouse.ResourceExhausted, "The body is larger than %d bytes.", large.Limit).Because(library.TooLarge)
	}
	return gatehouse.Errorf(gatehouse.InvalidArgument, "The body ended early.").Because(err)
}
