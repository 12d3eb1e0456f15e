package verify

import (
	"bytes"
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"strings"
	"time"

	"google.golang.org/grpc"
	"google.golang.org/grpc/metadata"
	"google.golang.org/grpc/status"

	"gatehouse"
	"gatehouse/client"
	"gatehouse/gen/collections"
	"gatehouse/gen/xai"
)

// presence is what the installation has said of something.
type presence int

const (
	never presence = iota
	here
	gone
	doubt // the answer to the last question never came
)

// version is a content that a file has, had, or may have.
type version struct {
	word   string // that nothing else has; empty: of what no text can be read from
	sha256 string
}

// paper is a file that was acknowledged, and what became of it.
type paper struct {
	id         gatehouse.ID
	collection gatehouse.ID // where it is a document, or was
	owned      bool         // came through the collection, and goes with it
	versions   []version    // the last was asked for last; which it is, is in doubt where there are several
	past       []string     // words of versions that are no more
	file       presence
	document   presence
	sure       bool // nothing of it is in doubt
	seen       bool // at a check, since it last changed
}

// clerk works on papers of its own.
type clerk struct {
	*desk
	files            *client.Files
	management       *client.Client
	gateway, control *grpc.ClientConn
	keys             [2]string // for the gateway, and for control
	random           *rand.Rand
	papers           []*paper
	ended            []gatehouse.ID // collections whose deletion was acknowledged
}

// work does one thing.
func (c *clerk) work() {
	old := c.pick()
	switch n := c.random.IntN(12); {
	case n < 5 || old == nil:
		c.bring(c.collections[c.random.IntN(len(c.collections))])
	case n == 5:
		c.wholeCollection()
	case old.document == here:
		[]func(*paper){c.change, c.change, c.rename, c.reindex, c.remove, c.delete, c.look}[c.random.IntN(7)](old)
	default:
		[]func(*paper){c.add, c.add, c.delete, c.look}[c.random.IntN(4)](old)
	}
}

// pick is a paper of which everything is known and something is there.
func (c *clerk) pick() *paper {
	for range 10 {
		if len(c.papers) == 0 {
			return nil
		}
		if p := c.papers[c.random.IntN(len(c.papers))]; p.sure && p.file == here {
			return p
		}
	}
	return nil
}

// write makes a content with a word of its own. One in twenty cannot be read.
func (c *clerk) write(most int) (version, []byte) {
	word := make([]byte, 16)
	for i := range word {
		word[i] = "bcdfghjklmnpqrtvwxz"[c.random.IntN(19)]
	}
	text := []byte("This is about " + string(word) + ".\n")
	for size := 200 + c.random.IntN(most); len(text) < size; {
		text = append(text, "The archive keeps what was written, and nobody has to remember where. "...)
	}
	v := version{word: string(word)}
	if c.random.IntN(20) == 0 {
		v.word, text = "", append([]byte("%PDF-1.7\n"), text...)
	}
	sum := sha256.Sum256(text)
	v.sha256 = hex.EncodeToString(sum[:])
	return v, text
}

// bring uploads something through one of the doors, and puts it into a
// collection.
func (c *clerk) bring(collection gatehouse.ID) *paper {
	size := 30_000
	if c.random.IntN(10) == 0 {
		size = 1_000_000
	}
	v, text := c.write(size)
	p := &paper{collection: collection, versions: []version{v}, sure: true}
	door := c.random.IntN(4)
	p.owned = door >= 2
	upload := []func(context.Context, *paper, []byte) error{c.sendFile, c.streamFile, c.sendDocument, c.callDocument}[door]
	end := c.ask([]string{"upload", "upload by gRPC", "document", "document by gRPC"}[door], func(ctx context.Context) error { return upload(ctx, p, text) })
	if end != done {
		return nil // nobody has its id: the sweeper's, or a file of the team for ever
	}
	c.papers = append(c.papers, p)
	p.file = here
	if p.owned {
		p.document = here
	} else {
		c.add(p)
	}
	return p
}

