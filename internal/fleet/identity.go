package fleet

import (
	"cmp"
	"crypto/ecdh"
	"crypto/ed25519"
	"crypto/rand"
	"encoding/json"
	"errors"
	"io/fs"
	"log/slog"
	"os"
	"path/filepath"
	"slices"
	"sync"

	"gatehouse/internal/durable"

	"gatehouse"
	"gatehouse/internal/feed"
	"gatehouse/internal/secret"
)

// identityFile is in the data directory, mode 0600: it holds two secrets.
const identityFile = "fleet.json"

// Identity is what makes a process a gateway of an installation. It prints as
// nothing but its id.
type Identity struct {
	Gateway gatehouse.ID
	Cluster string
	Brand   string // of the installation's keys

	dir        string
	credential gatehouse.Token
	seal       *ecdh.PrivateKey
	mu         sync.RWMutex // guards what follows, and the file
	verifiers  []ed25519.PublicKey
	way        Way
}

// Way is how a gateway reaches control.
type Way struct {
	Control []string `json:"control,omitempty"` // base URLs of control nodes
	Roots   string   `json:"roots,omitempty"`   // PEM that their certificates are judged by; empty: the system's
}

// stored is the file. Members are only ever added.
type stored struct {
	Gateway    gatehouse.ID `json:"gateway"`
	Cluster    string       `json:"cluster,omitempty"`
	Brand      string       `json:"brand,omitempty"`
	Credential string       `json:"credential,omitempty"` // empty: the join is not finished
	SealKey    []byte       `json:"sealKey"`
	Verifiers  [][]byte     `json:"verifiers,omitempty"`
	Way
}

// Load reads the identity in a data directory. NotFound: this process has not
// joined, or did not get to the end of it.
func Load(dir string) (*Identity, error) {
	s, err := read(dir)
	if err != nil {
		return nil, err
	}
	if s.Credential == "" {
		return nil, gatehouse.Errorf(gatehouse.NotFound, "the join of this gateway was not finished")
	}
	return s.identity(dir)
}

func read(dir string) (*stored, error) {
	text, err := os.ReadFile(filepath.Join(dir, identityFile))
	switch {
	case errors.Is(err, fs.ErrNotExist):
		return nil, gatehouse.Errorf(gatehouse.NotFound, "this process has not joined an installation")
	case err != nil:
		return nil, gatehouse.Errorf(gatehouse.Internal, "%s cannot be read", identityFile).Because(err)
	}
	s := new(stored)
	if err := json.Unmarshal(text, s); err != nil {
		// Not the cause: it could quote a secret.
		return nil, gatehouse.Errorf(gatehouse.FailedPrecondition, "%s in the data directory is damaged: join anew under another id", identityFile)
	}
	return s, nil
}

func (s *stored) identity(dir string) (*Identity, error) {
	bad := func(what string) (*Identity, error) {
		return nil, gatehouse.Errorf(gatehouse.FailedPrecondition, "%s in the data directory has no usable %s", identityFile, what)
	}
	key, err := ecdh.X25519().NewPrivateKey(s.SealKey)
	if err != nil {
		return bad("seal key")
	}
	token, err := gatehouse.ParseToken(s.Brand, s.Credential)
	if err != nil || token.Plane() != gatehouse.Member || token.ID() != s.Gateway {
		return bad("credential")
	}
	verifiers, err := publicKeys(s.Verifiers)
	if err != nil {
		return bad("verify key")
	}
	return &Identity{
		Gateway: s.Gateway, Cluster: s.Cluster, Brand: s.Brand, dir: dir, credential: token, seal: key, verifiers: verifiers, way: s.Way,
	}, nil
}

// publicKeys checks lengths. There must be one: without it no batch verifies.
func publicKeys(raw [][]byte) ([]ed25519.PublicKey, error) {
	var out []ed25519.PublicKey
	for _, k := range raw {
		if len(k) != ed25519.PublicKeySize {
			return nil, gatehouse.Errorf(gatehouse.InvalidArgument, "not an Ed25519 public key")
		}
		out = append(out, ed25519.PublicKey(k))
	}
	if len(out) == 0 {
		return nil, gatehouse.Errorf(gatehouse.InvalidArgument, "no verify key")
	}
	return out, nil
}

