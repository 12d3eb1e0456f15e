package serve

import (
	"errors"
	"fmt"
	"log/slog"
	"maps"
	"net"
	"net/netip"
	"os"
	"path/filepath"
	"reflect"
	"strings"
	"time"

	"github.com/go-viper/mapstructure/v2"
	"github.com/knadh/koanf/parsers/yaml"
	"github.com/knadh/koanf/providers/env/v2"
	"github.com/knadh/koanf/providers/rawbytes"
	"github.com/knadh/koanf/v2"

	"gatehouse"
	"gatehouse/internal/control"
	"gatehouse/internal/mail"
	"gatehouse/internal/meter"
)

// Config is everything an operator can say. A file (YAML), the environment
// (GATEHOUSE_ and the upper-case path, as GATEHOUSE_GATEWAY_LISTEN) and flags
// fill it, later ones winning. Unknown members are errors.
type Config struct {
	Role           string   `koanf:"role"`            // all, control or gateway
	Data           string   `koanf:"data"`            // directory of the database and the journal
	Secrets        string   `koanf:"secrets"`         // directory of the installation's secrets; DATA/secrets unless said
	Cluster        string   `koanf:"cluster"`         // the cluster this gateway belongs to; one that joins is told by its token
	Database       string   `koanf:"database"`        // postgres://…; a file in Data unless said
	DatabaseListen string   `koanf:"database_listen"` // the PostgreSQL itself, for LISTEN, where database is a pooler
	Authority      string   `koanf:"authority"`       // redis://… or rediss://…; control keeps the limits that gateways share unless said
	Control        []string `koanf:"control"`         // of a gateway: URLs of the management listeners of control
	JoinToken      string   `koanf:"join_token"`      // of a gateway that has not joined yet
	Brand          string   `koanf:"brand"`           // prefix of keys before the plane letter
	Bootstrap      string   `koanf:"bootstrap_file"`  // where the first management key is written
	Insecure       bool     `koanf:"insecure"`        // plain HTTP beyond loopback
	TLSCert        string   `koanf:"tls_cert"`
	TLSKey         string   `koanf:"tls_key"`
	ControlCA      string   `koanf:"control_ca_file"` // of a gateway: PEM roots for control, instead of the system's
	// Secrets that a flag or the environment would show to others on the machine.
	DatabaseFile       string           `koanf:"database_file"`
	DatabaseListenFile string           `koanf:"database_listen_file"`
	AuthorityFile      string           `koanf:"authority_file"`
	JoinTokenFile      string           `koanf:"join_token_file"`
	Log                LogConfig        `koanf:"log"`
	Gateway            GatewayConfig    `koanf:"gateway"`
	Management         ManagementConfig `koanf:"management"`
	Metrics            MetricsConfig    `koanf:"metrics"`
	Telemetry          TelemetryConfig  `koanf:"telemetry"`
	Usage              UsageConfig      `koanf:"usage"`
	PublicURL          string           `koanf:"public_url"` // where people reach the management plane
	Mail               MailConfig       `koanf:"mail"`
	OIDC               OIDCConfig       `koanf:"oidc"`
	Payments           PaymentsConfig   `koanf:"payments"`
	Alerts             AlertsConfig     `koanf:"alerts"`
	Library            LibraryConfig    `koanf:"library"`
	Upstreams          []UpstreamConfig `koanf:"upstreams"`
	Models             []ModelConfig    `koanf:"models"`
	Aliases            []AliasConfig    `koanf:"aliases"`
	Prices             []PriceConfig    `koanf:"prices"`
	Clusters           []ClusterConfig  `koanf:"clusters"`
}

// LogConfig shapes the structured log on standard error.
type LogConfig struct {
	Level  string `koanf:"level"`  // debug, info, warn, error
	Format string `koanf:"format"` // json or text
}

