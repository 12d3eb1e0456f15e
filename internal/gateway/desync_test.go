package gateway

import (
	"encoding/json"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"strings"
	"sync"
	"testing"
	"time"
)

// raw is what a client writes, byte for byte, and how many requests there are
// in it for whoever reads strictly. USER stands for the case's own
// name, §N and §X for the length of a body, §L for one that takes in the next
// request too.
type raw struct {
	name  string
	bytes string
	want  int
}

const (
	desyncBody = `{"model":"small","user":"USER","messages":[{"role":"user","content":"hello"}]}`
	desyncLine = "POST /v1/chat/completions HTTP/1.1\r\n"
	desyncHead = "Host: g\r\nAuthorization: Bearer KEY\r\nContent-Type: application/json\r\n"
	// smuggled is what must never be taken for a request of its own when it lies
	// where only a lenient reader ends a request.
	smuggled = desyncLine + desyncHead + "Content-Length: §N\r\n\r\n" + desyncBody
	chunks2  = "§X\r\n" + desyncBody + "\r\n0\r\n\r\n"
)

// post is a whole request with more lines in its head.
func post(lines string) string {
	return desyncLine + desyncHead + lines + "Content-Length: §N\r\n\r\n" + desyncBody
}

// chunked is one whose body is given as chunks.
func chunked(body string) string {
	return desyncLine + desyncHead + "Transfer-Encoding: chunked\r\n\r\n" + body
}

// withLength is one whose only length line is given.
func withLength(line string) string { return desyncLine + desyncHead + line + "\r\n" + desyncBody }