func (c *clerk) sendFile(ctx context.Context, p *paper, text []byte) error {
	f, err := c.files.UploadFile(ctx, "paper.txt", bytes.NewReader(text), 0)
	if err == nil {
		p.id = f.ID
	}
	return err
}

func (c *clerk) streamFile(ctx context.Context, p *paper, text []byte) error {
	stream, err := xai.NewFilesClient(c.gateway).UploadFile(metadata.AppendToOutgoingContext(ctx, "authorization", "Bearer "+c.keys[0]))
	if err != nil {
		return err
	}
	err = stream.Send(&xai.UploadFileChunk{Chunk: &xai.UploadFileChunk_Init{Init: &xai.UploadFileInit{Name: "paper.txt"}}})
	for len(text) > 0 && err == nil {
		n := min(len(text), 64<<10)
		err = stream.Send(&xai.UploadFileChunk{Chunk: &xai.UploadFileChunk_Data{Data: text[:n]}})
		text = text[n:]
	}
	f, err := stream.CloseAndRecv() // of a stream that ended, this says why
	if err == nil {
		p.id, err = gatehouse.ParseID(strings.TrimPrefix(f.Id, "file_"))
	}
	return err
}

func (c *clerk) sendDocument(ctx context.Context, p *paper, text []byte) error {
	d, err := c.management.UploadDocument(ctx, p.collection, gatehouse.NewFile{Name: "paper.txt", Content: bytes.NewReader(text)}, nil)
	if err == nil {
		p.id = d.FileID
	}
	return err
}

func (c *clerk) callDocument(ctx context.Context, p *paper, text []byte) error {
	d, err := collections.NewCollectionsClient(c.control).UploadDocument(metadata.AppendToOutgoingContext(ctx, "authorization", "Bearer "+c.keys[1]),
		&collections.UploadDocumentRequest{CollectionId: "collection_" + p.collection.String(), Name: "paper.txt", Data: text, ContentType: "text/plain"})
	if err == nil {
		p.id, err = gatehouse.ParseID(strings.TrimPrefix(d.FileMetadata.FileId, "file_"))
	}
	return err
}

// outcome is what is known of a question that was asked.
type outcome int

const (
	done outcome = iota
	lost         // it may have been done: its answer never came
	unsent
)

// ask asks. None of the questions here may be refused for good.
func (c *clerk) ask(what string, f func(context.Context) error) outcome {
	c.running.Add(1)
	ctx, cancel := context.WithTimeout(c.t.Context(), 30*time.Second)
	err := f(ctx)
	cancel()
	c.running.Add(-1)
	if err != nil && !doubtful(err) {
		c.t.Errorf("%s is refused: %v", what, err)
	}
	c.mu.Lock()
	if err != nil {
		c.tally[fmt.Sprintf("%s: %s", what, codeOf(err))]++
	} else {
		c.tally[what+" ok"]++
	}
	c.mu.Unlock()
	if err != nil {
		time.Sleep(20 * time.Millisecond) // nobody may be there for a while
	}
	switch {
	case err == nil:
		return done
	case strings.Contains(err.Error(), "connection refused"):
		return unsent
	}
	return lost
}

func codeOf(err error) gatehouse.Code {
	if s, ok := status.FromError(err); ok && s != nil {
		return gatehouse.Code(strings.ToLower(s.Code().String()))
	}
	return gatehouse.CodeOf(err)
}

// doubtful says of an error that nobody knows what was done.
func doubtful(err error) bool {
	if errors.Is(err, context.DeadlineExceeded) || errors.Is(err, io.ErrUnexpectedEOF) {
		return true
	}
	switch strings.ReplaceAll(strings.ToLower(string(codeOf(err))), "_", "") {
	case "unavailable", "deadlineexceeded", "canceled", "cancelled", "unknown", "internal":
		return true
	}
	return false
}