// GatewayConfig shapes the data plane.
type GatewayConfig struct {
	Listen         string   `koanf:"listen"`
	Errors         string   `koanf:"errors"`     // xai, or openai for OpenAI's error bodies and 401 for bad keys
	Durability     string   `koanf:"durability"` // batched, or per_request: fsync of the open record before the upstream's first byte
	MaxBody        int64    `koanf:"max_body_bytes"`
	MaxBodies      int64    `koanf:"max_bodies_bytes"` // all bodies in flight together
	TrustedProxies []string `koanf:"trusted_proxies"`  // CIDRs whose X-Forwarded-For is believed
	// What the usage journal may take of the disk, and must leave free. Beyond
	// either, requests are refused rather than served unmetered.
	JournalMax  int64 `koanf:"journal_max_bytes"`
	JournalFree int64 `koanf:"journal_min_free_bytes"`
}

// UsageConfig shapes what is kept of usage.
type UsageConfig struct {
	Retention time.Duration `koanf:"retention"` // of raw rows; rollups stay; zero keeps all
}

// ManagementConfig shapes the management plane.
type ManagementConfig struct {
	Listen string `koanf:"listen"`
	Rate   int    `koanf:"rate"` // requests per second and management key
}

// MetricsConfig shapes the operator's listener.
type MetricsConfig struct {
	Listen string `koanf:"listen"`
}

// UpstreamConfig declares an upstream. The credential comes from a file, so
// that the configuration itself holds no secret.
type UpstreamConfig struct {
	Name           string        `koanf:"name"`
	Kind           string        `koanf:"kind"`
	BaseURL        string        `koanf:"base_url"`
	CredentialFile string        `koanf:"credential_file"`
	Families       []string      `koanf:"families"`
	Serves         []ServeConfig `koanf:"serves"`
	Clusters       []string      `koanf:"clusters"`
	AllowPrivate   bool          `koanf:"allow_private"`
	CACertFile     string        `koanf:"ca_cert_file"`
	Proxy          string        `koanf:"proxy"`
	HTTP           string        `koanf:"http"`
	AskUsage       *bool         `koanf:"ask_usage"`
	HeaderTimeout  time.Duration `koanf:"header_timeout"`
	IdleTimeout    time.Duration `koanf:"idle_timeout"`
	Limits         LimitsConfig  `koanf:"limits"` // of what all gateways send it together
}

// LimitsConfig are limits; 0 is none.
type LimitsConfig struct {
	QPS int32 `koanf:"qps"` // requests in any second
	QPM int32 `koanf:"qpm"` // requests in any minute
	TPM int64 `koanf:"tpm"` // tokens in a minute
}

// ServeConfig is one model of an upstream.
type ServeConfig struct {
	Model  string `koanf:"model"`
	Owner  string `koanf:"owner"`
	As     string `koanf:"as"`
	Weight int    `koanf:"weight"`
}

// ModelConfig declares a model beyond the shipped catalogue.
type ModelConfig struct {
	Name          string   `koanf:"name"`
	Type          string   `koanf:"type"`
	Owner         string   `koanf:"owner"`
	Version       string   `koanf:"version"`
	ContextLength int64    `koanf:"context_length"`
	Input         []string `koanf:"input"`
	Output        []string `koanf:"output"`
	Clusters      []string `koanf:"clusters"` // whose gateways serve it; all unless said
}

// AliasConfig declares an alias.
type AliasConfig struct {
	Name      string   `koanf:"name"`
	Target    string   `koanf:"target"`
	Fallbacks []string `koanf:"fallbacks"`
}

// PriceConfig declares a price. Amounts are decimal dollars, per million
// tokens or characters, or each, by unit name (docs/metering.md).
type PriceConfig struct {
	Model          string            `koanf:"model"`
	Effective      string            `koanf:"effective"` // RFC 3339; required, so that a restart does not move it
	PerMillion     map[string]string `koanf:"per_million"`
	Each           map[string]string `koanf:"each"`
	LongPerMillion map[string]string `koanf:"long_per_million"`
	LongThreshold  int64             `koanf:"long_context_threshold"`
	Source         string            `koanf:"source"` // "operator" unless said
}

// ClusterConfig declares a cluster.
type ClusterConfig struct {
	Name    string `koanf:"name"`
	Address string `koanf:"address"`
}

