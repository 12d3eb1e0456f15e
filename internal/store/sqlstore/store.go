package sqlstore

import (
	"context"
	"crypto/sha256"
	"database/sql"
	"log/slog"
	"sync"
	"time"

	"gatehouse"
	"gatehouse/internal/store"
)

// Options is what an engine hands through from whoever opens it.
type Options struct {
	// Guard holds the installation's secrets; required.
	Guard store.Guard
	// Logger hears of rows that do not verify. Nil discards.
	Logger *slog.Logger
	// Now is the clock of audit events; time.Now when nil.
	Now func() time.Time
	// CheckpointVerify checks the signature of the newest stored checkpoint at
	// open and returns the size and root that it vouches for. Nil skips it.
	CheckpointVerify func(note []byte) (size int64, root [sha256.Size]byte, err error)
	// Damaged hears of each record that was refused, beside the log.
	Damaged func(kind gatehouse.Kind, id, why string)
	// Readers is how many snapshots may be open at once; 4 when zero.
	Readers int
}

func (o Options) withDefaults() Options {
	if o.Logger == nil {
		o.Logger = slog.New(slog.DiscardHandler)
	}
	if o.Now == nil {
		o.Now = time.Now
	}
	if o.Readers <= 0 {
		o.Readers = 4
	}
	return o
}

// Store is an open database; make one with [Open].
type Store struct {
	opts    Options
	d       *Dialect
	writer  *session      // owned by the goroutine of run
	readers chan *session // idle ones
	heads   heads
	names   names
	days    days
	tidier  tidier

	librarian librarian

	updates chan *member
	jobs    chan *job
	small   chan *job     // of the Work door
	quit    chan struct{} // closed by Close: nothing more is accepted
	done    chan struct{} // closed when the writer has stopped
	closing sync.Once

	mu      sync.Mutex
	changed chan struct{}
}

var _ store.Store = (*Store)(nil)

// Open takes over connections to a migrated database: it verifies the audit
// log against its root, the root against the installation's MAC and the newest
// checkpoint, and starts the writer. The caller keeps the pools and closes them
// after Close.
func Open(ctx context.Context, writer, reader *sql.DB, d *Dialect, opts Options) (*Store, error) {
	s := &Store{
		opts: opts.withDefaults(), d: d,
		updates: make(chan *member, groupMax), jobs: make(chan *job), small: make(chan *job),
		quit: make(chan struct{}), done: make(chan struct{}), changed: make(chan struct{}),
	}
	s.readers = make(chan *session, s.opts.Readers)
	if err := s.connect(ctx, writer, reader); err != nil {
		s.disconnect()
		return nil, err
	}
	if err := s.verify(ctx); err != nil {
		s.disconnect()
		return nil, err
	}
	go s.run()
	s.fileBlocks()
	return s, nil
}

// connect pins the connections: sessions keep prepared statements, and pools
// would hand out connections without them.
func (s *Store) connect(ctx context.Context, writer, reader *sql.DB) (err error) {
	if s.writer, err = newSession(ctx, writer, s.d); err != nil {
		return gatehouse.Errorf(gatehouse.Unavailable, "the database cannot be opened").Because(err)
	}
	s.writer.writes = true
	for range s.opts.Readers {
		r, err := newSession(ctx, reader, s.d)
		if err != nil {
			return gatehouse.Errorf(gatehouse.Unavailable, "the database cannot be opened").Because(err)
		}
		s.readers <- r
	}
	return nil
}

// Close lets the group in hand finish, refuses what waits, and releases the
// connections once their views have ended.
func (s *Store) Close() error {
	s.closing.Do(func() {
		close(s.quit)
		<-s.done
		s.librarian.mu.Lock() // nobody begins after this
		s.librarian.mu.Unlock()
		s.librarian.done.Wait()
		for range s.opts.Readers {
			(<-s.readers).close()
		}
		s.writer.close()
	})
	return nil
}

// disconnect undoes a connect that may have stopped half-way.
func (s *Store) disconnect() {
	if s.writer != nil {
		s.writer.close()
	}
	for {
		select {
		case r := <-s.readers:
			r.close()
		default:
			return
		}
	}
}

// Changed implements [store.Store].
func (s *Store) Changed() <-chan struct{} {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.changed
}

// Wake closes the channel that waiters of Changed hold and makes the next one:
// engines call it for what other processes wrote.
func (s *Store) Wake() {
	s.mu.Lock()
	defer s.mu.Unlock()
	close(s.changed)
	s.changed = make(chan struct{})
}

// View implements [store.Store]. Views must not be nested: each holds one of
// few connections until it ends.
func (s *Store) View(ctx context.Context, f func(store.View) error) error {
	var sess *session
	select {
	case <-s.quit:
		return closed()
	default:
	}
	select {
	case sess = <-s.readers:
	case <-ctx.Done():
		return ctx.Err()
	case <-s.quit:
		return closed()
	}
	return s.snapshot(ctx, sess, func(v *view) error { return f(v) })
}

// idleView is View for work that can wait: it runs f only if a connection is
// idle now, and tells whether it did.
func (s *Store) idleView(ctx context.Context, f func(*view) error) (ran bool, err error) {
	select {
	case sess := <-s.readers:
		return true, s.snapshot(ctx, sess, f)
	default:
		return false, nil
	}
}

// snapshot runs f on a reader and gives it back.
func (s *Store) snapshot(ctx context.Context, sess *session, f func(*view) error) error {
	defer func() { s.readers <- sess }()
	if err := sess.begin(ctx, s.d.BeginRead); err != nil {
		return failed(err)
	}
	// A snapshot has nothing to keep, so its end cannot fail in a way that
	// matters to f's result.
	defer sess.rollback()
	if err := sess.see(store.ScopeOf(ctx)); err != nil {
		return failed(err)
	}
	return f(&view{s: s, ctx: ctx, sess: sess})
}

func closed() error {
	return gatehouse.Errorf(gatehouse.Unavailable, "the store is closed")
}

// damaged reports a refused record, without its content.
func (s *Store) damaged(kind gatehouse.Kind, id, why string) {
	s.opts.Logger.Error("stored record refused", "kind", string(kind), "id", id, "why", why)
	if s.opts.Damaged != nil {
		s.opts.Damaged(kind, id, why)
	}
}

// micros is how columns hold time; the zero time is 0.
func micros(t time.Time) int64 {
	if t.IsZero() {
		return 0
	}
	return t.UnixMicro()
}

func fromMicros(us int64) time.Time {
	if us == 0 {
		return time.Time{}
	}
	return time.UnixMicro(us).UTC()
}
