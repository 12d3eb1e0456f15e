package library

import (
	"bytes"
	"mime"
	"path"
	"strings"
	"time"
	"unicode"
	"unicode/utf8"

	"golang.org/x/text/unicode/norm"

	"gatehouse"
)

// fileName puts the name of a file into the form that is stored. It stands in
// headers and in folders of whoever downloads it, so what has a meaning there is
// refused (wire.md §8).
func fileName(field, s string, bad *gatehouse.Violations) string {
	s = norm.NFC.String(strings.TrimSpace(s))
	switch {
	case s == "":
		bad.Addf(field, "is required")
	case !utf8.ValidString(s):
		bad.Addf(field, "must be valid UTF-8")
	case len(s) > gatehouse.MaxFileName:
		bad.Addf(field, "must be at most %d bytes", gatehouse.MaxFileName)
	case strings.ContainsFunc(s, unicode.IsControl) || strings.ContainsFunc(s, turns):
		bad.Addf(field, "must not contain control characters")
	case s == "." || s == ".." || strings.ContainsAny(s, `/\";`):
		bad.Addf(field, `must not be a path or contain any of / \ " ;`)
	}
	return s
}

// turns reports whether a character changes the direction of what follows, by
// which a name can be made to end otherwise than it looks.
func turns(r rune) bool { return '\u202a' <= r && r <= '\u202e' || '\u2066' <= r && r <= '\u2069' }

// contentType checks what a client says that a file is; empty: it does not say.
func contentType(field, s string, bad *gatehouse.Violations) string {
	s = strings.TrimSpace(s)
	if s == "" || s == unknownType {
		return ""
	}
	kind, params, err := mime.ParseMediaType(s)
	if err != nil || len(s) > gatehouse.MaxFileName || !strings.Contains(kind, "/") {
		bad.Addf(field, "must be a media type such as text/plain")
		return s
	}
	return mime.FormatMediaType(kind, params)
}

const (
	// sniffed is how much of a file tells what it is.
	sniffed     = 512
	unknownType = "application/octet-stream"
)

// byEnding are the types of what is named so: those that text is found in.
// Beginnings tell neither of them from plain text or from an archive.
var byEnding = map[string]string{
	".md": "text/markdown", ".markdown": "text/markdown", ".csv": "text/csv", ".tsv": "text/tab-separated-values",
	".json": "application/json", ".jsonl": "application/jsonl", ".html": "text/html", ".htm": "text/html", ".xml": "application/xml", ".pdf": "application/pdf",
	".docx": "application/vnd.openxmlformats-officedocument.wordprocessingml.document",
	".pptx": "application/vnd.openxmlformats-officedocument.presentationml.presentation",
	".xlsx": "application/vnd.openxmlformats-officedocument.spreadsheetml.sheet",
	".odt":  "application/vnd.oasis.opendocument.text",
	".png":  "image/png", ".jpg": "image/jpeg", ".jpeg": "image/jpeg", ".gif": "image/gif", ".webp": "image/webp",
}

// sniff says what a file is whose sender did not: by its name, else by its
// beginning. It is a label; extraction looks for itself.
func sniff(name string, head []byte) string {
	if t := byEnding[strings.ToLower(path.Ext(name))]; t != "" {
		return t
	}
	switch {
	case bytes.HasPrefix(head, []byte("%PDF-")):
		return "application/pdf"
	case bytes.HasPrefix(head, []byte("PK\x03\x04")):
		return "application/zip"
	case isText(head):
		return "text/plain; charset=utf-8"
	}
	return unknownType
}

// isText reports whether a beginning is UTF-8; its last rune may be cut.
func isText(head []byte) bool {
	for i := 0; i < len(head); {
		r, n := utf8.DecodeRune(head[i:])
		if r == utf8.RuneError && n <= 1 {
			return len(head) == sniffed && len(head)-i < utf8.UTFMax && !utf8.FullRune(head[i:])
		}
		if r < ' ' && !strings.ContainsRune("\t\n\r\f", r) {
			return false
		}
		i += n
	}
	return len(head) > 0
}

// fileLife checks how long a file lives; zero: for ever.
func fileLife(field string, life time.Duration, bad *gatehouse.Violations) {
	if life != 0 && (life < gatehouse.MinFileLife || life > gatehouse.MaxFileLife) {
		bad.Addf(field, "must be %d to %d seconds", int(gatehouse.MinFileLife.Seconds()), int(gatehouse.MaxFileLife.Seconds()))
	}
}

// past reports whether t, zero for never, has come.
func past(t, now time.Time) bool { return !t.IsZero() && !now.Before(t) }

// utc is a time as stores and wires keep it: to the microsecond.
func utc(t time.Time) time.Time {
	if t.IsZero() {
		return time.Time{}
	}
	return t.UTC().Truncate(time.Microsecond)
}

// prose checks text for people: line breaks are fine, other control characters
// are not.
func prose(field, s string, most int, bad *gatehouse.Violations) string {
	s = norm.NFC.String(s)
	switch {
	case !utf8.ValidString(s):
		bad.Addf(field, "must be valid UTF-8")
	case len(s) > most:
		bad.Addf(field, "must be at most %d bytes", most)
	case strings.ContainsFunc(s, func(r rune) bool { return unicode.IsControl(r) && !strings.ContainsRune("\t\n\r", r) }):
		bad.Addf(field, "must not contain control characters")
	}
	return s
}
