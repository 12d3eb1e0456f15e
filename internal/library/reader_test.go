package library

import (
	"bytes"
	"context"
	"encoding/base64"
	"errors"
	"io"
	"os"
	"strings"
	"testing"
	"time"

	"gatehouse"
	"gatehouse/internal/library/blob"
	"gatehouse/internal/store"
)

// pages seals by naming the place; good enough where nobody forges.
type pages struct{}

func (pages) SealPage(where string, plain []byte) (string, error) {
	return where + "|" + base64.StdEncoding.EncodeToString(plain), nil
}

func (pages) OpenPage(where, sealed string) ([]byte, error) {
	at, rest, _ := strings.Cut(sealed, "|")
	if at != where {
		return nil, errors.New("not of here")
	}
	return base64.StdEncoding.DecodeString(rest)
}

// readingRoom is a workshop with a team and an API key in it.
type readingRoom struct {
	*workshop
	who Asker
}

func newReadingRoom(t *testing.T, change func(*Config)) *readingRoom {
	r := &readingRoom{workshop: newWorkshop(t, func(c *Config) {
		c.Sealer = pages{}
		if change != nil {
			change(c)
		}
	})}
	r.who = r.enter(r.team)
	return r
}

// enter makes a team with a key that opens everything.
func (r *readingRoom) enter(team gatehouse.ID) Asker {
	r.Helper()
	r.putTeam(&gatehouse.Team{ID: team, Name: "t", Billing: gatehouse.BillingMetering, CreateTime: r.clock()})
	k := &gatehouse.Key{ID: gatehouse.NewID(), TeamID: team, Name: "k", ACL: gatehouse.ACL{"api-key:endpoint:*", "api-key:model:*"}, CreateTime: r.clock(), ModifyTime: r.clock()}
	r.putKey(k)
	return Asker{Team: team, Key: k.ID, RequestID: "r", Base: "https://gate.example/"}
}

func (r *readingRoom) putTeam(t *gatehouse.Team) {
	r.Helper()
	r.update(func(tx store.Tx) error { return tx.PutTeam(t, gatehouse.Act{Action: "team.created", TeamID: t.ID}) })
}

func (r *readingRoom) putKey(k *gatehouse.Key) {
	r.Helper()
	r.update(func(tx store.Tx) error {
		return tx.PutKey(k, gatehouse.Act{Action: "api_key.created", TeamID: k.TeamID})
	})
}

func (r *readingRoom) key() (k *gatehouse.Key) {
	r.Helper()
	r.must(r.Store.View(r.ctx, func(v store.View) (err error) { k, err = v.Key(r.who.Key); return err }))
	return k
}

// send uploads a file as the key.
func (r *readingRoom) send(name, content string) *gatehouse.File {
	r.Helper()
	f, err := r.UploadFile(r.ctx, r.who, gatehouse.NewFile{Name: name, Content: strings.NewReader(content)})
	r.must(err)
	return f
}

func (r *readingRoom) read(id gatehouse.ID, offset int64) string {
	r.Helper()
	_, body, err := r.OpenFile(r.ctx, r.who, id, offset)
	r.must(err)
	defer body.Close()
	b, err := io.ReadAll(body)
	r.must(err)
	return string(b)
}

func (r *readingRoom) want(code gatehouse.Code, err error, words ...string) {
	r.Helper()
	if gatehouse.CodeOf(err) != code {
		r.Fatalf("got %v, want %s", err, code)
	}
	for _, w := range words {
		if !strings.Contains(gatehouse.Public(err), w) {
			r.Errorf("%q does not say %q", gatehouse.Public(err), w)
		}
	}
}

func fail[T any](_ T, err error) error { return err }

