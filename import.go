package gatehouse

import "context"

// MaxImport bounds the keys of one import.
const MaxImport = 500

// ForeignKey is a key that was minted elsewhere. Its credential is not known
// here, only the digest by which the other program knew it.
type ForeignKey struct {
	Digest   Digest // SHA-256 of the whole credential, as its clients present it
	Last4    string // the visible end of the credential; may be empty
	Source   string // where it comes from, such as "litellm"; for the audit log
	Key      NewKey // what it may do here
	Disabled bool
}

// ImportOutcome says what became of a key.
type ImportOutcome string

// The outcomes.
const (
	ImportCreated   ImportOutcome = "created"
	ImportUnchanged ImportOutcome = "unchanged" // it was here, and is left as it is
	ImportRefused   ImportOutcome = "refused"   // Problem says why; nothing was written
)

// ImportedKey is the answer about one key.
type ImportedKey struct {
	Digest   Digest
	KeyID    ID
	Outcome  ImportOutcome
	Problem  string
	Warnings []string
}

// Importer takes over keys that were minted elsewhere.
type Importer interface {
	// ImportKeys answers for each key in the order given. Every key is an act of
	// its own, whole or not at all; one that is there is left alone and one that
	// was deleted here stays deleted, so an import that broke off is repeated.
	// With dryRun it says what would happen and writes nothing but the read.
	ImportKeys(ctx context.Context, keys []ForeignKey, dryRun bool) ([]ImportedKey, error)
}
