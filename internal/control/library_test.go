package control_test

import (
	"context"
	"io"
	"log/slog"
	"net/netip"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"gatehouse"
	"gatehouse/internal/control"
	"gatehouse/internal/control/managementtest"
	"gatehouse/internal/library"
	"gatehouse/internal/library/blob/dir"
	"gatehouse/internal/library/extract"
	"gatehouse/internal/library/index"
	"gatehouse/internal/store"
)

// unread and unfound are parts of a library that its management does not touch.
type unread struct{}

func (unread) Extract(context.Context, extract.Document, func(extract.Part) error) (extract.Result, error) {
	return extract.Result{}, nil
}

type unfound struct{ index.Index }

// stock gives a house a library.
func (h *house) stock(t *testing.T) *house {
	t.Helper()
	blobs, err := dir.Open(filepath.Join(t.TempDir(), "blobs"))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { blobs.Close() })
	h.Service.Library, err = library.New(library.Config{
		Store: h.store, Blobs: blobs, Index: unfound{}, Extract: unread{}, Sealer: h.Service.Sealer, Spool: filepath.Join(t.TempDir(), "spool"),
		Node: "n", Now: h.clock.Now, Logger: slog.New(slog.DiscardHandler),
	})
	if err != nil {
		t.Fatal(err)
	}
	return h
}

func TestLibraryContracts(t *testing.T) {
	managementtest.RunLibrary(t, func(t *testing.T) managementtest.Installation {
		return installation(open(t).stock(t))
	})
}

func TestWithoutALibraryItIsSaidSo(t *testing.T) {
	h := open(t)
	_, err := h.root().GetCollection(t.Context(), gatehouse.ID{}, gatehouse.NewID())
	if gatehouse.CodeOf(err) != gatehouse.Unimplemented || !strings.Contains(gatehouse.Public(err), "keeps no library") {
		t.Errorf("%v", err)
	}
	stranger := h.As(&gatehouse.Call{IP: netip.MustParseAddr("192.0.2.1")})
	if err := stranger.DeleteCollection(t.Context(), gatehouse.ID{}, gatehouse.NewID()); gatehouse.CodeOf(err) != gatehouse.Unauthenticated {
		t.Errorf("a stranger hears of it: %v", err)
	}
}

// never fails the test when it is read.
type never struct{ *testing.T }

func (n never) Read([]byte) (int, error) {
	n.Error("the body was read")
	return 0, io.EOF
}

// Whoever may not upload sends no bytes, and one whose key ends while they are
// sent is refused by the transaction.
func TestAnUploadIsPermittedBeforeAndAfterItsBytes(t *testing.T) {
	h := open(t).stock(t)
	c, err := h.root().CreateCollection(t.Context(), &gatehouse.Collection{Name: "c"})
	if err != nil {
		t.Fatal(err)
	}
	reader := h.manager(t, gatehouse.NewManagementKey{Name: "r", ACL: []string{gatehouse.ScopeFor(gatehouse.ListCollections)}})
	_, err = h.As(&gatehouse.Call{Token: reader.Token}).UploadDocument(t.Context(), c.ID, gatehouse.NewFile{Name: "a", Content: never{t}}, nil)
	if gatehouse.CodeOf(err) != gatehouse.PermissionDenied {
		t.Errorf("%v", err)
	}
	_, err = h.root().UploadDocument(t.Context(), gatehouse.NewID(), gatehouse.NewFile{Name: "a", Content: never{t}}, nil)
	if gatehouse.CodeOf(err) != gatehouse.NotFound {
		t.Errorf("%v", err)
	}
	writer := h.manager(t, gatehouse.NewManagementKey{Name: "w", ACL: []string{gatehouse.ScopeFor("*")}})
	revoke := func() {
		if err := h.root().RevokeManagementKey(t.Context(), writer.Key.ID); err != nil {
			t.Error(err)
		}
	}
	body := io.MultiReader(strings.NewReader("x"), &once{revoke})
	_, err = h.As(&gatehouse.Call{Token: writer.Token}).UploadDocument(t.Context(), c.ID, gatehouse.NewFile{Name: "a", Content: body}, nil)
	if gatehouse.CodeOf(err) != gatehouse.Unauthenticated {
		t.Errorf("a key that was revoked meanwhile uploads: %v", err)
	}
}

// once does something at the end of a body.
type once struct{ do func() }

func (o *once) Read([]byte) (int, error) {
	if o.do != nil {
		o.do()
		o.do = nil
	}
	return 0, io.EOF
}

