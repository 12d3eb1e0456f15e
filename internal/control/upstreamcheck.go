package control

import (
	"crypto/x509"
	"net/netip"
	"net/url"
	"slices"
	"strings"
	"time"

	"gatehouse"
	"gatehouse/internal/store"
)

// What an upstream waits when it does not say, and the longest it may. A
// header may take as long as a reasoning model thinks before it answers.
const (
	defaultHeaderTimeout = 10 * time.Minute
	defaultIdleTimeout   = 5 * time.Minute
	maxTimeout           = time.Hour
	maxWeight            = 1000
	maxServes            = 1000
	maxCredential        = 8 << 10
	maxPEM               = 256 << 10
)

// normalUpstream fills in what is left out and names everything that is wrong.
func normalUpstream(u *gatehouse.Upstream, bad *gatehouse.Violations) {
	u.Name = name("name", u.Name, bad)
	u.BaseURL = strings.TrimRight(strings.TrimSpace(u.BaseURL), "/")
	checkBaseURL(u, bad)
	checkFamilies(u, bad)
	checkServes(u.Serves, bad)
	checkTransport(u, bad)
	if u.HeaderTimeout == 0 {
		u.HeaderTimeout = defaultHeaderTimeout
	}
	if u.IdleTimeout == 0 {
		u.IdleTimeout = defaultIdleTimeout
	}
	for field, d := range map[string]time.Duration{"headerTimeout": u.HeaderTimeout, "idleTimeout": u.IdleTimeout} {
		if d < time.Millisecond || d > maxTimeout {
			bad.Addf(field, "must be 1 ms to 1 h, or absent for the default")
		}
	}
	u.Credential = strings.TrimSpace(u.Credential)
	if len(u.Credential) > maxCredential || strings.ContainsFunc(u.Credential, func(r rune) bool { return r <= ' ' || r > '~' }) {
		bad.Addf("credential", "must be printable ASCII without spaces, at most %d bytes", maxCredential)
	}
}

// checkBaseURL keeps out what would be sent along with every request, or hide
// where requests go.
func checkBaseURL(u *gatehouse.Upstream, bad *gatehouse.Violations) {
	at, err := url.Parse(u.BaseURL)
	switch {
	case err != nil || at.Host == "" || at.Hostname() == "" || len(u.BaseURL) > maxURL:
		bad.Addf("baseUrl", "must be a URL such as https://api.example.com/v1")
		return
	case at.Scheme != "http" && at.Scheme != "https":
		bad.Addf("baseUrl", "must begin with https:// or http://")
	case at.User != nil:
		bad.Addf("baseUrl", "must not hold a user or password; the credential has its own field")
	case at.RawQuery != "" || at.ForceQuery || at.Fragment != "":
		bad.Addf("baseUrl", "must not have a query or a fragment")
	}
	if !u.AllowPrivate && private(at.Hostname()) {
		bad.Addf("baseUrl", "is a private address; set allowPrivate if that is meant")
	}
}

// private reports what can be told without a resolver. The gateway checks the
// address that it really dials.
func private(host string) bool {
	if host == "localhost" || strings.HasSuffix(host, ".localhost") {
		return true
	}
	a, err := netip.ParseAddr(host)
	if err != nil {
		return false
	}
	a = a.Unmap()
	return a.IsLoopback() || a.IsPrivate() || a.IsLinkLocalUnicast() || a.IsUnspecified() || a.IsMulticast()
}

// checkFamilies fills in what the kind speaks when nothing is said.
func checkFamilies(u *gatehouse.Upstream, bad *gatehouse.Violations) {
	if gatehouse.DefaultFamilies(u.Kind) == nil {
		bad.Addf("kind", "must be %s, %s or %s", gatehouse.OpenAI, gatehouse.Anthropic, gatehouse.XAI)
	}
	if len(u.Families) == 0 {
		u.Families = gatehouse.DefaultFamilies(u.Kind)
	}
	for _, f := range u.Families {
		switch {
		case f == gatehouse.FamilyGRPC && u.Kind != gatehouse.XAI:
			bad.Addf("families", "grpc goes with kind %s", gatehouse.XAI)
		case f != gatehouse.FamilyGRPC && !slices.Contains(gatehouse.AllFamilies, f):
			bad.Addf("families", "unknown family %q", short(string(f)))
		}
	}
}

