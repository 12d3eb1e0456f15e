package main

import (
	"bytes"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"time"
)

// quiet lets the bench create as fast as control can, and keeps the log out of
// what is measured.
func quiet() []string {
	return append(os.Environ(), "GATEHOUSE_MANAGEMENT_RATE=1000000", "GATEHOUSE_LOG_LEVEL=warn")
}

// startControl starts the process that gateways join: role control over a
// database, role all on SQLite where that is empty. Its own gateway, if it has
// one, gets no load.
func startControl(p plan, database string, flags ...string) (*target, error) {
	t := &target{name: "control", url: "http://" + freeAddr(), dir: filepath.Join(p.dir, "control"), aside: true}
	t.management = t.url
	args := []string{"serve", "--data", filepath.Join(t.dir, "data"), "--bootstrap-file", filepath.Join(t.dir, "bootstrap"),
		"--management", strings.TrimPrefix(t.url, "http://"), "--metrics", freeAddr(), "--upstream", p.upstream() + "/v1"}
	if database != "" {
		args = append(args, "--role", "control", "--database", database)
	} else {
		args = append(args, "--gateway", freeAddr())
	}
	if err := os.MkdirAll(t.dir, 0o700); err != nil {
		return nil, err
	}
	cmd := exec.Command(p.binary, append(args, flags...)...)
	cmd.Env = quiet()
	if err := start(t, cmd); err != nil {
		return t, err
	}
	return t, t.readBootstrap()
}

// startGateway starts a process of role gateway that joins control over the
// network, and waits until it serves. It uses the keys of control.
func startGateway(p plan, control *target, name, cluster string, flags ...string) (*target, error) {
	t := gatewayOf(p, control, name)
	flags, err := joining(control, cluster, flags)
	if err != nil {
		return t, err
	}
	cmd := exec.Command(p.binary, gatewayArgs(t, flags)...)
	cmd.Env = quiet()
	if err := start(t, cmd); err != nil {
		return t, err
	}
	return t, t.ready(time.Minute)
}

func gatewayOf(p plan, control *target, name string) *target {
	return &target{name: name, url: "http://" + freeAddr(), dir: filepath.Join(p.dir, "gateway-"+strings.Map(onlyLetters, name)),
		management: control.management, credential: control.credential, team: control.team, keys: control.keys}
}

func onlyLetters(r rune) rune {
	if r >= 'a' && r <= 'z' || r >= '0' && r <= '9' {
		return r
	}
	return -1
}

func gatewayArgs(t *target, flags []string) []string {
	return append([]string{"serve", "--role", "gateway", "--data", t.dir, "--gateway", strings.TrimPrefix(t.url, "http://"), "--metrics", freeAddr()}, flags...)
}

// joining adds to flags what makes a gateway of a process.
func joining(control *target, cluster string, flags []string) ([]string, error) {
	var made struct {
		Token string `json:"token"`
	}
	if err := control.manage("POST", "/admin/v1/join-tokens", fmt.Sprintf(`{"cluster":%q}`, cluster), &made); err != nil {
		return nil, err
	}
	return append(flags, "--control", control.management, "--join-token", made.Token), nil
}

// readBootstrap learns the first management key.
func (t *target) readBootstrap() error {
	text, err := os.ReadFile(filepath.Join(t.dir, "bootstrap"))
	if err != nil {
		return err
	}
	var boot struct {
		TeamID string `json:"team_id"`
		Key    string `json:"management_key"`
	}
	err = json.Unmarshal(text, &boot)
	t.credential, t.team = boot.Key, boot.TeamID
	return err
}

// ready waits until the target says that it serves.
func (t *target) ready(within time.Duration) error {
	for deadline := time.Now().Add(within); ; time.Sleep(5 * time.Millisecond) {
		resp, err := http.Get(t.url + "/readyz")
		if err == nil {
			resp.Body.Close()
			if resp.StatusCode == http.StatusOK {
				return nil
			}
		}
		if time.Now().After(deadline) {
			return fmt.Errorf("%s is not ready after %s", t.name, within)
		}
	}
}

// admits waits until the target answers a chat with its first key.
func (t *target) admits() error {
	keys, err := os.ReadFile(t.keys)
	if err != nil {
		return err
	}
	first, _, _ := strings.Cut(string(keys), "\n")
	c, err := dial(t.url)
	if err != nil {
		return err
	}
	defer c.Close()
	for deadline := time.Now().Add(2 * time.Minute); ; time.Sleep(100 * time.Millisecond) {
		status, answer, err := c.do(chat(first, plainBody))
		if err != nil || status == http.StatusOK {
			return err
		}
		if time.Now().After(deadline) {
			return fmt.Errorf("%s does not admit: %d %s", t.name, status, answer)
		}
	}
}

// settled is when gateways that were started have their base shares. Until then
// every first use of a key asks the authority, and on CPUs that are all taken a
// few answers come too late for it.
const settled = 75 * time.Second

// manage calls the management plane and reads its answer into out, if there is
// one.
func (t *target) manage(method, path, body string, out any) error {
	req, err := http.NewRequest(method, t.management+path, bytes.NewReader([]byte(body)))
	if err != nil {
		return err
	}
	req.Header.Set("Authorization", "Bearer "+t.credential)
	req.Header.Set("Content-Type", "application/json")
	resp, err := managers.Do(req)
	if err != nil {
		return err
	}
	defer resp.Body.Close()
	answer, err := io.ReadAll(resp.Body)
	if err != nil {
		return err
	}
	if resp.StatusCode != http.StatusOK {
		return fmt.Errorf("%s %s: %s %s", method, path, resp.Status, answer)
	}
	if out == nil {
		return nil
	}
	return json.Unmarshal(answer, out)
}

// managers keeps a connection for each of the clients that create keys.
var managers = &http.Client{Transport: &http.Transport{MaxIdleConnsPerHost: creators}}
