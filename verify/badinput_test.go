package verify

import (
	"bufio"
	"bytes"
	"fmt"
	"io"
	"net"
	"net/http"
	"regexp"
	"strconv"
	"strings"
	"testing"
	"time"
)

// bad is one bad input and the status that the contract documents for it.
// The request is written as it is sent: request line, headers, an empty line,
// the body. Words like $team are filled in; $(n*x) is x n times.
type bad struct {
	name    string
	status  int
	request string
	raw     bool   // sent by hand on a socket: what a client library would not send
	foreign string // an id in the request: with one that never was the answer must be the same bytes
}

// badHouse is an installation with two teams and everything that the cases
// name. Requests and answers are kept for the golden file.
type badHouse struct {
	*house
	vars        map[string]string
	transcripts []string
	ids         []string // of the requests
	said        []byte   // all answers, for the search for secrets
}

// TestBadInputIsRefusedAndChangesNothing sends every bad input of the product's
// contract to a running house. Each has its documented answer, pinned in the
// golden file; none changes a record or leaves a usage row; each leaves a log
// line under its own id; no secret is in any of it.
func TestBadInputIsRefusedAndChangesNothing(t *testing.T) {
	b := newBadHouse(t)
	all := b.state(everything...)
	b.playAll(t, "gateway", badGateway)
	b.playAll(t, "management", badManagement)
	if after := b.state(everything...); after != all {
		t.Errorf("the bad inputs changed something:\n%s\nwas\n%s", after, all)
	}
	for _, c := range badUpstream {
		b.play(t, "upstream", c)
	}
	b.compare(t)
	b.denialsAreAudited(t)
	b.stop()
	b.leftTraces(t)
	b.findNoSecrets(append(b.said, b.Log()...))
}

var (
	keyLists   = []string{"/auth/teams/$team/api-keys", "/auth/teams/$other/api-keys"}
	everything = []string{"/admin/v1/api-keys", "/admin/v1/management-keys", "/admin/v1/upstreams", "/admin/v1/models", "/admin/v1/aliases",
		"/admin/v1/prices", "/admin/v1/clusters", "/admin/v1/teams", "/admin/v1/users"}
)

var (
	repeat = regexp.MustCompile(`\$\((\d+)\*([^)]+)\)`)
	unfit  = regexp.MustCompile(`[^0-9A-Za-z]+`) // for a request id
	word   = regexp.MustCompile(`\$[a-z]+`)
)

func (b *badHouse) expand(s string) string {
	s = word.ReplaceAllStringFunc(s, func(w string) string {
		if v, ok := b.vars[w[1:]]; ok {
			return v
		}
		return w
	})
	return repeat.ReplaceAllStringFunc(s, func(w string) string {
		m := repeat.FindStringSubmatch(w)
		n, _ := strconv.Atoi(m[1])
		return strings.Repeat(m[2], n)
	})
}

// playAll sends cases of which none may change a key of either team.
func (b *badHouse) playAll(t *testing.T, plane string, cases []bad) {
	before := b.state(keyLists...)
	for _, c := range cases {
		b.play(t, plane, c)
		if after := b.state(keyLists...); after != before {
			t.Fatalf("%s: %s changed something:\n%s\nwas\n%s", plane, c.name, after, before)
		}
	}
}

// play sends one case and keeps what was said.
func (b *badHouse) play(t *testing.T, plane string, c bad) {
	t.Helper()
	status, answer := b.send(plane, c, b.expand(c.request))
	// In a fleet on a machine that is busy, the authority may be too late to tell;
	// a client comes back, as the answer asks it to.
	for try := 0; try < 20 && status == http.StatusServiceUnavailable && bytes.Contains(answer, []byte("cannot tell yet")); try++ {
		time.Sleep(250 * time.Millisecond)
		status, answer = b.send(plane, c, b.expand(c.request))
	}
	if status != c.status {
		t.Errorf("%s: %s: %d, the contract says %d\n%s", plane, c.name, status, c.status, answer)
	}
	b.transcripts = append(b.transcripts, fmt.Sprintf("==== %s: %s\n%s\n---- %d\n%s\n", plane, c.name, printable(c.request), status, b.normal(answer)))
	if c.foreign == "" {
		return
	}
	never := strings.NewReplacer(b.vars[c.foreign], b.vars["never"])
	again, unknown := b.send(plane, c, never.Replace(b.expand(c.request)))
	if again != status || string(unknown) != never.Replace(string(answer)) {
		t.Errorf("%s: %s: a foreign id is told from a missing one: %d %s; %d %s", plane, c.name, status, answer, again, unknown)
	}
}

