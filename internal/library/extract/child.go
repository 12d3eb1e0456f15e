package extract

import (
	"bufio"
	"encoding/json"
	"errors"
	"io"
	"os"

	"gatehouse"
)

// Child is a child process' whole work: it locks itself down, reads the
// document that in is, and writes lines to out. ask is the argument that the
// parent gave. An error means that it could not begin; what is wrong with a
// document goes to out.
func Child(ask string, in *os.File, out io.Writer) error {
	var r request
	if err := json.Unmarshal([]byte(ask), &r); err != nil {
		return gatehouse.Errorf(gatehouse.InvalidArgument, "this command is for Gatehouse's own use")
	}
	info, err := in.Stat()
	if err != nil || !info.Mode().IsRegular() {
		return gatehouse.Errorf(gatehouse.InvalidArgument, "standard input must be a file")
	}
	isolated, err := lockDown(r.Limits)
	if err != nil {
		return gatehouse.Errorf(gatehouse.Internal, "no limits could be set").Because(err)
	}
	w := bufio.NewWriterSize(out, 64<<10)
	e := newEmitter(w, r.Limits.Text)
	e.write(line{Begun: &begun{isolated}})
	if err := w.Flush(); err != nil {
		return err
	}
	result, err := read(source{in, info.Size(), r}, e)
	if err != nil {
		e.write(line{Fault: problemOf(err)})
	} else {
		e.write(line{End: &result})
	}
	return w.Flush()
}

// source is the document.
type source struct {
	io.ReaderAt
	size int64
	request
}

func (s source) section() *io.SectionReader { return io.NewSectionReader(s, 0, s.size) }

// read finds out what s is and emits its text. Parsers panic; that is one more
// way of saying that a document is damaged.
func read(s source, e *emitter) (result Result, err error) {
	defer func() {
		if p := recover(); p != nil {
			err = damaged(p)
		}
	}()
	if s.size > s.Limits.Input {
		return Result{}, inputBound(s.Limits.Input)
	}
	kind, found, err := sniff(s)
	if err != nil {
		return Result{}, err
	}
	if err := readers[kind](s, e); err != nil {
		return Result{}, err
	}
	return Result{Kind: kind, Type: found, Lost: e.lost}, e.flush()
}

var readers = map[Kind]func(source, *emitter) error{
	PDF: readPDF, DOCX: readDOCX, PPTX: readPPTX, XLSX: readXLSX, ODT: readODT, HTML: readHTML,
	Markdown: readText, CSV: readText, JSON: readJSON, Code: readText, Plain: readText,
}

// problemOf is what the parent hears of an error. What no reader classified is
// damage: readers do nothing but read the document.
func problemOf(err error) *problem {
	if ClassOf(err) == "" {
		err = damaged(err)
	}
	p := &problem{Class: ClassOf(err), Message: gatehouse.Public(err)}
	if b := (*because)(nil); errors.As(err, &b) {
		p.Detail = b.detail
	}
	return p
}
