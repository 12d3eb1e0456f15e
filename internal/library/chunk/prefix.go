package chunk

import "strings"

// Prefix is what is put before every chunk of a document: its name where the
// configuration says so, then the values of the fields that are injected, in
// the order of their definitions, a line each and an empty one behind. It does
// not count towards a chunk's size, because a long name would leave a small
// chunk no room. What is indexed and shown is Prefix + Chunk.Text.
func (c Config) Prefix(name string, values []string) string {
	var b strings.Builder
	if c.InjectName && name != "" {
		b.WriteString(oneLine(name) + "\n")
	}
	for _, v := range values {
		if v != "" {
			b.WriteString(oneLine(v) + "\n")
		}
	}
	if b.Len() > 0 {
		b.WriteByte('\n')
	}
	return b.String()
}

func oneLine(s string) string { return strings.Join(strings.Fields(s), " ") }
