// Command comments reads a file descriptor set with source information and
// writes the comments of our own services, messages and members as JSON, by
// full name. Generated code keeps none of them, and the document of the
// management API is made of them.
package main

import (
	"encoding/json"
	"io"
	"log"
	"os"
	"strings"

	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/reflect/protodesc"
	"google.golang.org/protobuf/reflect/protoreflect"
	"google.golang.org/protobuf/types/descriptorpb"
)

func main() {
	raw, err := io.ReadAll(os.Stdin)
	if err != nil {
		log.Fatal(err)
	}
	var set descriptorpb.FileDescriptorSet
	if err := proto.Unmarshal(raw, &set); err != nil {
		log.Fatal(err)
	}
	files, err := protodesc.NewFiles(&set)
	if err != nil {
		log.Fatal(err)
	}
	out := comments{}
	files.RangeFiles(func(f protoreflect.FileDescriptor) bool {
		if !strings.HasPrefix(f.Path(), "google/") && f.Package() != "xai_api" { // the gateway's: no route of the management API
			out.file(f)
		}
		return true
	})
	enc := json.NewEncoder(os.Stdout)
	enc.SetEscapeHTML(false)
	enc.SetIndent("", " ")
	if err := enc.Encode(out); err != nil { // a map: encoded in the order of its keys
		log.Fatal(err)
	}
}

type comments map[protoreflect.FullName]string

func (c comments) file(f protoreflect.FileDescriptor) {
	for i := range f.Services().Len() {
		s := f.Services().Get(i)
		c.keep(s)
		for j := range s.Methods().Len() {
			c.keep(s.Methods().Get(j))
		}
	}
	for i := range f.Messages().Len() {
		c.message(f.Messages().Get(i))
	}
	for i := range f.Enums().Len() {
		c.keep(f.Enums().Get(i))
	}
}

func (c comments) message(m protoreflect.MessageDescriptor) {
	c.keep(m)
	for i := range m.Fields().Len() {
		c.keep(m.Fields().Get(i))
	}
	for i := range m.Messages().Len() {
		c.message(m.Messages().Get(i))
	}
}

// keep takes the comment before a thing, or else the one on its line.
func (c comments) keep(d protoreflect.Descriptor) {
	loc := d.ParentFile().SourceLocations().ByDescriptor(d)
	text := loc.LeadingComments
	if strings.TrimSpace(text) == "" {
		text = loc.TrailingComments
	}
	if text = strings.Join(strings.Fields(text), " "); text != "" {
		c[d.FullName()] = text
	}
}
