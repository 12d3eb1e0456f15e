package main

import (
	"context"
	"os"
	"time"

	"gatehouse"
	"gatehouse/client"
)

// inference are the flags of every command that speaks to a gateway. The key is
// not among them, but the name of its file is.
type inference struct {
	URL        string        `help:"Gateway. The key is read from GATEHOUSE_API_KEY or XAI_API_KEY." env:"GATEHOUSE_GATEWAY_URL" default:"http://127.0.0.1:8080" group:"Connection"`
	APIKeyFile string        `name:"api-key-file" help:"Read the API key from this file instead; - reads standard input." env:"GATEHOUSE_API_KEY_FILE" placeholder:"FILE" group:"Connection"`
	CACert     string        `name:"ca-cert" help:"Certificates to trust instead of the system's (PEM)." env:"GATEHOUSE_CA_CERT" type:"existingfile" placeholder:"FILE" group:"Connection"`
	Insecure   bool          `help:"Allow plain HTTP beyond loopback." group:"Connection"`
	Timeout    time.Duration `help:"Give up after this long. A file has a second more for every 128 KiB." default:"60s" group:"Connection"`
	JSON       bool          `name:"json" help:"Print the wire's object alone." group:"Connection"`
}

// asking is a command that has a client of a gateway.
type asking struct {
	context.Context
	*client.Files
	printer
}

// do runs f with a client. Longer is what f is allowed beside --timeout.
func (r *inference) do(e *env, longer time.Duration, f func(*asking) error) error {
	key, err := r.key(e)
	if err != nil {
		return err
	}
	s := &asking{printer: printer{e: e, json: r.JSON}}
	opts, err := transport(r.Insecure, r.CACert)
	if err != nil {
		return err
	}
	if s.Files, err = client.NewFiles(r.URL, key, append(opts, client.Tap(s.heard))...); err != nil {
		return err
	}
	defer s.Close()
	ctx, cancel := context.WithTimeout(e, r.Timeout+longer)
	defer cancel()
	s.Context = ctx
	return f(s)
}

// key is the API key to ask with: that of a file, else the environment's.
func (r *inference) key(e *env) (client.APIKey, error) {
	text, err := secretFrom(e, r.APIKeyFile)
	if err != nil {
		return client.APIKey{}, err
	}
	name := r.APIKeyFile
	for _, variable := range []string{"GATEHOUSE_API_KEY", "XAI_API_KEY"} {
		if text == "" {
			text, name = os.Getenv(variable), variable
		}
	}
	if text == "" {
		return client.APIKey{}, gatehouse.Errorf(gatehouse.Unauthenticated, "no API key: set GATEHOUSE_API_KEY, or give --api-key-file")
	}
	key, err := client.ParseAPIKey(text)
	if err != nil {
		err = gatehouse.Errorf(gatehouse.Unauthenticated, "%s does not hold an API key", name)
	}
	return key, err
}

// slowest is the speed at which a file may still go, in bytes a second.
const slowest = 128 << 10

// forBytes is how much longer a file may take.
func forBytes(n int64) time.Duration { return time.Duration(n/slowest) * time.Second }
