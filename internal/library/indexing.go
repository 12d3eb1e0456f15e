package library

import (
	"cmp"
	"context"
	"errors"
	"io"
	"slices"
	"strings"
	"time"

	"gatehouse"
	"gatehouse/internal/library/chunk"
	"gatehouse/internal/library/extract"
	"gatehouse/internal/library/index"
	"gatehouse/internal/store"
)

// What indexing one document takes of memory does not depend on the document:
// the text goes from the child to the cutter as it comes, the chunks and their
// vectors wait on disk (spill), and the index takes them one at a time. The
// child is the large part, extract.DefaultLimits().Memory, so that there is one
// at a time, however many workers there are.

// A batch is what a model embeds in one call: small enough for every provider,
// and for a lost answer to be cheap.
const (
	batchTexts = 64
	batchBytes = 256 << 10
)

// job is a document that is being indexed.
type job struct {
	*hold
	document   *gatehouse.Document
	collection *gatehouse.Collection
	state      gatehouse.DocumentState // without an IndexTime the store keeps the last
	spill      *spill
}

// index puts the document, as it is now, into the index.
func (h *hold) index() (*gatehouse.DocumentState, error) {
	j := &job{hold: h}
	err := h.s.Store.View(h.ctx, j.read)
	if errors.Is(err, gatehouse.NotFound) || err == nil && past(j.document.File.ExpireTime, h.s.Now()) {
		// Its file or its collection is gone. Dropping it, the sweeper leaves the
		// next task; until then nothing of it shall be found.
		return nil, h.s.Index.DeleteDocument(h.ctx, h.Team, h.Collection, h.File)
	}
	if err != nil {
		return nil, err
	}
	if h.died(j.document.State) {
		return nil, lasting{gatehouse.Errorf(gatehouse.FailedPrecondition, "indexing it was begun %d times and came to no end", h.Attempts)}
	}
	j.state.Problem = j.document.State.Problem // kept until it is done: see died
	if j.spill, err = newSpill(h.s.Spool); err != nil {
		return nil, err
	}
	defer j.spill.close()
	return j.run()
}

// read reads what the job is about.
func (j *job) read(v store.View) (err error) {
	if j.document, err = v.Document(j.Collection, j.File); err == nil {
		j.collection, err = v.Collection(j.Collection)
	}
	return err
}

// run goes through the stages.
func (j *job) run() (*gatehouse.DocumentState, error) {
	if err := j.now(gatehouse.DocumentProcessing); err != nil {
		return nil, err
	}
	if err := j.cut(); err != nil {
		return nil, err
	}
	j.state.Chunks = j.spill.count
	if err := j.now(gatehouse.DocumentChunked); err != nil {
		return nil, err
	}
	if j.collection.Model != "" {
		if err := j.embed(); err != nil {
			return nil, err
		}
	}
	if err := j.now(gatehouse.DocumentWriting); err != nil {
		return nil, err
	}
	if err := j.write(); err != nil {
		return nil, err
	}
	j.state.Problem = ""
	j.state.Status, j.state.IndexTime, j.state.ChunksDone = gatehouse.DocumentProcessed, utc(j.s.Now()), int64(j.state.Chunks)
	return &j.state, nil
}

// now notes that the document has come so far.
func (j *job) now(status gatehouse.DocumentStatus) error {
	j.state.Status = status
	return j.note(&j.state)
}

