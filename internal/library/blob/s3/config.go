package s3

import (
	"fmt"
	"io"
	"log/slog"
	"net/http"
	"net/url"
	"strings"

	"github.com/minio/minio-go/v7"
	"github.com/minio/minio-go/v7/pkg/credentials"
)

// Config says which bucket, and how it is reached.
type Config struct {
	Endpoint  string // a URL such as https://s3.eu-central-1.amazonaws.com
	Region    string // empty: what the endpoint says
	Bucket    string
	Prefix    string // what all names begin with; a slash is put behind it
	AccessKey Secret
	SecretKey Secret
	PathStyle bool // the bucket in the path, always; false: as the endpoint wants it
	Insecure  bool // http:// is accepted
	// Transport carries the requests; nil is one with the system's certificates.
	Transport http.RoundTripper
}

// store makes what Open tries.
func (c Config) store() (*Store, error) {
	u, err := url.Parse(c.Endpoint)
	// The error of Parse would quote what was written, and it may hold a password.
	if err != nil || u.Host == "" || u.User != nil || strings.Trim(u.Path, "/") != "" || u.RawQuery != "" || u.Fragment != "" {
		return nil, fmt.Errorf("the endpoint of the bucket is a URL of scheme and host alone, such as https://s3.example.com")
	}
	if u.Scheme != "https" && (u.Scheme != "http" || !c.Insecure) {
		return nil, fmt.Errorf("the endpoint of the bucket begins with https://")
	}
	if c.AccessKey.value == "" || c.SecretKey.value == "" {
		return nil, fmt.Errorf("the bucket needs an access key and a secret key")
	}
	o := &minio.Options{
		Creds:      credentials.NewStaticV4(c.AccessKey.value, c.SecretKey.value, ""),
		Secure:     u.Scheme == "https",
		Transport:  c.Transport,
		Region:     c.Region,
		MaxRetries: tries,
	}
	if c.PathStyle {
		o.BucketLookup = minio.BucketLookupPath
	}
	client, err := minio.New(u.Host, o)
	if err != nil {
		return nil, fmt.Errorf("the endpoint of the bucket: %w", err)
	}
	s := &Store{client: client, bucket: c.Bucket, patience: patience}
	if p := strings.Trim(c.Prefix, "/"); p != "" {
		s.prefix = p + "/"
	}
	return s, nil
}

// Secret is a credential that cannot be printed, logged or marshalled.
type Secret struct {
	_     [0]func() // not comparable
	value string
}

// NewSecret hides a credential.
func NewSecret(value string) Secret { return Secret{value: value} }

const redacted = "[redacted]"

// Format redacts, whatever the verb.
func (Secret) Format(f fmt.State, _ rune) { io.WriteString(f, redacted) }

// String redacts.
func (Secret) String() string { return redacted }

// LogValue redacts.
func (Secret) LogValue() slog.Value { return slog.StringValue(redacted) }

// MarshalText redacts, and with it JSON.
func (Secret) MarshalText() ([]byte, error) { return []byte(redacted), nil }
