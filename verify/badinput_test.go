package verify

import (
	"bufio"
	"bytes"
	"encoding/json"
	"flag"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"gatehouse"
	"gatehouse/internal/simulate"
)

var update = flag.Bool("update", false, "rewrite the golden transcripts")

const badGolden = "testdata/badinput.golden"

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
	for plane, cases := range map[string][]bad{"management": badManagement, "gateway": badGateway} {
		before := b.state(keyLists...)
		for _, c := range cases {
			b.play(t, plane, c)
			if after := b.state(keyLists...); after != before {
				t.Fatalf("%s: %s changed something:\n%s\nwas\n%s", plane, c.name, after, before)
			}
		}
	}
	if after := b.state(everything...); after != all {
		t.Errorf("the bad inputs changed something:\n%s\nwas\n%s", after, all)
	}
	for _, c := range badUpstream {
		b.play(t, "upstream", c)
	}
	b.compare(t)
	b.stop()
	b.leftTraces(t)
	b.findNoSecrets(append(b.said, b.log.Bytes()...))
}

var (
	keyLists   = []string{"/auth/teams/$team/api-keys", "/auth/teams/$other/api-keys"}
	everything = []string{"/admin/v1/api-keys", "/admin/v1/management-keys", "/admin/v1/upstreams", "/admin/v1/models", "/admin/v1/aliases",
		"/admin/v1/prices", "/admin/v1/clusters", "/admin/v1/teams", "/admin/v1/users"}
)

func newBadHouse(t *testing.T) *badHouse {
	b := &badHouse{house: newHouse(t, simulate.Options{Key: canary}, "GATEHOUSE_GATEWAY_MAX_BODY_BYTES=262144"), vars: map[string]string{}}
	b.vars["team"], b.vars["manager"], b.vars["never"] = b.team, b.key, gatehouse.NewID().String()
	b.vars["stranger"] = gatehouse.MintToken(gatehouse.DefaultBrand, gatehouse.Management, gatehouse.NewID()).Reveal()
	b.vars["unknown"] = gatehouse.MintToken(gatehouse.DefaultBrand, gatehouse.Inference, gatehouse.NewID()).Reveal()
	mine := b.createKey("")
	b.vars["key"], b.vars["secret"] = mine.ID, mine.Secret
	b.createKey(`"qpm":100`)
	b.vars["nothing"] = b.createKeyWith(b.team, `"acls":["api-key:model:gpt-4o","api-key:endpoint:embed"]`).Secret
	b.vars["once"] = b.createKey(`"qpm":1`).Secret
	var team, manager struct{ ID, APIKey, APIKeyID string }
	b.must("POST", "/admin/v1/teams", `{"name":"other"}`, &team)
	b.vars["other"] = team.ID
	theirs := b.createKeyWith(team.ID, `"acls":["api-key:model:*","api-key:endpoint:*"]`)
	b.vars["theirs"], b.vars["theirsecret"] = theirs.ID, theirs.Secret
	b.must("POST", "/admin/v1/management-keys", `{"name":"team","teamId":"`+b.team+`","acls":["team-token:endpoint:*"]}`, &manager)
	b.vars["teammanager"] = manager.APIKey
	b.must("POST", "/admin/v1/management-keys", `{"name":"reader","teamId":"`+b.team+`","acls":["team-token:endpoint:ListApiKeys"]}`, &manager)
	b.vars["reader"] = manager.APIKey
	b.giveProviders(t)
	b.collectTokens(t)
	b.secrets = append(b.secrets, mine.Secret, theirs.Secret, b.vars["teammanager"], b.vars["reader"])
	for b.readiness(theirs) != http.StatusOK {
		time.Sleep(10 * time.Millisecond)
	}
	return b
}

// readiness asks whether the gateway knows the last thing that was made, the
// upstream that answers nonsense included: the feed is in order.
func (b *badHouse) readiness(k key) int {
	status, _ := b.chat(k.Secret, "ready", `{"model":"odd","messages":[{"role":"user","content":"fine"}]}`)
	return status
}

