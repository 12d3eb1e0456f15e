package verify

import (
	"bytes"
	"encoding/json"
	"flag"
	"fmt"
	"os"
	"regexp"
	"strings"
	"testing"
)

var update = flag.Bool("update", false, "rewrite the golden transcripts")

const badGolden = "testdata/badinput.golden"

var volatile = []struct {
	is   *regexp.Regexp
	show string
}{
	{regexp.MustCompile(`[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12}`), "UUID"},
	{regexp.MustCompile(`\d{4}-\d\d-\d\dT[0-9:.]+Z`), "TIME"},
	{regexp.MustCompile(`(gth[km]_)\.\.\.[0-9A-Za-z]{4}`), "${1}...LAST"},
	{regexp.MustCompile(`\*\*\*..\. You`), "***NN. You"},
	{regexp.MustCompile(`Retry-After: 6\d`), "Retry-After: ~60"},
	{regexp.MustCompile(`127\.0\.0\.1:\d+`), "127.0.0.1:PORT"},
	{regexp.MustCompile(`(revision"?:? ?(is )?"?)\d+\.\d+`), "${1}E.N"},
	{regexp.MustCompile(`X-Gatehouse-Revision: .*`), "X-Gatehouse-Revision: E.N"},
	{regexp.MustCompile(`(chatcmpl-|resp_|msg_)[0-9A-Z]{20}`), "${1}ID"},
}

// normal is an answer without what differs from run to run.
func (b *badHouse) normal(answer []byte) string {
	s := string(answer)
	for name, value := range b.vars {
		s = strings.ReplaceAll(s, value, "$"+name)
	}
	for _, v := range volatile {
		s = v.is.ReplaceAllString(s, v.show)
	}
	head, body, found := strings.Cut(s, "\n{")
	var indented bytes.Buffer
	if json.Indent(&indented, []byte(s), "", "  ") == nil {
		return indented.String()
	}
	if found && json.Indent(&indented, []byte("{"+body), "", "  ") == nil {
		return head + "\n" + indented.String()
	}
	return printable(s)
}

// printable shows bytes that are no text as escapes.
func printable(s string) string {
	var out strings.Builder
	for len(s) > 0 {
		r, size := rune(s[0]), 1
		if r != '\n' && (r < ' ' || r >= 0x7f) {
			fmt.Fprintf(&out, `\x%02x`, s[0])
		} else {
			out.WriteByte(s[0])
		}
		s = s[size:]
	}
	return strings.TrimRight(out.String(), "\n")
}

// compare holds the transcripts against the golden file.
func (b *badHouse) compare(t *testing.T) {
	t.Helper()
	got := strings.Join(b.transcripts, "\n")
	if *update {
		if err := os.WriteFile(badGolden, []byte(got), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	want, err := os.ReadFile(badGolden)
	if err != nil {
		t.Fatal(err)
	}
	golden := strings.Split(string(want), "\n==== ")
	for i, section := range strings.Split(got, "\n==== ") {
		if i >= len(golden) || golden[i] != section {
			t.Errorf("not as in %s:\n%s\nwant:\n%s", badGolden, section, golden[min(i, len(golden)-1)])
		}
	}
}
