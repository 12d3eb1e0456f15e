package api

import (
	"io"
	"strings"
	"testing"
)

// A body has its time for every megabyte, so that a large one may take longer
// than a small one, and neither may stop.
func TestTimeIsPerMegabyte(t *testing.T) {
	given := 0
	body := &pacedBody{io.NopCloser(strings.NewReader(strings.Repeat("x", 5*maxBody-1))), func() { given++ }, maxBody}
	if _, err := io.Copy(io.Discard, body); err != nil || given != 4 {
		t.Errorf("time was given %d times, %v", given, err)
	}
}