// cut has the text extracted and cuts it into chunks.
func (j *job) cut() error {
	defer since(&j.s.counts.extracting, time.Now())
	config, err := chunk.Parse("chunk_configuration", j.collection.Chunks)
	if err != nil {
		return lasting{err}
	}
	prefix := config.Prefix(j.document.File.Name, injected(j.collection, j.document))
	cutter := chunk.New(config, func(c chunk.Chunk) error { return j.spill.add(prefix+c.Text, c.Page) })
	err = j.text(func(p extract.Part) error { return cutter.Add(p.Text, max(p.Page, p.Slide)) })
	if err == nil {
		err = cutter.Close()
	}
	if err == nil {
		err = j.spill.flush()
	}
	switch {
	case extract.ClassOf(err) != "":
		return lasting{err}
	case err == nil && j.spill.count == 0:
		return lasting{gatehouse.Errorf(gatehouse.InvalidArgument, "the document has no text; a scan needs text recognition first")}
	}
	j.s.counts.read.Add(j.document.File.Size)
	j.s.counts.text.Add(j.spill.bytes)
	return err
}

// injected are the values that begin every chunk, in the order of their
// definitions.
func injected(c *gatehouse.Collection, d *gatehouse.Document) (values []string) {
	for _, f := range c.Fields {
		if f.Inject {
			values = append(values, d.Fields[f.Key])
		}
	}
	return values
}

// text hands out the document's text. Bytes that are not those that were
// uploaded are no text: the extractor spools them, and stops at their end.
func (j *job) text(yield func(extract.Part) error) error {
	if err := j.turn(); err != nil {
		return err
	}
	defer func() { <-j.s.parsing }()
	file := j.document.File
	body, err := j.s.openBlob(j.ctx, file, 0)
	if errors.Is(err, gatehouse.NotFound) {
		return lasting{gatehouse.Errorf(gatehouse.FailedPrecondition, "stored bytes are missing").Because(err)}
	}
	if err != nil {
		return err
	}
	defer body.Close()
	result, err := j.s.Extract.Extract(j.ctx, extract.Document{Name: file.Name, Type: file.ContentType, Body: body}, yield)
	if err == nil {
		if !result.Isolated {
			j.s.unwalled.Do(func() { j.s.Logger.Warn("documents are read without a wall around them: see docs/security.md") })
		}
		_, err = io.Copy(io.Discard, body) // what nobody read: the hash is of all
	}
	if errors.Is(err, errDamaged) {
		return lasting{gatehouse.Errorf(gatehouse.FailedPrecondition, "stored bytes are damaged").Because(err)}
	}
	return err
}

// turn waits for the one extraction at a time.
func (j *job) turn() error {
	select {
	case j.s.parsing <- struct{}{}:
		return nil
	case <-j.ctx.Done():
		return context.Cause(j.ctx)
	}
}

// embed has the chunks embedded, a batch at a time.
func (j *job) embed() error {
	if j.s.Embed == nil {
		return lasting{gatehouse.Errorf(gatehouse.FailedPrecondition, "the collection embeds with %q, and there is no gateway to embed through: set library.gateway", j.collection.Model)}
	}
	defer since(&j.s.counts.embedding, time.Now())
	if err := j.now(gatehouse.DocumentEmbedding); err != nil {
		return err
	}
	var texts []string
	var done int64
	size := 0
	send := func() error {
		if err := j.batch(texts); err != nil {
			return err
		}
		done += int64(len(texts))
		j.state.ChunksDone, texts, size = done, texts[:0], 0
		return j.now(gatehouse.DocumentEmbedding)
	}
	for text, err := range j.spill.texts() {
		if err == nil && len(texts) > 0 && (len(texts) == batchTexts || size+len(text) > batchBytes) {
			err = send()
		}
		if err != nil {
			return err
		}
		texts, size = append(texts, text), size+len(text)
	}
	return send()
}

// batch keeps the vectors of some texts. One without ink has none: models refuse
// to embed nothing.
func (j *job) batch(texts []string) error {
	asked := make([]string, 0, len(texts))
	for _, t := range texts {
		if strings.TrimSpace(t) != "" {
			asked = append(asked, t)
		}
	}
	var vectors [][]float32
	if len(asked) > 0 {
		var err error
		if vectors, err = j.vectors(asked); err != nil {
			return err
		}
	}
	for _, t := range texts {
		var v []float32
		if strings.TrimSpace(t) != "" {
			v, vectors = vectors[0], vectors[1:]
		}
		if err := j.spill.addVector(v); err != nil {
			return err
		}
	}
	return nil
}