// Defaults is the configuration of a program that was told nothing but --data.
func Defaults() Config {
	return Config{
		Role: "all", Cluster: "local", Brand: gatehouse.DefaultBrand,
		Log:        LogConfig{Level: "info", Format: "json"},
		Gateway:    GatewayConfig{Listen: "127.0.0.1:8080", Errors: "xai", Durability: "batched", MaxBody: 64 << 20, MaxBodies: 512 << 20, JournalMax: meter.DefaultMaxBytes, JournalFree: meter.DefaultMinFree},
		Management: ManagementConfig{Listen: "127.0.0.1:8090", Rate: 50},
		Metrics:    MetricsConfig{Listen: "127.0.0.1:9090"},
		Mail:       MailConfig{Security: mail.StartTLS},
		OIDC:       OIDCConfig{GroupsClaim: "groups", Lifetime: control.DefaultSignIn, CheckEvery: signInEvery},
		Payments:   PaymentsConfig{Processor: "manual"},
		Library: LibraryConfig{
			Workers: 2, MaxFile: gatehouse.MaxFileSize, MaxFiles: gatehouse.MaxTeamFiles, MaxBytes: gatehouse.MaxTeamFileBytes,
		},
	}
}

// Load reads the file (none when empty) and the environment over the defaults.
func Load(file string, environ func() []string) (Config, error) {
	k, cfg := koanf.New("."), Defaults()
	if file != "" {
		text, err := os.ReadFile(file)
		if err != nil {
			return cfg, fmt.Errorf("configuration: %w", err)
		}
		if err := k.Load(rawbytes.Provider(text), yaml.Parser()); err != nil {
			return cfg, fmt.Errorf("configuration %s: %w", file, err)
		}
	}
	if err := checkNames(environ()); err != nil {
		return cfg, err
	}
	if err := k.Load(env.Provider(".", env.Opt{Prefix: envPrefix, TransformFunc: fromEnv, EnvironFunc: environ}), nil); err != nil {
		return cfg, fmt.Errorf("configuration from the environment: %w", err)
	}
	err := k.UnmarshalWithConf("", &cfg, koanf.UnmarshalConf{DecoderConfig: &mapstructure.DecoderConfig{
		Result: &cfg, ErrorUnused: true, WeaklyTypedInput: true, TagName: "koanf",
		DecodeHook: mapstructure.ComposeDecodeHookFunc(timeAsText, mapstructure.StringToTimeDurationHookFunc(), mapstructure.StringToSliceHookFunc(",")),
	}})
	if err != nil {
		return cfg, fmt.Errorf("configuration: %w", err)
	}
	return cfg, cfg.readSecrets()
}

// readSecrets takes what stands in files of its own. Both at once would leave
// open which one counts.
func (c *Config) readSecrets() error {
	for _, s := range []struct {
		name, file string
		into       *string
	}{{"database", c.DatabaseFile, &c.Database}, {"database_listen", c.DatabaseListenFile, &c.DatabaseListen}, {"authority", c.AuthorityFile, &c.Authority}, {"join_token", c.JoinTokenFile, &c.JoinToken},
		{"library.index", c.Library.IndexFile, &c.Library.Index}} {
		if s.file == "" {
			continue
		}
		if *s.into != "" {
			return fmt.Errorf("configuration: %s and %s_file: give one of them", s.name, s.name)
		}
		text, err := os.ReadFile(s.file)
		if err != nil {
			return fmt.Errorf("configuration: %s_file: %w", s.name, err)
		}
		*s.into = strings.TrimSpace(string(text))
	}
	return nil
}

// fromEnv maps GATEHOUSE_GATEWAY_LISTEN to gateway.listen, for the members that
// Config has; [checkNames] has refused what nobody knows.
func fromEnv(name, value string) (string, any) {
	path, known := envPaths(reflect.TypeFor[Config](), "", "GATEHOUSE")[name]
	if !known {
		return "", nil
	}
	return path, value
}

// envPaths lists the environment names of a struct's scalar members by path.
func envPaths(t reflect.Type, path, name string) map[string]string {
	out := map[string]string{}
	for i := range t.NumField() {
		f := t.Field(i)
		tag := f.Tag.Get("koanf")
		env := name + "_" + strings.ToUpper(tag)
		switch {
		case f.Type.Kind() == reflect.Struct:
			maps.Copy(out, envPaths(f.Type, path+tag+".", env))
		case f.Type.Kind() != reflect.Slice || f.Type.Elem().Kind() == reflect.String:
			out[env] = path + tag
		}
	}
	return out
}

