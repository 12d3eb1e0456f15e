package rpc

import (
	"bufio"
	"context"
	"encoding/binary"
	"errors"
	"io"
	"net"
	"net/http"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"google.golang.org/grpc/codes"

	"gatehouse/gen/xai"
)

// Large prompts go both ways as far as the SDK lets them.
func TestMessagesOfTwentyMebibytes(t *testing.T) {
	w, _ := simulated(t)
	key := w.key()
	w.start()
	client := xai.NewTokenizeClient(w.conn)
	word := strings.Repeat("x", 19<<20)
	_, err := client.TokenizeText(key, &xai.TokenizeTextRequest{Model: "nope", Text: word})
	check(t, err, codes.NotFound, "The model nope", false)
	_, err = client.TokenizeText(key, &xai.TokenizeTextRequest{Model: "nope", Text: word + word})
	check(t, err, codes.ResourceExhausted, "larger than max", false)
}

// Two bytes of a message become a hundred in memory.
func TestAMessageOfVeryManyFieldsIsNotDecoded(t *testing.T) {
	w, _ := simulated(t)
	key := w.key()
	w.start()
	deep := ask("hi")
	for range maxFields {
		deep.Messages[0].Content = append(deep.Messages[0].Content, &xai.Content{})
	}
	_, err := xai.NewChatClient(w.conn).GetCompletion(key, deep)
	check(t, err, codes.InvalidArgument, "more than 100000 fields", false)
}

// A name has no business to be large, and is read before anybody knows whose it is.
func TestANameThatIsLargeIsCutOff(t *testing.T) {
	w, _ := simulated(t)
	key := w.key()
	w.start()
	_, err := xai.NewModelsClient(w.conn).GetLanguageModel(key, &xai.GetModelRequest{Name: strings.Repeat("x", 1<<20)})
	check(t, err, codes.Internal, "unexpected EOF", false)
}

// All large messages together have a bound, and leave it with their calls.
func TestMessagesInFlightAreBounded(t *testing.T) {
	w, _ := simulated(t)
	key := w.key()
	w.start()
	client := xai.NewTokenizeClient(w.conn)
	w.face.held.Add(maxHeld - 10)
	_, err := client.TokenizeText(key, &xai.TokenizeTextRequest{Model: "small", Text: "more than ten bytes"})
	check(t, err, codes.Unavailable, errFull.Error(), false)
	w.face.held.Add(10 - maxHeld)
	_, err = client.TokenizeText(key, &xai.TokenizeTextRequest{Model: "small", Text: "more than ten bytes"})
	w.must(err)
	if n := w.face.held.Load(); n != 0 {
		t.Errorf("%d bytes are held for ever", n)
	}
}

// A stranger's bytes stay where they are: what he sends is read when the gateway
// knows him, and not ahead.
func TestAStrangersMessageIsNotRead(t *testing.T) {
	var held atomic.Int64
	tap := &tap{body: io.NopCloser(strings.NewReader("abcdef")), held: &held}
	tap.more.L = &tap.mu
	read := make(chan string)
	go func() {
		b := make([]byte, 8)
		n, _ := tap.Read(b)
		read <- string(b[:n])
		_, err := tap.Read(b)
		if !errors.Is(err, io.ErrUnexpectedEOF) {
			t.Error(err)
		}
		close(read)
	}()
	tap.grant(4, false)
	if got := <-read; got != "abcd" {
		t.Errorf("%q", got)
	}
	if err := tap.Close(); err != nil {
		t.Error(err)
	}
	<-read // the second one waited, and was let go
	if tap.release(); held.Load() != 0 {
		t.Errorf("%d bytes are held for ever", held.Load())
	}
}

