// Package webhook delivers signed messages to URLs that teams chose.
//
// A delivery is a POST of JSON with the header
//
//	Gatehouse-Signature: t=UNIX SECONDS,v1=HEX
//
// where HEX is the HMAC-SHA256 under the hook's secret of the seconds, a point,
// and the body. A receiver compares in constant time and refuses old times.
package webhook

import (
	"bytes"
	"context"
	"crypto/hmac"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/url"
	"strconv"
	"time"

	"gatehouse"
	"gatehouse/internal/reach"
)

// Header carries the signature.
const Header = "Gatehouse-Signature"

// The bounds of a delivery: how long it may take, and how much of an answer is
// read.
const (
	patience  = 10 * time.Second
	maxAnswer = 4 << 10
)

// Sender delivers. The zero value delivers to public addresses alone.
type Sender struct {
	// AllowPrivate lets hooks lead to loopback and private addresses; never to
	// those of cloud metadata services.
	AllowPrivate bool
	Now          func() time.Time // nil: time.Now
}

// Deliver posts the message to a hook's URL. Any answer of 2xx is an
// acknowledgement; redirects are not followed, since they were not approved.
func (s Sender) Deliver(ctx context.Context, hook *gatehouse.AlertHook, message any) error {
	body, err := json.Marshal(message)
	if err != nil {
		return err
	}
	ctx, cancel := context.WithTimeout(ctx, patience)
	defer cancel()
	r, err := http.NewRequestWithContext(ctx, http.MethodPost, hook.URL, bytes.NewReader(body))
	if err != nil {
		return errors.New("the hook's URL is none")
	}
	now := time.Now
	if s.Now != nil {
		now = s.Now
	}
	r.Header.Set("Content-Type", "application/json")
	r.Header.Set("User-Agent", "gatehouse")
	r.Header.Set(Header, Sign(hook.Secret, now(), body))
	answer, err := s.client().Do(r)
	if err != nil {
		return outcome(err)
	}
	defer answer.Body.Close()
	_, _ = io.Copy(io.Discard, io.LimitReader(answer.Body, maxAnswer))
	if answer.StatusCode/100 != 2 {
		return fmt.Errorf("the receiver answered %d", answer.StatusCode)
	}
	return nil
}

// outcome leaves the URL out of an error: it may hold a secret.
func outcome(err error) error {
	var u *url.Error
	if errors.As(err, &u) {
		return u.Err
	}
	return err
}

// client dials for one delivery: there are few, and a kept connection would
// outlive what was allowed when it was made.
func (s Sender) client() *http.Client {
	dialer := net.Dialer{Timeout: patience, Control: reach.Guard(s.AllowPrivate)}
	return &http.Client{
		Transport:     &http.Transport{DialContext: dialer.DialContext, DisableKeepAlives: true, ForceAttemptHTTP2: true},
		CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse },
	}
}

// Sign is the header's value for a body at a time.
func Sign(secret string, at time.Time, body []byte) string {
	t := strconv.FormatInt(at.Unix(), 10)
	mac := hmac.New(sha256.New, []byte(secret))
	mac.Write([]byte(t + "."))
	mac.Write(body)
	return "t=" + t + ",v1=" + hex.EncodeToString(mac.Sum(nil))
}
