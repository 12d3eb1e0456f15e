package audit

import (
	"encoding/hex"
	"time"

	"github.com/go-json-experiment/json"

	"gatehouse"
)

// wireEvent is version 1 of the leaf data. Encode writes it by hand, for the
// order and the escapes.
type wireEvent struct {
	V           int               `json:"v"`
	Index       int64             `json:"index"`
	Revision    string            `json:"revision"`
	ID          gatehouse.ID      `json:"id"`
	Time        string            `json:"time"`
	Action      string            `json:"action"`
	Operation   string            `json:"operation"`
	Team        gatehouse.ID      `json:"team"`
	Kind        gatehouse.Kind    `json:"kind"`
	Subject     string            `json:"subject"`
	Result      gatehouse.Result  `json:"result"`
	Actor       wireActor         `json:"actor"`
	Description string            `json:"description"`
	Details     map[string]string `json:"details"`
	RequestID   string            `json:"requestId"`
	Reason      string            `json:"reason"`
	Personal    map[string]string `json:"personal"` // commitments, hex
}

type wireActor struct {
	Kind   gatehouse.ActorKind `json:"kind"`
	KeyID  gatehouse.ID        `json:"keyId"`
	UserID gatehouse.ID        `json:"userId"`
}

// opening is what shows that a commitment was to a value.
type opening struct {
	Salt  string `json:"salt"`
	Value string `json:"value"`
}

// Decode reads leaf data back, with personal data where it is still there. It
// does not check commitments: Verify does.
func Decode(body, personal []byte) (gatehouse.Event, error) {
	var w wireEvent
	if err := json.Unmarshal(body, &w, json.RejectUnknownMembers(true)); err != nil {
		return gatehouse.Event{}, malformed(err)
	}
	if w.V != 1 {
		return gatehouse.Event{}, gatehouse.Errorf(gatehouse.Internal, "an audit leaf of version %d cannot be read", w.V)
	}
	rev, err := gatehouse.ParseRevision(w.Revision)
	if err != nil {
		return gatehouse.Event{}, malformed(err)
	}
	at, err := time.Parse(timeFormat, w.Time)
	if err != nil {
		return gatehouse.Event{}, malformed(err)
	}
	open, err := openings(personal)
	if err != nil {
		return gatehouse.Event{}, malformed(err)
	}
	if len(w.Details) == 0 {
		w.Details = nil
	}
	return gatehouse.Event{
		Index: w.Index, ID: w.ID, Time: at, Revision: rev, RequestID: w.RequestID, Reason: w.Reason,
		Actor: gatehouse.Actor{Kind: w.Actor.Kind, KeyID: w.Actor.KeyID, UserID: w.Actor.UserID, IP: open["ip"].Value},
		Act: gatehouse.Act{
			Action: w.Action, Operation: w.Operation, TeamID: w.Team, Kind: w.Kind, Subject: w.Subject,
			Description: w.Description, Details: w.Details, Result: w.Result,
		},
	}, nil
}

// openings reads personal data; empty is none.
func openings(personal []byte) (map[string]opening, error) {
	if len(personal) == 0 {
		return nil, nil
	}
	var open map[string]opening
	err := json.Unmarshal(personal, &open, json.RejectUnknownMembers(true))
	return open, err
}

// personalFits says whether every personal value is one that the body commits
// to. Values that are gone fit: they were erased.
func personalFits(body, personal []byte) bool {
	if len(personal) == 0 {
		return true
	}
	open, err := openings(personal)
	if err != nil {
		return false
	}
	committed, ok := commitments(body)
	for name, o := range open {
		salt, err := hex.DecodeString(o.Salt)
		if !ok || err != nil || len(salt) != saltLen || committed[name] != hex.EncodeToString(Commit(salt, o.Value)) {
			return false
		}
	}
	return true
}

func malformed(cause error) error {
	return gatehouse.Errorf(gatehouse.Internal, "an audit leaf is malformed").Because(cause)
}
