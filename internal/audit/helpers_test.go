package audit

import (
	"bytes"
	"crypto/ed25519"
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"golang.org/x/mod/sumdb/note"
	"pgregory.net/rapid"

	"gatehouse"
)

const origin = "gatehouse.example"

// installation signs as package secret does, with a known key.
type installation struct {
	key    ed25519.PrivateKey
	signer note.Signer
	vkey   string
}

func newInstallation(t testing.TB, seed byte) installation {
	t.Helper()
	seeds := bytes.Repeat([]byte{seed}, ed25519.SeedSize)
	skey, vkey, err := note.GenerateKey(bytes.NewReader(seeds), origin)
	if err != nil {
		t.Fatal(err)
	}
	signer, err := note.NewSigner(skey)
	if err != nil {
		t.Fatal(err)
	}
	return installation{ed25519.NewKeyFromSeed(seeds), signer, vkey}
}

func (in installation) leaf(e gatehouse.Event) Leaf {
	body, personal := Encode(e, Commit, Salt)
	return Leaf{e.Index, body, personal, ed25519.Sign(in.key, LeafMessage(e.Index, LeafHash(body)))}
}

// log is n leaves of acts, denials and reads about a few keys.
func (in installation) log(n int) []Leaf {
	leaves := make([]Leaf, n)
	for i := range leaves {
		leaves[i] = in.leaf(event(int64(i)))
	}
	return leaves
}

func event(i int64) gatehouse.Event {
	e := gatehouse.Event{
		Index: i, ID: gatehouse.ID{15: byte(i), 14: byte(i >> 8), 0: 1},
		Time:     time.Date(2026, 11, 1, 12, 0, 0, 0, time.UTC).Add(time.Duration(i) * 1234567 * time.Microsecond),
		Revision: gatehouse.Revision{Epoch: 1, N: i + 1}, RequestID: fmt.Sprint("req-", i),
		Actor: gatehouse.Actor{Kind: gatehouse.ActorManagementKey, KeyID: gatehouse.ID{1}, UserID: gatehouse.ID{2}},
		Act: gatehouse.Act{
			Action: "api_key.updated", Operation: "UpdateApiKey", TeamID: gatehouse.ID{3}, Kind: gatehouse.KindKey,
			Subject: gatehouse.ID{4, byte(i % 5)}.String(), Description: "API key 'ci' was updated",
			Details: map[string]string{"fields": "qps,name", "qps": "7"}, Result: gatehouse.Done,
		},
	}
	if i%2 == 0 {
		e.Actor.IP = fmt.Sprintf("192.0.2.%d", i%250)
	}
	if i%3 == 1 {
		e.Result = []gatehouse.Result{gatehouse.Denied, gatehouse.Read}[i%2]
	}
	return e
}

func frontierOf(t testing.TB, leaves []Leaf) [][32]byte {
	t.Helper()
	tr := newTree()
	for _, l := range leaves {
		if err := tr.append(LeafHash(l.Body)); err != nil {
			t.Fatal(err)
		}
	}
	return tr.frontier()
}

func (in installation) checkpoint(t testing.TB, leaves []Leaf) []byte {
	t.Helper()
	root, err := Root(frontierOf(t, leaves), int64(len(leaves)))
	if err != nil {
		t.Fatal(err)
	}
	c, err := Checkpoint(origin, int64(len(leaves)), root, in.signer)
	if err != nil {
		t.Fatal(err)
	}
	return c
}

func source(leaves []Leaf) Source {
	return func(yield func(Leaf, error) bool) {
		for _, l := range leaves {
			if !yield(l, nil) {
				return
			}
		}
	}
}

// copyLog makes a log that can be tampered with.
func copyLog(leaves []Leaf) []Leaf {
	out := slices.Clone(leaves)
	for i := range out {
		out[i].Body, out[i].Signature = bytes.Clone(out[i].Body), bytes.Clone(out[i].Signature)
	}
	return out
}

// drawEvent is any event that survives the format: UTF-8, microseconds, no
// empty map.
func drawEvent(t *rapid.T) gatehouse.Event {
	text := rapid.StringOf(rapid.OneOf(rapid.Rune(), rapid.SampledFrom([]rune("\"\\\n\r\t\x00\x1b\u2028\u202e\u2066\ufeff<>&,:{}"))))
	id := func(label string) (id gatehouse.ID) {
		if rapid.Bool().Draw(t, label+"?") {
			copy(id[:], rapid.SliceOfN(rapid.Byte(), 16, 16).Draw(t, label))
		}
		return id
	}
	n := func(label string) int64 { return rapid.Int64Min(0).Draw(t, label) }
	e := gatehouse.Event{
		Index: n("index"), ID: id("id"), Revision: gatehouse.Revision{Epoch: n("epoch"), N: n("n")},
		Time:      time.UnixMicro(rapid.Int64Range(0, 4e15).Draw(t, "time")).UTC(),
		RequestID: text.Draw(t, "request"), Reason: text.Draw(t, "reason"),
		Actor: gatehouse.Actor{
			Kind:  gatehouse.ActorKind(text.Draw(t, "actor")),
			KeyID: id("key"), UserID: id("user"), IP: text.Draw(t, "ip"),
		},
		Act: gatehouse.Act{
			Action: text.Draw(t, "action"), Operation: text.Draw(t, "operation"), TeamID: id("team"),
			Kind: gatehouse.Kind(text.Draw(t, "kind")), Subject: text.Draw(t, "subject"),
			Description: text.Draw(t, "description"), Result: gatehouse.Result(text.Draw(t, "result")),
			Details: rapid.MapOfN(text, text, 0, 4).Draw(t, "details"),
		},
	}
	for _, s := range []*string{&e.RequestID, &e.Reason, &e.Actor.IP, &e.Action, &e.Operation, &e.Subject, &e.Description} {
		*s = strings.ToValidUTF8(*s, "?")
	}
	if len(e.Details) == 0 {
		e.Details = nil
	}
	return e
}