func TestAFileComesBackByteForByte(t *testing.T) {
	r := newReadingRoom(t, nil)
	content := strings.Repeat("0123456789", 20_000)
	f, again := r.send(" Café.txt", content), r.send("other.csv", content)
	if f.Name != "Café.txt" || f.Size != 200_000 || f.ContentType != "text/plain; charset=utf-8" || again.ContentType != "text/csv" || f.KeyID != r.who.Key {
		t.Errorf("%+v\n%+v", f, again)
	}
	if f.Blob != again.Blob {
		t.Error("the same bytes of a team are kept twice")
	}
	if r.read(f.ID, 0) != content || r.read(f.ID, 199_995) != "56789" || r.read(f.ID, 200_000) != "" {
		t.Error("other bytes came back")
	}
	r.want(gatehouse.InvalidArgument, fail2(r.OpenFile(r.ctx, r.who, f.ID, 200_001)), "200000")
	r.must(r.DeleteFile(r.ctx, r.who, f.ID))
	r.want(gatehouse.NotFound, fail(r.GetFile(r.ctx, r.who, f.ID)))
	if r.read(again.ID, 0) != content {
		t.Error("a file went with another that has the same bytes")
	}
}

func fail2[A, B any](_ A, _ B, err error) error { return err }

// broken ends with an error of the network.
type broken struct{ io.Reader }

func (b broken) Read(p []byte) (int, error) {
	n, err := b.Reader.Read(p)
	if err == io.EOF {
		err = io.ErrUnexpectedEOF
	}
	return n, err
}

func TestARefusedUploadLeavesNothing(t *testing.T) {
	r := newReadingRoom(t, func(c *Config) { c.Bounds = Bounds{FileSize: 100_000, Files: 2, Bytes: 150_000} })
	upload := func(name, kind string, body io.Reader) error {
		return fail(r.UploadFile(r.ctx, r.who, gatehouse.NewFile{Name: name, ContentType: kind, Content: body}))
	}
	tooLarge := upload("a", "", strings.NewReader(strings.Repeat("x", 100_001)))
	r.want(gatehouse.ResourceExhausted, tooLarge, "100000 bytes")
	if !errors.Is(tooLarge, TooLarge) {
		t.Error("a face cannot tell that the file is too large")
	}
	r.want(gatehouse.InvalidArgument, upload("a", "", strings.NewReader("")), "file: is empty")
	r.want(gatehouse.InvalidArgument, upload("a", "", broken{strings.NewReader(strings.Repeat("x", 70_000))}), "ended before")
	r.want(gatehouse.InvalidArgument, upload("a", "text", strings.NewReader("x")), "content_type")
	for _, name := range []string{"", "a/b", `a\b`, `a"b`, "a;b", "a\nb", "..", strings.Repeat("ü", 128), "\xff", "r\u202egpj.exe"} {
		r.want(gatehouse.InvalidArgument, upload(name, "", strings.NewReader("x")), "name")
	}
	soon := gatehouse.NewFile{Name: "a", Content: strings.NewReader("x"), Life: time.Minute}
	r.want(gatehouse.InvalidArgument, fail(r.UploadFile(r.ctx, r.who, soon)), "expires_after", "3600")
	gone, cancel := context.WithCancel(r.ctx)
	cancel()
	if fail(r.UploadFile(gone, r.who, gatehouse.NewFile{Name: "a", Content: strings.NewReader("x")})) == nil {
		t.Error("an upload whose sender left was kept")
	}
	r.nothing()

	first := r.send("a", strings.Repeat("x", 100_000))
	r.want(gatehouse.ResourceExhausted, upload("b", "", strings.NewReader(strings.Repeat("y", 60_000))), "150000")
	r.must(r.blobs.List(r.ctx, func(name string) error {
		if name != first.Blob {
			t.Error("what there is no room for was stored")
		}
		return nil
	}))
	r.send("b", "z")
	unread := strings.NewReader("w")
	if r.want(gatehouse.ResourceExhausted, upload("c", "", unread), "may have 2"); unread.Len() == 0 {
		t.Error("the body was read though the team is at its bound")
	}
}

// nothing checks that there is neither a record nor a byte.
func (r *readingRoom) nothing() {
	r.Helper()
	if files, _, err := r.ListFiles(r.ctx, r.who, gatehouse.LibraryQuery{}); err != nil || len(files) > 0 {
		r.Errorf("files: %v %v", files, err)
	}
	r.must(r.blobs.List(r.ctx, func(name string) error { r.Errorf("blob %s", name); return nil }))
	if left, err := os.ReadDir(r.Spool); err != nil || len(left) > 0 {
		r.Errorf("spool: %v %v", left, err)
	}
}