// send puts the request on a socket of its own, so that the bytes are the
// case's own. Cut off is a body shorter than its head says.
func (b *badHouse) send(plane string, c bad, text string) (int, []byte) {
	b.t.Helper()
	head, body, _ := strings.Cut(text, "\n\n")
	id := "bad-" + plane + "-" + unfit.ReplaceAllString(c.name, "-")
	b.ids = append(b.ids, id)
	base, credential := b.gateway, b.vars["secret"]
	if plane == "management" {
		base, credential = b.management, b.key
	}
	addr := strings.TrimPrefix(base, "http://")
	lines := strings.Split(head, "\n")
	lines[0] += " HTTP/1.1\r\nHost: " + addr + "\r\nConnection: close\r\nX-Request-Id: " + id
	if !strings.Contains(head, "Authorization:") {
		lines = append(lines, "Authorization: Bearer "+credential)
	}
	if plane != "management" && !strings.Contains(head, "Content-Type:") {
		lines = append(lines, "Content-Type: application/json")
	}
	if !c.raw {
		lines = append(lines, "Content-Length: "+strconv.Itoa(len(body)))
	}
	return exchange(b.t, addr, strings.Join(lines, "\r\n")+"\r\n\r\n"+body, c.raw, &b.said)
}

// exchange writes a request, ends its own side when the request is cut off, and
// reads the answer as far as it comes.
func exchange(t *testing.T, addr, text string, cut bool, said *[]byte) (int, []byte) {
	t.Helper()
	conn, err := net.Dial("tcp", addr)
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
	conn.SetDeadline(time.Now().Add(20 * time.Second))
	// A server may answer and close before it has read a large body.
	go func() {
		io.WriteString(conn, text)
		if cut {
			conn.(*net.TCPConn).CloseWrite()
		}
	}()
	resp, err := http.ReadResponse(bufio.NewReader(conn), nil)
	if err != nil {
		return 0, []byte(err.Error())
	}
	defer resp.Body.Close()
	answer, err := io.ReadAll(resp.Body)
	*said = append(*said, answer...)
	if err != nil {
		answer = append(answer, "[connection broken: "+err.Error()+"]"...)
	}
	for _, name := range []string{"Allow", "Retry-After", "X-Gatehouse-Revision"} {
		if v := resp.Header.Get(name); v != "" {
			answer = append([]byte(name+": "+v+"\n"), answer...)
		}
	}
	return resp.StatusCode, answer
}

// state is what the lists at paths show.
func (b *badHouse) state(paths ...string) string {
	b.t.Helper()
	var out strings.Builder
	for _, path := range paths {
		status, answer := b.manage("GET", b.expand(path), "")
		if status != http.StatusOK {
			b.t.Fatalf("GET %s: %d %s", path, status, answer)
		}
		fmt.Fprintf(&out, "%s\n%s\n", path, answer)
	}
	return out.String()
}

// denialsAreAudited wants a leaf for every refusal of a caller that proved
// itself. What proves nothing leaves a log line alone, or anybody could fill
// the audit log.
func (b *badHouse) denialsAreAudited(t *testing.T) {
	t.Helper()
	want := 0
	for _, c := range badManagement {
		if c.status == http.StatusForbidden {
			want++
		}
	}
	_, answer := b.manage("GET", b.expand("/audit/teams/$team/events?eventFilter.action=access.denied"), "")
	if got := bytes.Count(answer, []byte(" was denied ")); got != want {
		t.Errorf("%d denials in the audit log, want %d: %s", got, want, answer)
	}
	b.said = append(b.said, answer...)
}

// leftTraces looks for every request in the log, and for usage rows: none of
// what was refused here, one of each that reached an upstream.
func (b *badHouse) leftTraces(t *testing.T) {
	t.Helper()
	rows := b.rowsByRequest()
	for _, id := range b.ids {
		if !strings.Contains(b.Log(), `"request_id":"`+id+`"`) {
			t.Errorf("%s left no line in the log", id)
		}
		want := 0
		if strings.Contains(id, "accepted") || strings.HasPrefix(id, "bad-upstream-") {
			want = 1
		}
		if len(rows[id]) != want {
			t.Errorf("%s has %d usage rows, want %d", id, len(rows[id]), want)
		}
	}
}
