package main

import (
	"bytes"
	"encoding/json"
	"io"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"gatehouse"
	"gatehouse/internal/library/extract"
)

// The server reads documents in a process of its own, which here is the test's.
func TestMain(m *testing.M) {
	if len(os.Args) > 1 && os.Args[1] == extract.Command {
		main()
	}
	os.Exit(m.Run())
}

// withFiles is an installation with an API key, and some files in the working
// directory.
func withFiles(t *testing.T) {
	t.Helper()
	in := start(t)
	t.Setenv("GATEHOUSE_GATEWAY_URL", "http://"+in.Gateway)
	t.Setenv("GATEHOUSE_API_KEY", strings.TrimSpace(must(t, "keys", "create", "--name", "library", "--model", "*", "--endpoint", "*")))
	t.Chdir(t.TempDir())
	for name, text := range map[string]string{
		"moss.txt": "Moss grows where it is damp.\nIt has no roots.\n", "granite.md": "# Granite\n\nGranite is a hard rock of quartz and feldspar.\n",
		"void.txt": "",
	} {
		check(t, os.WriteFile(name, []byte(text), 0o600))
	}
	must(t, "keys", "propagation", keyID(t), "--wait", "30s")
}

// Documents, files and search, as a session shows them.
func TestLibraryCommandsPrintWhatTheSessionShows(t *testing.T) {
	session, err := filepath.Abs(filepath.Join("testdata", "library.txt"))
	check(t, err)
	withFiles(t)
	replayFile(t, session)
}

// A script sees that a document is not there yet by the exit code.
func TestAWaitThatIsTooLongEndsInSix(t *testing.T) {
	srv := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		_, _ = io.WriteString(w, `{"documents":[{"file_metadata":{"file_id":"file_`+uuid+`","name":"a\u001bb","size_bytes":"1"},"status":"DOCUMENT_STATUS_EMBEDDING","chunk_count":4,"chunks_processed_count":"1"}]}`)
	}))
	defer srv.Close()
	t.Setenv("GATEHOUSE_URL", srv.URL)
	t.Setenv("GATEHOUSE_MANAGEMENT_KEY", gatehouse.MintToken(gatehouse.DefaultBrand, gatehouse.Management, gatehouse.NewID()).Reveal())
	r := gatehouseRun(t, "", "documents", "wait", uuid, uuid, "--within", "1ms")
	if r.code != exitTimeout || !strings.Contains(r.stderr, "1 of 1 documents are not indexed after 1ms") {
		t.Errorf("exit %d: %s", r.code, r.stderr)
	}
}

// A file arrives whole or its name stays what it was.
func TestADownloadThatBreaksOffReplacesNothing(t *testing.T) {
	srv := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		w.Header().Set("Content-Length", "10")
		_, _ = io.WriteString(w, "half")
	}))
	defer srv.Close()
	t.Setenv("GATEHOUSE_GATEWAY_URL", srv.URL)
	t.Setenv("GATEHOUSE_API_KEY", "sk-of-another-program")
	path := filepath.Join(t.TempDir(), "out")
	check(t, os.WriteFile(path, []byte("before"), 0o600))
	r := gatehouseRun(t, "", "files", "download", uuid, "-o", path)
	text, err := os.ReadFile(path)
	check(t, err)
	if r.code == 0 || string(text) != "before" {
		t.Errorf("exit %d, %q, %s", r.code, text, r.stderr)
	}
	if left, _ := filepath.Glob(filepath.Join(filepath.Dir(path), ".out*")); len(left) > 0 {
		t.Errorf("%v stays behind", left)
	}
}

// The key is of the plane that the command speaks to, and never an argument.
func TestAPIKeysAreReadFromTheEnvironmentOrAFile(t *testing.T) {
	var got string
	srv := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		got = r.Header.Get("Authorization")
		_, _ = io.WriteString(w, `{"data":[]}`)
	}))
	defer srv.Close()
	t.Setenv("GATEHOUSE_GATEWAY_URL", srv.URL)
	t.Setenv("GATEHOUSE_API_KEY", "")
	t.Setenv("XAI_API_KEY", "")
	if r := gatehouseRun(t, "", "files", "list"); r.code != exitDenied || !strings.Contains(r.stderr, "GATEHOUSE_API_KEY") {
		t.Errorf("exit %d: %s", r.code, r.stderr)
	}
	t.Setenv("XAI_API_KEY", "sk-one")
	must(t, "files", "list")
	if got != "Bearer sk-one" {
		t.Error(got)
	}
	if r := gatehouseRun(t, "sk-two\n", "files", "list", "--api-key-file", "-"); r.code != 0 || got != "Bearer sk-two" {
		t.Error(r, got)
	}
	t.Setenv("GATEHOUSE_API_KEY", "two words")
	if r := gatehouseRun(t, "", "files", "list"); r.code != exitDenied || strings.Contains(r.stderr, "words") {
		t.Errorf("exit %d: %s", r.code, r.stderr)
	}
}