// inPlace is how often a batch is asked for again where others are embedded: the
// whole document would have to be paid for anew. It waits no longer than
// longestHere for that.
const (
	inPlace     = 5
	longestHere = time.Minute
)

// ask has a batch embedded.
func (j *job) ask(texts []string) (vectors [][]float32, err error) {
	for again := 0; ; again++ {
		vectors, err = j.s.Embed.Embed(j.ctx, j.Team, j.collection.Model, texts)
		if err == nil {
			return vectors, nil
		}
		var last lasting
		err = passing(err, gatehouse.Unavailable, gatehouse.DeadlineExceeded, gatehouse.ResourceExhausted, gatehouse.Conflict)
		wait := pause(again, err)
		if errors.As(err, &last) || j.state.ChunksDone == 0 || again == inPlace || wait > longestHere || j.ctx.Err() != nil {
			return nil, err
		}
		j.wait(wait)
	}
}

// vectors asks the model, and sees that its answer is one.
func (j *job) vectors(texts []string) ([][]float32, error) {
	model := j.collection.Model
	vectors, err := j.ask(texts)
	if err != nil {
		return nil, err
	}
	if len(vectors) != len(texts) {
		return nil, lasting{gatehouse.Errorf(gatehouse.FailedPrecondition, "the model %q gave %d vectors for %d chunks", model, len(vectors), len(texts))}
	}
	for _, v := range vectors {
		if len(v) == 0 || len(v) != cmp.Or(j.spill.dimension, len(v)) {
			return nil, lasting{gatehouse.Errorf(gatehouse.FailedPrecondition, "the model %q gave vectors of different dimensions", model)}
		}
		if j.spill.dimension == 0 {
			if err := j.agree(len(v)); err != nil {
				return nil, err
			}
		}
	}
	return vectors, nil
}

// agree sees at the first vector that the collection has others like it: what
// cannot be kept is not paid for.
func (j *job) agree(dimension int) error {
	err := j.s.Index.PutCollection(j.ctx, j.Team, index.Collection{ID: j.Collection, Metric: index.Metric(j.collection.Metric), Dimension: dimension})
	if errors.Is(err, gatehouse.FailedPrecondition) || errors.Is(err, gatehouse.InvalidArgument) {
		return lasting{gatehouse.Errorf(gatehouse.FailedPrecondition, "the model %q gives vectors of %d dimensions now: %s", j.collection.Model, dimension, gatehouse.Public(err)).Because(err)}
	}
	j.spill.dimension = dimension
	return err
}

// write puts the document into the index, whole.
func (j *job) write() error {
	defer since(&j.s.counts.writing, time.Now())
	err := j.s.Index.PutCollection(j.ctx, j.Team, index.Collection{ID: j.Collection, Metric: index.Metric(j.collection.Metric)})
	if err == nil {
		f := j.document.File
		d := index.Document{ID: f.ID, Name: f.Name, ContentType: f.ContentType, Size: f.Size, Created: f.CreateTime, Fields: j.document.Fields, Generation: j.document.Generation}
		err = j.s.Index.PutDocument(j.ctx, j.Team, j.Collection, d, j.spill.chunks())
	}
	// NotFound: the collection was taken out a moment ago; the next look says so.
	return passing(err, gatehouse.Unavailable, gatehouse.DeadlineExceeded, gatehouse.NotFound, gatehouse.Conflict)
}

// passing makes err lasting unless it is nil, unclassified or of one of codes.
func passing(err error, codes ...gatehouse.Code) error {
	code := gatehouse.CodeOf(err)
	if err == nil || code == gatehouse.Internal || slices.Contains(codes, code) {
		return err
	}
	return lasting{err}
}
