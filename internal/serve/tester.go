package serve

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"time"

	"gatehouse"
	"gatehouse/internal/gateway"
)

// testTimeout bounds a test of an upstream, and testBody what is read of its
// model list.
const (
	testTimeout = 15 * time.Second
	testBody    = 8 << 20
)

// tester asks an upstream for its model list, dialling by the gateway's rules.
type tester struct{}

// TestUpstream implements control's port. The report never holds the
// credential: problems name steps, not requests.
func (tester) TestUpstream(ctx context.Context, u *gatehouse.Upstream) gatehouse.UpstreamReport {
	ctx, cancel := context.WithTimeout(ctx, testTimeout)
	defer cancel()
	began := time.Now()
	var report gatehouse.UpstreamReport
	status, models, err := listModels(ctx, u)
	report.Status, report.Models, report.Latency = status, models, time.Since(began)
	if err != nil {
		report.Problem = err.Error()
	}
	report.OK = err == nil
	return report
}

func listModels(ctx context.Context, u *gatehouse.Upstream) (status, models int, err error) {
	client, err := testClient(u)
	if err != nil {
		return 0, 0, err
	}
	defer client.CloseIdleConnections()
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, u.BaseURL+"/models", nil)
	if err != nil {
		return 0, 0, errors.New("baseUrl is not a URL")
	}
	gateway.SetCredential(req.Header, u, gatehouse.FamilyChat)
	resp, err := client.Do(req)
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
	if err := json.NewDecoder(io.LimitReader(resp.Body, testBody)).Decode(&list); err != nil {
		return resp.StatusCode, 0, errors.New("GET /models answered something that is no model list")
	}
	return resp.StatusCode, len(list.Data), nil
}

func testClient(u *gatehouse.Upstream) (*http.Client, error) {
	t := &http.Transport{DialContext: gateway.Dialer(u.AllowPrivate), ForceAttemptHTTP2: u.HTTP != "1.1"}
	if u.CACert != "" {
		pool := x509.NewCertPool()
		if !pool.AppendCertsFromPEM([]byte(u.CACert)) {
			return nil, errors.New("caCert holds no certificate")
		}
		t.TLSClientConfig = &tls.Config{RootCAs: pool}
	}
	if u.Proxy != "" {
		p, err := url.Parse(u.Proxy)
		if err != nil {
			return nil, errors.New("proxy is not a URL")
		}
		t.Proxy = http.ProxyURL(p)
	}
	return &http.Client{Transport: t, CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse }}, nil
}
