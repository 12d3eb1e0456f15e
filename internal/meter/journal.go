package meter

import (
	"errors"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"gatehouse/internal/durable"

	"gatehouse"
)

// Durability says what Begin and Close wait for.
type Durability string

// The durabilities. Both survive kill -9; they differ when the machine loses power.
const (
	Batched    Durability = "batched"     // fsync in groups, at most Options.SyncEvery after the write
	PerRequest Durability = "per_request" // Begin and Close return after the fsync that covers them
)

// The defaults of Options, and bounds.
const (
	DefaultSegmentSize = 16 << 20
	MinSegmentSize     = 128 << 10 // two of the largest frames, with room
	DefaultSyncEvery   = 200 * time.Millisecond
	syncBytes          = 1 << 20  // fsync early when this much waits
	maxUnsynced        = 64 << 20 // refuse requests when this much waits: the disk is ill
	maxObjects         = 1 << 14  // acknowledged objects remembered
)

// Options shape a journal. Zero fields take the defaults.
type Options struct {
	Gateway     gatehouse.ID // required: whose journal it is
	Durability  Durability   // default Batched
	SegmentSize int64        // default DefaultSegmentSize, at least MinSegmentSize
	SyncEvery   time.Duration
	Now         func() time.Time // default time.Now
	// MaxBytes and MinFree bound the disk: what all segments may take together,
	// and what must stay free beside them. Negative: no bound. Beyond it Begin
	// refuses, until usage was shipped.
	MaxBytes, MinFree int64

	create func(path string, size int64) (file, error) // tests inject faults
}

func (o *Options) defaults() {
	if o.Durability == "" {
		o.Durability = Batched
	}
	if o.SegmentSize == 0 {
		o.SegmentSize = DefaultSegmentSize
	}
	o.SegmentSize = max(o.SegmentSize, MinSegmentSize)
	if o.SyncEvery <= 0 {
		o.SyncEvery = DefaultSyncEvery
	}
	if o.Now == nil {
		o.Now = time.Now
	}
	if o.MaxBytes == 0 {
		o.MaxBytes = DefaultMaxBytes
	}
	if o.MaxBytes > 0 {
		o.MaxBytes = max(o.MaxBytes, 4*o.SegmentSize)
	}
	if o.MinFree == 0 {
		o.MinFree = DefaultMinFree
	}
	if o.create == nil {
		o.create = createFile
	}
}

// Journal is a gateway's write-ahead log of usage. Its methods may be called
// from many goroutines.
//
// Locks are always taken in the order smu, wmu, mu: one goroutine syncs, one
// writes, and whoever comes meanwhile appends under mu and finds, when its turn
// comes, that its frame went along. Writing one at a time and in order is what
// makes "first bad checksum" mean "end": with concurrent writes a crash could
// leave a hole before a frame that was already acknowledged.
type Journal struct {
	o           Options
	dir         string
	lock        *os.File
	room        *room
	incarnation int64

	smu sync.Mutex // fsync
	wmu sync.Mutex // write
	cmu sync.Mutex // create a segment; taken after wmu and before mu
	mu  sync.Mutex // everything below

	segs     []*segment // on disk, oldest first; the last takes frames
	dirty    []*segment // the tail of segs that is not wholly synced
	spare    *segment   // made ahead, so that a full disk is known early
	nextSeq  int64
	appended int64 // bytes of frames so far: tickets
	live     Entry // ring of entries not closed
	liveN    int
	broken   error // why frames cannot reach the disk
	closed   bool

	written atomic.Int64 // tickets the kernel has
	synced  atomic.Int64 // tickets the disk has
	failed  atomic.Int64 // segments given up after an I/O error

	objects objectMap
	old     []*stream // earlier incarnations, not yet shipped
	shipped int64     // offset of this incarnation that was acknowledged; guarded by mu

	kick  chan struct{} // wakes the keeper
	ready chan struct{} // wakes the shipper
	stop  chan struct{}
	done  chan struct{}
}

// Open takes the directory, which is made when missing, and starts a new
// incarnation. What earlier incarnations left unshipped is read and waits for
// the Shipper. FailedPrecondition when another process holds the directory.
func Open(dir string, o Options) (*Journal, error) {
	o.defaults()
	if o.Gateway.IsZero() {
		return nil, gatehouse.Errorf(gatehouse.InvalidArgument, "a journal needs the id of its gateway")
	}
	if err := os.MkdirAll(dir, 0o700); err != nil {
		return nil, ioError("cannot make the journal's directory", err)
	}
	lock, err := lockDir(filepath.Join(dir, "lock"))
	if err != nil {
		return nil, gatehouse.Errorf(gatehouse.FailedPrecondition, "another process holds the journal").Because(err)
	}
	j := &Journal{o: o, dir: dir, lock: lock, room: newRoom(dir, &o),
		kick: make(chan struct{}, 1), ready: make(chan struct{}, 1), stop: make(chan struct{}), done: make(chan struct{})}
	j.live.prev, j.live.next = &j.live, &j.live
	j.objects.init(dir)
	if err := j.start(); err != nil {
		j.objects.close()
		lock.Close()
		return nil, ioError("cannot open the journal", err)
	}
	go j.keep()
	return j, nil
}

func (j *Journal) start() error {
	newest, err := j.recover()
	if err != nil {
		return err
	}
	if j.incarnation, err = nextIncarnation(j.dir, newest, j.o.Now()); err != nil {
		return err
	}
	if err := j.makeSpare(); err != nil {
		return err
	}
	j.rotate()
	if err := j.makeSpare(); !errors.Is(err, errNoRoom) {
		return err
	}
	return nil
}

