package conformance

import (
	"bufio"
	"bytes"
	"encoding/base64"
	"encoding/json"
	"fmt"
	"html"
	"io"
	"net/http"
	"net/http/cookiejar"
	"net/url"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
	"time"

	"gatehouse/verify/town"
)

// signInHouse is a Gatehouse whose people come from a certified provider.
type signInHouse struct {
	*testing.T
	issuer, management, root, binary string
}

// TestSignIn is the promise that people sign in by any certified provider, get
// what their groups give, and are out within a minute of leaving there.
func TestSignIn(t *testing.T) {
	if _, err := os.Stat("node/node_modules/oidc-provider"); err != nil {
		t.Fatal("the identity provider is not installed; run: npm --prefix conformance/node ci")
	}
	h := startSignIn(t)
	t.Run("code_and_PKCE", func(t *testing.T) { h.on(t).byBrowser() })
	t.Run("device", func(t *testing.T) { h.on(t).byDevice() })
	t.Run("groups", func(t *testing.T) { h.on(t).groups() })
	t.Run("bad_tokens", func(t *testing.T) { h.on(t).badTokens() })
	t.Run("deactivation", func(t *testing.T) { h.on(t).deactivation() })
}

// on is h for a part of the test.
func (h *signInHouse) on(t *testing.T) *signInHouse {
	c := *h
	c.T = t
	return &c
}

func startSignIn(t *testing.T) *signInHouse {
	t.Helper()
	_, port, _ := strings.Cut(town.FreeAddr(t), ":")
	h := &signInHouse{T: t, issuer: "http://127.0.0.1:" + port, binary: town.Binary(t)}
	provider := exec.Command("node", "provider.mjs", port)
	provider.Dir = "node"
	out, err := provider.StdoutPipe()
	if err == nil {
		err = provider.Start()
	}
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { provider.Process.Kill(); provider.Wait() })
	if line, err := bufio.NewReader(out).ReadString('\n'); err != nil {
		t.Fatalf("the provider said %q: %v", line, err)
	}
	dir := t.TempDir()
	management, gateway := town.FreeAddr(t), town.FreeAddr(t)
	config := fmt.Sprintf(`
data: %[1]s/data
bootstrap_file: %[1]s/boot.json
log: {level: warn}
gateway: {listen: %[2]s}
management: {listen: %[3]s, rate: 1000}
metrics: {listen: %[4]s}
oidc:
  issuer: %[5]s
  client_id: gatehouse
  check_every: 1s
  roles:
    - {group: staff, role: viewer}
    - {group: ops, role: admin}
`, dir, gateway, management, town.FreeAddr(t), h.issuer)
	file := filepath.Join(dir, "gatehouse.yaml")
	if err := os.WriteFile(file, []byte(config), 0o600); err != nil {
		t.Fatal(err)
	}
	p := &town.Process{Name: "gatehouse", Binary: h.binary, Args: []string{"serve", "--config", file}, ReadyURL: "http://" + gateway + "/readyz"}
	if err := p.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		p.Kill()
		if t.Failed() {
			t.Log(p.Tail(3000))
		}
	})
	if err := p.Await(30 * time.Second); err != nil {
		t.Fatal(err)
	}
	var boot struct {
		Key string `json:"management_key"`
	}
	text, err := os.ReadFile(filepath.Join(dir, "boot.json"))
	if err == nil {
		err = json.Unmarshal(text, &boot)
	}
	if err != nil {
		t.Fatal(err)
	}
	h.management, h.root = "http://"+management, boot.Key
	return h
}

// desk is somebody's machine: a home of their own, and a browser.
type desk struct {
	*signInHouse
	home    string
	browser *http.Client
}

func (h *signInHouse) desk() *desk {
	h.Helper()
	jar, _ := cookiejar.New(nil)
	return &desk{h, h.TempDir(), &http.Client{Jar: jar, Timeout: 20 * time.Second}}
}

