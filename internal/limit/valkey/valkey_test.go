package valkey_test

import (
	"context"
	"errors"
	"fmt"
	"net"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"gatehouse"
	"gatehouse/internal/engine"
	"gatehouse/internal/limit"
	"gatehouse/internal/limit/limittest"
	"gatehouse/internal/limit/valkey"
)

// do sends commands to a server in its inline form and returns one answer.
func do(t *testing.T, url, command string) string {
	t.Helper()
	c, err := net.Dial("tcp", strings.TrimPrefix(url, "redis://"))
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	c.SetDeadline(time.Now().Add(5 * time.Second))
	fmt.Fprintf(c, "%s\r\n", command)
	b := make([]byte, 64<<10)
	n, err := c.Read(b)
	if err != nil {
		t.Fatal(err)
	}
	return string(b[:n])
}

// age makes every group's memory two minutes old, as that of a server that has
// been up for long.
func age(t *testing.T, url, prefix string) {
	info := do(t, url, "INFO server")
	_, rest, _ := strings.Cut(info, "run_id:")
	run, _, _ := strings.Cut(rest, "\r")
	since := time.Now().Add(-2 * time.Minute).UnixMicro()
	for g := range 16 {
		do(t, url, fmt.Sprintf("SET %s{%d}boot %s:%d", prefix, g, run, since))
	}
}

var cases atomic.Int64

func open(t *testing.T, url, prefix string) *valkey.Authority {
	t.Helper()
	a, err := valkey.Open(url, prefix)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(a.Close)
	return a
}

func TestValkeyKeepsTheContract(t *testing.T) {
	limittest.Run(t, func(t *testing.T) limittest.Subjected {
		// A server of the case's own, since one case flushes it.
		url, prefix := engine.RedisURL(t), fmt.Sprintf("c%d:", cases.Add(1))
		age(t, url, prefix)
		return limittest.Subjected{Authority: open(t, url, prefix), Forget: func(t *testing.T) { do(t, url, "FLUSHALL") }}
	})
}

// A gateway over a server that dies, comes back empty and is stopped: nothing
// hangs, nothing overshoots, and nobody restarts anything.
func TestAServerThatDiesAndIsStopped(t *testing.T) {
	server := engine.NewRedis()
	if err := server.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(server.Kill)
	age(t, server.URL(), "")
	a := open(t, server.URL(), "")
	l := limit.New(limit.Config{Now: time.Now, Authority: a, Gateway: gatehouse.NewID()})
	ctx, stop := context.WithCancel(t.Context())
	done := make(chan error)
	go func() { done <- l.Run(ctx) }()
	t.Cleanup(func() { stop(); <-done })
	var admitted int
	// Each subject has one minute's limit, which the whole test falls into.
	s := limit.Request{Key: gatehouse.NewID(), Limits: gatehouse.Limits{QPM: 20}}
	ask := func() (bool, error) {
		began := time.Now()
		v, _, err := l.Admit(t.Context(), time.Since(l.Epoch()), s)
		if took := time.Since(began); took > 2*time.Second {
			t.Fatalf("a request waited %v for the authority", took)
		}
		if v.OK && err == nil {
			admitted++
		}
		return v.OK && err == nil, err
	}
	until(t, "the first is admitted", func() bool { ok, _ := ask(); return ok })
	server.Pause()
	began := time.Now()
	for time.Since(began) < time.Second {
		ask()
	}
	server.Resume()
	server.Kill()
	other := limit.Request{Key: gatehouse.NewID(), Limits: gatehouse.Limits{QPM: 20}}
	if _, _, err := l.Admit(t.Context(), time.Since(l.Epoch()), other); gatehouse.CodeOf(err) != gatehouse.Unavailable {
		t.Fatalf("without authority and share: %v, want Unavailable", err)
	}
	if err := server.Start(); err != nil {
		t.Fatal(err)
	}
	// Empty again: it must not grant what it cannot know, until it can.
	if v, _, err := l.Admit(t.Context(), time.Since(l.Epoch()), other); v.OK || gatehouse.CodeOf(err) != gatehouse.Unavailable {
		t.Fatalf("after a restart: %v, %v", v.OK, err)
	}
	age(t, server.URL(), "")
	until(t, "it grants again", func() bool {
		v, _, err := l.Admit(t.Context(), time.Since(l.Epoch()), other)
		return v.OK && err == nil
	})
	for range 100 {
		ask()
	}
	if admitted > 20 {
		t.Fatalf("%d admitted in one minute, limit 20", admitted)
	}
}