// On a terminal a line changes; elsewhere only what is done is told.
func TestProgressIsALineThatChanges(t *testing.T) {
	for live, want := range map[bool]string{
		false: "uploaded a\n",
		true:  "\ra: 2.0 KiB of 4.0 KiB, 50%, 2.0 KiB/s\ra: 4.0 KiB of 4.0 KiB, 100%, 2.0 KiB/s\ruploaded a" + strings.Repeat(" ", 28) + "\n",
	} {
		var out bytes.Buffer
		now := time.Unix(0, 0)
		p := &progress{w: &out, live: live, now: func() time.Time { return now }}
		w := p.watch(bytes.NewReader(make([]byte, 4096)), "a", 4096)
		for range 2 {
			now = now.Add(time.Second)
			_, err := io.ReadFull(w, make([]byte, 2048))
			check(t, err)
		}
		if p.done("uploaded %s", "a"); out.String() != want {
			t.Errorf("%q\nwant %q", out.String(), want)
		}
	}
}

func TestSizesAndNames(t *testing.T) {
	for n, want := range map[int64]string{0: "0 B", 1023: "1023 B", 1536: "1.5 KiB", 100 << 20: "100.0 MiB", 1020 << 10: "1.0 MiB", 5 << 40: "5.0 TiB"} {
		if got := size(n); got != want {
			t.Errorf("%d is %s, want %s", n, got, want)
		}
	}
	if got := escaped("a\x1b[2J\u202eb\nü\u009b"); got != `a\x1b[2J\u202eb\x0aü\u009b` {
		t.Error(got)
	}
}

func TestChunkFlagsBecomeAConfiguration(t *testing.T) {
	n, m := 512, 64
	for want, c := range map[string]cutting{
		"": {}, `{"tokens_configuration":{"max_chunk_size_tokens":512},"strip_whitespace":true}`: {ChunkTokens: &n},
		`{"tokens_configuration":{"max_chunk_size_tokens":512,"chunk_overlap_tokens":64},"strip_whitespace":true}`: {ChunkTokens: &n, Overlap: &m},
		`{"x":1}`: {ChunkConfig: `{"x":1}`},
	} {
		if got, err := c.chunks(); err != nil || string(got) != want {
			t.Errorf("%s, %v, want %s", got, err, want)
		}
	}
	for _, c := range []cutting{{Overlap: &m}, {ChunkConfig: "{"}, {ChunkConfig: "{}", ChunkTokens: &n}} {
		if got, err := c.chunks(); err == nil {
			t.Errorf("%+v is %s", c, got)
		}
	}
	var f fieldFlag
	if err := f.UnmarshalText([]byte("isbn:required:unique")); err != nil || !f.Required || !f.Unique || f.Inject || f.Key != "isbn" {
		t.Error(f, err)
	}
	for _, bad := range []string{"", ":unique", "a:uniq"} {
		if f.UnmarshalText([]byte(bad)) == nil {
			t.Errorf("%q is a field", bad)
		}
	}
}

// One that fails does not keep the others from going.
func TestFilesThatFailDoNotStopOthers(t *testing.T) {
	withFiles(t)
	r := gatehouseRun(t, "", "files", "upload", "moss.txt", "missing.txt", "granite.md", "--json")
	if r.code != exitError || strings.Count(r.out, "\n") != 2 || !strings.Contains(r.stderr, "missing.txt") || !strings.Contains(r.stderr, "1 of 3 were not uploaded") {
		t.Errorf("exit %d: %s%s", r.code, r.out, r.stderr)
	}
	for line := range strings.Lines(r.out) {
		var f struct {
			Object string `json:"object"`
		}
		if check(t, json.Unmarshal([]byte(line), &f)); f.Object != "file" {
			t.Error(line)
		}
	}
}
