package blob

import (
	"fmt"
	"io"
	"os"
)

// Spooled reads the whole of a spooled file from its beginning, wherever its
// offset is. A file that has not the size that was said is refused: it is not
// what was hashed.
func Spooled(f *os.File, size int64) (*io.SectionReader, error) {
	info, err := f.Stat()
	if err != nil {
		return nil, fmt.Errorf("the spooled file: %w", err)
	}
	if info.Size() != size {
		return nil, fmt.Errorf("the spooled file has %d bytes, not %d", info.Size(), size)
	}
	return io.NewSectionReader(f, 0, size), nil
}