// What comes slowly takes room of the spool: one team's uploads are bounded, and
// room that was given back is there for the next.
func TestUploadsUnderWayAreBounded(t *testing.T) {
	r := newReadingRoom(t, nil)
	var writers []*io.PipeWriter
	done := make(chan error)
	for range uploadCrowd {
		body, w := io.Pipe()
		writers = append(writers, w)
		go func() { done <- fail(r.UploadFile(r.ctx, r.who, gatehouse.NewFile{Name: "slow", Content: body})) }()
		_, err := w.Write([]byte("x")) // somebody reads it: the upload is under way
		r.must(err)
	}
	more := gatehouse.NewFile{Name: "more", Content: strings.NewReader("y")}
	err := fail(r.UploadFile(r.ctx, r.who, more))
	r.want(gatehouse.ResourceExhausted, err, "under way")
	var e *gatehouse.Error
	if !errors.As(err, &e) || e.RetryAfter == 0 {
		t.Errorf("%v does not say when to come again", err)
	}
	for _, w := range writers {
		r.must(w.Close())
		r.must(<-done)
	}
	r.must(fail(r.UploadFile(r.ctx, r.who, more)))
}

// What is uploaded and deleted takes room that no bound counts, and not for long.
func TestBytesOfADeletedFileAreSweptSoon(t *testing.T) {
	r := newReadingRoom(t, nil)
	f := r.send("a", "words")
	r.must(r.DeleteFile(r.ctx, r.who, f.ID))
	swept := func() (names []string) {
		r.must(r.Store.Work(r.ctx, func(w store.Work) (err error) {
			names, err = w.SweepBlobs(r.clock().Add(recordHold), 10)
			return err
		}))
		return names
	}
	if names := swept(); len(names) != 1 || names[0] != f.Blob {
		t.Errorf("%v are swept after %v", names, recordHold)
	}
}

// Whatever the gateway asserts, the store's key decides.
func TestEveryCallLooksAtTheKeyAgain(t *testing.T) {
	for what, spoil := range map[string]func(*readingRoom){
		"disabled":   func(r *readingRoom) { k := r.key(); k.Disabled = true; r.putKey(k) },
		"blocked":    func(r *readingRoom) { k := r.key(); k.Blocked = true; r.putKey(k) },
		"deleted":    func(r *readingRoom) { k := r.key(); k.DeleteTime, k.Secrets = r.clock(), nil; r.putKey(k) },
		"expired":    func(r *readingRoom) { k := r.key(); k.ExpireTime = r.clock(); r.putKey(k) },
		"no ACL":     func(r *readingRoom) { k := r.key(); k.ACL = gatehouse.ACL{"api-key:endpoint:chat"}; r.putKey(k) },
		"unknown":    func(r *readingRoom) { r.who.Key = gatehouse.NewID() },
		"other team": func(r *readingRoom) { r.who.Team = r.enter(gatehouse.NewID()).Team },
		"blocked team": func(r *readingRoom) {
			r.putTeam(&gatehouse.Team{ID: r.team, Name: "t", Blocked: true, Billing: gatehouse.BillingMetering, CreateTime: r.clock()})
		},
	} {
		t.Run(what, func(t *testing.T) {
			r := newReadingRoom(t, nil)
			f := r.send("a", "text")
			c := r.collect(nil)
			spoil(r)
			for call, err := range map[string]error{
				"upload": fail(r.UploadFile(r.ctx, r.who, gatehouse.NewFile{Name: "a", Content: strings.NewReader("x")})),
				"get":    fail(r.GetFile(r.ctx, r.who, f.ID)), "list": fail2(r.ListFiles(r.ctx, r.who, gatehouse.LibraryQuery{})),
				"rename": fail(r.RenameFile(r.ctx, r.who, f.ID, "b")), "delete": r.DeleteFile(r.ctx, r.who, f.ID),
				"open": fail2(r.OpenFile(r.ctx, r.who, f.ID, 0)), "text": fail(r.FileText(r.ctx, r.who, f.ID, 0, io.Discard)),
				"publish": fail(r.PublishFile(r.ctx, r.who, f.ID, time.Time{})), "unpublish": fail(r.UnpublishFile(r.ctx, r.who, f.ID)),
				"search":     fail(r.Search(r.ctx, r.who, gatehouse.Search{Query: "text", Collections: []gatehouse.ID{c.ID}})),
				"bad search": fail(r.Search(r.ctx, r.who, gatehouse.Search{})),
			} {
				if gatehouse.CodeOf(err) != gatehouse.PermissionDenied {
					t.Errorf("%s: %v", call, err)
				}
			}
		})
	}
}

