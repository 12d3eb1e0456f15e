package library

import (
	"errors"

	"gatehouse"
)

// missing is the answer for an id that is not there or is another team's: the
// same bytes as control's, so that neither can be told from the other.
func missing(what string) error { return gatehouse.Errorf(gatehouse.NotFound, "Cannot find %s", what) }

// found turns NotFound into nil, for records that may be absent.
func found[T any](x *T, err error) (*T, error) {
	if errors.Is(err, gatehouse.NotFound) {
		return nil, nil
	}
	return x, err
}

// first is what went wrong, before what was found wanting.
func first(err, otherwise error) error {
	if err != nil {
		return err
	}
	return otherwise
}

// set writes a field that an update names; clearing is naming it with its zero.
func set[T any](field *T, o gatehouse.Opt[T]) {
	if o.Set {
		*field = o.Value
	}
}

// violations are the bad fields that an error names.
func violations(err error) gatehouse.Violations {
	var e *gatehouse.Error
	if errors.As(err, &e) && len(e.Violations) > 0 {
		return e.Violations
	}
	return gatehouse.Violations{{Problem: gatehouse.Public(err)}}
}

// clip bounds what is echoed, in characters.
func clip(s string) string {
	const most = 100
	if r := []rune(s); len(r) > most {
		return string(r[:most]) + "…"
	}
	return s
}
