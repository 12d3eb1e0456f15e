package meter

import (
	"encoding/hex"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"pgregory.net/rapid"

	"gatehouse"
)

func fixedID(b byte) gatehouse.ID {
	var id gatehouse.ID
	for i := range id {
		id[i] = b
	}
	return id
}

func sampleOpen() OpenRecord {
	return OpenRecord{ID: fixedID(1), Start: time.Unix(1_700_000_000, 5).UTC(), TeamID: fixedID(2), KeyID: fixedID(3),
		UserID: fixedID(4), UpstreamID: fixedID(5), Tags: map[string]string{"app": "web"}, EndUser: "u-1", Model: "grok-4",
		Asked: "grok", Endpoint: "chat", Cluster: "local", ClientIP: "203.0.113.7", RequestID: "req-1", Upstream: "xai", PromptEstimate: 300}
}

func sampleClose() CloseRecord {
	c := CloseRecord{Close: time.Unix(1_700_000_002, 0).UTC(), Model: "grok-4-fast", Upstream: "xai-2", Attempts: 2, Status: 200,
		Outcome: gatehouse.Completed, Estimated: true, ServiceTier: "priority", FirstByte: time.Millisecond, Latency: time.Second,
		UpstreamUsage: `{"prompt_tokens":1}`}
	c.Usage[gatehouse.PromptText], c.Usage[gatehouse.PromptImages] = 7, 3
	return c
}

// The format is final: these bytes are in files out there.
func TestFormatGolden(t *testing.T) {
	open, cl := sampleOpen(), sampleClose()
	object := Object{ID: "resp_1", TeamID: fixedID(2), UpstreamID: fixedID(5), Model: "grok-4", CreateTime: time.Unix(1_700_000_001, 0).UTC()}
	frame := func(typ byte, p []byte) string {
		return hex.EncodeToString(appendFrame(nil, typ, p, frameSum(typ, p), 7, 4096))
	}
	got := map[string]string{
		"segment":  frame(frameSegment, encodeSegment(fixedID(9), 7, 4096)),
		"open":     frame(frameOpen, encodeOpen(nil, &open)),
		"close":    frame(frameClose, encodeClose(nil, open.ID, &cl)),
		"object":   frame(frameObject, encodeObject(nil, &object)),
		"progress": frame(frameProgress, encodeProgress(nil, open.ID, 300)),
		"void":     frame(frameVoid, open.ID[:]),
	}
	if d := cmp.Diff(goldenFrames, got); d != "" {
		t.Errorf("the journal's format changed (-want +got):\n%s", d)
	}
}

func TestPayloadsSurviveTheRoundTrip(t *testing.T) {
	open, cl := sampleOpen(), sampleClose()
	if d := cmp.Diff(open, decodeOpen(string(encodeOpen(nil, &open)))); d != "" {
		t.Error(d)
	}
	id, back := decodeClose(string(encodeClose(nil, open.ID, &cl)))
	if d := cmp.Diff(cl, back); d != "" || id != open.ID {
		t.Error(d)
	}
}

// A reader of this version bears payloads of older and newer ones.
func TestPayloadsMayBeShorterOrLonger(t *testing.T) {
	open := sampleOpen()
	whole := string(encodeOpen(nil, &open))
	if d := cmp.Diff(open, decodeOpen(whole+"future")); d != "" {
		t.Error(d)
	}
	for i := range whole {
		decodeOpen(whole[:i]) // must not panic
		decodeClose(whole[:i])
		decodeObject(whole[:i])
	}
}

func TestAnyFlippedBitIsSeen(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		open := sampleOpen()
		p := encodeOpen(nil, &open)
		f := appendFrame(nil, frameOpen, p, frameSum(frameOpen, p), 3, 77)
		bit := rapid.IntRange(0, len(f)*8-1).Draw(t, "bit")
		f[bit/8] ^= 1 << (bit % 8)
		if _, _, state := parseFrame(f, 3, 77); state == frameGood {
			t.Fatalf("bit %d was not noticed", bit)
		}
	})
}

func TestAFrameElsewhereIsBad(t *testing.T) {
	p := []byte("payload")
	f := appendFrame(nil, frameVoid, p, frameSum(frameVoid, p), 3, 77)
	for _, at := range [][2]int64{{4, 77}, {3, 78}} {
		if _, _, state := parseFrame(f, at[0], at[1]); state != frameBad {
			t.Errorf("accepted at incarnation %d, offset %d", at[0], at[1])
		}
	}
}

func FuzzParseFrame(f *testing.F) {
	open := sampleOpen()
	p := encodeOpen(nil, &open)
	f.Add(appendFrame(nil, frameOpen, p, frameSum(frameOpen, p), 1, 0))
	f.Fuzz(func(t *testing.T, b []byte) {
		parseFrame(b, 1, 0)
		decodeSegment(b)
		s := string(b)
		decodeOpen(s)
		decodeClose(s)
		decodeObject(s)
		decodeProgress(s)
	})
}

var goldenFrames = map[string]string{
	"close": "6200000003566ac0f60101010101010101010101010101010100945fadfe9c9717c0843d8094ebdc0302c801018180010703" +
		"09636f6d706c657465640b67726f6b2d342d66617374057861692d32087072696f72697479137b2270726f6d70745f746f6b" +
		"656e73223a317d",
	"object": "360000000411e936f4020202020202020202020202020202020505050505050505050505050505050500cac471fe9c971706" +
		"726573705f310667726f6b2d34",
	"open": "9400000002c43bcfc50101010101010101010101010101010105002a36fe9c97170202020202020202020202020202020203" +
		"0303030303030303030303030303030404040404040404040404040404040405050505050505050505050505050505ac0203" +
		"752d310667726f6b2d340467726f6b0463686174056c6f63616c0b3230332e302e3131332e37057265712d31037861690103" +
		"61707003776562",
	"progress": "1200000005dfb1077901010101010101010101010101010101ac02",
	"segment":  "25000000017eaf04d74754484a010909090909090909090909090909090907000000000000000010000000000000",
	"void":     "1000000006541ba52801010101010101010101010101010101",
}
