package main

import (
	"fmt"
	"io"
	"os"
	"path/filepath"
	"time"

	"gatehouse"
)

type filesCmd struct {
	Upload    filesUploadCmd    `cmd:"" help:"Upload files. They stay until they are deleted or expire."`
	List      filesListCmd      `cmd:"" help:"List the team's files, newest first."`
	Get       filesGetCmd       `cmd:"" help:"Show one file."`
	Download  filesDownloadCmd  `cmd:"" help:"Write a file's bytes, or its text."`
	Delete    filesDeleteCmd    `cmd:"" help:"Delete files for ever, and take them out of every collection."`
	Publish   filesPublishCmd   `cmd:"" help:"Make a URL that opens a file for everybody, and print it."`
	Unpublish filesUnpublishCmd `cmd:"" help:"End a file's public URL."`
}

// fileID is the id of a file as the wire spells it.
func fileID(id gatehouse.ID) string { return "file_" + id.String() }

// onDisk is a file on this machine that is to be uploaded.
type onDisk struct {
	*os.File
	name string
	size int64
}

// open opens a file to upload. A directory or a pipe is none.
func open(path, name string) (*onDisk, error) {
	f, err := os.Open(path)
	if err != nil {
		return nil, err
	}
	about, err := f.Stat()
	if err == nil && !about.Mode().IsRegular() {
		err = fmt.Errorf("%s is not a regular file", escaped(path))
	}
	if err != nil {
		f.Close()
		return nil, err
	}
	if name == "" {
		name = filepath.Base(path)
	}
	return &onDisk{f, name, about.Size()}, nil
}

// weigh is the size of what is to be uploaded, as far as it is there.
func weigh(paths []string) (n int64) {
	for _, path := range paths {
		if about, err := os.Stat(path); err == nil {
			n += about.Size()
		}
	}
	return n
}

// several does f with each of some things and goes on after one fails. The
// error of one alone is its own.
func (s *printer) several(verb string, things []string, f func(string) error) error {
	failed := 0
	for _, thing := range things {
		err := f(thing)
		if len(things) == 1 {
			return err
		}
		if err != nil {
			failed++
			fmt.Fprintf(s.e.err, "gatehouse: %s: %s\n", escaped(thing), words(err))
		}
		if s.e.Err() != nil {
			return s.e.Err()
		}
	}
	if failed > 0 {
		return fmt.Errorf("%d of %d were not %s", failed, len(things), verb)
	}
	return nil
}

// life is how long something stays.
type life time.Duration

// UnmarshalText reads a duration, with days.
func (l *life) UnmarshalText(b []byte) error {
	d, err := duration(string(b))
	if err != nil || d < gatehouse.MinFileLife || d > gatehouse.MaxFileLife {
		return fmt.Errorf("%q is not a duration from 1h to 30d", b)
	}
	*l = life(d)
	return nil
}

type filesUploadCmd struct {
	inference
	File   []string `arg:"" help:"Files on this machine. When one fails the others still go; exit code 1." placeholder:"FILE"`
	Name   string   `help:"What to call it. Default: the file's own name. For one file." placeholder:"NAME"`
	Expire life     `help:"Delete it after this long, 1h to 30d. Default: never." placeholder:"7d"`
}

// Run uploads files.
func (c *filesUploadCmd) Run(e *env) error {
	if err := oneName(c.Name, c.File); err != nil {
		return err
	}
	return c.do(e, forBytes(weigh(c.File)), func(s *asking) error {
		p := e.progress()
		return s.several("uploaded", c.File, func(path string) error {
			in, err := open(path, c.Name)
			if err != nil {
				return err
			}
			defer in.Close()
			f, err := s.UploadFile(s, in.name, p.watch(in, escaped(in.name), in.size), time.Duration(c.Expire))
			if err != nil {
				p.clear()
				return err
			}
			p.done("uploaded %s, %s", escaped(f.Name), size(f.Size))
			return s.show(func(w io.Writer) { fmt.Fprintln(w, fileID(f.ID)) })
		})
	})
}

func oneName(name string, files []string) error {
	if name != "" && len(files) > 1 {
		return gatehouse.Errorf(gatehouse.InvalidArgument, "--name: is for one file")
	}
	return nil
}

type filesListCmd struct {
	inference
	paging
	Filter string `help:"Only those that fit, such as 'name = \"a.pdf\" AND size_bytes > 1000'." placeholder:"FILTER"`
	Sort   string `help:"By what: age, name or size." enum:"age,name,size" default:"age"`
	Asc    bool   `help:"Oldest, first by name or smallest first."`
}

