package verify

import (
	"bufio"
	"os/exec"
	"strings"
	"syscall"
	"testing"

	"gatehouse/verify/town"
)

// TestEveryLineOfTheDemoAnswersAsPrinted pastes what the demo prints into a
// shell, as a newcomer would, and compares.
func TestEveryLineOfTheDemoAnswersAsPrinted(t *testing.T) {
	cmd := exec.Command(town.Binary(t), "demo", "--gateway", freeAddr(t), "--management", freeAddr(t), "--metrics", freeAddr(t))
	cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true}
	out, err := cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	defer func() {
		cmd.Process.Signal(syscall.SIGINT)
		if err := cmd.Wait(); err != nil {
			t.Errorf("the demo did not end well: %v", err)
		}
	}()
	var exports, line string
	lines := bufio.NewScanner(out)
	lines.Buffer(nil, 1<<20)
	checked := 0
	for lines.Scan() && !strings.HasPrefix(lines.Text(), "Running until") {
		switch text := lines.Text(); {
		case strings.HasPrefix(text, "export "):
			exports += text + "\n"
		case strings.HasPrefix(text, "curl "):
			line = text
		case line != "":
			answer, err := exec.Command("bash", "-c", exports+line).Output()
			if err != nil || strings.TrimRight(string(answer), "\n") != text {
				t.Errorf("%s\nanswered %s (%v)\nprinted  %s", line, answer, err, text)
			}
			checked++
			line = ""
		}
	}
	if checked < 5 {
		t.Errorf("only %d lines were checked (%v)", checked, lines.Err())
	}
	go func() {
		for lines.Scan() {
		}
	}()
}
