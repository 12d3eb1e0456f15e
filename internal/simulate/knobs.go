package simulate

import (
	"strconv"
	"strings"
	"time"
)

// Knobs are what a prompt may ask of one request, as name=value or name alone.
type Knobs struct {
	Words      int           // words=N: length of the answer; each word is a token and a chunk
	Prompt     int64         // prompt=N: report this many prompt tokens
	Cached     int64         // cached=N: of them from the cache
	Reasoning  int64         // reasoning=N: reasoning tokens besides the answer
	Delay      time.Duration // delay=D: before each chunk
	First      time.Duration // first=D: before the header
	Status     int           // status=N: answer this error at once
	RetryAfter string        // retry-after=S: with the status (gRPC: as RetryInfo)
	Hang       bool          // hang: never answer the header
	Cut        int           // cut=N: drop the connection (HTTP/2: the stream) after N chunks, in the middle of a frame
	Stall      int           // stall=N: after N chunks, say nothing more
	Garbage    bool          // garbage: answer 200 with bytes that are no JSON (gRPC: no message)
	Lie        bool          // lie: promise a longer body than is sent
	Break      int           // break=N: an error object (gRPC: UNAVAILABLE) in the stream after N chunks
	Sources    int64         // sources=N: how many a search reads, 3 unless said; gRPC only
	NoUsage    bool          // nousage: leave the usage out
	Tool       string        // tool or tool=NAME: call a tool of the request
	Repeat     int           // pad=N: make each word N bytes longer
	ID         string        // id=X: the id of a stored response
	Say        string        // say=X: the answer, word for word; X has no space in it
}

// parseKnobs reads the first [[sim: …]] of text; unknown names are ignored, so
// that a prompt cannot break the simulator.
func parseKnobs(text string, words int) Knobs {
	k := Knobs{Words: words, Cut: -1, Stall: -1, Break: -1, Prompt: -1, Sources: 3}
	_, rest, ok := strings.Cut(text, "[[sim:")
	if !ok {
		return k
	}
	body, _, _ := strings.Cut(rest, "]]")
	for _, f := range strings.Fields(body) {
		name, val, _ := strings.Cut(f, "=")
		n, _ := strconv.Atoi(val)
		d, _ := time.ParseDuration(val)
		k.set(name, val, n, d)
	}
	return k
}

func (k *Knobs) set(name, val string, n int, d time.Duration) {
	switch name {
	case "words":
		k.Words = max(0, min(n, 1_000_000))
	case "prompt":
		k.Prompt = int64(n)
	case "cached":
		k.Cached = int64(n)
	case "reasoning":
		k.Reasoning = int64(n)
	case "delay":
		k.Delay = d
	case "first":
		k.First = d
	case "status":
		k.Status = n
	case "retry-after":
		k.RetryAfter = val
	case "hang":
		k.Hang = true
	case "cut":
		k.Cut = n
	case "stall":
		k.Stall = n
	case "garbage":
		k.Garbage = true
	case "lie":
		k.Lie = true
	case "break":
		k.Break = n
	case "sources":
		k.Sources = int64(max(0, min(n, 1000)))
	case "nousage":
		k.NoUsage = true
	case "tool":
		k.Tool = cmpOr(val, "*")
	case "pad":
		k.Repeat = min(n, 1<<20)
	case "id":
		k.ID = val
	case "say":
		k.Say = val
	}
}

func cmpOr(s, otherwise string) string {
	if s == "" {
		return otherwise
	}
	return s
}
