package extract

import (
	"bufio"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"strings"
	"time"

	"gatehouse"
)

// Command is the hidden command of the executable that calls [Child].
const Command = "extract-text"

// maxLine is how long a child's line may be: a part of 64 KiB, every byte of it
// escaped.
const maxLine = 256 << 10

// Extractor starts children. It may be used concurrently; every call has a
// child of its own, so the caller bounds how many there are.
type Extractor struct {
	Executable string // with the hidden command
	Dir        string // on disk, for what must be spooled; it is made if need be
	Limits     Limits // zero: DefaultLimits

	plain bool // for tests: as where the kernel grants no namespaces
}

// Document is what is to be read. The name's ending and the declared type are
// hints: what the content is decides.
type Document struct {
	Name string
	Type string
	Body io.Reader // a regular file is read from its start, whatever its offset, and stays open
}

// request is the child's one argument. A document's name is not in it, because
// arguments can be seen by others.
type request struct {
	Ending string `json:"ending"`
	Type   string `json:"type"`
	Limits Limits `json:"limits"`
}

// line is what a child says, one of its members at a time.
type line struct {
	Part
	Begun *begun   `json:"begun,omitempty"` // first: it is locked down and begins to read
	End   *Result  `json:"end,omitempty"`   // last
	Fault *problem `json:"fault,omitempty"` // last
}

type begun struct {
	Isolated bool `json:"isolated"`
}

type problem struct {
	Class   Class  `json:"class"`
	Message string `json:"message"`
	Detail  string `json:"detail,omitempty"`
}

// Extract hands out the text of d in order. An error of yield or the end of ctx
// ends the child and is returned. When it returns there is no child any more.
func (x *Extractor) Extract(ctx context.Context, d Document, yield func(Part) error) (Result, error) {
	limits := x.Limits
	if limits == (Limits{}) {
		limits = DefaultLimits()
	}
	file, done, err := x.spool(d.Body, limits.Input)
	if err != nil {
		return Result{}, err
	}
	defer done()
	ask, err := json.Marshal(request{strings.ToLower(filepath.Ext(d.Name)), d.Type, limits})
	if err != nil {
		return Result{}, err
	}
	// A child dies with the thread that made it, so the thread must stay.
	runtime.LockOSThread()
	defer runtime.UnlockOSThread()
	r := &run{limits: limits, yield: yield, left: limits.Wall}
	r.ctx, r.cancel = context.WithCancelCause(ctx)
	defer r.cancel(nil)
	if err := x.start(r, file, string(ask)); err != nil {
		return Result{}, err
	}
	r.read()
	r.cancel(nil) // whatever it still wants to say
	_ = r.cmd.Wait()
	return r.verdict(ctx)
}

// run is one child's life.
type run struct {
	limits Limits
	yield  func(Part) error
	ctx    context.Context
	cancel context.CancelCauseFunc
	cmd    *exec.Cmd
	out    io.ReadCloser
	errors head

	left  time.Duration // of the wall time
	said  int64         // bytes of text
	begun *begun
	end   *Result
	err   error
}

// start starts a child, in namespaces of its own where the kernel grants them.
func (x *Extractor) start(r *run, in *os.File, ask string) error {
	empty := filepath.Join(x.Dir, "empty")
	if err := os.MkdirAll(empty, 0o700); err != nil {
		return gatehouse.Errorf(gatehouse.Internal, "no directory for extraction").Because(err)
	}
	for isolated := !x.plain; ; isolated = false {
		r.cmd = exec.CommandContext(r.ctx, x.Executable, Command, ask)
		r.cmd.Env = []string{} // nil would be the parent's
		r.cmd.Dir, r.cmd.Stdin, r.cmd.Stderr = empty, in, &r.errors
		r.cmd.WaitDelay = time.Second
		r.cmd.SysProcAttr = attributes(isolated)
		out, err := r.cmd.StdoutPipe()
		if err != nil {
			return err
		}
		r.out = out
		err = r.cmd.Start()
		if err == nil {
			return nil
		}
		if !isolated || !refusesNamespaces(err) {
			return gatehouse.Errorf(gatehouse.Internal, "extraction cannot start").Because(err)
		}
	}
}

var errLate = errors.New("late")

