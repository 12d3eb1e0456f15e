package main

import (
	"os"

	"gatehouse"
	"gatehouse/internal/library/extract"
)

// extractTextCmd is what the server runs to read a document: a process of its
// own that gives up everything but standard input and output.
type extractTextCmd struct {
	Request string `arg:"" help:"What to read and within which limits, as JSON."`
}

// Run reads the document that standard input is.
func (c *extractTextCmd) Run(e *env) error {
	in, ok := e.in.(*os.File)
	if !ok {
		return gatehouse.Errorf(gatehouse.InvalidArgument, "standard input must be a file")
	}
	return extract.Child(c.Request, in, e.out)
}
