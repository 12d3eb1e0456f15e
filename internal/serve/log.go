package serve

import (
	"context"
	"io"
	"log/slog"
	"sync"
	"time"
)

// How much of the log waits in memory, and how long. A line per request must
// not be a system call per request; what a crash may lose of the log is no
// loss to the books.
const (
	logBuffer = 64 << 10
	logEvery  = 200 * time.Millisecond
)

// logWriter gathers lines and writes them together. A line at warning or above
// takes everything before it along at once.
type logWriter struct {
	mu     sync.Mutex
	w      io.Writer
	buffer []byte
}

// Write takes one line.
func (l *logWriter) Write(p []byte) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.buffer = append(l.buffer, p...)
	if len(l.buffer) >= logBuffer {
		l.flush()
	}
	return len(p), nil
}

// flush needs the lock. Nothing can be done about a log that cannot be written.
func (l *logWriter) flush() {
	if len(l.buffer) > 0 {
		l.w.Write(l.buffer)
		l.buffer = l.buffer[:0]
	}
}

// Flush writes what waits.
func (l *logWriter) Flush() {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.flush()
}

// keep flushes until ctx ends, and once more then.
func (l *logWriter) keep(ctx context.Context) { every(ctx, logEvery, l.Flush) }

// prompt is a handler that does not let warnings wait.
type prompt struct {
	slog.Handler
	out *logWriter
}

// Handle implements [slog.Handler].
func (p prompt) Handle(ctx context.Context, r slog.Record) error {
	err := p.Handler.Handle(ctx, r)
	if r.Level >= slog.LevelWarn {
		p.out.Flush()
	}
	return err
}

// WithAttrs implements [slog.Handler].
func (p prompt) WithAttrs(a []slog.Attr) slog.Handler { return prompt{p.Handler.WithAttrs(a), p.out} }

// WithGroup implements [slog.Handler].
func (p prompt) WithGroup(name string) slog.Handler { return prompt{p.Handler.WithGroup(name), p.out} }

// newLogger makes the structured log. [Config.Check] has seen the level and the
// format.
func newLogger(c LogConfig, w io.Writer) (*slog.Logger, *logWriter) {
	var level slog.Level
	if level.UnmarshalText([]byte(c.Level)) != nil {
		level = slog.LevelInfo
	}
	out, opt := &logWriter{w: w}, &slog.HandlerOptions{Level: level}
	if c.Format == "text" {
		return slog.New(prompt{slog.NewTextHandler(out, opt), out}), out
	}
	return slog.New(prompt{slog.NewJSONHandler(out, opt), out}), out
}
