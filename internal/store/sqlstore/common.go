package sqlstore

import (
	"context"
	"database/sql"
	"encoding/binary"
	"math/bits"
	"slices"
	"strings"
	"sync"

	"gatehouse"
	"gatehouse/internal/audit"
	"gatehouse/internal/store"
)

// Two words that are in every other event and never in the same one make an
// index of words read both lists to the end, whatever piece of the log was asked
// for. So the log is cut into blocks, and for each full block and each word that
// is common in it there is a bitmap of the leaves that hold it. Where every word
// of a search is common, the AND of bitmaps answers; elsewhere some word is rare,
// and the index is asked for that one alone. What is not yet in a full block is
// few leaves, which are read. A full block never changes, so its bitmaps are made
// once, later, from the log.

const (
	// blockLeaves bounds what is read of an unfinished block.
	blockLeaves = 1 << 11
	// commonFrom is how many leaves of a block a common word is in, and so one
	// more than a search takes from the index for a rare one.
	commonFrom = 16
	// commonRows bounds the rows of one transaction.
	commonRows = 128

	selectBits   query = `SELECT block, bits FROM audit_common WHERE word = ? AND block >= ? AND block < ?`
	insertBits   query = `INSERT INTO audit_common (word, block, bits) VALUES (?, ?, ?) ON CONFLICT DO NOTHING`
	selectFiled  query = `SELECT COALESCE(MAX(block) + 1, 0) FROM audit_common WHERE word = ''`
	selectBlock  query = `SELECT body, personal FROM audit WHERE idx >= ? AND idx < ? ORDER BY idx`
	selectLeafAt query = `SELECT body, personal FROM audit WHERE idx = ?`
)

// librarian files blocks, one goroutine at a time.
type librarian struct {
	mu   sync.Mutex
	busy bool
	done sync.WaitGroup
}

// fileBlocks files what is full, in the background.
func (s *Store) fileBlocks() {
	if !s.d.Blocks {
		return
	}
	s.librarian.mu.Lock()
	defer s.librarian.mu.Unlock()
	select {
	case <-s.quit:
		return
	default:
	}
	if s.librarian.busy {
		return
	}
	s.librarian.busy = true
	s.librarian.done.Go(func() {
		for more, err := true, error(nil); more; {
			if more, err = s.fileBlock(store.System(context.Background())); err != nil {
				more = false // the next full block asks again
			}
		}
		s.librarian.mu.Lock()
		defer s.librarian.mu.Unlock()
		s.librarian.busy = false
	})
}

// fileBlock files the next full block, if there is one.
func (s *Store) fileBlock(ctx context.Context) (more bool, err error) {
	select {
	case <-s.quit:
		return false, nil
	default:
	}
	var block int64
	var found map[string][]byte
	ran, err := s.idleView(ctx, func(v *view) (err error) {
		tree, err := v.Tree()
		if err == nil {
			block, err = v.filed()
		}
		if err != nil || (block+1)*blockLeaves > tree.Size {
			return err
		}
		found, err = v.commonWords(block)
		return err
	})
	if !ran || err != nil || found == nil {
		return false, err
	}
	words := make([]string, 0, len(found)+1)
	for w := range found {
		words = append(words, w)
	}
	slices.Sort(words)
	// The empty word comes last and says that the block is filed.
	for part := range slices.Chunk(append(words, ""), commonRows) {
		err := s.perform(ctx, func(w *session) error {
			for _, word := range part {
				if _, err := w.exec(insertBits, word, block, append([]byte{}, found[word]...)); err != nil {
					return failed(err)
				}
			}
			return nil
		})
		if err != nil {
			return false, err
		}
	}
	return true, nil
}

// filed is how many blocks have their bitmaps.
func (v *view) filed() (blocks int64, err error) {
	_, err = v.sess.one(selectFiled, nil, &blocks)
	return blocks, failed(err)
}

