package meter

import (
	"cmp"
	"io"
	"os"
	"path/filepath"
	"slices"
)

// recover makes a stream of each earlier incarnation and returns the newest
// one seen. Files that hold nothing that anybody was promised go out of the
// way: spares and segments without a frame are removed, and those that do not
// check from their first byte on are put aside for a person to look at.
func (j *Journal) recover() (newest int64, err error) {
	found, err := scanDir(j.dir)
	if err != nil {
		return 0, err
	}
	for _, path := range found.empty {
		if err := os.Remove(path); err != nil {
			return 0, err
		}
	}
	for _, path := range found.foreign {
		if err := os.Rename(path, path+damagedSuffix); err != nil {
			return 0, err
		}
	}
	j.old = found.streams
	return found.newest, j.rememberObjects()
}

// scanned is what a journal's directory holds.
type scanned struct {
	streams []*stream // of dead incarnations, oldest first
	newest  int64
	empty   []string // segments that hold no record
	foreign []string // segments that do not check from their first byte on
}

// scanDir looks at a directory and changes nothing in it.
func scanDir(dir string) (out scanned, err error) {
	names, err := os.ReadDir(dir)
	if err != nil {
		return out, err
	}
	found := map[int64][]*span{}
	for _, n := range names {
		incarnation, seq, ok := parseSegmentName(n.Name())
		if !ok {
			continue
		}
		out.newest = max(out.newest, incarnation)
		path := filepath.Join(dir, n.Name())
		sp, state, err := openSpan(path, incarnation, seq)
		switch {
		case err != nil:
			return out, err
		case state == frameEnd:
			out.empty = append(out.empty, path)
		case state == frameBad:
			out.foreign = append(out.foreign, path)
		default:
			found[incarnation] = append(found[incarnation], sp)
		}
	}
	for incarnation, spans := range found {
		slices.SortFunc(spans, func(a, b *span) int { return cmp.Compare(a.seq, b.seq) })
		s := newStream(spans[0].gateway, incarnation)
		s.spans, s.dead = spans, true
		out.streams = append(out.streams, s)
	}
	slices.SortFunc(out.streams, func(a, b *stream) int { return cmp.Compare(a.incarnation, b.incarnation) })
	return out, nil
}

// openSpan reads a segment's beginning. frameEnd means that there is no frame,
// or none but the header: a gateway that starts over and over with a full
// journal must not fill it with these.
func openSpan(path string, incarnation, seq int64) (*span, frameState, error) {
	f, err := os.Open(path)
	if err != nil {
		return nil, 0, err
	}
	defer f.Close()
	head := make([]byte, 128)
	n, err := io.ReadFull(f, head)
	if err != nil && err != io.ErrUnexpectedEOF && err != io.EOF {
		return nil, 0, err
	}
	head = head[:n]
	gateway, inc, base, ok := decodeSegment(head)
	if !ok || inc != incarnation {
		if slices.ContainsFunc(head, func(c byte) bool { return c != 0 }) {
			return nil, frameBad, nil
		}
		return nil, frameEnd, nil
	}
	st, err := f.Stat()
	if err != nil {
		return nil, 0, err
	}
	if _, _, next := parseFrame(head[segmentHead:], incarnation, base+int64(segmentHead)); next == frameEnd {
		return nil, frameEnd, nil
	}
	return &span{seq: seq, path: path, base: base, limit: st.Size(), gateway: gateway}, frameGood, nil
}

// rememberObjects reads the old streams once for the objects in them, on
// streams of its own, so that ownership is known before the first request.
func (j *Journal) rememberObjects() error {
	for _, s := range j.old {
		scan := newStream(s.gateway, s.incarnation)
		scan.spans, scan.dead = s.spans, true
		for {
			b, err := scan.read(1 << 10)
			if err != nil {
				return err
			}
			if b == nil {
				break
			}
			for _, o := range b.Objects {
				j.objects.add(o)
			}
		}
		scan.close()
	}
	return nil
}