// command is gatehouse at this desk, without any key in the environment.
func (d *desk) command(args ...string) *exec.Cmd {
	cmd := exec.Command(d.binary, args...)
	cmd.Env = []string{"HOME=" + d.home, "PATH=" + os.Getenv("PATH"), "GATEHOUSE_URL=" + d.management}
	return cmd
}

func (d *desk) run(args ...string) (string, error) {
	out, err := d.command(args...).CombinedOutput()
	return string(out), err
}

var (
	address = regexp.MustCompile(`(?m)^ +(http://\S+)$`)
	code    = regexp.MustCompile(`enter the code (\S+):`)
)

// login runs gatehouse login and does in the browser what it asks for.
func (d *desk) login(account string, args ...string) (string, error) {
	d.Helper()
	cmd := d.command(append([]string{"login"}, args...)...)
	var out bytes.Buffer
	stderr, err := cmd.StderrPipe()
	cmd.Stdout = &out
	if err == nil {
		err = cmd.Start()
	}
	if err != nil {
		d.Fatal(err)
	}
	said := ""
	lines := bufio.NewScanner(stderr)
	for lines.Scan() {
		said += lines.Text() + "\n"
		if at := address.FindStringSubmatch(said); at != nil {
			typed := ""
			if c := code.FindStringSubmatch(said); c != nil {
				typed = c[1]
			}
			if d.walk(at[1], account, typed) != "/callback" && typed == "" {
				cmd.Process.Signal(os.Interrupt) // the provider did not let them in: nobody will come back
			}
			break
		}
	}
	rest, _ := io.ReadAll(stderr)
	err = cmd.Wait()
	return out.String() + said + string(rest), err
}

var (
	form   = regexp.MustCompile(`(?s)<form[^>]*action="([^"]*)"[^>]*>(.*?)</form>`)
	hidden = regexp.MustCompile(`<input[^>]*type="hidden"[^>]*>`)
	attr   = regexp.MustCompile(`(name|value)="([^"]*)"`)
	field  = regexp.MustCompile(`<input[^>]*name="(login|password|user_code)"`)
)

// walk opens an address and fills in every form until there is none: what a
// person does in a browser. It returns the path where they end.
func (d *desk) walk(at, account, typed string) string {
	d.Helper()
	resp, err := d.browser.Get(at)
	for range 10 {
		if err != nil {
			d.Fatal(err)
		}
		text, _ := io.ReadAll(resp.Body)
		resp.Body.Close()
		f := form.FindStringSubmatch(string(text))
		if f == nil {
			return resp.Request.URL.Path
		}
		fill := url.Values{}
		for _, in := range hidden.FindAllString(f[2], -1) {
			pair := map[string]string{}
			for _, a := range attr.FindAllStringSubmatch(in, -1) {
				pair[a[1]] = html.UnescapeString(a[2])
			}
			fill.Set(pair["name"], pair["value"])
		}
		for _, in := range field.FindAllStringSubmatch(f[2], -1) {
			fill.Set(in[1], map[string]string{"login": account, "password": "x", "user_code": typed}[in[1]])
		}
		to, e := resp.Request.URL.Parse(html.UnescapeString(f[1]))
		if e != nil {
			d.Fatal(e)
		}
		resp, err = d.browser.PostForm(to.String(), fill)
	}
	return "" // asked again and again: they are not let in
}