// nextIncarnation counts on from the file and from the segments, and is never
// behind the clock in milliseconds: a data directory restored from a backup
// must not number its starts as the lost one did, or the high-water mark of
// those would swallow its records.
func nextIncarnation(dir string, newest int64, now time.Time) (int64, error) {
	path := filepath.Join(dir, "incarnation")
	b, err := os.ReadFile(path)
	if err != nil && !errors.Is(err, os.ErrNotExist) {
		return 0, err
	}
	last, _ := strconv.ParseInt(strings.TrimSpace(string(b)), 10, 64)
	n := max(last+1, newest+1, now.UnixMilli())
	if err := replaceFile(path, strconv.FormatInt(n, 10)+"\n"); err != nil {
		return 0, err
	}
	return n, nil
}

// replaceFile swaps a small file durably.
func replaceFile(path, content string) error {
	f, err := os.OpenFile(path+".new", os.O_CREATE|os.O_TRUNC|os.O_WRONLY, 0o600)
	if err != nil {
		return err
	}
	_, err = f.WriteString(content)
	if err == nil {
		err = f.Sync()
	}
	if e := f.Close(); err == nil {
		err = e
	}
	if err == nil {
		err = os.Rename(path+".new", path)
	}
	if err == nil {
		err = durable.SyncDir(filepath.Dir(path))
	}
	return err
}

// keep is the journal's own goroutine: it makes segments ahead, syncs in
// groups, posts progress, and tries again after an I/O error.
func (j *Journal) keep() {
	defer close(j.done)
	const step = 4 // progress is posted more often than the disk is synced
	tick := time.NewTicker(j.o.SyncEvery / step)
	defer tick.Stop()
	for n := 1; ; n++ {
		due := false
		select {
		case <-j.stop:
			return
		case <-j.kick:
			due = j.unsynced() >= syncBytes
		case <-tick.C:
			j.postProgress()
			due = n%step == 0
		}
		j.tend(due)
	}
}

// tend does one round of the keeper's work. Its errors are kept in broken,
// which Begin reports.
func (j *Journal) tend(syncDue bool) {
	_ = j.makeSpare()
	if syncDue {
		_ = j.Sync()
		return
	}
	j.mu.Lock()
	all := j.appended
	j.mu.Unlock()
	_ = j.flush(all)
}

func (j *Journal) unsynced() int64 {
	j.mu.Lock()
	defer j.mu.Unlock()
	return j.appended - j.synced.Load()
}

// Incarnation numbers this start.
func (j *Journal) Incarnation() int64 { return j.incarnation }

// Object finds who owns an id that an upstream handed out through this
// gateway: all that may not have reached the store yet, and recent ones.
func (j *Journal) Object(id string) (Object, bool) { return j.objects.get(id) }

// Stats is the state of a journal, for metrics.
type Stats struct {
	Open     int   // requests between Begin and Close
	Segments int   // files of this incarnation
	Unsynced int64 // bytes a power cut would lose
	Failed   int64 // segments given up after an I/O error
	Broken   bool  // Begin refuses, since the disk does not take frames
	Full     bool  // Begin refuses, since the limit on disk is reached
	Bytes    int64 // of segments on disk, of every incarnation, preallocated space included
	Limit    int64 // that Bytes may reach; negative: none
	Damaged  int   // segments that did not check and were put aside for a person
}

// Stats reads the state.
func (j *Journal) Stats() Stats {
	seen := j.room.look()
	j.mu.Lock()
	defer j.mu.Unlock()
	return Stats{Open: j.liveN, Segments: len(j.segs), Unsynced: j.appended - j.synced.Load(),
		Failed: j.failed.Load(), Broken: j.broken != nil, Full: j.full(),
		Bytes: seen.bytes, Limit: j.o.MaxBytes, Damaged: seen.damaged}
}

// Ready is nil when Begin would take a request now, and else what it would
// answer: a gateway that cannot write usage down says so to its balancer before
// it says so to clients.
func (j *Journal) Ready() error {
	if err := j.admit(); err != nil {
		return err
	}
	j.mu.Lock()
	defer j.mu.Unlock()
	return j.refuse()
}

// Close syncs and lets the directory go. Entries still open are resolved as
// interrupted at the next start. When nothing is left to ship the files go too.
func (j *Journal) Close() error {
	j.mu.Lock()
	again := j.closed
	j.closed = true
	j.mu.Unlock()
	if again {
		return nil
	}
	close(j.stop)
	<-j.done
	err := j.Sync()
	j.smu.Lock()
	defer j.smu.Unlock()
	j.wmu.Lock()
	defer j.wmu.Unlock()
	j.mu.Lock()
	defer j.mu.Unlock()
	j.release(err == nil && j.liveN == 0 && j.shipped >= j.tail())
	return err
}

// release closes every file, and removes those that hold nothing of use.
func (j *Journal) release(done bool) {
	for _, s := range j.segs {
		if s.f != nil {
			s.f.Close()
		}
		if done {
			os.Remove(s.path)
		}
	}
	if j.spare != nil {
		j.spare.f.Close()
		os.Remove(j.spare.path)
		j.spare = nil
	}
	j.objects.close()
	j.lock.Close()
}

// tail is the offset behind the last frame.
func (j *Journal) tail() int64 {
	s := j.segs[len(j.segs)-1]
	return s.base + s.end()
}

func ioError(words string, err error) *gatehouse.Error {
	return gatehouse.Errorf(gatehouse.Unavailable, "%s", words).Because(err).After(time.Second)
}

func nudge(c chan struct{}) {
	select {
	case c <- struct{}{}:
	default:
	}
}
