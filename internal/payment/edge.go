package payment

import (
	"context"
	"crypto/subtle"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net/http"
	"path"
	"regexp"
	"strconv"
	"strings"
	"time"

	"gatehouse"
	"gatehouse/internal/webhook"
)

const (
	// maxBody is many times what an event is.
	maxBody = 64 << 10
	// window is how far a signature's time may be from now: a delivery that
	// somebody recorded is good for no longer. Within it the event's id tells.
	window = 5 * time.Minute
	// bodyTime is how long a body may take: whoever sends one has proven nothing.
	bodyTime = 30 * time.Second
	// minSecret is the least length of a secret: shorter ones can be guessed.
	minSecret = 16
)

// taker does what a verified event says: control.Service.
type taker interface {
	TakePayment(context.Context, gatehouse.PaymentEvent) error
}

// Edge receives events. It prints as nothing: it holds secrets.
type Edge struct {
	secrets map[string]string
	taker   taker
	now     func() time.Time
}

var processorName = regexp.MustCompile(`^[a-z0-9][a-z0-9-]{0,31}$`)

// NewEdge receives events of the processors whose secrets are given by name. It
// refuses a name that is not lower-case letters, digits and hyphens, or is
// manual, and a secret that is empty or shorter than 16 bytes: with either,
// anybody could make money.
func NewEdge(secrets map[string]string, taker taker, now func() time.Time) (*Edge, error) {
	e := &Edge{secrets: map[string]string{}, taker: taker, now: now}
	for name, secret := range secrets {
		if !processorName.MatchString(name) || name == manual {
			return nil, fmt.Errorf("payment processor %q: a name is 1 to 32 of a-z, 0-9 and -, and not %s", name, manual)
		}
		if len(strings.TrimSpace(secret)) < minSecret {
			return nil, fmt.Errorf("payment processor %s: its webhook secret is empty or shorter than %d bytes", name, minSecret)
		}
		e.secrets[name] = secret
	}
	return e, nil
}

// String keeps the secrets out of logs, as does LogValue.
func (*Edge) String() string { return "payment webhooks" }

// GoString is String.
func (e *Edge) GoString() string { return e.String() }

// LogValue is String.
func (e *Edge) LogValue() slog.Value { return slog.StringValue(e.String()) }

// ServeHTTP takes an event of the processor that the path's last part names. It
// answers 200 when the event was done, now or before. The order of refusals
// tells strangers nothing: 404 for an unknown processor, then 401 for whatever is
// not signed, and only then what is wrong with the event.
func (e *Edge) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	if r.Method != http.MethodPost {
		w.Header().Set("Allow", http.MethodPost)
		answer(w, http.StatusMethodNotAllowed, "POST an event")
		return
	}
	name := path.Base(r.URL.Path)
	secret, known := e.secrets[name]
	if !known {
		answer(w, http.StatusNotFound, "Not Found")
		return
	}
	_ = http.NewResponseController(w).SetReadDeadline(time.Now().Add(bodyTime)) // the kernel's clock; a recorder in a test has none
	body, err := io.ReadAll(http.MaxBytesReader(w, r.Body, maxBody))
	if large := (*http.MaxBytesError)(nil); errors.As(err, &large) {
		answer(w, http.StatusRequestEntityTooLarge, "an event is at most 64 KiB")
		return
	}
	if err != nil {
		answer(w, http.StatusBadRequest, "the body broke off")
		return
	}
	if !e.signed(r.Header.Values(webhook.Header), secret, body) {
		answer(w, http.StatusUnauthorized, "the signature is missing, wrong, or older than 5 minutes")
		return
	}
	e.take(w, r, name, body)
}

// signed reports whether the header's one value is what the secret makes of the
// body at a time near now.
func (e *Edge) signed(values []string, secret string, body []byte) bool {
	if len(values) != 1 {
		return false
	}
	at, _, _ := strings.Cut(strings.TrimPrefix(values[0], "t="), ",")
	seconds, err := strconv.ParseInt(at, 10, 64)
	if err != nil {
		return false
	}
	t := time.Unix(seconds, 0)
	equal := subtle.ConstantTimeCompare([]byte(values[0]), []byte(webhook.Sign(secret, t, body))) == 1
	return equal && e.now().Sub(t).Abs() <= window
}

func (e *Edge) take(w http.ResponseWriter, r *http.Request, name string, body []byte) {
	event, err := decode(name, body)
	if err == nil {
		err = e.taker.TakePayment(r.Context(), event)
	}
	if err != nil {
		answer(w, status(gatehouse.CodeOf(err)), gatehouse.Public(err))
		return
	}
	answer(w, http.StatusOK, "")
}

// status is what a processor is answered: 5xx and 409 ask for another delivery,
// the others for somebody to look.
func status(c gatehouse.Code) int {
	switch c {
	case gatehouse.InvalidArgument:
		return http.StatusBadRequest
	case gatehouse.NotFound:
		return http.StatusNotFound
	case gatehouse.FailedPrecondition:
		return http.StatusConflict
	case gatehouse.Unprocessable:
		return http.StatusUnprocessableEntity
	case gatehouse.Unavailable:
		return http.StatusServiceUnavailable
	}
	return http.StatusInternalServerError
}

// answer writes {} or {"error": "…"}.
func answer(w http.ResponseWriter, code int, problem string) {
	body := map[string]string{}
	if problem != "" {
		body["error"] = problem
	}
	b, _ := json.Marshal(body) // of strings: cannot fail
	w.Header().Set("Content-Type", "application/json")
	w.Header().Set("Cache-Control", "no-store")
	w.WriteHeader(code)
	_, _ = w.Write(b)
}