func (h *signInHouse) byBrowser() {
	d := h.desk()
	out, err := d.login("ada")
	if err != nil || !strings.Contains(out, "signed in to team") {
		h.Fatalf("%v: %s", err, out)
	}
	if info, err := os.Stat(filepath.Join(d.home, ".config/gatehouse/login.json")); err != nil || info.Mode().Perm() != 0o600 {
		h.Errorf("login file: %v, %v", info, err)
	}
	if out, err := d.run("keys", "create", "--name", "k", "--model", "*", "--endpoint", "*"); err != nil || !strings.Contains(out, "gthk_") {
		h.Errorf("an admin cannot create a key: %v %s", err, out)
	}
	if out, err := d.run("upstreams", "list"); err == nil {
		h.Errorf("an admin of a team reaches the installation: %s", out)
	}
	members, err := d.run("team", "members", "list")
	if err != nil || !strings.Contains(members, "ada@example.com") || !strings.Contains(members, "admin") {
		h.Errorf("%v: %s", err, members)
	}
	cmd := d.command("validate")
	cmd.Env = append(cmd.Env, "GATEHOUSE_MANAGEMENT_KEY="+h.root) // the environment wins over the login
	if out, err := cmd.CombinedOutput(); err != nil || !strings.Contains(string(out), "organization") {
		h.Errorf("%v: %s", err, out)
	}
	elsewhere := d.command("validate", "--url", "http://localhost:1")
	if out, err := elsewhere.CombinedOutput(); err == nil || !strings.Contains(string(out), "no management key") {
		h.Errorf("the key went elsewhere: %v %s", err, out)
	}
}

func (h *signInHouse) byDevice() {
	d := h.desk()
	if out, err := d.login("ada", "--device"); err != nil {
		h.Fatalf("%v: %s", err, out)
	}
	if out, err := d.run("keys", "list"); err != nil {
		h.Errorf("%v: %s", err, out)
	}
}

// groups: one gives a role, the wider of two counts, none is nobody.
func (h *signInHouse) groups() {
	bob, eve := h.desk(), h.desk()
	if out, err := bob.login("bob"); err != nil {
		h.Fatalf("%v: %s", err, out)
	}
	if out, err := bob.run("keys", "create", "--name", "k"); err == nil || !strings.Contains(out, "you are viewer") {
		h.Errorf("a viewer created a key: %s", out)
	}
	if out, err := bob.run("keys", "list"); err != nil {
		h.Errorf("%v: %s", err, out)
	}
	if out, err := eve.login("eve"); err == nil || !strings.Contains(out, "none of your groups") || !strings.Contains(out, "visitors") {
		h.Errorf("eve: %v %s", err, out)
	}
}

// post sends a sign-in and returns status and answer.
func (h *signInHouse) post(token, nonce string) (int, string) {
	h.Helper()
	text, _ := json.Marshal(map[string]string{"idToken": token, "nonce": nonce})
	resp, err := http.Post(h.management+"/auth/sign-in", "application/json", bytes.NewReader(text))
	if err != nil {
		h.Fatal(err)
	}
	defer resp.Body.Close()
	answer, _ := io.ReadAll(resp.Body)
	if resp.StatusCode == http.StatusTooManyRequests { // five a second and address
		time.Sleep(time.Second)
		return h.post(token, nonce)
	}
	return resp.StatusCode, string(answer)
}

// tell asks the provider for what only a test may ask.
func (h *signInHouse) tell(what, body string) string {
	h.Helper()
	resp, err := http.Post(h.issuer+"/test/"+what, "text/plain", strings.NewReader(body))
	if err != nil {
		h.Fatal(err)
	}
	defer resp.Body.Close()
	answer, _ := io.ReadAll(resp.Body)
	return string(answer)
}