// checkServes checks which models the upstream answers for, and as what.
func checkServes(serves []gatehouse.Serve, bad *gatehouse.Violations) {
	if len(serves) == 0 || len(serves) > maxServes {
		bad.Addf("serves", "must name 1 to %d models; * is every model", maxServes)
	}
	for _, s := range serves {
		modelName("serves.model", s.Model, bad)
		if s.As != "" {
			modelName("serves.as", s.As, bad)
		}
		if s.Model == "*" && s.As != "" {
			bad.Addf("serves.as", "cannot rename every model")
		}
		if s.Owner != "" && s.Model != "*" {
			bad.Addf("serves.owner", "only goes with the model *")
		}
		if s.Weight < 0 || s.Weight > maxWeight {
			bad.Addf("serves.weight", "must be 0 to %d", maxWeight)
		}
	}
}

// checkTransport checks how the upstream is dialled. A proxy's password would be
// a secret in a field that is shown, so there is none.
func checkTransport(u *gatehouse.Upstream, bad *gatehouse.Violations) {
	if u.CACert != "" && (len(u.CACert) > maxPEM || !x509.NewCertPool().AppendCertsFromPEM([]byte(u.CACert))) {
		bad.Addf("caCert", "holds no PEM certificate")
	}
	if at, err := url.Parse(u.Proxy); u.Proxy != "" &&
		(err != nil || at.Host == "" || at.Scheme != "http" && at.Scheme != "https" || at.User != nil || len(u.Proxy) > maxURL) {
		bad.Addf("proxy", "must be an http or https URL without user or password")
	}
	if u.HTTP != "" && u.HTTP != "1.1" && u.HTTP != "2" {
		bad.Addf("http", `must be "1.1" or "2", or empty for either`)
	}
}

// modelName checks one model name with the grammar of ACLs, so that whatever
// can be served can be granted.
func modelName(field, s string, bad *gatehouse.Violations) {
	var v gatehouse.Violations
	gatehouse.ACL{gatehouse.ModelACL(s)}.Validate(field, &v)
	if len(v) > 0 {
		bad.Addf(field, "%q is not a model name", short(s))
	}
}

// keepCredential carries the stored credential over to an update that has
// none. It is bound to the origin it was given for: whoever may edit a URL must
// not be able to send the credential somewhere else.
func keepCredential(before, u *gatehouse.Upstream, bad *gatehouse.Violations) {
	if before != nil && u.Credential == "" {
		u.Credential = before.Credential
		if before.HasCredential && origin(before.BaseURL) != origin(u.BaseURL) {
			u.Credential = ""
			bad.Addf("credential", "must be given again: the stored one is for %s", origin(before.BaseURL))
		}
	}
	u.HasCredential = u.Credential != ""
}

// origin is scheme, host and port, the port always said.
func origin(raw string) string {
	u, err := url.Parse(raw)
	if err != nil {
		return ""
	}
	port := u.Port()
	if port == "" {
		port = map[string]string{"http": "80", "https": "443"}[u.Scheme]
	}
	return u.Scheme + "://" + strings.ToLower(u.Hostname()) + ":" + port
}

// knownClusters refuses a name that no cluster has: a typing error would take
// the upstream away from everybody without a word.
func knownClusters(v store.View, names []string, bad *gatehouse.Violations) error {
	for _, n := range names {
		c, err := found(v.Cluster(n))
		if err != nil {
			return err
		}
		if c == nil || !c.DeleteTime.IsZero() {
			bad.Addf("clusters", "unknown cluster %q", short(n))
		}
	}
	return nil
}
