package secret

import (
	"bufio"
	"crypto/ed25519"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"slices"
	"strings"

	"gatehouse"
)

// announce adds the link from the signing key to its next generation. It comes
// after the file: a link to a key that nobody has would mislead verifiers.
func announce(root *os.Root) error {
	active, err := signingKey(root, signingFile)
	if err != nil {
		return err
	}
	next, err := signingKey(root, signingFile+nextSuffix)
	if err != nil {
		return err
	}
	chain, err := loadChain(root)
	if err != nil || linkedTo(chain, active, next) {
		return err
	}
	return storeChain(root, append(chain, gatehouse.Succeed(active, next)))
}

func announced(root *os.Root) error {
	active, err := signingKey(root, signingFile)
	if err != nil {
		return err
	}
	next, err := signingKey(root, signingFile+nextSuffix)
	if err != nil {
		return err
	}
	chain, err := loadChain(root)
	if err == nil && !linkedTo(chain, active, next) {
		err = gatehouse.Errorf(gatehouse.FailedPrecondition, "signing: the next generation was not announced: copy %s as well, or add it again", chainFile)
	}
	return err
}

// end signs that earlier signing keys are out of use, each by its successor.
// The files are still there for that; it comes before they are renamed.
func end(root *os.Root, earlier []string) error {
	chain, err := loadChain(root)
	if err != nil {
		return err
	}
	keys := []ed25519.PrivateKey{}
	for _, f := range append([]string{signingFile}, earlier...) {
		key, err := signingKey(root, f)
		if err != nil {
			return err
		}
		keys = append(keys, key)
	}
	for i, s := range chain {
		by := slices.IndexFunc(keys, func(k ed25519.PrivateKey) bool { return public(k).Equal(s.New) })
		if by >= 0 && !s.Ended() && !s.Old.Equal(public(keys[0])) && !isNext(root, keys[by]) {
			chain[i] = s.Retire(keys[by])
		}
	}
	return storeChain(root, chain)
}

// isNext reports whether a key is the one that nobody signs with yet.
func isNext(root *os.Root, key ed25519.PrivateKey) bool {
	next, err := signingKey(root, signingFile+nextSuffix)
	return err == nil && next.Equal(key)
}

func signingKey(root *os.Root, file string) (ed25519.PrivateKey, error) {
	secret, err := load(root, file)
	if err != nil {
		return nil, fmt.Errorf("%s: %w", file, err)
	}
	return signer(secret)
}

// loadChain reads the successions; none when there was no rotation yet.
func loadChain(root *os.Root) ([]gatehouse.Succession, error) {
	f, err := root.Open(chainFile)
	if errors.Is(err, fs.ErrNotExist) {
		return nil, nil
	}
	if err != nil {
		return nil, err
	}
	defer f.Close()
	var out []gatehouse.Succession
	lines := bufio.NewScanner(f)
	for lines.Scan() {
		s, err := gatehouse.ParseSuccession(lines.Text())
		if err != nil {
			return nil, err
		}
		out = append(out, s)
	}
	return out, lines.Err()
}

func storeChain(root *os.Root, chain []gatehouse.Succession) error {
	var b strings.Builder
	for _, s := range chain {
		b.WriteString(s.String() + "\n")
	}
	return write(root, chainFile, []byte(b.String()))
}
