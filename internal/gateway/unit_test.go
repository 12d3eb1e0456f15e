package gateway

import (
	"bufio"
	"encoding/pem"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	"pgregory.net/rapid"

	"gatehouse"
)

func pemOf(srv *httptest.Server) string {
	return string(pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: srv.Certificate().Raw}))
}

// TestTheGateLetsWholeFramesThrough cuts streams at random: nothing is lost or
// reordered, and what came out ends with a frame.
func TestTheGateLetsWholeFramesThrough(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		end := rapid.SampledFrom([]string{"\n\n", "\r\n\r\n", "\r\r"}).Draw(t, "end")
		var in strings.Builder
		for range rapid.IntRange(1, 5).Draw(t, "frames") {
			in.WriteString("data: " + rapid.StringMatching(`[a-z ]{0,20}`).Draw(t, "data") + end)
		}
		in.WriteString(rapid.SampledFrom([]string{"", "data: half"}).Draw(t, "tail"))
		var g gate
		var out strings.Builder
		for rest := in.String(); rest != ""; {
			n := rapid.IntRange(1, len(rest)).Draw(t, "n")
			out.Write(g.whole([]byte(rest[:n])))
			rest = rest[n:]
			if s := out.String(); s != "" && !strings.HasSuffix(s, end) {
				t.Fatalf("%q ends within a frame", s)
			}
		}
		if out.String()+string(g.carry) != in.String() {
			t.Fatalf("%q became %q and %q", in.String(), out.String(), g.carry)
		}
	})
}

func TestTheRetryBudgetIsATenth(t *testing.T) {
	var b retryBudget
	stock := 0
	for b.spend() {
		stock++
	}
	for range 1000 {
		b.earn()
	}
	n := 0
	for b.spend() {
		n++
	}
	if stock != 100 || n != 100 {
		t.Error(stock, n)
	}
}

// FuzzHead reads any bytes as a head: no panic, and what is accepted has framing
// that cannot be read in two ways.
func FuzzHead(f *testing.F) {
	f.Add("HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\n{}")
	f.Add("HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n")
	f.Add("HTTP/1.1 103 X\r\n\r\nHTTP/1.0 204 No\r\nConnection: keep-alive\r\n\r\n")
	f.Fuzz(func(t *testing.T, s string) {
		var h head
		var scratch []byte
		if _, err := h.read(bufio.NewReaderSize(strings.NewReader(s), 64), &scratch); err != nil {
			return
		}
		if h.status < 200 || h.chunked && h.length >= 0 || !h.chunked && h.length < 0 && !h.closes {
			t.Errorf("%+v", h)
		}
		for name, values := range h.header {
			for _, v := range append(values, name) {
				if strings.ContainsAny(v, "\r\n\x00") {
					t.Errorf("%q", v)
				}
			}
		}
	})
}

// A refusal of one form says nothing of the other; an upstream that is not reached
// is not reached in either.
func TestOneFormDoesNotCoolTheOther(t *testing.T) {
	now, up := time.Now(), &gatehouse.Upstream{ID: gatehouse.NewID()}
	body, native := leg{as: "m", up: up}, leg{as: "m", up: up, native: true}
	var k cooling
	k.note(cold{up.ID, "m", true}, now, time.Second)
	if k.is(body, now) || !k.is(native, now) {
		t.Error("refused as gRPC: body", k.is(body, now), "native", k.is(native, now))
	}
	k.note(cold{upstream: up.ID}, now, time.Second)
	if !k.is(body, now) || !k.is(native, now) {
		t.Error("not reached: body", k.is(body, now), "native", k.is(native, now))
	}
}