// Run lists files.
func (c *filesListCmd) Run(e *env) error {
	return c.do(e, 0, func(s *asking) error {
		all, err := pages(&s.printer, c.paging, func(p gatehouse.Page) ([]*gatehouse.File, string, error) {
			return s.ListFiles(s, gatehouse.LibraryQuery{Filter: c.Filter, Sort: gatehouse.LibrarySort(c.Sort), Ascending: c.Asc, Page: p})
		})
		if err != nil {
			return err
		}
		return s.table("ID SIZE CREATED EXPIRES NAME", each(all, func(f *gatehouse.File) []string {
			return []string{fileID(f.ID), size(f.Size), clock(f.CreateTime, ""), clock(f.ExpireTime, "never"), escaped(f.Name)}
		}))
	})
}

type filesGetCmd struct {
	inference
	ID gatehouse.ID `arg:"" help:"The file's id."`
}

// Run shows a file.
func (c *filesGetCmd) Run(e *env) error {
	return c.do(e, 0, func(s *asking) error {
		f, err := s.GetFile(s, c.ID)
		if err != nil {
			return err
		}
		return s.record("id", fileID(f.ID), "name", escaped(f.Name), "size", size(f.Size), "created", clock(f.CreateTime, ""),
			"expires", clock(f.ExpireTime, "never"), "public url", f.LinkURL, "public until", clock(f.LinkExpire, ""))
	})
}

type filesDownloadCmd struct {
	inference
	ID     gatehouse.ID `arg:"" help:"The file's id."`
	Output string       `short:"o" help:"Write here instead of to standard output; what is there is replaced once all has come." placeholder:"FILE"`
	Text   bool         `help:"The text that search has of it, instead of its bytes."`
}

// Run downloads a file. A download takes as long as it takes, so the timeout is
// that of one of the largest.
func (c *filesDownloadCmd) Run(e *env) error {
	return c.do(e, forBytes(gatehouse.MaxFileSize), func(s *asking) error {
		in, err := s.OpenFile(s, c.ID, c.Text)
		if err != nil {
			return err
		}
		defer in.Close()
		if c.Output == "" {
			_, err = io.Copy(e.out, in)
			return err
		}
		p := e.progress()
		defer p.clear()
		return replaceFile(c.Output, p.watch(in, escaped(c.Output), 0))
	})
}

// replaceFile writes a file whole or not at all.
func replaceFile(path string, content io.Reader) error {
	f, err := os.CreateTemp(filepath.Dir(path), "."+filepath.Base(path)+"-*")
	if err != nil {
		return err
	}
	defer os.Remove(f.Name()) // nothing, once it has its name
	_, err = io.Copy(f, content)
	if closed := f.Close(); err == nil {
		err = closed
	}
	if err != nil {
		return err
	}
	return os.Rename(f.Name(), path)
}

type filesDeleteCmd struct {
	inference
	ID []gatehouse.ID `arg:"" help:"The files' ids."`
}

// Run deletes files.
func (c *filesDeleteCmd) Run(e *env) error {
	return c.do(e, 0, func(s *asking) error {
		return s.several("deleted", each(c.ID, fileID), func(text string) error {
			id, err := gatehouse.ParseID(text)
			if err == nil {
				err = s.DeleteFile(s, id)
			}
			return s.gone("file", text, err)
		})
	})
}

type filesPublishCmd struct {
	inference
	ID     gatehouse.ID `arg:"" help:"The file's id."`
	Expire life         `help:"End it after this long, 1h to 30d. Default: with the file." placeholder:"7d"`
}

// Run publishes a file.
func (c *filesPublishCmd) Run(e *env) error {
	return c.do(e, 0, func(s *asking) error {
		link, expire, err := s.PublishFile(s, c.ID, time.Duration(c.Expire))
		if err != nil {
			return err
		}
		return s.show(func(w io.Writer) {
			fmt.Fprintf(e.err, "anybody can read it here, until %s:\n", clock(expire, "it is deleted or unpublished"))
			fmt.Fprintln(w, link)
		})
	})
}

type filesUnpublishCmd struct {
	inference
	ID gatehouse.ID `arg:"" help:"The file's id."`
}

// Run takes a public URL back.
func (c *filesUnpublishCmd) Run(e *env) error {
	return c.do(e, 0, func(s *asking) error {
		if err := s.UnpublishFile(s, c.ID); err != nil {
			return err
		}
		return s.show(func(w io.Writer) { fmt.Fprintln(w, "file", fileID(c.ID), "has no public URL") })
	})
}