func TestAnotherTeamsFileIsNotThere(t *testing.T) {
	r := newReadingRoom(t, nil)
	f := r.send("a", "text")
	other := r.enter(gatehouse.NewID())
	foreign, absent := fail(r.GetFile(r.ctx, other, f.ID)), fail(r.GetFile(r.ctx, other, gatehouse.NewID()))
	if r.want(gatehouse.NotFound, foreign); foreign.Error() != absent.Error() {
		t.Errorf("%v is told from %v", foreign, absent)
	}
	r.want(gatehouse.NotFound, r.DeleteFile(r.ctx, other, f.ID))
	r.want(gatehouse.NotFound, fail(r.RenameFile(r.ctx, other, f.ID, "b")))
	r.want(gatehouse.NotFound, fail(r.PublishFile(r.ctx, other, f.ID, time.Time{})))
	r.want(gatehouse.NotFound, fail2(r.OpenFile(r.ctx, other, f.ID, 0)))
	if files, _, err := r.ListFiles(r.ctx, other, gatehouse.LibraryQuery{}); err != nil || len(files) > 0 {
		t.Errorf("%v %v", files, err)
	}
	r.want(gatehouse.InvalidArgument, fail2(r.ListFiles(r.ctx, other, gatehouse.LibraryQuery{After: f.ID})), "after")
}

// rotten gives other bytes than it was given, or fewer.
type rotten struct {
	blob.Store
	spoil func([]byte) []byte
}

func (b rotten) Open(ctx context.Context, name string, offset int64) (io.ReadCloser, error) {
	body, err := b.Store.Open(ctx, name, offset)
	if err != nil {
		return nil, err
	}
	all, err := io.ReadAll(body)
	return io.NopCloser(bytes.NewReader(b.spoil(all))), err
}

// The last bytes of a file are not handed out before the hash of all is right.
func TestWrongBytesEndInAnError(t *testing.T) {
	for what, spoil := range map[string]func([]byte) []byte{
		"first byte": func(b []byte) []byte { b[0]++; return b },
		"last byte":  func(b []byte) []byte { b[len(b)-1]++; return b },
		"too short":  func(b []byte) []byte { return b[:len(b)-1] },
	} {
		r := newReadingRoom(t, nil)
		r.Blobs = rotten{r.Blobs, spoil}
		f := r.send("a", strings.Repeat("abc", 10_000))
		_, body, err := r.OpenFile(r.ctx, r.who, f.ID, 0)
		r.must(err)
		got, err := io.ReadAll(body)
		if gatehouse.CodeOf(err) != gatehouse.Internal || int64(len(got)) >= f.Size {
			t.Errorf("%s: %d bytes, %v", what, len(got), err)
		}
		if _, err := body.Read(make([]byte, 1)); err == nil || err == io.EOF {
			t.Errorf("%s: the next read says %v", what, err)
		}
	}
}

// Bytes that are uploaded again are kept again when those of before are lost: an
// upload that is acknowledged can be read. Until then it is our fault.
func TestAnUploadBringsLostBytesBack(t *testing.T) {
	r := newReadingRoom(t, nil)
	lost := r.send("a", "words")
	r.must(r.blobs.Delete(r.ctx, lost.Blob))
	r.want(gatehouse.Internal, fail2(r.OpenFile(r.ctx, r.who, lost.ID, 0)))
	if got := r.read(r.send("b", "words").ID, 0); got != "words" {
		t.Error(got)
	}
}

// vanishing takes a blob away at the moment that it is opened, once.
type vanishing struct {
	blob.Store
	meanwhile func()
}

func (b *vanishing) Open(ctx context.Context, name string, offset int64) (io.ReadCloser, error) {
	if f := b.meanwhile; f != nil {
		b.meanwhile = nil
		f()
	}
	return b.Store.Open(ctx, name, offset)
}

