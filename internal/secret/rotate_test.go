package secret

import (
	"bytes"
	"crypto/sha256"
	"errors"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"golang.org/x/mod/sumdb/note"

	"gatehouse"
)

// written is one value of each kind, made by some generation.
type written struct {
	sealed, mac, leaf, batch, reply []byte
	page                            string
	token                           gatehouse.Token
}

func writeAll(t *testing.T, k *Keys) (w written) {
	t.Helper()
	var err error
	var errs []error
	w.sealed, err = k.Seal("place", []byte("plain"))
	errs = append(errs, err)
	w.page, err = k.SealPage("list", []byte("cursor"))
	errs = append(errs, err)
	w.token = gatehouse.MintToken("gth", gatehouse.Management, gatehouse.NewID())
	w.reply, err = k.SealUnder(w.token, "idem", []byte("reply"))
	if err := errors.Join(append(errs, err)...); err != nil {
		t.Fatal(err)
	}
	w.mac, w.leaf, w.batch = k.MAC("place", []byte("row")), k.SignLeaf(7, sha256.Sum256(nil)), k.SignBatch([]byte("batch"))
	return w
}

// opens reports what of w does not open with k.
func (w written) opens(k *Keys) (problems []string) {
	if got, err := k.Open("place", w.sealed); err != nil || string(got) != "plain" {
		problems = append(problems, "seal")
	}
	if got, err := k.OpenPage("list", w.page); err != nil || string(got) != "cursor" {
		problems = append(problems, "page")
	}
	if got, err := k.OpenUnder(w.token, "idem", w.reply); err != nil || string(got) != "reply" {
		problems = append(problems, "reply")
	}
	if ok, _ := k.CheckMAC("place", []byte("row"), w.mac); !ok {
		problems = append(problems, "mac")
	}
	if !k.VerifyLeaf(7, sha256.Sum256(nil), w.leaf) {
		problems = append(problems, "leaf")
	}
	if !k.VerifyBatch([]byte("batch"), w.batch) {
		problems = append(problems, "batch")
	}
	return problems
}