func desyncCases() (all []raw) {
	add := func(want int, name, bytes string) { all = append(all, raw{name, bytes, want}) }
	bad := func(name, bytes string) { add(0, name, bytes+smuggled) }

	// Both ways to say how long a body is, however they are written.
	for _, length := range []string{"Content-Length", "content-length", "CONTENT-LENGTH"} {
		for i, coding := range []string{" chunked", "chunked", " Chunked", "\tchunked", " chunked\t", " xchunked", " chunked, identity",
			" identity, chunked", " identity", " gzip, chunked", " chunked, chunked", ""} {
			te, cl := "Transfer-Encoding:"+coding+"\r\n", length+": §N\r\n"
			for j, both := range []string{te + cl, cl + te} {
				bad(fmt.Sprintf("%s and coding %d, order %d", length, i, j), desyncLine+desyncHead+both+"\r\n"+chunks2)
			}
		}
	}
	// A line that only some end at LF; a fold that only some join.
	lines := strings.SplitAfter(desyncLine+desyncHead+"Content-Length: §N\r\n\r\n", "\r\n")
	for i := range len(lines) - 1 {
		mixed := append([]string(nil), lines...)
		mixed[i] = strings.TrimSuffix(mixed[i], "\r\n") + "\n"
		bad(fmt.Sprint("bare LF in line ", i), strings.Join(mixed, "")+desyncBody)
		for _, fold := range []string{" folded\r\n", "\tfolded\r\n", " \r\n"} {
			mixed[i] = lines[i] + fold
			if i < len(lines)-2 {
				bad(fmt.Sprintf("fold %q behind line %d", fold, i), strings.Join(mixed, "")+desyncBody)
			}
		}
	}
	bad("bare LF everywhere", strings.ReplaceAll(smuggled, "\r\n", "\n"))
	bad("a header's value on the next line", withLength("Content-Length:\r\n §N\r\n"))
	bad("a coding on the next line", desyncLine+desyncHead+"Transfer-Encoding:\r\n chunked\r\n\r\n"+chunks2)
	bad("CR CR LF", withLength("Content-Length: §N\r\r\n"))

	// Lengths that two parsers read differently.
	for _, v := range []string{"", "+§N", "-§N", "-0", "0x§N", "§N.0", "§N §N", "§N,§N", "§N, §N", "§N;q=1", "1e2", "٥", "§N\x00", "\x0b§N",
		"9223372036854775808", "99999999999999999999999", "§N\x85", "\"§N\"", "NaN", "0 §N"} {
		bad(fmt.Sprintf("length %q", v), withLength("Content-Length: "+v+"\r\n"))
	}
	bad("the same length twice", withLength("Content-Length: §N\r\nContent-Length: §N\r\n"))
	bad("two lengths", withLength("Content-Length: §N\r\nContent-Length: 5\r\n"))
	bad("two lengths in two cases", withLength("Content-Length: 0\r\ncontent-length: §N\r\n"))
	add(2, "leading zeros", withLength("Content-Length: 00§N\r\n")+smuggled)
	add(2, "spaces about a length", withLength("Content-Length: \t §N \t\r\n")+smuggled)

	// Names that only some take for the name.
	for _, name := range []string{"Content-Length ", "Content-Length\t", " Content-Length", "\x0bContent-Length", "Content-Length\x00", "Content\x00-Length", "Content Length",
		"(Content-Length)", "", "Content-Length\x7f", "Content-Länge"} {
		bad(fmt.Sprintf("name %q", name), post(name+": 0\r\n"))
	}
	for _, name := range []string{"Transfer-Encoding ", "Transfer-Encoding\t", " Transfer-Encoding", "\x0bTransfer-Encoding", "Transfer-Encoding\x00", "Transfer\rEncoding"} {
		bad(fmt.Sprintf("name %q", name), post(name+": chunked\r\n"))
	}
	for _, line := range []string{"X: a\rTransfer-Encoding: chunked\r\n", "X: a\rContent-Length: 0\r\n", "X: a\x00b\r\n", "X: a\x0bb\r\n", "X: a\x7fb\r\n", "no colon\r\n", ": no name\r\n", "Host: other\r\n"} {
		bad(fmt.Sprintf("line %q", line), post(line))
	}
	for _, line := range []string{"Transfer_Encoding: chunked\r\n", "X-Transfer-Encoding: chunked\r\n", "Content_Length: 0\r\n", "TE: chunked\r\n", "Trailer: Content-Length\r\n",
		"Upgrade: h2c\r\nConnection: Upgrade, HTTP2-Settings\r\nHTTP2-Settings: AAMAAABkAAQAAP__\r\n", "Upgrade: websocket\r\nConnection: Upgrade\r\n",
		"Connection: Content-Length\r\n", "Connection: Transfer-Encoding\r\n", "Expect: 100-continue\r\n"} {
		add(2, fmt.Sprintf("harmless %q", line), post(line)+smuggled)
	}
	bad("another expectation", post("Expect: 200-ok\r\n"))

	// Codings and chunks.
	bad("two codings", desyncLine+desyncHead+"Transfer-Encoding: chunked\r\nTransfer-Encoding: chunked\r\n\r\n"+chunks2)
	bad("two different codings", desyncLine+desyncHead+"Transfer-Encoding: chunked\r\nTransfer-Encoding: identity\r\n\r\n"+chunks2)
	bad("a coding in HTTP/1.0", strings.Replace(chunked(chunks2), "HTTP/1.1", "HTTP/1.0", 1))
	for _, size := range []string{"", "0x§X", "+§X", "-§X", "§X §X", " §X", "g", "§X,", "ffffffffffffffff", "1000000000000004d", "\"§X\"", "§X\r", "§X\x00"} {
		bad(fmt.Sprintf("chunk size %q", size), chunked(size+"\r\n"+desyncBody+"\r\n0\r\n\r\n"))
	}
	bad("a chunk's line ends at LF", chunked("§X\n"+desyncBody+"\r\n0\r\n\r\n"))
	bad("a chunk ends at LF", chunked("§X\r\n"+desyncBody+"\n0\r\n\r\n"))
	bad("a chunk ends at nothing", chunked("§X\r\n"+desyncBody+"0\r\n\r\n"))
	bad("a chunk is longer than it says", chunked("1\r\n"+desyncBody+"\r\n0\r\n\r\n"))
	bad("a chunk ends in other bytes", chunked("§X\r\n"+desyncBody+"XX0\r\n\r\n"))
	bad("the last chunk's line ends at LF", chunked("§X\r\n"+desyncBody+"\r\n0\n\r\n"))
	bad("an extension with LF", chunked("§X;a\nb\r\n"+desyncBody+"\r\n0\r\n\r\n"))
	add(2, "chunks", chunked(chunks2)+smuggled)
	add(2, "a zero before a chunk's size", chunked("0§X"+"\r\n"+desyncBody+"\r\n0\r\n\r\n")+smuggled)
	add(2, "chunks with an extension", chunked("§X;name=value\r\n"+desyncBody+"\r\n0\r\n\r\n")+smuggled)
	add(2, "leading zeros in a chunk", chunked("000§X\r\n"+desyncBody+"\r\n0\r\n\r\n")+smuggled)
	add(2, "a trailer that names a length", chunked("§X\r\n"+desyncBody+"\r\n0\r\nX: y\r\n\r\n")+smuggled)
	add(0, "a trailer with a fold", chunked("§X\r\n"+desyncBody+"\r\n0\r\nX: y\r\n z\r\n\r\n")+smuggled)
	add(0, "chunks that do not end", chunked("§X\r\n"+desyncBody+"\r\n"))

	// Request lines.
	for _, line := range []string{"POST  /v1/chat/completions HTTP/1.1", "POST\t/v1/chat/completions\tHTTP/1.1", "POST /v1/chat/completions", "POST /v1/chat/completions HTTP/1.1 ",
		"POST /v1/chat/completions HTTP/2.0", "POST /v1/chat/completions HTTP/1.10", "POST /v1/chat/completions http/1.1", "POST /v1/chat completions HTTP/1.1",
		"POST /v1/chat/completions\x00 HTTP/1.1", "POST /v1/chat/completions\r HTTP/1.1", " POST /v1/chat/completions HTTP/1.1", "P\x00ST /v1/chat/completions HTTP/1.1", "", "PRI * HTTP/2.0x",
		"POST v1/chat/completions HTTP/1.1", "(POST) /v1/chat/completions HTTP/1.1"} {
		bad(fmt.Sprintf("request line %q", line), line+"\r\n"+desyncHead+"Content-Length: §N\r\n\r\n"+desyncBody)
	}
	add(2, "absolute form", strings.Replace(post(""), " /v1", " http://g/v1", 1)+smuggled)
	add(1, "HTTP/1.0", strings.Replace(post(""), "HTTP/1.1", "HTTP/1.0", 1)+smuggled)
	add(1, "close", post("Connection: close\r\n")+smuggled)

	// Several on one connection, and what follows a good one.
	add(2, "two", smuggled+smuggled)
	add(5, "five", strings.Repeat(smuggled, 5))
	add(3, "chunks between", smuggled+chunked(chunks2)+smuggled)
	add(1, "behind a request without a body", "GET /v1/models HTTP/1.1\r\n"+desyncHead+"\r\n"+smuggled)
	add(1, "behind a request without a body that says so", "GET /v1/models HTTP/1.1\r\n"+desyncHead+"Content-Length: 0\r\n\r\n"+smuggled)
	add(1, "behind a GET with a body", "GET /v1/models HTTP/1.1\r\n"+desyncHead+"Content-Length: §N\r\n\r\n"+desyncBody+smuggled)
	add(1, "behind a HEAD", "HEAD /v1/models HTTP/1.1\r\n"+desyncHead+"\r\n"+smuggled)
	add(1, "behind a body that is read by nobody", "POST /nowhere HTTP/1.1\r\n"+desyncHead+"Content-Length: §N\r\n\r\n"+desyncBody+smuggled)
	add(1, "a request in a body", strings.Replace(post(""), "§N", "§L", 1)+smuggled+smuggled)
	add(0, "a body cut short", strings.Replace(post(""), "§N", "10", 1)+smuggled)
	add(1, "both lengths, behind a good one", smuggled+desyncLine+desyncHead+"Content-Length: §N\r\nTransfer-Encoding: chunked\r\n\r\n"+chunks2)
	add(1, "bare LF behind a good one", smuggled+strings.ReplaceAll(smuggled, "\r\n", "\n"))
	add(1, "HTTP/2 behind a good one", smuggled+"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n"+smuggled)
	add(1, "garbage behind a good one", smuggled+"\x00\x01\x02\r\n\r\n"+smuggled)
	add(1, "blank lines behind a good one", smuggled+"\r\n\r\n"+smuggled)
	return all
}

