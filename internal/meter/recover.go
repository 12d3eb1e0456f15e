package meter

import (
	"cmp"
	"io"
	"os"
	"path/filepath"
	"slices"
)

// recover finds the segments of earlier incarnations and makes a stream of
// each. It returns the newest incarnation seen. Files that never took a header
// (spares) and files of this format that do not check from their first byte on
// hold nothing that anybody was promised; the former are removed, the latter
// are put aside for a person to look at.
func (j *Journal) recover() (newest int64, err error) {
	names, err := os.ReadDir(j.dir)
	if err != nil {
		return 0, err
	}
	found := map[int64][]*span{}
	for _, n := range names {
		incarnation, seq, ok := parseSegmentName(n.Name())
		if !ok {
			continue
		}
		newest = max(newest, incarnation)
		path := filepath.Join(j.dir, n.Name())
		sp, err := openSpan(path, incarnation, seq)
		if err != nil {
			return 0, err
		}
		if sp != nil {
			found[incarnation] = append(found[incarnation], sp)
		}
	}
	for incarnation, spans := range found {
		slices.SortFunc(spans, func(a, b *span) int { return cmp.Compare(a.seq, b.seq) })
		s := newStream(spans[0].gateway, incarnation)
		s.spans, s.dead = spans, true
		j.old = append(j.old, s)
	}
	slices.SortFunc(j.old, func(a, b *stream) int { return cmp.Compare(a.incarnation, b.incarnation) })
	return newest, j.rememberObjects()
}

// openSpan reads a segment's header. nil means that the file is out of the way.
func openSpan(path string, incarnation, seq int64) (*span, error) {
	f, err := os.Open(path)
	if err != nil {
		return nil, err
	}
	defer f.Close()
	head := make([]byte, 128)
	n, err := io.ReadFull(f, head)
	if err != nil && err != io.ErrUnexpectedEOF && err != io.EOF {
		return nil, err
	}
	gateway, inc, base, ok := decodeSegment(head[:n])
	if ok && inc == incarnation {
		st, err := f.Stat()
		if err != nil {
			return nil, err
		}
		return &span{seq: seq, path: path, base: base, limit: st.Size(), gateway: gateway}, nil
	}
	for _, c := range head[:n] {
		if c != 0 {
			return nil, os.Rename(path, path+".damaged")
		}
	}
	return nil, os.Remove(path)
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