// commonWords makes the bitmaps of a block: of markers, and of every prefix of
// a word, since searches are for prefixes.
func (v *view) commonWords(block int64) (map[string][]byte, error) {
	lists, at := map[string][]uint16{}, 0
	err := v.sess.each(v.ctx, selectBlock, []any{block * blockLeaves, (block + 1) * blockLeaves}, func(rows *sql.Rows) (bool, error) {
		var body, personal []byte
		if err := rows.Scan(&body, &personal); err != nil {
			return false, err
		}
		// What does not decode is never shown, so it need not be found.
		if e, err := audit.Decode(body, personal); err == nil {
			for _, w := range strings.Fields(words(e)) {
				first := 1
				if strings.HasPrefix(w, "zz") {
					first = len(w)
				}
				for n := first; n <= len(w); n++ {
					if l := lists[w[:n]]; len(l) == 0 || l[len(l)-1] != uint16(at) {
						lists[w[:n]] = append(l, uint16(at))
					}
				}
			}
		}
		at++
		return true, nil
	})
	if err == nil && at != blockLeaves {
		err = damagedLeaf(block*blockLeaves+int64(at), "is missing")
	}
	out := map[string][]byte{}
	for w, list := range lists {
		if len(list) < commonFrom {
			continue
		}
		set := make([]byte, blockLeaves/8)
		for _, leaf := range list {
			set[leaf/8] |= 1 << (leaf % 8)
		}
		out[w] = set
	}
	return out, failed(err)
}

// sifting is one search.
type sifting struct {
	Match
	words []string
	sets  []map[int64][]byte // by word, then by block
	filed int64              // blocks
}

// sift searches with bitmaps.
func (v *view) sift(f gatehouse.EventFilter, m Match) (out []gatehouse.Event, err error) {
	x := &sifting{Match: m, words: slices.Concat(m.Prefixes, m.Exact)}
	if x.filed, err = v.filed(); err != nil {
		return nil, err
	}
	for _, word := range x.words {
		set, err := v.bitmaps(word, m.Low/blockLeaves, min(x.filed, m.High/blockLeaves+1))
		if err != nil {
			return nil, err
		}
		x.sets = append(x.sets, set)
	}
	for _, s := range x.stretches() {
		if err == nil && len(out) < f.Limit {
			err = v.through(f, x, s, &out)
		}
	}
	return out, err
}

func (v *view) bitmaps(word string, low, high int64) (map[int64][]byte, error) {
	set := map[int64][]byte{}
	err := v.sess.each(v.ctx, selectBits, []any{word, low, high}, func(rows *sql.Rows) (bool, error) {
		var block int64
		var b []byte
		err := rows.Scan(&block, &b)
		if len(b) == blockLeaves/8 {
			set[block] = b
		}
		return true, err
	})
	return set, failed(err)
}

// stretch is a piece of the log: one block in which all words are common, some
// blocks in which a certain word is rare, or what is not filed.
type stretch struct {
	low, high int64
	kind      int // the number of the rare word, or one of those below
}

const (
	allCommon = -1
	notFiled  = -2
)

// stretches cuts the log into pieces, in the order of the search.
func (x *sifting) stretches() (out []stretch) {
	for low := x.Low; low < x.High; {
		block := low / blockLeaves
		high, kind := min(x.High, (block+1)*blockLeaves), x.kind(block)
		if n := len(out); kind != allCommon && n > 0 && out[n-1].kind == kind {
			out[n-1].high = high
		} else {
			out = append(out, stretch{low, high, kind})
		}
		low = high
	}
	if !x.Ascending {
		slices.Reverse(out)
	}
	return out
}

func (x *sifting) kind(block int64) int {
	if block >= x.filed {
		return notFiled
	}
	return slices.IndexFunc(x.sets, func(s map[int64][]byte) bool { return s[block] == nil })
}