// badTokens are signed by the provider's own key where they are signed at all.
func (h *signInHouse) badTokens() {
	claims := func(change map[string]any) string {
		all := map[string]any{
			"iss": h.issuer, "aud": "gatehouse", "sub": "ada", "nonce": "n", "groups": []string{"ops"},
			"iat": time.Now().Unix(), "exp": time.Now().Add(time.Hour).Unix(),
		}
		for k, v := range change {
			all[k] = v
		}
		text, _ := json.Marshal(all)
		return string(text)
	}
	signed := func(change map[string]any) string { return h.tell("sign", claims(change)) }
	part := func(s string) string { return base64.RawURLEncoding.EncodeToString([]byte(s)) }
	good := signed(nil)
	parts := strings.Split(good, ".")
	for name, c := range map[string]struct{ token, nonce, says string }{
		"other_audience": {signed(map[string]any{"aud": "somebody"}), "", "another audience"},
		"other_party":    {signed(map[string]any{"azp": "somebody"}), "", "another client"},
		"other_issuer":   {signed(map[string]any{"iss": "https://id.example.com"}), "", "another issuer"},
		"expired":        {signed(map[string]any{"exp": time.Now().Add(-time.Minute).Unix()}), "", "expired"},
		"wrong_nonce":    {good, "m", "nonce"},
		"unsigned":       {parts[0] + "." + parts[1] + ".", "", "not signed"},
		"alg_none":       {part(`{"alg":"none"}`) + "." + parts[1] + ".", "", "not signed"},
		"changed":        {parts[0] + "." + part(claims(map[string]any{"sub": "root"})) + "." + parts[2], "", "not signed"},
		"no_token":       {"x", "", "no JWT"},
	} {
		if status, answer := h.post(c.token, c.nonce); status != http.StatusUnauthorized || !strings.Contains(answer, c.says) {
			h.Errorf("%s: %d %s", name, status, answer)
		}
	}
	if status, answer := h.post(good, "n"); status != http.StatusOK {
		h.Fatalf("the good one: %d %s", status, answer)
	}
	if status, answer := h.post(good, "n"); status != http.StatusUnauthorized || !strings.Contains(answer, "used before") {
		h.Errorf("twice: %d %s", status, answer)
	}
}

// await polls for a minute.
func (h *signInHouse) await(what string, is func() bool) {
	h.Helper()
	began := time.Now()
	for !is() {
		if time.Since(began) > time.Minute {
			h.Fatalf("still waiting for %s after a minute", what)
		}
		time.Sleep(20 * time.Millisecond)
	}
}

// awaitQuestions waits for three more rounds: two of them are of states that were
// kept after the call.
func (h *signInHouse) awaitQuestions() {
	h.Helper()
	asked := func() (n int) {
		fmt.Sscan(h.tell("asked", ""), &n)
		return n
	}
	people := 2 // ada and bob
	before := asked()
	h.await("the provider to be asked", func() bool { return asked() >= before+3*people })
}

// deactivation: a provider that is away changes nothing, one that says no ends
// all that the person's keys may do, and their API keys wait for another owner.
func (h *signInHouse) deactivation() {
	d := h.desk()
	h.await("an allowance of sign-ins", func() bool {
		resp, err := http.Get(h.management + "/auth/sign-in")
		if err == nil {
			resp.Body.Close()
		}
		time.Sleep(500 * time.Millisecond) // more come back than this takes
		return err == nil && resp.StatusCode == http.StatusOK
	})
	if out, err := d.login("ada"); err != nil {
		h.Fatalf("%v: %s", err, out)
	}
	h.tell("away", "true")
	h.awaitQuestions() // without an answer
	if out, err := d.run("keys", "list"); err != nil {
		h.Fatalf("a provider that is away took her in: %v %s", err, out)
	}
	h.tell("away", "false")
	h.awaitQuestions() // with one: every refresh token is good once
	if out, err := d.run("keys", "list"); err != nil {
		h.Fatalf("who is there is out: %v %s", err, out)
	}
	h.tell("leave", "ada")
	h.await("her key to be refused", func() bool {
		out, err := d.run("keys", "list")
		return err != nil && strings.Contains(out, "Invalid bearer token")
	})
	root := d.command("keys", "orphans")
	root.Env = append(root.Env, "GATEHOUSE_MANAGEMENT_KEY="+h.root)
	if out, err := root.CombinedOutput(); err != nil || strings.Count(string(out), "\n") != 2 {
		h.Errorf("orphans: %v %s", err, out)
	}
	if out, err := d.login("ada"); err == nil {
		h.Errorf("who left signs in: %s", out)
	}
}