// Who opens a file while it changes gets the one that is there then.
func TestAFileThatChangesWhileItIsOpened(t *testing.T) {
	r := newReadingRoom(t, nil)
	c := r.shelf()
	d, err := r.place(c, "a", "old", nil)
	r.must(err)
	up, err := r.StageContent(r.ctx, r.team, gatehouse.NewFile{Name: "a", Content: strings.NewReader("newer")}, 3)
	r.must(err)
	old := d.File.Blob
	b := &vanishing{Store: r.Blobs}
	b.meanwhile = func() {
		r.must(r.do(func(tx store.Tx) error {
			return fail(r.UpdateDocument(tx, c, gatehouse.DocumentUpdate{FileID: d.FileID}, up, r.act("document.updated")))
		}))
		r.must(r.blobs.Delete(r.ctx, old))
	}
	r.Blobs = b
	if got := r.read(d.FileID, 0); got != "newer" {
		t.Error(got)
	}
	b.meanwhile = func() {
		r.must(r.DeleteFile(r.ctx, r.who, d.FileID))
		r.must(r.blobs.Delete(r.ctx, up.blob))
	}
	r.want(gatehouse.NotFound, fail2(r.OpenFile(r.ctx, r.who, d.FileID, 0)), "Cannot find file")
}

// slowly takes a minute to say that it has ended.
type slowly struct{ *readingRoom }

func (s slowly) Read([]byte) (int, error) {
	s.pass(time.Minute)
	return 0, io.EOF
}

// The anchor of expires_after is created_at: what the upload took is not
// taken from the file's life.
func TestAFileLivesFromWhenItIsMade(t *testing.T) {
	r := newReadingRoom(t, nil)
	slow := io.MultiReader(strings.NewReader("x"), slowly{r})
	f, err := r.UploadFile(r.ctx, r.who, gatehouse.NewFile{Name: "a", Content: slow, Life: time.Hour})
	r.must(err)
	if life := f.ExpireTime.Sub(f.CreateTime); life != time.Hour {
		t.Errorf("a file uploaded for an hour lives %s", life)
	}
}

func TestAFileIsGoneWhenItsTimeHasCome(t *testing.T) {
	r := newReadingRoom(t, nil)
	f, err := r.UploadFile(r.ctx, r.who, gatehouse.NewFile{Name: "a", Content: strings.NewReader("x"), Life: time.Hour})
	r.must(err)
	f, err = r.PublishFile(r.ctx, r.who, f.ID, time.Time{})
	r.must(err)
	link := linkOf(t, f)
	r.pass(time.Hour)
	r.want(gatehouse.NotFound, fail(r.GetFile(r.ctx, r.who, f.ID)))
	r.want(gatehouse.NotFound, fail2(r.OpenLink(r.ctx, link)))
	if files, _, err := r.ListFiles(r.ctx, r.who, gatehouse.LibraryQuery{}); err != nil || len(files) > 0 {
		t.Errorf("%v %v", files, err)
	}
}

// linkOf is the token in a file's URL.
func linkOf(t *testing.T, f *gatehouse.File) gatehouse.Token {
	t.Helper()
	text, ok := strings.CutPrefix(f.LinkURL, "https://gate.example/v1/files/public/")
	token, err := gatehouse.ParseToken(gatehouse.DefaultBrand, text)
	if !ok || err != nil {
		t.Fatalf("%q: %v", f.LinkURL, err)
	}
	return token
}

