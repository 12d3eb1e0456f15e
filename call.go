package gatehouse

import (
	"net/netip"
	"reflect"
	"slices"
	"strings"
)

// Call is one request on the management plane, as its edge saw it: everything
// that a use-case needs to know beside its own arguments. A face fills it,
// control reads it, and neither knows the other's types.
type Call struct {
	Token     Token      // parsed, proves nothing yet
	IP        netip.Addr // of the peer, after trusted proxies
	RequestID string
	Reason    string // of the caller, for the audit log; optional
	// TeamID is the team that the path names beside the id of a record; zero when
	// it names none. The record must be of it, else it is NotFound.
	TeamID ID
	// Operation is the one that the route names. The Put methods serve two, and
	// it decides: under Create… an existing record is AlreadyExists, under
	// Update… an absent one is NotFound, and with none it is either.
	Operation Operation
	// Fields are the members (JSON names of the record) that an Update… gives,
	// for [Overlay]; nil means the whole record.
	Fields []string
	// IfMatch is the revision the caller saw; zero: any. Conflict otherwise.
	IfMatch Revision
	// IdempotencyKey is empty when the caller sent none. BodyHash is over
	// method, path and canonical body: the same key with another hash is
	// Unprocessable.
	IdempotencyKey string
	BodyHash       [32]byte
	// Committed is where control says which revision the call committed under.
	// The edge allocates it; it stays zero when nothing was written.
	Committed *Revision
}

// Overlay returns stored with the named members taken from given; fields are
// JSON names. Members that JSON does not show, such as a credential, always
// come from given. No fields means given itself. It works in the transaction
// that writes the result, which is why it is not the face's job.
func Overlay[T any](stored, given *T, fields []string) *T {
	if fields == nil {
		return given
	}
	out := *stored
	to, from := reflect.ValueOf(&out).Elem(), reflect.ValueOf(given).Elem()
	for i := range to.NumField() {
		name, _, _ := strings.Cut(to.Type().Field(i).Tag.Get("json"), ",")
		if name == "-" || slices.Contains(fields, name) {
			to.Field(i).Set(from.Field(i))
		}
	}
	return &out
}
