package meter

import (
	"errors"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"sync/atomic"
	"time"
)

// The bounds of the disk that a journal takes when usage cannot be shipped. A
// request takes about 600 bytes: ten gibibytes are a day of two hundred a second.
const (
	DefaultMaxBytes = 10 << 30
	DefaultMinFree  = 256 << 20
	alarmShare      = 2 // the log warns when more than 1/alarmShare of the limit is in use
)

// errNoRoom says that the journal may not take more disk. Requests that began
// are still written down; new ones are refused, since nobody could bill them.
var errNoRoom = errors.New("the journal's limit on disk is reached")

// room decides whether another segment may be made. It looks at the directory
// rather than keep count: segments are removed by several hands, and a segment
// is made seldom.
type room struct {
	dir          string
	max, minFree int64 // 0 or less: no bound
	now          func() time.Time
	create       func(path string, size int64) (file, error)

	first   atomic.Bool // the segment that every start needs was made
	refused atomic.Bool // the newest request for a segment was

	mu   sync.Mutex
	at   time.Time // of the newest look
	seen footprint
}

// footprint is what a journal's directory holds.
type footprint struct {
	bytes   int64 // of segments, preallocated space included
	damaged int   // files put aside for a person
	free    int64 // left on the disk; -1 where that cannot be told
}

// lookEvery bounds how often a full journal looks again whether it still is.
const lookEvery = 200 * time.Millisecond

func newRoom(dir string, o *Options) *room {
	return &room{dir: dir, max: o.MaxBytes, minFree: o.MinFree, now: o.Now, create: o.create}
}

// open makes a segment where there is room. The first of a start is made
// anyway: a gateway that comes up with a full journal must come up, to ship it.
func (r *room) open(path string, size int64) (file, error) {
	if r.first.Swap(true) {
		if err := r.check(size); err != nil {
			r.refused.Store(true)
			return nil, err
		}
	}
	f, err := r.create(path, size)
	r.refused.Store(false)
	r.mu.Lock()
	defer r.mu.Unlock()
	r.at = time.Time{} // what was seen is no longer so
	return f, err
}

func (r *room) check(size int64) error {
	seen := r.look()
	if r.max > 0 && seen.bytes+size > r.max {
		return errNoRoom
	}
	if r.minFree > 0 && seen.free >= 0 && seen.free-size < r.minFree {
		return errNoRoom
	}
	return nil
}

// look reads the directory unless that was done a moment ago. A clock that went
// back makes it look too.
func (r *room) look() footprint {
	r.mu.Lock()
	defer r.mu.Unlock()
	now := r.now()
	if age := now.Sub(r.at); r.at.IsZero() || age < 0 || age >= lookEvery {
		r.seen, r.at = measure(r.dir), now
	}
	return r.seen
}

// measure errs on the side of less: what cannot be read cannot be counted, and
// the next write will say what is wrong.
func measure(dir string) footprint {
	p := footprint{free: freeSpace(dir)}
	names, err := os.ReadDir(dir)
	if err != nil {
		return p
	}
	for _, n := range names {
		if strings.HasSuffix(n.Name(), damagedSuffix) {
			p.damaged++
		}
		if filepath.Ext(n.Name()) != segmentSuffix {
			continue
		}
		if info, err := n.Info(); err == nil {
			p.bytes += info.Size()
		}
	}
	return p
}

const (
	segmentSuffix = ".seg"
	damagedSuffix = ".damaged"
)
