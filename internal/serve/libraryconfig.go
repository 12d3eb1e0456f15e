package serve

import (
	"errors"
	"fmt"
	"net/url"
	"strings"

	"gatehouse"
)

// LibraryConfig says where files, collections and documents are kept, and by
// what they are found.
type LibraryConfig struct {
	Blobs         string   `koanf:"blobs"` // a directory, or s3://BUCKET/PREFIX; unless said DATA/blobs, and in role control no library
	S3            S3Config `koanf:"s3"`
	Index         string   `koanf:"index"` // postgres://…; unless said the database, or a file in Data where that is one
	IndexFile     string   `koanf:"index_file"`
	Gateway       string   `koanf:"gateway"`         // of role control: URL of a gateway that embeds; role all asks its own
	PublicURL     string   `koanf:"public_url"`      // base of public links; that of the request unless said
	Embedding     string   `koanf:"embedding_model"` // of collections that name none; without one they are found by words alone
	DescribeModel string   `koanf:"describe_model"`  // words descriptions of collections
	Workers       int      `koanf:"workers"`         // documents indexed at once
	MaxFile       int64    `koanf:"max_file_bytes"`
	MaxFiles      int      `koanf:"max_files"` // of a team
	MaxBytes      int64    `koanf:"max_bytes"` // of all files of a team
}

// S3Config is how an S3-compatible store is reached.
type S3Config struct {
	Endpoint      string `koanf:"endpoint"` // https://HOST[:PORT]
	Region        string `koanf:"region"`
	AccessKeyFile string `koanf:"access_key_file"`
	SecretKeyFile string `koanf:"secret_key_file"`
}

// check reports what is wrong with it.
func (c *LibraryConfig) check(role string, insecure bool) error {
	var problems []error
	bad := func(format string, args ...any) { problems = append(problems, fmt.Errorf(format, args...)) }
	for _, u := range []struct{ name, text string }{{"gateway", c.Gateway}, {"public_url", c.PublicURL}, {"s3.endpoint", c.S3.Endpoint}} {
		at, err := url.Parse(u.text)
		switch {
		case u.text == "":
		case err != nil || at.Host == "" || at.Scheme != "http" && at.Scheme != "https" || at.RawQuery != "":
			bad("library.%s: must be a URL such as https://gateway.example.com", u.name)
		case at.Scheme == "http" && !loopbackHost(at.Hostname()) && !insecure:
			bad("library.%s: is not loopback: use https, or --insecure when something in between does TLS", u.name)
		}
	}
	if u, err := url.Parse(c.Index); c.Index != "" && (err != nil || u.Scheme != "postgres" && u.Scheme != "postgresql") {
		bad("library.index: must be postgres://USER@HOST/NAME") // never the value: it holds a password
	}
	if strings.HasPrefix(c.Blobs, "s3:") && (c.bucket() == "" || c.S3.Endpoint == "" || c.S3.AccessKeyFile == "" || c.S3.SecretKeyFile == "") {
		bad("library.blobs: s3://BUCKET needs library.s3.endpoint, access_key_file and secret_key_file too")
	}
	if role == RoleControl && c.Gateway == "" && c.Embedding+c.DescribeModel != "" {
		bad("library.gateway: is needed in role control, by embedding_model and describe_model")
	}
	if c.Workers < 1 || c.Workers > 64 {
		bad("library.workers: must be 1 to 64")
	}
	if c.MaxFile < 1 || c.MaxFile > gatehouse.MaxFileSize || c.MaxFiles < 1 || c.MaxBytes < 1 {
		bad("library.max_file_bytes, max_files and max_bytes: must be positive, and a file at most %d bytes", gatehouse.MaxFileSize)
	}
	return errors.Join(problems...)
}

// bucket is that of blobs at s3://BUCKET/PREFIX; empty for a directory.
func (c *LibraryConfig) bucket() string {
	rest, _ := strings.CutPrefix(c.Blobs, "s3://")
	if rest == c.Blobs {
		return ""
	}
	name, _, _ := strings.Cut(rest, "/")
	return name
}
