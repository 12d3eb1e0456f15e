package library

import (
	"strings"
	"testing"
	"unicode"
	"unicode/utf8"

	"golang.org/x/text/unicode/norm"

	"gatehouse"
)

// FuzzNames: a name that is taken is no path, fits a header, and is taken again
// as it is stored.
func FuzzNames(f *testing.F) {
	for _, s := range []string{"report.pdf", "../../etc/passwd", `C:\x`, "a\x00b", "caf\u0065\u0301", "..", " .. ", "a;b", "\u202egpj.exe", "\xff", "\u0344", strings.Repeat("é", 128)} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, s string) {
		var bad gatehouse.Violations
		name := fileName("name", s, &bad)
		if bad.Err() != nil {
			return
		}
		if name == "" || name == "." || name == ".." || len(name) > gatehouse.MaxFileName || strings.ContainsAny(name, "/\\\";\r\n\x00") ||
			!utf8.ValidString(name) || strings.ContainsFunc(name, unicode.IsControl) || !norm.NFC.IsNormalString(name) {
			t.Errorf("%q is taken as %q", s, name)
		}
		if again := fileName("name", name, &bad); again != name || bad.Err() != nil {
			t.Errorf("%q becomes %q, %v", name, again, bad.Err())
		}
		sniff(name, []byte(s[:min(len(s), sniffed)]))
	})
}

// FuzzContentTypes: a type that is taken stands in a header.
func FuzzContentTypes(f *testing.F) {
	for _, s := range []string{"text/plain", "text/html; charset=\"x\"", "a/b;c*0=d", "application/octet-stream", "x", "text/plain\r\nX: y"} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, s string) {
		var bad gatehouse.Violations
		kind := contentType("content_type", s, &bad)
		if bad.Err() == nil && strings.ContainsFunc(kind, func(r rune) bool { return r < ' ' || r > '~' }) {
			t.Errorf("%q is taken as %q", s, kind)
		}
	})
}