func must(t *testing.T, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

// Two nodes with copies of the directory take each step one after the other, in
// either order; neither ever writes what the other cannot open.
func TestNodesThatTakeStepsOneAfterTheOtherUnderstandEachOther(t *testing.T) {
	for _, name := range RotationNames() {
		t.Run(name, func(t *testing.T) {
			a, dir := create(t)
			other := copied(t, dir)
			b, err := Open(other)
			must(t, err)
			agree(t, a, b)
			must(t, Add(dir, name))
			reload(t, a, true)
			agree(t, a, b)
			mirror(t, dir, other)
			reload(t, b, true)
			agree(t, a, b)
			must(t, Promote(dir, name))
			reload(t, a, true)
			agree(t, a, b)
			mirror(t, dir, other)
			reload(t, b, true)
			agree(t, a, b)
		})
	}
}

func agree(t *testing.T, a, b *Keys) {
	t.Helper()
	if p := append(writeAll(t, a).opens(b), writeAll(t, b).opens(a)...); len(p) > 0 {
		t.Errorf("nodes do not understand each other: %v", p)
	}
}

func reload(t *testing.T, k *Keys, want bool) {
	t.Helper()
	if changed, err := k.Reload(nil); err != nil || changed != want {
		t.Fatalf("changed %v, %v", changed, err)
	}
}

func copied(t *testing.T, dir string) string {
	t.Helper()
	to := filepath.Join(t.TempDir(), "copy")
	mirror(t, dir, to)
	return to
}

func mirror(t *testing.T, from, to string) {
	t.Helper()
	must(t, os.RemoveAll(to))
	must(t, os.CopyFS(to, os.DirFS(from)))
	must(t, os.Chmod(to, 0o700))
	entries, err := os.ReadDir(to)
	must(t, err)
	for _, e := range entries {
		must(t, os.Chmod(filepath.Join(to, e.Name()), 0o600))
	}
}

func TestWhatIsWrittenNamesTheNewGenerationAfterPromotion(t *testing.T) {
	k, dir := create(t)
	before := writeAll(t, k)
	if !k.Current(before.sealed) {
		t.Error("what was just sealed is not current")
	}
	for _, name := range RotationNames() {
		must(t, Add(dir, name))
		must(t, Promote(dir, name))
	}
	reload(t, k, true)
	reload(t, k, false)
	after := writeAll(t, k)
	if _, current := k.CheckMAC("place", []byte("row"), before.mac); current || k.Current(before.sealed) || !k.Current(after.sealed) {
		t.Error("old values pass for current ones")
	}
	if p := append(before.opens(k), after.opens(k)...); len(p) > 0 {
		t.Errorf("do not open: %v", p)
	}
	if old, err := Open(copied(t, dir)); err != nil || len(after.opens(old)) > 0 {
		t.Errorf("a start with the directory: %v", err)
	}
	for _, name := range RotationNames() {
		must(t, Retire(dir, name))
	}
	reload(t, k, true)
	if p := after.opens(k); len(p) > 0 {
		t.Errorf("after retirement do not open: %v", p)
	}
	// The leaf's key stays known: the log is for ever.
	if got, want := before.opens(k), []string{"seal", "page", "reply", "mac", "batch"}; !slices.Equal(got, want) {
		t.Errorf("after retirement %v are refused, want %v", got, want)
	}
}

// Ids made of imported keys must be found again whatever was rotated since.
func TestAnchorsOutliveEveryRotation(t *testing.T) {
	k, dir := create(t)
	want := k.Anchor("ids", []byte("digest"))
	for range 2 {
		for _, name := range RotationNames() {
			must(t, Add(dir, name))
			must(t, Promote(dir, name))
			must(t, Retire(dir, name))
			reload(t, k, true)
			if !bytes.Equal(k.Anchor("ids", []byte("digest")), want) {
				t.Fatalf("rotating %s moved it", name)
			}
		}
	}
}

// A crash between any two writes of a step leaves a directory that opens, with
// what was written before, and the step can be done again.
func TestAStepThatWasCutShortIsDoneAgain(t *testing.T) {
	for _, name := range RotationNames() {
		k, dir := create(t)
		before := writeAll(t, k)
		file := names[name]
		must(t, Add(dir, name))
		if name == "signing" { // the file was made, and its link was not
			must(t, os.Remove(filepath.Join(dir, chainFile)))
			if err := Promote(dir, name); gatehouse.CodeOf(err) != gatehouse.FailedPrecondition {
				t.Errorf("promoted without a link: %v", err)
			}
			must(t, Add(dir, name))
		}
		// Promote copied the old generation and was killed before the rename.
		content, err := os.ReadFile(filepath.Join(dir, file))
		must(t, err)
		must(t, os.WriteFile(filepath.Join(dir, file+".1"), content, 0o600))
		reload(t, k, true)
		if p := append(before.opens(k), writeAll(t, k).opens(k)...); len(p) > 0 {
			t.Errorf("%s: half promoted, do not open: %v", name, p)
		}
		must(t, Promote(dir, name))
		if _, err := os.Stat(filepath.Join(dir, file+".2")); err == nil {
			t.Errorf("%s: the old generation was kept twice", name)
		}
		if err := Promote(dir, name); gatehouse.CodeOf(err) != gatehouse.FailedPrecondition {
			t.Errorf("%s: promoted twice: %v", name, err)
		}
		reload(t, k, true)
		if p := before.opens(k); len(p) > 0 {
			t.Errorf("%s: do not open: %v", name, p)
		}
	}
}

// Gateways that know only the first key take batches until it is retired, and
// nobody signs with a key before it is promoted.
func TestBatchesVerifyUnderTheOldKeyUntilItIsRetired(t *testing.T) {
	k, dir := create(t)
	first := k.Public()
	check := func(step string, old bool, keys int) {
		t.Helper()
		reload(t, k, true)
		sig := k.SignBatch([]byte("b"))
		if VerifyBatch(first, []byte("b"), sig) != old || len(k.PublicKeys()) != keys || !VerifyBatch(k.Public(), []byte("b"), sig) {
			t.Errorf("%s: old key %v, %d keys announced", step, !old, len(k.PublicKeys()))
		}
		if VerifyBatch(first, []byte("c"), sig) || VerifyBatch(first, []byte("b"), append(sig, 1)) {
			t.Errorf("%s: a bad signature was taken", step)
		}
	}
	must(t, Add(dir, "signing"))
	check("added", true, 2)
	if next := k.Accepted()[1]; VerifyBatch(next, []byte("b"), k.SignBatch([]byte("b"))) {
		t.Error("the next key signs before its time")
	}
	must(t, Promote(dir, "signing"))
	check("promoted", true, 2)
	must(t, Retire(dir, "signing"))
	check("retired", false, 1)
	chain := k.Successions()
	if len(chain) != 1 || !chain[0].Old.Equal(first) || !chain[0].New.Equal(k.Public()) || !chain[0].Ended() {
		t.Errorf("chain %v", chain)
	}
	must(t, Add(dir, "signing"))
	must(t, Promote(dir, "signing"))
	reload(t, k, true)
	if chain := k.Successions(); len(chain) != 2 || chain[1].Ended() || !chain[1].New.Equal(k.Public()) {
		t.Errorf("chain after a second rotation %v", chain)
	}
}

// What a checkpoint was signed with before is still ours.
func TestOldCheckpointsVerifyAfterARotation(t *testing.T) {
	k, dir := create(t)
	sign := func() []byte {
		s, err := k.NoteSigner("log")
		must(t, err)
		msg, err := note.Sign(&note.Note{Text: "head\n"}, s)
		must(t, err)
		return msg
	}
	old := sign()
	for _, do := range []func(string, string) error{Add, Promote, Retire} {
		must(t, do(dir, "signing"))
		reload(t, k, true)
		vs, err := k.Verifiers("log")
		must(t, err)
		for _, msg := range [][]byte{old, sign()} {
			if _, err := note.Open(msg, note.VerifierList(vs...)); err != nil {
				t.Error(err)
			}
		}
	}
}

// A rotation must not be how a running process loses its secrets.
func TestABadDirectoryLeavesTheKeysAsTheyAre(t *testing.T) {
	k, dir := create(t)
	w := writeAll(t, k)
	must(t, Add(dir, "pepper"))
	must(t, os.WriteFile(filepath.Join(dir, masterFile+nextSuffix), []byte("short"), 0o600))
	if _, err := k.Reload(nil); gatehouse.CodeOf(err) != gatehouse.FailedPrecondition || !strings.Contains(err.Error(), masterFile+nextSuffix) {
		t.Errorf("got %v", err)
	}
	if p := append(w.opens(k), writeAll(t, k).opens(k)...); len(p) > 0 {
		t.Errorf("do not open: %v", p)
	}
	if err := Promote(dir, "pepper"); err == nil {
		t.Error("a bad generation was promoted")
	}
}

func TestStatusTellsEveryGeneration(t *testing.T) {
	_, dir := create(t)
	must(t, Add(dir, "mac"))
	must(t, Promote(dir, "mac"))
	must(t, Retire(dir, "mac"))
	must(t, Add(dir, "mac"))
	must(t, Promote(dir, "mac"))
	must(t, Add(dir, "mac"))
	all, err := Status(dir)
	must(t, err)
	got := map[string]State{}
	for _, g := range all {
		if g.Name == "mac" {
			got[g.File] = g.State
		}
		if len(g.Fingerprint) != 16 || g.Since.IsZero() {
			t.Errorf("%+v", g)
		}
	}
	want := map[string]State{"mac.key": Active, "mac.key.next": Next, "mac.key.2": Previous, "mac.key.1.retired": Retired}
	if len(got) != len(want) {
		t.Errorf("got %v", got)
	}
	for f, s := range want {
		if got[f] != s {
			t.Errorf("%s is %s, want %s", f, got[f], s)
		}
	}
	if err := Add(dir, "mac.key"); gatehouse.CodeOf(err) != gatehouse.InvalidArgument {
		t.Errorf("a name that is none: %v", err)
	}
}

// Before there were generations, values had no tag and files no number.
func TestADirectoryOfOneGenerationOpensAsBefore(t *testing.T) {
	k, dir := create(t)
	if len(k.Successions()) != 0 || len(k.PublicKeys()) != 1 || len(k.SignBatch(nil)) != 64 {
		t.Error("one generation is not one")
	}
	files, err := os.ReadDir(dir)
	must(t, err)
	if len(files) != len(fileNames()) {
		t.Errorf("%d files", len(files))
	}
}

// Whatever else lies in the directory is no generation of a secret.
func TestAFileNamedLikeANumberIsNoSecret(t *testing.T) {
	dir := t.TempDir()
	if _, err := Create(dir); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(filepath.Join(dir, "3"), []byte("x"), 0o600); err != nil {
		t.Fatal(err)
	}
	if _, err := Open(dir); err != nil {
		t.Error(err)
	}
}