// read takes the child's lines until it has said its last or is killed.
func (r *run) read() {
	since := time.Now()
	timer := time.AfterFunc(r.left, func() { r.cancel(errLate) })
	defer timer.Stop()
	lines := bufio.NewScanner(r.out)
	lines.Buffer(make([]byte, 64<<10), maxLine)
	for r.err == nil && r.end == nil && lines.Scan() {
		// Its time stands still while somebody else works.
		timer.Stop()
		r.left -= time.Since(since)
		r.take(lines.Bytes())
		since = time.Now()
		timer.Reset(max(r.left, 0))
	}
	if r.err == nil && r.end == nil && errors.Is(lines.Err(), bufio.ErrTooLong) {
		r.err = fail(Damaged, "the document could not be read")
	}
}

// take judges one line as if anybody had written it.
func (r *run) take(raw []byte) {
	var l line
	if err := json.Unmarshal(raw, &l); err != nil {
		r.err = fail(Damaged, "the document could not be read")
		return
	}
	switch {
	case l.Begun != nil:
		r.begun = l.Begun
	case l.Fault != nil:
		r.err = l.Fault.err()
	case l.End != nil:
		r.end = l.End
	default:
		if r.said += int64(len(l.Text)); r.said > r.limits.Text {
			r.err = textBound(r.limits.Text)
			return
		}
		r.err = r.yield(l.Part)
	}
}

// err is the error that the child had.
func (p *problem) err() error {
	err := fail(p.Class, "%s", p.Message)
	if e := (*gatehouse.Error)(nil); p.Detail != "" && errors.As(err, &e) {
		return e.Because(&because{p.Class, p.Detail})
	}
	return err
}

func textBound(most int64) error {
	return fail(TooLarge, "the document's text is more than %d MiB", most>>20)
}

// verdict says how it ended, the child being dead.
func (r *run) verdict(ctx context.Context) (Result, error) {
	state := r.cmd.ProcessState
	switch {
	case ctx.Err() != nil:
		return Result{}, context.Cause(ctx)
	case r.err != nil:
		return Result{}, r.err
	case r.end != nil:
		r.end.Bytes = r.said
		r.end.Isolated = r.begun != nil && r.begun.Isolated
		return *r.end, nil
	case context.Cause(r.ctx) == errLate:
		return Result{}, fail(TimedOut, "reading the document took longer than %v", r.limits.Wall)
	case r.begun == nil:
		return Result{}, gatehouse.Errorf(gatehouse.Internal, "extraction cannot start").Because(fmt.Errorf("%v: %s", state, r.errors.text))
	case state != nil && state.UserTime()+state.SystemTime() >= r.limits.CPU:
		return Result{}, fail(TimedOut, "reading the document took more than %v of computing", r.limits.CPU)
	case r.errors.says("out of memory") || r.errors.says("cannot allocate memory") || killed(state):
		return Result{}, fail(TooLarge, "reading the document takes more than %d MiB of memory", r.limits.Memory>>20)
	}
	return Result{}, fail(Damaged, "the document could not be read")
}

// head keeps the beginning of what is written to it.
type head struct{ text []byte }

func (h *head) Write(p []byte) (int, error) {
	h.text = append(h.text, p[:min(len(p), 4096-len(h.text))]...)
	return len(p), nil
}

func (h *head) says(words string) bool { return strings.Contains(string(h.text), words) }

// spool makes a regular file of body, unless it is one: a child reads at any
// place without holding what it reads. done must be called.
func (x *Extractor) spool(body io.Reader, most int64) (file *os.File, done func(), err error) {
	if f, ok := body.(*os.File); ok {
		if info, err := f.Stat(); err == nil && info.Mode().IsRegular() {
			if info.Size() > most {
				return nil, nil, inputBound(most)
			}
			return f, func() {}, nil
		}
	}
	if err := os.MkdirAll(x.Dir, 0o700); err != nil {
		return nil, nil, gatehouse.Errorf(gatehouse.Internal, "no directory for extraction").Because(err)
	}
	f, err := os.CreateTemp(x.Dir, "spool-")
	if err != nil {
		return nil, nil, gatehouse.Errorf(gatehouse.Internal, "no room for extraction").Because(err)
	}
	_ = os.Remove(f.Name()) // it lives as long as it is open
	done = func() { _ = f.Close() }
	n, err := io.Copy(f, io.LimitReader(body, most+1))
	if err == nil && n > most {
		err = inputBound(most)
	}
	if err != nil {
		done()
		return nil, nil, err
	}
	return f, done, nil
}

func inputBound(most int64) error {
	return fail(TooLarge, "the document is larger than %d MiB", most>>20)
}
