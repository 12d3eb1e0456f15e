package library

import (
	"bufio"
	"encoding/binary"
	"fmt"
	"io"
	"iter"
	"math"
	"os"

	"gatehouse"
	"gatehouse/internal/library/index"
)

const (
	// maxText is how many bytes all chunks of a document may have: its text twice,
	// as overlaps make of it, and as much again for what is put before them.
	maxText = 512 << 20
	// maxVectors is how many bytes its vectors may have.
	maxVectors = 4 << 30
)

// spill is a document's chunks while they wait on disk. Its files have no name,
// so that nothing is left of them whatever happens.
type spill struct {
	chunk, vector  *os.File
	out, vectorOut *bufio.Writer
	count          int
	bytes          int64 // of the chunks' texts
	dimension      int   // of the vectors; 0: there is none yet
	vectorBytes    int64
}

func newSpill(dir string) (*spill, error) {
	p := &spill{}
	var err error
	if p.chunk, p.out, err = unnamed(dir); err != nil {
		return nil, err
	}
	if p.vector, p.vectorOut, err = unnamed(dir); err != nil {
		p.chunk.Close()
		return nil, err
	}
	return p, nil
}

func unnamed(dir string) (*os.File, *bufio.Writer, error) {
	f, err := os.CreateTemp(dir, spooled)
	if err != nil {
		return nil, nil, fmt.Errorf("spool: %w", err)
	}
	_ = os.Remove(f.Name()) // it lives as long as it is open
	return f, bufio.NewWriterSize(f, 64<<10), nil
}

func (p *spill) close() {
	p.chunk.Close()
	p.vector.Close()
}

// add keeps a chunk: page, length, text.
func (p *spill) add(text string, page int) error {
	p.count++
	p.bytes += int64(len(text))
	switch {
	case p.count > index.MaxChunks:
		return lasting{gatehouse.Errorf(gatehouse.ResourceExhausted, "the document has more than %d chunks: make them larger", index.MaxChunks)}
	case len(text) > index.MaxChunk:
		return lasting{gatehouse.Errorf(gatehouse.ResourceExhausted, "a chunk with what is put before it is larger than %d KiB: make chunks smaller, or inject less", index.MaxChunk>>10)}
	case p.bytes > maxText:
		return lasting{gatehouse.Errorf(gatehouse.ResourceExhausted, "the document's chunks have more than %d MiB: make them larger, or inject less", maxText>>20)}
	}
	var head [8]byte
	binary.LittleEndian.PutUint32(head[:4], uint32(page))
	binary.LittleEndian.PutUint32(head[4:], uint32(len(text)))
	if _, err := p.out.Write(head[:]); err != nil {
		return err
	}
	_, err := p.out.WriteString(text)
	return err
}

// addVector keeps the next chunk's vector, nil for none: length, components.
func (p *spill) addVector(v []float32) error {
	if p.vectorBytes += 4 + 4*int64(len(v)); p.vectorBytes > maxVectors {
		return lasting{gatehouse.Errorf(gatehouse.ResourceExhausted, "the document's vectors have more than %d GiB: make its chunks larger", maxVectors>>30)}
	}
	b := binary.LittleEndian.AppendUint32(p.vectorOut.AvailableBuffer(), uint32(len(v)))
	for _, x := range v {
		b = binary.LittleEndian.AppendUint32(b, math.Float32bits(x))
	}
	_, err := p.vectorOut.Write(b)
	return err
}

// flush makes what was added readable.
func (p *spill) flush() error {
	if err := p.out.Flush(); err != nil {
		return err
	}
	return p.vectorOut.Flush()
}

// texts are the chunks' texts in order.
func (p *spill) texts() iter.Seq2[string, error] {
	return func(yield func(string, error) bool) {
		in := reading(p.chunk)
		for range p.count {
			c, err := readChunk(in)
			if !yield(c.Text, err) || err != nil {
				return
			}
		}
	}
}

// chunks are the chunks with their vectors, where there are any.
func (p *spill) chunks() iter.Seq2[index.Chunk, error] {
	return func(yield func(index.Chunk, error) bool) {
		if err := p.flush(); err != nil {
			yield(index.Chunk{}, err)
			return
		}
		in, vectors := reading(p.chunk), reading(p.vector)
		for range p.count {
			c, err := readChunk(in)
			if err == nil && p.vectorBytes > 0 {
				c.Vector, err = readVector(vectors)
			}
			if !yield(c, err) || err != nil {
				return
			}
		}
	}
}

func reading(f *os.File) *bufio.Reader {
	return bufio.NewReaderSize(io.NewSectionReader(f, 0, math.MaxInt64), 64<<10)
}

func readChunk(in io.Reader) (index.Chunk, error) {
	var head [8]byte
	if _, err := io.ReadFull(in, head[:]); err != nil {
		return index.Chunk{}, err
	}
	text := make([]byte, binary.LittleEndian.Uint32(head[4:]))
	_, err := io.ReadFull(in, text)
	return index.Chunk{Text: string(text), Page: int(binary.LittleEndian.Uint32(head[:4]))}, err
}

func readVector(in io.Reader) ([]float32, error) {
	var head [4]byte
	if _, err := io.ReadFull(in, head[:]); err != nil {
		return nil, err
	}
	raw := make([]byte, 4*binary.LittleEndian.Uint32(head[:]))
	if len(raw) == 0 {
		return nil, nil
	}
	_, err := io.ReadFull(in, raw)
	v := make([]float32, len(raw)/4)
	for i := range v {
		v[i] = math.Float32frombits(binary.LittleEndian.Uint32(raw[4*i:]))
	}
	return v, err
}