// The stream's goroutine waits for its call, which may still read an upstream's
// answer to its usage: else one connection could leave any number behind.
func TestAStreamWaitsForItsCall(t *testing.T) {
	e := newEdge(nil, &http.Request{Body: http.NoBody}, new(atomic.Int64))
	if !e.enter() {
		t.Fatal("refused")
	}
	left := make(chan struct{})
	go func() { e.leave(); close(left) }()
	select {
	case <-left:
		t.Fatal("it did not wait")
	default:
	}
	close(e.done)
	<-left
	if e.enter() {
		t.Error("a call began on a stream that is over")
	}
}

// xAI's SDK pings every 30 s, with and without calls; a server that counts pings
// would send it away. Here a hundred in a row are answered.
func TestPingsDoNotEndAConnection(t *testing.T) {
	w, _ := simulated(t)
	w.start()
	conn, err := net.Dial("tcp", strings.TrimPrefix(w.url, "http://"))
	w.must(err)
	defer conn.Close()
	w.must(conn.SetDeadline(time.Now().Add(10 * time.Second)))
	const settings, ping, goAway, ack = 4, 6, 7, 1
	out := []byte("PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n\x00\x00\x00\x04\x00\x00\x00\x00\x00")
	for i := range uint64(100) {
		out = binary.BigEndian.AppendUint64(append(out, 0, 0, 8, ping, 0, 0, 0, 0, 0), i)
	}
	_, err = conn.Write(out)
	w.must(err)
	r := bufio.NewReader(conn)
	for answered := 0; answered < 100; {
		head := make([]byte, 9)
		_, err := io.ReadFull(r, head)
		w.must(err)
		_, err = r.Discard(int(head[0])<<16 | int(head[1])<<8 | int(head[2]))
		w.must(err)
		switch {
		case head[3] == goAway:
			t.Fatal("sent away")
		case head[3] == ping && head[4] == ack:
			answered++
		}
	}
}

// What is no call goes on to the gateway, over either version of HTTP.
func TestRequestsAreLeftToTheGateway(t *testing.T) {
	w, _ := simulated(t)
	w.start()
	two := new(http.Protocols)
	two.SetUnencryptedHTTP2(true)
	for name, tr := range map[string]*http.Transport{"1.1": {DisableKeepAlives: true}, "2": {Protocols: two}} {
		resp, err := tr.RoundTrip(newRequest(t, w.url+"/v1/models", ""))
		w.must(err)
		body, _ := io.ReadAll(resp.Body)
		resp.Body.Close()
		if resp.StatusCode != 401 || !strings.Contains(string(body), "unauthenticated:no-credentials") {
			t.Errorf("%s: %d %s", name, resp.StatusCode, body)
		}
		resp, err = tr.RoundTrip(newRequest(t, w.url+"/xai_api.Chat/GetCompletion", "application/grpc"))
		w.must(err)
		resp.Body.Close()
		if grpc := resp.Header.Get("Content-Type") == "application/grpc"; grpc != (name == "2") {
			t.Errorf("%s: %v", name, resp.Header)
		}
		tr.CloseIdleConnections()
	}
}

func newRequest(t *testing.T, url, kind string) *http.Request {
	t.Helper()
	r, err := http.NewRequestWithContext(context.Background(), "POST", url, http.NoBody)
	if err != nil {
		t.Fatal(err)
	}
	if kind == "" {
		r.Method = "GET"
		return r
	}
	r.Header.Set("Content-Type", kind)
	return r
}

func TestFramesAreCutWhereverTheyArrive(t *testing.T) {
	in := "data: one\n\ndata:two\r\ndata:\r\n\r\n: comment\r\revent: x\rdata: three\r\r\ndata: [DONE]\n\n"
	for size := 1; size <= len(in); size++ {
		var f frames
		var got []string
		for rest := in; rest != ""; rest = rest[min(size, len(rest)):] {
			if err := f.split([]byte(rest[:min(size, len(rest))]), func(d []byte) error { got = append(got, string(d)); return nil }); err != nil {
				t.Fatal(err)
			}
		}
		if strings.Join(got, "|") != "one|two|three" {
			t.Fatalf("in pieces of %d: %q", size, got)
		}
	}
}
