package engine

import (
	"os/exec"
	"strconv"
	"testing"
)

func TestAKilledServerStartsAgainWithItsData(t *testing.T) {
	p, err := NewPostgres(t.TempDir())
	if err != nil {
		t.Fatal(err)
	}
	if err := p.Start(); err != nil {
		t.Fatal(err)
	}
	defer p.Kill()
	if err := p.CreateDatabase("kept"); err != nil {
		t.Fatal(err)
	}
	p.Kill()
	if err := p.Start(); err != nil {
		t.Fatal(err)
	}
	psql, err := postgresProgram("psql")
	if err != nil {
		t.Fatal(err)
	}
	if out, err := exec.Command(psql, p.DSN("kept"), "-c", "SELECT 1").CombinedOutput(); err != nil {
		t.Errorf("%v: %s", err, out)
	}
}

func TestRedisAnswers(t *testing.T) {
	r := NewRedis()
	if err := r.Start(); err != nil {
		t.Fatal(err)
	}
	defer r.Kill()
	if out, err := exec.Command("redis-cli", "-p", strconv.Itoa(r.Port), "ping").CombinedOutput(); err != nil || string(out) != "PONG\n" {
		t.Errorf("%v: %s", err, out)
	}
}

func TestAKilledObjectStoreStartsAgain(t *testing.T) {
	o, err := NewObjectStore(t.TempDir())
	if err != nil {
		t.Fatal(err)
	}
	for range 2 {
		if err := o.Start(); err != nil {
			t.Fatal(err)
		}
		o.Kill()
	}
}