func until(t *testing.T, what string, done func() bool) {
	t.Helper()
	for deadline := time.Now().Add(10 * time.Second); !done(); time.Sleep(20 * time.Millisecond) {
		if time.Now().After(deadline) {
			t.Fatalf("not within ten seconds: %s", what)
		}
	}
}

// Sixteen groups have a marker each. All begin with the first connection, or a
// key would be refused for a minute whenever it is the first of its group.
func TestAllGroupsBeginTogether(t *testing.T) {
	server := engine.NewRedis()
	if err := server.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(server.Kill)
	open(t, server.URL(), "all:")
	until(t, "every group has a marker", func() bool { return strings.HasPrefix(do(t, server.URL(), "DBSIZE"), ":16") })
}

func TestAnEvictingServerIsRefused(t *testing.T) {
	server := engine.NewRedis()
	if err := server.Start("--maxmemory", "10mb", "--maxmemory-policy", "allkeys-lru"); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(server.Kill)
	_, err := open(t, server.URL(), "").Take(t.Context(), limit.TakeRequest{Holder: gatehouse.NewID(), Cost: 1, Subjects: []limit.Subject{{ID: gatehouse.NewID()}}})
	if gatehouse.CodeOf(err) != gatehouse.FailedPrecondition {
		t.Fatalf("%v", err)
	}
}

func TestAnURLsPasswordIsNotTold(t *testing.T) {
	if _, err := valkey.Open("redis://:hunter2@host:6379/database", ""); err == nil || strings.Contains(err.Error(), "hunter2") {
		t.Fatalf("%v", err)
	}
}

// A request waits for its guard and no longer, also while the first connection
// is being made to a server that does not speak.
func TestAServerThatIsSilentCostsARequestItsGuard(t *testing.T) {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	a := open(t, "redis://"+l.Addr().String(), "silent")
	began := time.Now()
	for range 3 {
		ctx, cancel := context.WithTimeout(context.Background(), limit.MaxGuard)
		_, err := a.Take(ctx, limit.TakeRequest{Gateway: gatehouse.NewID(), Holder: gatehouse.NewID(), Cost: 1, Guard: limit.MaxGuard,
			Subjects: []limit.Subject{{ID: gatehouse.NewID(), Limits: gatehouse.Limits{QPS: 5}}}})
		cancel()
		if gatehouse.CodeOf(err) != gatehouse.Unavailable {
			t.Error(err)
		}
	}
	if took := time.Since(began); took > 4*limit.MaxGuard {
		t.Error("three requests waited", took)
	}
}

// A fleet that starts for the first time has its limits at once. What is told of
// an authority that anybody else used, or that forgot meanwhile, changes nothing.
func TestAFirstAuthorityGrantsAtOnce(t *testing.T) {
	url, prefix := engine.RedisURL(t), "first:"
	never := func() (bool, error) { return true, nil }
	a := open(t, url, prefix)
	grants := func() bool {
		r, err := a.Take(t.Context(), limit.TakeRequest{Gateway: gatehouse.NewID(), Holder: gatehouse.NewID(), Cost: 1, Guard: limit.MaxGuard,
			Subjects: []limit.Subject{{ID: gatehouse.NewID(), Limits: gatehouse.Limits{QPM: 5}}}})
		if err != nil {
			t.Fatal(err)
		}
		return r.OK
	}
	if a.First(t.Context(), func() (bool, error) { return false, nil }); grants() {
		t.Fatal("it grants though a gateway was there before")
	}
	do(t, url, "FLUSHALL")
	if a.First(t.Context(), func() (bool, error) { do(t, url, "FLUSHALL"); return true, nil }); grants() {
		t.Fatal("it grants though it forgot in between")
	}
	do(t, url, "FLUSHALL")
	for i := range 17 {
		do(t, url, fmt.Sprintf("SET another%d 1", i))
	}
	if err := a.First(t.Context(), never); !errors.Is(err, valkey.ErrUsed) || grants() {
		t.Fatal("it grants on a server that others use", err)
	}
	do(t, url, "FLUSHALL")
	if err := a.First(t.Context(), never); err != nil || !grants() {
		t.Fatal("it does not grant", err)
	}
	do(t, url, "FLUSHALL")
	if grants() {
		t.Fatal("it forgot, and grants")
	}
}
