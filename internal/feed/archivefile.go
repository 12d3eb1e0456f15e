package feed

import (
	"encoding/binary"
	"errors"
	"io"
	"os"
	"time"

	"gatehouse/internal/durable"

	"gatehouse"
)

// A frame is a signed batch on disk: the lengths of payload and signature, when
// the poll was sent that it answered by the gateway's clock, and both. It needs
// no checksum, since the signature is one. The time is not signed, and is
// believed only where it says less than the signed one.
const frameHead = 4 + 4 + 8

// maxSignature bounds what a damaged length can make us allocate.
const maxSignature = 1 << 10

func writeFrame(w io.Writer, s Signed, sent time.Time) (int64, error) {
	out := make([]byte, 0, frameHead+len(s.Payload)+len(s.Signature))
	out = binary.BigEndian.AppendUint32(out, uint32(len(s.Payload)))
	out = binary.BigEndian.AppendUint32(out, uint32(len(s.Signature)))
	out = binary.BigEndian.AppendUint64(out, uint64(sent.UnixNano()))
	out = append(append(out, s.Payload...), s.Signature...)
	n, err := w.Write(out)
	return int64(n), err
}

// frame is one that was read.
type frame struct {
	Signed
	sent time.Time
	size int64
}

// errTorn is a frame that is not whole: where a file was cut off, or garbage.
var errTorn = errors.New("feed: torn frame")

// readFrame returns io.EOF at a clean end.
func readFrame(r io.Reader) (frame, error) {
	var head [frameHead]byte
	if _, err := io.ReadFull(r, head[:]); err != nil {
		if errors.Is(err, io.ErrUnexpectedEOF) {
			err = errTorn
		}
		return frame{}, err
	}
	payload, sig := binary.BigEndian.Uint32(head[:]), binary.BigEndian.Uint32(head[4:])
	if payload > MaxPayload || sig > maxSignature {
		return frame{}, errTorn
	}
	body := make([]byte, payload+sig)
	if _, err := io.ReadFull(r, body); err != nil {
		return frame{}, errTorn
	}
	return frame{
		Signed: Signed{body[:payload:payload], body[payload:]},
		sent:   time.Unix(0, int64(binary.BigEndian.Uint64(head[8:]))),
		size:   frameHead + int64(len(body)),
	}, nil
}

// graveLen is a key's id and the revision of its deletion.
const graveLen = 16 + 8 + 8

// bury writes the graves of r.
func (a *Archive) bury(r *Replica) error {
	graves := r.graves()
	if len(graves) == 0 {
		return nil
	}
	out := make([]byte, 0, len(graves)*graveLen)
	for id, at := range graves {
		out = append(out, id[:]...)
		out = binary.BigEndian.AppendUint64(out, uint64(at.Epoch))
		out = binary.BigEndian.AppendUint64(out, uint64(at.N))
	}
	return durable.Replace(a.path(gravesFile), out, 0o600)
}

// exhume reads them; none is no error.
func (a *Archive) exhume() (map[gatehouse.ID]gatehouse.Revision, error) {
	in, err := os.ReadFile(a.path(gravesFile))
	if errors.Is(err, os.ErrNotExist) {
		return nil, nil
	}
	if err != nil || len(in)%graveLen != 0 {
		return nil, errors.Join(errors.New("feed: the graves cannot be read"), err)
	}
	out := make(map[gatehouse.ID]gatehouse.Revision, len(in)/graveLen)
	for ; len(in) > 0; in = in[graveLen:] {
		out[gatehouse.ID(in[:16])] = gatehouse.Revision{
			Epoch: int64(binary.BigEndian.Uint64(in[16:])), N: int64(binary.BigEndian.Uint64(in[24:])),
		}
	}
	return out, nil
}