// timeAsText undoes what YAML does to an unquoted time.
func timeAsText(from, to reflect.Type, v any) (any, error) {
	if at, ok := v.(time.Time); ok && to.Kind() == reflect.String {
		return at.Format(time.RFC3339), nil
	}
	return v, nil
}

// Check reports everything wrong with the configuration at once.
func (c *Config) Check() error {
	var problems []error
	bad := func(format string, args ...any) { problems = append(problems, fmt.Errorf(format, args...)) }
	for _, problem := range c.checkRole() {
		bad("%s", problem)
	}
	if c.Data == "" {
		bad("data: is required: the directory for the database and the journal")
	}
	if !gatehouse.ValidBrand(c.Brand) {
		bad("brand: must be 1 to %d lower-case letters", gatehouse.MaxBrand)
	}
	if c.Gateway.Errors != "xai" && c.Gateway.Errors != "openai" {
		bad("gateway.errors: must be xai or openai")
	}
	if new(slog.Level).UnmarshalText([]byte(c.Log.Level)) != nil {
		bad("log.level: must be debug, info, warn or error")
	}
	if c.Log.Format != "json" && c.Log.Format != "text" {
		bad("log.format: must be json or text")
	}
	if c.Management.Rate < 1 {
		bad("management.rate: must be at least 1 request per second")
	}
	if c.Gateway.Durability != "batched" && c.Gateway.Durability != "per_request" {
		bad("gateway.durability: must be batched or per_request")
	}
	if c.Usage.Retention != 0 && c.Usage.Retention < 48*time.Hour {
		bad("usage.retention: must be at least 48h, or 0 to keep all")
	}
	if c.Gateway.JournalMax < 0 || c.Gateway.JournalFree < 0 {
		bad("gateway.journal_max_bytes and gateway.journal_min_free_bytes: must not be negative")
	}
	if (c.TLSCert == "") != (c.TLSKey == "") {
		bad("tls_cert and tls_key: both or neither")
	}
	for _, l := range []struct {
		name, addr string
		tls, used  bool
	}{{"gateway.listen", c.Gateway.Listen, true, c.Role != RoleControl}, {"management.listen", c.Management.Listen, true, c.Role != RoleGateway}, {"metrics.listen", c.Metrics.Listen, false, true}} {
		if !l.used {
			continue
		}
		if err := c.checkListen(l.addr, l.tls); err != nil {
			bad("%s: %w", l.name, err)
		}
	}
	for _, s := range c.Gateway.TrustedProxies {
		if _, err := netip.ParsePrefix(s); err != nil {
			bad("gateway.trusted_proxies: %q is not a CIDR such as 10.0.0.0/8", s)
		}
	}
	if err := c.Telemetry.OTLP.check(); err != nil {
		problems = append(problems, err)
	}
	if _, err := c.Declaration(); err != nil {
		problems = append(problems, err)
	}
	if c.PublicURL != "" && !strings.HasPrefix(c.PublicURL, "https://") && !loopbackURL(c.PublicURL) {
		bad("public_url: must be an https URL")
	}
	if err := c.Library.check(c.Role, c.Insecure); err != nil {
		problems = append(problems, err)
	}
	if _, err := c.company(time.Now); err != nil {
		problems = append(problems, err)
	}
	return errors.Join(problems...)
}

// checkListen refuses plain HTTP beyond loopback: keys would travel in the clear.
func (c *Config) checkListen(addr string, tls bool) error {
	host, _, err := net.SplitHostPort(addr)
	if err != nil {
		return fmt.Errorf("%q is not host:port", addr)
	}
	if loopbackHost(host) || c.Insecure || tls && c.TLSCert != "" {
		return nil
	}
	if !tls {
		return fmt.Errorf("%s is not loopback, and this listener does no TLS: keep it on loopback, or give --insecure", addr)
	}
	return fmt.Errorf("%s is not loopback: give --tls-cert and --tls-key, or --insecure when something in front does TLS", addr)
}

// secretsDir is where the installation's secrets live.
func (c *Config) secretsDir() string {
	if c.Secrets != "" {
		return c.Secrets
	}
	return filepath.Join(c.Data, "secrets")
}