// through searches a stretch.
func (v *view) through(f gatehouse.EventFilter, x *sifting, s stretch, out *[]gatehouse.Event) (err error) {
	var found []int64
	switch s.kind {
	case notFiled:
		return v.comb(f, x, s, out)
	case allCommon:
		found = x.meet(s)
	default:
		if found, err = v.rare(x, s); err != nil {
			return err
		}
	}
	for _, index := range found {
		if !x.may(index) {
			continue
		}
		var body, personal []byte
		if _, err := v.sess.one(selectLeafAt, []any{index}, &body, &personal); err != nil {
			return failed(err)
		}
		if v.judge(f, x, index, body, personal, out); len(*out) >= f.Limit {
			return nil
		}
	}
	return nil
}

// meet lists the leaves of a block that have all words.
func (x *sifting) meet(s stretch) (out []int64) {
	block := s.low / blockLeaves
	for i := 0; i < blockLeaves/8; i += 8 {
		all := ^uint64(0)
		for _, set := range x.sets {
			all &= binary.LittleEndian.Uint64(set[block][i:])
		}
		for ; all != 0; all &= all - 1 {
			if at := block*blockLeaves + int64(i*8+bits.TrailingZeros64(all)); at >= s.low && at < s.high {
				out = append(out, at)
			}
		}
	}
	if !x.Ascending {
		slices.Reverse(out)
	}
	return out
}

// rare asks the index for one word of a stretch.
func (v *view) rare(x *sifting, s stretch) (out []int64, err error) {
	one := Match{Low: s.low, High: s.high, Ascending: x.Ascending}
	if s.kind < len(x.Prefixes) {
		one.Prefixes = x.words[s.kind : s.kind+1]
	} else {
		one.Exact = x.words[s.kind : s.kind+1]
	}
	m := v.s.d.Match(one)
	order := " DESC"
	if x.Ascending {
		order = ""
	}
	q := "SELECT " + m.Index + " FROM " + m.From + " WHERE " + m.Where + " AND " + m.Index + " >= ? AND " + m.Index + " < ? ORDER BY " + m.Index + order
	err = v.sess.each(v.ctx, query(q), slices.Concat(m.FromArgs, m.Args, []any{s.low, s.high}), func(rows *sql.Rows) (bool, error) {
		var index int64
		err := rows.Scan(&index)
		out = append(out, index)
		return true, err
	})
	return out, failed(err)
}

// may reports whether no bitmap speaks against a leaf.
func (x *sifting) may(index int64) bool {
	at := index % blockLeaves
	for _, set := range x.sets {
		if b := set[index/blockLeaves]; b != nil && b[at/8]&(1<<(at%8)) == 0 {
			return false
		}
	}
	return true
}

// comb reads what is not filed.
func (v *view) comb(f gatehouse.EventFilter, x *sifting, s stretch, out *[]gatehouse.Event) error {
	var w filter
	plainFilter(&w, f)
	w.add("a.idx >= ? AND a.idx < ?", s.low, s.high)
	order := " DESC"
	if x.Ascending {
		order = ""
	}
	q := query("SELECT a.idx, a.body, a.personal FROM audit a " + w.where() + " ORDER BY a.idx" + order)
	return failed(v.sess.each(v.ctx, q, w.args, func(rows *sql.Rows) (bool, error) {
		var index int64
		var body, personal []byte
		if err := rows.Scan(&index, &body, &personal); err != nil {
			return false, err
		}
		v.judge(f, x, index, body, personal, out)
		return len(*out) < f.Limit, nil
	}))
}

// judge is take for a row of which no statement has compared the words and
// times.
func (v *view) judge(f gatehouse.EventFilter, x *sifting, index int64, body, personal []byte, out *[]gatehouse.Event) {
	e, err := audit.Decode(body, personal)
	if err == nil && (!x.fits(words(e)) || !f.From.IsZero() && e.Time.Before(f.From) || !f.To.IsZero() && !e.Time.Before(f.To)) {
		return
	}
	v.take(f, index, body, personal, out)
}

// fits reports whether an event's words have all that is searched for.
func (x *sifting) fits(words string) bool {
	have := strings.Fields(words)
	for i, w := range x.words {
		if !slices.ContainsFunc(have, func(h string) bool { return h == w || i < len(x.Prefixes) && strings.HasPrefix(h, w) }) {
			return false
		}
	}
	return true
}
