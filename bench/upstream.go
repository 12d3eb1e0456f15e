package main

import (
	"bufio"
	"bytes"
	"context"
	"fmt"
	"io"
	"log"
	"net"
	"net/http"
	"net/http/httputil"
	"net/url"
	"os"
	"os/signal"
	"path/filepath"
	"strconv"
	"strings"

	"gatehouse/internal/serve"
)

// child is what the bench starts of itself: an upstream that is as cheap as one
// can be, the bare reverse proxy to compare with, and the product where it must
// say or leave out what the binary does not.
func child(args []string) {
	if args[0] == "dataplane" {
		if err := runDataPlane(args[1], args[2], args[3], args[4]); err != nil {
			log.Fatal(err)
		}
		return
	}
	if args[0] == "gateway" {
		if err := measuredGateway(args[1], args[2], args[3:]); err != nil {
			log.Fatal(err)
		}
		return
	}
	l, err := net.Listen("tcp", args[1])
	if err != nil {
		log.Fatal(err)
	}
	if args[0] == "reverseproxy" {
		to, _ := url.Parse(args[2])
		transport := http.DefaultTransport.(*http.Transport).Clone()
		transport.MaxIdleConnsPerHost = 512
		log.Fatal(http.Serve(l, &httputil.ReverseProxy{Transport: transport, FlushInterval: -1, Rewrite: func(r *httputil.ProxyRequest) { r.SetURL(to) }}))
	}
	for {
		conn, err := l.Accept()
		if err != nil {
			log.Fatal(err)
		}
		go answer(conn)
	}
}

// runDataPlane serves from dir without ingesting usage, until interrupted.
func runDataPlane(dir, gateway, management, upstream string) error {
	up, err := serve.ParseUpstreamFlag(upstream, 0)
	if err != nil {
		return err
	}
	cfg := serve.Defaults()
	cfg.Data, cfg.Bootstrap, cfg.Upstreams = filepath.Join(dir, "data"), filepath.Join(dir, "bootstrap"), []serve.UpstreamConfig{up}
	cfg.Gateway.Listen, cfg.Management.Listen, cfg.Metrics.Listen = gateway, management, "127.0.0.1:0"
	cfg.Management.Rate, cfg.Log.Level = 1_000_000, "warn"
	if err := os.MkdirAll(dir, 0o700); err != nil {
		return err
	}
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt)
	defer stop()
	return serve.Run(ctx, cfg, serve.Process{Version: "bench", Stderr: os.Stderr, HoldUsage: true})
}

const chunks = 20

var plainAnswer, streamAnswer = answers()

// answers are a 646-byte completion and a stream of twenty chunks.
func answers() (plain []byte, stream [][]byte) {
	usage := `"usage":{"prompt_tokens":77,"completion_tokens":20,"total_tokens":97,"prompt_tokens_details":{"cached_tokens":0,"audio_tokens":0},"completion_tokens_details":{"reasoning_tokens":0,"audio_tokens":0}}`
	text := strings.Repeat("The answer is short. ", 12)
	body := fmt.Sprintf(`{"id":"chatcmpl-bench","object":"chat.completion","created":1700000000,"model":"gpt-4o","choices":[{"index":0,"message":{"role":"assistant","content":%q},"finish_reason":"stop"}],%s}`, text, usage)
	plain = fmt.Appendf(nil, "HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nContent-Length: %d\r\n\r\n%s", len(body), body)
	frame := func(s string) []byte { return fmt.Appendf(nil, "%x\r\n%s\r\n", len(s), s) }
	stream = append(stream, []byte("HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\nTransfer-Encoding: chunked\r\n\r\n"))
	for i := range chunks {
		stream = append(stream, frame(fmt.Sprintf("data: {\"id\":\"chatcmpl-bench\",\"object\":\"chat.completion.chunk\",\"created\":1700000000,\"model\":\"gpt-4o\",\"choices\":[{\"index\":0,\"delta\":{\"content\":\"word %d \"},\"finish_reason\":null}]}\n\n", i)))
	}
	last := frame("data: {\"id\":\"chatcmpl-bench\",\"object\":\"chat.completion.chunk\",\"created\":1700000000,\"model\":\"gpt-4o\",\"choices\":[]," + usage + "}\n\n")
	end := append(frame("data: [DONE]\n\n"), "0\r\n\r\n"...)
	return plain, append(stream, last, end)
}

// answer serves one connection: no parser, since its cost would be the bench's.
func answer(conn net.Conn) {
	defer conn.Close()
	r := bufio.NewReaderSize(conn, 64<<10)
	for {
		length, chunked := 0, false
		for {
			line, err := r.ReadSlice('\n')
			if err != nil {
				return
			}
			if len(bytes.TrimSpace(line)) == 0 {
				break
			}
			name, value, _ := bytes.Cut(line, []byte(":"))
			switch {
			case bytes.EqualFold(name, []byte("content-length")):
				length, _ = strconv.Atoi(string(bytes.TrimSpace(value)))
			case bytes.EqualFold(name, []byte("transfer-encoding")):
				chunked = true
			}
		}
		streaming, err := skipBody(r, length, chunked)
		if err != nil {
			return
		}
		if !streaming {
			conn.Write(plainAnswer)
			continue
		}
		for _, part := range streamAnswer {
			conn.Write(part)
		}
	}
}

// skipBody drops the body and says whether it asks for a stream.
func skipBody(r *bufio.Reader, length int, chunked bool) (streaming bool, err error) {
	if chunked {
		body, err := io.ReadAll(httputil.NewChunkedReader(r))
		if err == nil {
			_, err = r.ReadSlice('\n') // the empty trailer
		}
		return bytes.Contains(body[:min(len(body), 64)], []byte(`"stream":true`)), err
	}
	start, _ := r.Peek(min(length, 64))
	streaming = bytes.Contains(start, []byte(`"stream":true`))
	_, err = r.Discard(length)
	return streaming, err
}