// becomes notes what a question made of a paper.
func (p *paper) becomes(end outcome, to presence, of ...*presence) {
	switch end {
	case unsent:
		return
	case lost:
		p.sure, to = false, doubt
	}
	p.seen = false
	for _, x := range of {
		*x = to
	}
}

func (c *clerk) add(p *paper) {
	end := c.ask("add", func(ctx context.Context) error {
		return c.management.AddDocument(ctx, gatehouse.ID{}, p.collection, p.id, nil)
	})
	p.becomes(end, here, &p.document)
}

func (c *clerk) remove(p *paper) {
	end := c.ask("remove", func(ctx context.Context) error {
		return c.management.RemoveDocument(ctx, gatehouse.ID{}, p.collection, p.id)
	})
	p.becomes(end, gone, &p.document)
	if p.owned {
		p.becomes(end, gone, &p.file)
	}
}

func (c *clerk) delete(p *paper) {
	end := c.ask("delete", func(ctx context.Context) error { return c.files.DeleteFile(ctx, p.id) })
	p.becomes(end, gone, &p.file, &p.document)
}

func (c *clerk) change(p *paper) {
	v, text := c.write(20_000)
	end := c.ask("change", func(ctx context.Context) error {
		_, err := c.management.UpdateDocument(ctx, gatehouse.DocumentUpdate{CollectionID: p.collection, FileID: p.id, Content: bytes.NewReader(text)})
		return err
	})
	p.becomes(end, here)
	if end == done {
		for _, old := range p.versions {
			p.past = append(p.past, old.word)
		}
		p.versions = nil
	}
	if end != unsent {
		p.versions = append(p.versions, v)
	}
}

func (c *clerk) rename(p *paper) {
	end := c.ask("rename", func(ctx context.Context) error {
		_, err := c.management.UpdateDocument(ctx, gatehouse.DocumentUpdate{CollectionID: p.collection, FileID: p.id, Name: gatehouse.Some("renamed.txt")})
		return err
	})
	p.becomes(end, here)
}

func (c *clerk) reindex(p *paper) {
	end := c.ask("reindex", func(ctx context.Context) error {
		return c.management.ReindexDocument(ctx, gatehouse.ID{}, p.collection, p.id)
	})
	p.becomes(end, here)
}

// look reads what is there, in the middle of everything.
func (c *clerk) look(p *paper) {
	c.ask("look", func(ctx context.Context) error {
		got, err := c.hash(ctx, p.id)
		if err == nil && got != p.versions[0].sha256 {
			c.t.Errorf("file %s has other bytes: %s, not %s", p.id, got, p.versions[0].sha256)
		}
		return err
	})
}

// hash is the SHA-256 of what a file says it has.
func (c *clerk) hash(ctx context.Context, id gatehouse.ID) (string, error) {
	body, err := c.files.OpenFile(ctx, id, false)
	if err != nil {
		return "", err
	}
	defer body.Close()
	sum := sha256.New()
	_, err = io.Copy(sum, body)
	return hex.EncodeToString(sum.Sum(nil)), err
}

// wholeCollection makes a collection, fills it and deletes it.
func (c *clerk) wholeCollection() {
	var made gatehouse.ID
	end := c.ask("collection", func(ctx context.Context) error {
		v, err := c.management.CreateCollection(ctx, &gatehouse.Collection{Name: "short-lived"})
		if err == nil {
			made = v.ID
		}
		return err
	})
	if end != done {
		return
	}
	in := []*paper{c.bring(made), c.bring(made)}
	end = c.ask("delete collection", func(ctx context.Context) error { return c.management.DeleteCollection(ctx, gatehouse.ID{}, made) })
	if end == done {
		c.ended = append(c.ended, made)
	}
	for _, p := range in {
		if p == nil {
			continue
		}
		of := []*presence{&p.document}
		if p.owned {
			of = append(of, &p.file)
		}
		p.becomes(end, gone, of...)
		if end == done && !p.owned { // the file stays, and can be put elsewhere
			p.collection, p.document = c.collections[0], never
		}
	}
}