// fill puts a case's name, key and lengths into its bytes.
func (r raw) fill(user, key string) string {
	n := len(desyncBody) - len("USER") + len(user)
	s := strings.NewReplacer("USER", user, "KEY", key, "§X", fmt.Sprintf("%x", n), "§N", fmt.Sprint(n)).Replace(r.bytes)
	next := strings.NewReplacer("USER", user, "KEY", key, "§N", fmt.Sprint(n)).Replace(smuggled)
	return strings.Replace(s, "§L", fmt.Sprint(n+len(next)), 1)
}

// Whatever a client writes, requests seen upstream are those that were metered,
// and there are as many as a strict reader finds.
func TestDesync(t *testing.T) {
	var mu sync.Mutex
	upstream := map[string]int{}
	up := serve(t, func(rw http.ResponseWriter, r *http.Request) {
		var body struct{ User string }
		json.NewDecoder(r.Body).Decode(&body)
		mu.Lock()
		upstream[body.User]++
		mu.Unlock()
		rw.Header().Set("Content-Type", "application/json")
		io.WriteString(rw, chatAnswer)
	})
	w := newWorld(t)
	w.upstream("one", up)
	key := w.key(0)
	w.start()
	cases := desyncCases()
	if len(cases) < 150 {
		t.Errorf("%d cases", len(cases))
	}
	var group sync.WaitGroup
	limit := make(chan struct{}, 64)
	for i, c := range cases {
		limit <- struct{}{}
		group.Go(func() {
			defer func() { <-limit }()
			converse(t, w.url, c.fill(fmt.Sprintf("case-%03d", i), key), i%3 == 1)
		})
	}
	group.Wait()
	metered := map[string]int{}
	for _, r := range w.usage() {
		metered[r.EndUser]++
	}
	for i, c := range cases {
		user := fmt.Sprintf("case-%03d", i)
		if upstream[user] != c.want || metered[user] != c.want {
			t.Errorf("%s: %d upstream, %d metered, want %d", c.name, upstream[user], metered[user], c.want)
		}
	}
	t.Logf("%d cases", len(cases))
}

// converse writes s, at once or in pieces, and reads until the other side has
// nothing more to say.
func converse(t *testing.T, url, s string, pieces bool) {
	conn, err := net.Dial("tcp", strings.TrimPrefix(url, "http://"))
	if err != nil {
		t.Error(err)
		return
	}
	defer conn.Close()
	for part := len(s); len(s) > 0; s = s[min(part, len(s)):] {
		if pieces {
			part = 37
		}
		if _, err := io.WriteString(conn, s[:min(part, len(s))]); err != nil {
			break // it was refused before its end
		}
	}
	buf := make([]byte, 64<<10)
	for {
		conn.SetReadDeadline(time.Now().Add(2 * time.Second)) // a busy machine answers late
		if _, err := conn.Read(buf); err != nil {
			if !os.IsTimeout(err) && err != io.EOF && !strings.Contains(err.Error(), "reset") {
				t.Error(err)
			}
			return
		}
	}
}