func TestALinkOpensItsFileUntilItEnds(t *testing.T) {
	r := newReadingRoom(t, nil)
	f := r.send("a", "for everybody")
	opens := func(link gatehouse.Token) bool {
		_, body, err := r.OpenLink(r.ctx, link)
		if err != nil {
			r.want(gatehouse.NotFound, err)
			return false
		}
		defer body.Close()
		b, err := io.ReadAll(body)
		return err == nil && string(b) == "for everybody"
	}
	publish := func(expire time.Time) gatehouse.Token {
		p, err := r.PublishFile(r.ctx, r.who, f.ID, expire)
		r.must(err)
		if got, err := r.GetFile(r.ctx, r.who, f.ID); err != nil || got.LinkURL != p.LinkURL || !got.LinkExpire.Equal(expire) {
			t.Errorf("%+v %v", got, err)
		}
		return linkOf(t, p)
	}
	first := publish(time.Time{})
	if !opens(first) || opens(gatehouse.MintToken(gatehouse.DefaultBrand, gatehouse.Link, f.ID)) || opens(gatehouse.MintToken(gatehouse.DefaultBrand, gatehouse.Link, gatehouse.NewID())) {
		t.Error("a link does not open its file, or another token does")
	}
	second := publish(r.clock().Add(time.Hour))
	if opens(first) || !opens(second) {
		t.Error("a new link does not take the place of the old")
	}
	r.pass(time.Hour)
	if got, err := r.GetFile(r.ctx, r.who, f.ID); opens(second) || err != nil || got.LinkURL != "" {
		t.Errorf("a link outlives its time: %+v %v", got, err)
	}
	third := publish(time.Time{})
	r.must(fail(r.UnpublishFile(r.ctx, r.who, f.ID)))
	r.must(fail(r.UnpublishFile(r.ctx, r.who, f.ID)))
	if opens(third) {
		t.Error("a revoked link opens")
	}
	fourth := publish(time.Time{})
	r.must(fail(r.RenameFile(r.ctx, r.who, f.ID, "b")))
	if !opens(fourth) {
		t.Error("a new name ended the link")
	}
	r.putTeam(&gatehouse.Team{ID: r.team, Name: "t", Blocked: true, Billing: gatehouse.BillingMetering, CreateTime: r.clock()})
	if opens(fourth) {
		t.Error("a blocked team's link opens")
	}
	r.want(gatehouse.InvalidArgument, fail(r.PublishFile(r.ctx, r.who, f.ID, r.clock())), "expires_after")
}

// A document that fails in its middle is an error and no text.
func TestTextIsWholeOrNothing(t *testing.T) {
	r := newReadingRoom(t, func(c *Config) { c.Extract = real(t) })
	f := r.send("a.html", "<p>Hello <b>there</b></p>")
	var out bytes.Buffer
	r.must(fail(r.FileText(r.ctx, r.who, f.ID, 0, &out)))
	if strings.TrimSpace(out.String()) != "Hello there" {
		t.Errorf("%q", out.String())
	}
	out.Reset()
	r.want(gatehouse.ResourceExhausted, fail(r.FileText(r.ctx, r.who, f.ID, 3, &out)), "3 bytes")
	bad := r.send("a.pdf", "%PDF-1.7\nnothing of one")
	r.want(gatehouse.InvalidArgument, fail(r.FileText(r.ctx, r.who, bad.ID, 0, &out)))
	if out.Len() > 0 {
		t.Errorf("%q was written", out.String())
	}
}

// Who waits for a turn to extract is told what is so when it comes.
func TestTextOfAFileDeletedMeanwhile(t *testing.T) {
	r := newReadingRoom(t, nil)
	f := r.send("a", "words")
	for range maxReaders {
		r.readers <- struct{}{}
	}
	told := make(chan error, 1)
	go func() { told <- fail(r.FileText(r.ctx, r.who, f.ID, 0, io.Discard)) }()
	for left, err := os.ReadDir(r.Spool); len(left) == 0; left, err = os.ReadDir(r.Spool) {
		r.must(err) // its first look is over when it has a place for the text
	}
	r.must(r.DeleteFile(r.ctx, r.who, f.ID))
	<-r.readers
	r.want(gatehouse.NotFound, <-told, "Cannot find file")
}

func TestASpoolIsEmptiedOfWhatACrashLeft(t *testing.T) {
	at := t.TempDir()
	for _, name := range []string{"spool-1", "mine"} {
		if err := os.WriteFile(at+"/"+name, []byte("x"), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	newReadingRoom(t, func(c *Config) { c.Spool = at })
	if left, err := os.ReadDir(at); err != nil || len(left) != 1 || left[0].Name() != "mine" {
		t.Errorf("%v %v", left, err)
	}
}

func TestALibraryWithoutAPartIsNotMade(t *testing.T) {
	r := newReadingRoom(t, nil)
	for _, spoil := range []func(*Config){
		func(c *Config) { c.Blobs = nil }, func(c *Config) { c.Spool = "" }, func(c *Config) { c.Now = nil },
		func(c *Config) { c.Bounds.Files = -1 }, func(c *Config) { c.Model = "m" },
	} {
		c := r.Config
		spoil(&c)
		if _, err := New(c); err == nil {
			t.Error("a library was made without a part that it needs")
		}
	}
}
