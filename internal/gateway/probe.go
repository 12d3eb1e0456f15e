package gateway

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"time"

	"gatehouse"
)

// Bounds of a probe: its time, and what it reads of a model list.
const (
	probeTime = 15 * time.Second
	probeBody = 8 << 20
)

// Probe asks an upstream for its model list under the rules of real requests:
// the same dial guard, trust and proxy, and no redirects. The report holds
// neither credential nor URL.
func Probe(ctx context.Context, up *gatehouse.Upstream) gatehouse.UpstreamReport {
	ctx, cancel := context.WithTimeout(ctx, probeTime)
	defer cancel()
	began := time.Now()
	status, models, err := listModels(ctx, up)
	report := gatehouse.UpstreamReport{OK: err == nil, Status: status, Models: models, Latency: time.Since(began)}
	if err != nil {
		report.Problem = err.Error()
	}
	return report
}

func listModels(ctx context.Context, up *gatehouse.Upstream) (status, models int, err error) {
	l, err := newLink(up)
	if err == nil && l.transport == nil {
		l.transport, err = l.newTransport(up.HTTP == "2")
	}
	if err != nil {
		return 0, 0, err
	}
	defer l.transport.CloseIdleConnections()
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, l.scheme+"://"+l.host+l.prefix+"/models", nil)
	if err != nil {
		return 0, 0, errors.New("the base URL cannot be asked")
	}
	l.authorize(req.Header, gatehouse.FamilyMessages) // Anthropic's list is one of its own routes
	resp, err := l.transport.RoundTrip(req)
	if err != nil {
		var outer *url.Error
		if errors.As(err, &outer) {
			err = outer.Err
		}
		return 0, 0, fmt.Errorf("no answer: %w", err)
	}
	defer resp.Body.Close()
	if resp.StatusCode != http.StatusOK {
		return resp.StatusCode, 0, fmt.Errorf("GET /models answered %d", resp.StatusCode)
	}
	var list struct {
		Data []json.RawMessage `json:"data"`
	}
	if err := json.NewDecoder(io.LimitReader(resp.Body, probeBody)).Decode(&list); err != nil {
		return resp.StatusCode, 0, errors.New("GET /models answered something that is no model list")
	}
	return resp.StatusCode, len(list.Data), nil
}
