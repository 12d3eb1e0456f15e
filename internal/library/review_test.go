package library

import (
	"errors"
	"strings"
	"testing"

	"gatehouse"
)

// Bytes that are uploaded again are kept again when the blob of before is lost:
// an upload that is acknowledged can be read.
func TestAnUploadMendsLostBytes(t *testing.T) {
	r := newReadingRoom(t, nil)
	lost := r.send("a", "words")
	r.must(r.blobs.Delete(r.ctx, lost.Blob))
	if got := r.read(r.send("b", "words").ID, 0); got != "words" {
		t.Error(got)
	}
}

// What has no room is not kept for an hour.
func TestWhatHasNoRoomIsNotStored(t *testing.T) {
	r := newReadingRoom(t, func(c *Config) { c.Bounds = Bounds{Bytes: 10} })
	err := fail(r.UploadFile(r.ctx, r.who, gatehouse.NewFile{Name: "a", Content: strings.NewReader("more than ten bytes")}))
	r.want(gatehouse.ResourceExhausted, err)
	r.nothing()
	_ = errors.New
}