func (b *badHouse) must(method, path, body string, into any) {
	b.t.Helper()
	status, answer := b.manage(method, b.expand(path), body)
	if err := json.Unmarshal(answer, into); err != nil || status != http.StatusOK {
		b.t.Fatalf("%s %s: %d %s", method, path, status, answer)
	}
}

func (b *badHouse) createKeyWith(team, members string) (k key) {
	b.t.Helper()
	b.must("POST", "/auth/teams/"+team+"/api-keys", `{"name":"verify",`+members+`}`, &k)
	b.secrets = append(b.secrets, k.Secret)
	return k
}

// giveProviders replaces the shared credential, and adds an upstream whose
// answers are canned and whose patience is short.
func (b *badHouse) giveProviders(t *testing.T) {
	var list struct{ Upstreams []struct{ ID string } }
	b.must("GET", "/admin/v1/upstreams", "", &list)
	owners := `[{"model":"*","owner":"openai"},{"model":"*","owner":"anthropic"},{"model":"*","owner":"xai"}]`
	b.must("PATCH", "/admin/v1/upstreams/"+list.Upstreams[0].ID, `{"serves":`+owners+`,"credential":"`+canary+`"}`, new(any))
	b.must("POST", "/admin/v1/models", `{"name":"odd","type":"language","owner":"verify"}`, new(any))
	b.must("POST", "/admin/v1/models", `{"name":"unpriced","type":"language","owner":"openai"}`, new(any))
	b.must("POST", "/admin/v1/prices", `{"model":"odd","units":{"Prompt text tokens":"1","Completion text tokens":"1"},"source":"operator"}`, new(any))
	var made struct{ ID string }
	b.must("POST", "/admin/v1/upstreams", `{"name":"odd","kind":"openai","baseUrl":"`+oddProvider(t)+`/v1","allowPrivate":true,`+
		`"families":["chat"],"serves":[{"model":"odd"}],"headerTimeout":"0.4s","idleTimeout":"0.4s","credential":"`+canary+`"}`, &made)
	b.vars["upstream"] = made.ID
}

// collectTokens gets a page token of one list and an id that an upstream handed
// out to the other team.
func (b *badHouse) collectTokens(t *testing.T) {
	var page struct{ PaginationToken string }
	b.must("GET", "/auth/teams/$team/api-keys?pageSize=1", "", &page)
	token := page.PaginationToken
	if len(token) < 20 {
		t.Fatalf("page token %q", token)
	}
	b.vars["page"] = token
	flipped := byte('A')
	if token[10] == flipped {
		flipped = 'B'
	}
	b.vars["forged"] = token[:10] + string(flipped) + token[11:]
	var made struct{ ID string }
	deadline := time.Now().Add(10 * time.Second)
	for made.ID == "" && time.Now().Before(deadline) {
		_, answer := b.responses("POST", "", b.vars["theirsecret"], `{"model":"gpt-4o","input":"theirs"}`)
		json.Unmarshal(answer, &made)
	}
	b.vars["response"] = made.ID
}

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

// play sends one case and keeps what was said.
func (b *badHouse) play(t *testing.T, plane string, c bad) {
	t.Helper()
	status, answer := b.send(plane, c, b.expand(c.request))
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
	slices.SortStableFunc(b.transcripts, func(x, y string) int { return strings.Compare(planeOf(x), planeOf(y)) })
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

func planeOf(transcript string) string {
	plane, _, _ := strings.Cut(transcript, ":")
	return plane
}

// leftTraces looks for every request in the log, and for usage rows of those
// that no upstream ever saw.
func (b *badHouse) leftTraces(t *testing.T) {
	t.Helper()
	for _, id := range b.ids {
		if !bytes.Contains(b.log.Bytes(), []byte(`"request_id":"`+id+`"`)) {
			t.Errorf("%s left no line in the log", id)
		}
	}
	for id := range b.rowsByRequest() {
		if strings.HasPrefix(id, "bad-management-") || strings.HasPrefix(id, "bad-gateway-") && !strings.Contains(id, "accepted") {
			t.Errorf("%s was refused and has a usage row", id)
		}
	}
}
