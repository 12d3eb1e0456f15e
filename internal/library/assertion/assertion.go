// Package assertion is what a gateway says of a request that it admitted, so
// that the library need not judge the API key again: whose it is, what exactly
// is asked, and how large its body may be. It is believed for a minute, and by
// the key of the gateway alone; everything else about a request is hearsay.
//
// An assertion is text for one header: "v1.GATEWAY.PAYLOAD.MAC". The payload is
// JSON in base64url, the MAC an HMAC-SHA256 of all before it. There is one
// spelling of it: whatever else stands there is refused, however alike it is.
package assertion

import (
	"crypto/hmac"
	"crypto/sha256"
	"crypto/subtle"
	"encoding/base64"
	"encoding/json"
	"strings"
	"time"

	"gatehouse"
)

// Header is where an assertion stands in a request.
const Header = "X-Gatehouse-Assertion"

const (
	// Life is how long an assertion is believed: long enough for a request to be
	// routed and begun, far shorter than anything that is decided about a key.
	Life = 60 * time.Second
	// Skew is how far a gateway's clock may be ahead of the library's.
	Skew = 5 * time.Second
	// maxText bounds what is looked at; a request's target is most of it.
	maxText = 48 << 10
	version = "v1"
)

// Assertion is a request as a gateway admitted it.
type Assertion struct {
	Gateway   gatehouse.ID // whose key signs
	Team, Key gatehouse.ID // zero when Public
	RequestID string
	IP        string // the client's
	Base      string // the URL under which the client reached the gateway, such as https://gateway.example.com
	Limit     int64  // bytes that the body may have
	Method    string
	Target    string // path and query, as sent to the library
	Expire    time.Time
	Public    bool // nobody's key was judged: whatever the target says must speak for itself
}

// payload is an assertion on the wire. Its gateway stands before it, since it
// says which key the rest is judged by.
type payload struct {
	Team      gatehouse.ID `json:"team"`
	Key       gatehouse.ID `json:"key"`
	RequestID string       `json:"request"`
	IP        string       `json:"ip"`
	Base      string       `json:"base"`
	Limit     int64        `json:"limit"`
	Method    string       `json:"method"`
	Target    string       `json:"target"`
	Expire    int64        `json:"expire"` // milliseconds since 1970
	Public    bool         `json:"public"`
}

// Sign writes an assertion and signs it by the gateway's key. A moment beyond a
// millisecond is lost.
func Sign(key []byte, a Assertion) string {
	text, _ := json.Marshal(payload{ // its members always marshal
		Team: a.Team, Key: a.Key, RequestID: a.RequestID, IP: a.IP, Base: a.Base, Limit: a.Limit,
		Method: a.Method, Target: a.Target, Expire: a.Expire.UnixMilli(), Public: a.Public,
	})
	signed := version + "." + a.Gateway.String() + "." + base64.RawURLEncoding.EncodeToString(text)
	return signed + "." + mac(key, signed)
}

func mac(key []byte, signed string) string {
	h := hmac.New(sha256.New, key)
	h.Write([]byte(signed))
	return base64.RawURLEncoding.EncodeToString(h.Sum(nil))
}

// Open believes an assertion, or says as Unauthenticated that it does not. key
// finds a gateway's key; its errors are returned as they are.
func Open(text string, now time.Time, key func(gateway gatehouse.ID) ([]byte, error)) (Assertion, error) {
	parts := strings.Split(text, ".")
	if len(text) > maxText || len(parts) != 4 || parts[0] != version {
		return bad("is not one")
	}
	gateway, err := gatehouse.ParseID(parts[1])
	if err != nil || gateway.IsZero() || gateway.String() != parts[1] {
		return bad("names no gateway")
	}
	secret, err := key(gateway)
	switch {
	case err != nil:
		return Assertion{}, err
	case len(secret) == 0:
		return bad("is of a gateway without a key") // which everybody could sign by
	}
	signed := text[:len(text)-len(parts[3])-1]
	if subtle.ConstantTimeCompare([]byte(mac(secret, signed)), []byte(parts[3])) != 1 {
		return bad("is not signed by its gateway")
	}
	return open(gateway, parts[2], now)
}

// open reads a payload that its gateway signed.
func open(gateway gatehouse.ID, text string, now time.Time) (Assertion, error) {
	var p payload
	raw, err := base64.RawURLEncoding.Strict().DecodeString(text)
	if err != nil || json.Unmarshal(raw, &p) != nil {
		return bad("cannot be read")
	}
	if again, err := json.Marshal(p); err != nil || string(again) != string(raw) {
		return bad("is not spelt as it must be")
	}
	a := Assertion{
		Gateway: gateway, Team: p.Team, Key: p.Key, RequestID: p.RequestID, IP: p.IP, Base: p.Base, Limit: p.Limit,
		Method: p.Method, Target: p.Target, Expire: time.UnixMilli(p.Expire).UTC(), Public: p.Public,
	}
	switch {
	case a.Public != a.Team.IsZero() || a.Public != a.Key.IsZero():
		return bad("names a key where there is none, or none where there is one")
	case a.Limit < 0:
		return bad("has a negative limit")
	case !now.Before(a.Expire):
		return bad("has expired: are the clocks of this gateway and of control set?")
	case a.Expire.After(now.Add(Life + Skew)):
		return bad("lives too long: are the clocks of this gateway and of control set?")
	}
	return a, nil
}

func bad(why string) (Assertion, error) {
	return Assertion{}, gatehouse.Errorf(gatehouse.Unauthenticated, "the gateway's assertion %s", why)
}

// For refuses another request than the one that was asserted. Both are as the
// request line has them.
func (a *Assertion) For(method, target string) error {
	if a.Method != method || a.Target != target {
		_, err := bad("is of another request")
		return err
	}
	return nil
}