// The hash of the bytes is part of what an Idempotency-Key stands for, and the
// answer shown again is whole.
func TestAnUploadIsReplayedByItsBytes(t *testing.T) {
	h := open(t).stock(t)
	c, err := h.root().CreateCollection(t.Context(), &gatehouse.Collection{Name: "c"})
	if err != nil {
		t.Fatal(err)
	}
	upload := func(text string) (*gatehouse.Document, error) {
		call := &gatehouse.Call{Token: h.first.Token, IdempotencyKey: "k"}
		return h.As(call).UploadDocument(t.Context(), c.ID, gatehouse.NewFile{Name: "a", Content: strings.NewReader(text)}, nil)
	}
	first, err := upload("text")
	if err != nil {
		t.Fatal(err)
	}
	again, err := upload("text")
	if err != nil || again.FileID != first.FileID || again.File == nil || again.File.Hash != first.File.Hash || again.State.Status != gatehouse.DocumentProcessing {
		t.Errorf("%+v %v", again, err)
	}
	if _, err := upload("other"); gatehouse.CodeOf(err) != gatehouse.Unprocessable {
		t.Errorf("%v", err)
	}
}

// The library's key is found again by whoever has the installation's secrets,
// and is not made again behind the back of who deleted it.
func TestTheLibrarysKeyIsItsTeams(t *testing.T) {
	h := open(t).stock(t)
	team := h.first.TeamID
	fresh := func() (gatehouse.Token, error) {
		h.clock.advance(time.Minute)
		return h.LibraryKey(t.Context(), team)
	}
	first, err := fresh()
	if err != nil {
		t.Fatal(err)
	}
	k, err := h.root().GetKey(t.Context(), first.ID())
	if err != nil || k.TeamID != team || k.Name != "Gatehouse library" || k.Tags["gatehouse"] != "library" || !k.ACL.AllowsEndpoint("embed") || k.ACL.AllowsEndpoint("files") {
		t.Fatalf("%+v %v", k, err)
	}
	if orphans, _, err := h.root().Orphans(t.Context(), team, gatehouse.Page{}); err != nil || len(orphans) > 0 {
		t.Errorf("a key that nobody made counts as left behind: %v %v", orphans, err)
	}
	if again, err := fresh(); err != nil || again.Reveal() != first.Reveal() {
		t.Errorf("another key: %v", err)
	}
	other, err := h.root().CreateTeam(t.Context(), "other")
	if err != nil {
		t.Fatal(err)
	}
	if theirs, err := h.LibraryKey(t.Context(), other.ID); err != nil || theirs.ID() == first.ID() {
		t.Errorf("two teams have one key: %v", err)
	}
	if _, err := h.root().UpdateKey(t.Context(), gatehouse.KeyUpdate{ID: first.ID(), Disabled: gatehouse.Some(true)}); err != nil {
		t.Fatal(err)
	}
	if _, err := fresh(); gatehouse.CodeOf(err) != gatehouse.FailedPrecondition || !strings.Contains(err.Error(), "enable it") {
		t.Errorf("disabled: %v", err)
	}
	if err := h.root().DeleteKey(t.Context(), first.ID()); err != nil {
		t.Fatal(err)
	}
	if _, err := fresh(); gatehouse.CodeOf(err) != gatehouse.FailedPrecondition || !strings.Contains(err.Error(), "was deleted") {
		t.Errorf("deleted: %v", err)
	}
	h.shelve(t, team)
	second, err := fresh()
	if err != nil || second.ID() == first.ID() {
		t.Errorf("after a collection with a model: %v", err)
	}
	if _, err := h.root().RotateKey(t.Context(), gatehouse.KeyRotation{ID: second.ID()}); err != nil {
		t.Fatal(err)
	}
	h.clock.advance(gatehouse.DefaultOverlap)
	if third, err := fresh(); err != nil || third.ID() == second.ID() {
		t.Errorf("a key that somebody rotated is theirs: %v", err)
	}
}

// shelve makes a collection with a model.
func (h *house) shelve(t *testing.T, team gatehouse.ID) {
	t.Helper()
	c := &gatehouse.Collection{ID: gatehouse.NewID(), TeamID: team, Name: "c", Model: "m", Chunks: []byte("{}"), Metric: "cosine", CreateTime: h.clock.Now()}
	_, err := h.store.Update(store.System(t.Context()), gatehouse.Cause{}, func(tx store.Tx) error {
		return tx.PutCollection(c, gatehouse.Act{Action: "collection.created", TeamID: team})
	})
	if err != nil {
		t.Fatal(err)
	}
}

var _ managementtest.Librarian = (*control.Caller)(nil)
