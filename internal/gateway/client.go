package gateway

import (
	"encoding/hex"
	"net/http"
	"net/netip"
	"strings"

	"gatehouse/internal/reach"
)

// clientAddr is where a request comes from. X-Forwarded-For is believed only
// from the configured proxies, and read from the right: everything left of the
// last address that is no proxy was written by a stranger.
func (g *Gateway) clientAddr(r *http.Request) netip.Addr {
	ap, err := netip.ParseAddrPort(r.RemoteAddr)
	if err != nil {
		return netip.Addr{}
	}
	addr := ap.Addr().Unmap().WithZone("")
	if len(g.c.TrustedProxies) == 0 || !reach.Within(g.c.TrustedProxies, addr) {
		return addr
	}
	hops := strings.Split(strings.Join(r.Header["X-Forwarded-For"], ","), ",")
	for i := len(hops) - 1; i >= 0; i-- {
		hop, err := netip.ParseAddr(strings.TrimSpace(hops[i]))
		if err != nil {
			return addr
		}
		addr = hop.Unmap().WithZone("")
		if !reach.Within(g.c.TrustedProxies, addr) {
			return addr
		}
	}
	return addr
}

// trace continues the client's W3C trace context with this request as the
// parent: the record's id gives the span its random part. What is malformed is
// dropped, with the state that depends on it.
func (c *call) trace(h http.Header) {
	v := h["Traceparent"]
	if v == nil {
		delete(h, "Tracestate")
		return
	}
	if len(v) != 1 || !validTrace(v[0]) {
		delete(h, "Traceparent")
		delete(h, "Tracestate")
		return
	}
	p := v[0]
	h["Traceparent"] = []string{p[:36] + hex.EncodeToString(c.id[8:]) + p[52:55]}
}

// validTrace checks "00-<32 hex>-<16 hex>-<2 hex>", lower case, ids not zero.
// Later versions may be longer; we speak the first.
func validTrace(s string) bool {
	if len(s) != 55 || s[:3] != "00-" || s[35] != '-' || s[52] != '-' {
		return false
	}
	for i, c := range []byte(s) {
		if i == 2 || i == 35 || i == 52 {
			continue
		}
		if !('0' <= c && c <= '9' || 'a' <= c && c <= 'f') {
			return false
		}
	}
	return strings.Trim(s[3:35], "0") != "" && strings.Trim(s[36:52], "0") != ""
}