// write replaces the file, durably: a credential that was issued and forgotten
// would cost a use of the join token.
func (s *stored) write(dir string) error {
	text, err := json.MarshalIndent(s, "", "  ")
	if err != nil {
		return err
	}
	if err := durable.Replace(filepath.Join(dir, identityFile), text, 0o600); err != nil {
		return gatehouse.Errorf(gatehouse.Internal, "%s cannot be written", identityFile).Because(err)
	}
	return nil
}

// begin is the file of a join under way. Its seal key is made once: asking
// again with the same one is how an answer that was lost is had again.
func begin(dir string, gateway gatehouse.ID) (*stored, error) {
	s, err := read(dir)
	if err == nil && s.Gateway == gateway {
		return s, nil
	}
	if err != nil && !errors.Is(err, gatehouse.NotFound) {
		return nil, err
	}
	key, err := ecdh.X25519().GenerateKey(rand.Reader)
	if err != nil {
		return nil, err
	}
	s = &stored{Gateway: gateway, SealKey: key.Bytes()}
	return s, s.write(dir)
}

// VerifyBatch reports whether the installation signed a batch of the feed.
func (i *Identity) VerifyBatch(msg, sig []byte) bool {
	i.mu.RLock()
	defer i.mu.RUnlock()
	for _, pub := range i.verifiers {
		if secret.VerifyBatch(pub, msg, sig) {
			return true
		}
	}
	return false
}

// SetVerifiers takes over the keys that batches are signed by from now on, as a
// batch under one of the present ones said, and keeps them.
func (i *Identity) SetVerifiers(raw [][]byte) error {
	keys, err := publicKeys(raw)
	if err != nil {
		return err
	}
	i.mu.Lock()
	defer i.mu.Unlock()
	if slices.EqualFunc(keys, i.verifiers, func(a, b ed25519.PublicKey) bool { return a.Equal(b) }) {
		return nil
	}
	if err := i.save(keys, i.way); err != nil {
		return err
	}
	i.verifiers = keys
	return nil
}

// save writes the file; the caller holds the lock.
func (i *Identity) save(verifiers []ed25519.PublicKey, way Way) error {
	s := &stored{
		Gateway: i.Gateway, Cluster: i.Cluster, Brand: i.Brand, Credential: i.credential.Reveal(), SealKey: i.seal.Bytes(), Way: way,
	}
	for _, k := range verifiers {
		s.Verifiers = append(s.Verifiers, k)
	}
	return s.write(i.dir)
}

// Reach is how control is reached: as the operator says, else as was said last.
// Roots belong to the URLs that they were given with.
func (i *Identity) Reach(said Way) (Way, error) {
	if len(said.Control) > 0 {
		return said, nil
	}
	i.mu.RLock()
	defer i.mu.RUnlock()
	if len(i.way.Control) == 0 {
		return said, gatehouse.Errorf(gatehouse.InvalidArgument, "it is not known where control is: give --control URL")
	}
	return Way{i.way.Control, cmp.Or(said.Roots, i.way.Roots)}, nil
}

// Remember keeps how control is reached, so that this gateway starts from its
// data directory alone.
func (i *Identity) Remember(way Way) error {
	i.mu.Lock()
	defer i.mu.Unlock()
	if slices.Equal(way.Control, i.way.Control) && way.Roots == i.way.Roots {
		return nil
	}
	if err := i.save(i.verifiers, way); err != nil {
		return err
	}
	i.way = way
	return nil
}

// Unseal opens what was sealed to this gateway.
func (i *Identity) Unseal(upstream gatehouse.ID, sealed []byte) (string, error) {
	return feed.Opener(i.seal)(upstream, sealed)
}

// String names the gateway and hides the rest.
func (i *Identity) String() string { return "gateway " + i.Gateway.String() }

// GoString hides too.
func (i *Identity) GoString() string { return i.String() }

// LogValue hides too.
func (i *Identity) LogValue() slog.Value { return slog.StringValue(i.String()) }
