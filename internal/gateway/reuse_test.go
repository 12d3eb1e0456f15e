package gateway

import (
	"bufio"
	"encoding/json"
	"fmt"
	"io"
	"math/rand/v2"
	"net"
	"net/http"
	"reflect"
	"strings"
	"sync"
	"testing"

	"gatehouse"
)

// Whatever a request left in its call, the next one of the connection finds
// nothing of it, also when the one before never came to its end.
func TestACallBeginsEmpty(t *testing.T) {
	w := new(wire)
	for _, ended := range []bool{true, false} {
		c := w.spare()
		c.g, c.r, c.known, c.body, c.requestID, c.gone, c.abort = new(Gateway), new(http.Request), true, []byte("x"), "id", true, true
		c.set("X-Secret", "v")
		if ended {
			c.wipe()
		}
		c = w.spare()
		if all := c.fields[:cap(c.fields)]; len(c.fields) != 0 || all[0] != (field{}) {
			t.Error("a header is left:", all)
		}
		c.fields = nil
		if !reflect.ValueOf(c).Elem().IsZero() {
			t.Errorf("%+v", c)
		}
	}
}

// Keys of two teams with different rights take turns on the same connections, in
// every order, between refusals, broken bodies and panics: each gets what it
// would get alone, and the upstream what that request said.
func TestRequestsOfOneConnectionShareNothing(t *testing.T) {
	var served sync.Map // the user in a body, by whose key sent it
	w := newWorld(t)
	w.upstream("one", serve(t, func(rw http.ResponseWriter, r *http.Request) {
		var in struct{ User string }
		if json.NewDecoder(r.Body).Decode(&in) != nil || in.User == "" {
			t.Error("not the body that was sent")
		}
		served.Store(in.User, true)
		rw.Header().Set("Content-Type", "application/json")
		io.WriteString(rw, strings.Replace(chatAnswer, `"hi"`, `"for `+in.User+`"`, 1))
	}))
	free := w.key(0)
	small := w.key(1, func(k *gatehouse.Key) { k.ACL = gatehouse.ACL{"api-key:model:small", "api-key:endpoint:*"} })
	blocked := w.key(1, func(k *gatehouse.Key) { k.Blocked = true })
	broken := w.key(0, func(k *gatehouse.Key) { k.Name = "broken" })
	w.start(func(c *Config) {
		c.OnSettled = func(s *Settled) {
			if s.Asked == "large" && s.Status == 200 && s.RequestID == "panic" {
				panic("an observer broke")
			}
		}
	})
	kinds := []struct {
		key, model, extra string
		status            int // 0: the connection breaks
	}{
		{free, "large", "", 200}, {small, "small", "", 200}, {small, "large", "", 403}, {blocked, "small", "", 403},
		{"xai-wrong", "small", "", 400}, {free, `small","x`, "", 400}, {broken, "large", "X-Request-Id: panic\r\n", 0},
	}
	var wg sync.WaitGroup
	for worker := range 4 {
		wg.Go(func() {
			random := rand.New(rand.NewPCG(uint64(worker), 1))
			var conn net.Conn
			var br *bufio.Reader
			for i := range 200 {
				if conn == nil {
					var err error
					if conn, err = net.Dial("tcp", strings.TrimPrefix(w.url, "http://")); err != nil {
						t.Error(err)
						return
					}
					br = bufio.NewReader(conn)
				}
				k := kinds[random.IntN(len(kinds))]
				user := fmt.Sprintf("u%d-%d", worker, i)
				body := fmt.Sprintf(`{"model":"%s","user":"%s","messages":[{"role":"user","content":"%s"}]}`, k.model, user, strings.Repeat("x", random.IntN(5000)))
				if k.status == 400 && k.key == free {
					body = body[:len(body)-1]
				}
				io.WriteString(conn, strings.Replace(rawPost(k.key, body), "Host", k.extra+"Host", 1))
				resp, err := http.ReadResponse(br, nil)
				if k.status == 0 {
					conn.Close()
					conn = nil
					continue
				}
				if err != nil {
					t.Errorf("%+v: %v", k, err)
					return
				}
				text, err := io.ReadAll(resp.Body)
				if resp.StatusCode != k.status || err != nil || k.status == 200 && !strings.Contains(string(text), "for "+user+`"`) {
					t.Errorf("%+v: %d %s %v", k, resp.StatusCode, text, err)
				}
				if _, got := served.Load(user); got != (k.status == 200) {
					t.Errorf("%+v: served %v", k, got)
				}
				if resp.Close {
					conn.Close()
					conn = nil
				}
			}
			if conn != nil {
				conn.Close()
			}
		})
	}
	wg.Wait()
	if n := w.g.bodies.Load(); n != 0 {
		t.Error(n, "bytes of bodies are never given back")
	}
}
