package main

import (
	"fmt"
	"io"
	"strings"
	"time"
	"unicode"
	"unicode/utf8"
)

// progress tells on standard error how far something has come: on a terminal in
// a line that changes, otherwise in a line for each thing that is done.
type progress struct {
	w    io.Writer
	live bool
	now  func() time.Time
	last time.Time // of the line
	wide int       // characters that are on it
}

func (e *env) progress() *progress { return &progress{w: e.err, live: e.terminal(), now: time.Now} }

// often is how often the line changes at most.
const often = 100 * time.Millisecond

// at rewrites the line.
func (p *progress) at(format string, args ...any) {
	now := p.now()
	if !p.live || now.Sub(p.last) < often {
		return
	}
	p.last = now
	p.write(fmt.Sprintf(format, args...), "")
}

// done writes a line that stays.
func (p *progress) done(format string, args ...any) {
	p.write(fmt.Sprintf(format, args...), "\n")
	p.wide, p.last = 0, time.Time{}
}

// clear takes the changing line away.
func (p *progress) clear() {
	if p.wide > 0 {
		p.write("", "\r")
		p.wide = 0
	}
}

func (p *progress) write(text, end string) {
	front, n := "", utf8.RuneCountInString(text)
	if p.live {
		front = "\r"
	}
	fmt.Fprint(p.w, front, text, strings.Repeat(" ", max(0, p.wide-n)), end)
	p.wide = n
}

// watched is a reader whose progress is told.
type watched struct {
	io.Reader
	p     *progress
	name  string
	size  int64
	n     int64
	begin time.Time
}

func (p *progress) watch(r io.Reader, name string, size int64) *watched {
	return &watched{Reader: r, p: p, name: name, size: size, begin: p.now()}
}

// Read implements [io.Reader].
func (w *watched) Read(b []byte) (int, error) {
	n, err := w.Reader.Read(b)
	w.n += int64(n)
	share := ""
	if w.size > 0 {
		share = fmt.Sprintf(" of %s, %d%%", size(w.size), 100*w.n/w.size)
	}
	w.p.at("%s: %s%s%s", w.name, size(w.n), share, w.rate())
	return n, err
}

// rate is how fast it goes, once that can be told.
func (w *watched) rate() string {
	d := w.p.now().Sub(w.begin)
	if d < often {
		return ""
	}
	return ", " + size(int64(float64(w.n)/d.Seconds())) + "/s"
}

// size is a number of bytes as a person reads it.
func size(n int64) string {
	if n < 1<<10 {
		return fmt.Sprintf("%d B", n)
	}
	unit, v := "KiB", float64(n)/(1<<10)
	for _, next := range []string{"MiB", "GiB", "TiB"} {
		if v < 1000 {
			break
		}
		unit, v = next, v/(1<<10)
	}
	return fmt.Sprintf("%.1f %s", v, unit)
}

// escaped shows what of a name a terminal would obey instead of print.
func escaped(s string) string {
	var b strings.Builder
	for _, r := range s {
		switch {
		case unicode.IsPrint(r) && r != utf8.RuneError:
			b.WriteRune(r)
		case r < 0x80:
			fmt.Fprintf(&b, `\x%02x`, r)
		default:
			fmt.Fprintf(&b, `\u%04x`, r)
		}
	}
	return b.String()
}
