package feed_test

import (
	"bytes"
	"encoding/hex"
	"reflect"
	"strings"
	"testing"
	"time"

	"pgregory.net/rapid"

	"gatehouse"
	"gatehouse/internal/feed"
	"gatehouse/internal/limit"
)

func sample() *feed.Batch {
	return &feed.Batch{
		From: gatehouse.Revision{Epoch: 1, N: 300}, To: gatehouse.Revision{Epoch: 1, N: 301},
		Nonce: 0x0102030405060708, Time: start, Lease: 10 * time.Second,
		Records: []feed.Record{
			{Kind: gatehouse.KindModel, ID: "grok-4", Revision: rev(301), Body: []byte(`{"name":"grok-4"}`)},
			{Kind: gatehouse.KindKey, ID: "30303030-3030-3030-3030-303030303035", Revision: rev(301), Deleted: true},
			{Kind: gatehouse.KindUpstream, ID: "30303030-3030-3030-3030-303030303036", Revision: rev(301)},
		},
	}
}

// The format is final: gateways of an older version read what a newer control
// plane writes. If this fails, the code is wrong, not the golden value.
func TestTheFormatOfABatchNeverChanges(t *testing.T) {
	const golden = "475448460100" + // GTHF, version 1, no flags
		"01ac02" + "01ad02" + // 1.300 to 1.301
		"00" + "00" + "0102030405060708" + // session, part, nonce
		"80eca39bde33" + "904e" + "03" + // time, lease 10,000 ms, three records
		"00" + "056d6f64656c" + "0667726f6b2d34" + "01ad02" + "117b226e616d65223a2267726f6b2d34227d" +
		"01" + "076170695f6b6579" + "2433303330333033302d333033302d333033302d333033302d333033303330333033303335" + "01ad02" +
		"02" + "08757073747265616d" + "2433303330333033302d333033302d333033302d333033302d333033303330333033303336" + "01ad02"
	if got := hex.EncodeToString(sample().Encode()); got != golden {
		t.Fatalf("encoded as\n%s\nwant\n%s", got, golden)
	}
}

// Layout 2 ends with the members, who is settled among them, and the verifiers.
func TestTheSecondLayoutNeverChanges(t *testing.T) {
	b := sample()
	old := hex.EncodeToString(b.Encode())
	b.Members = []limit.Member{{ID: testID(1), Settled: true}, {ID: testID(2)}}
	b.Verifiers = [][]byte{bytes.Repeat([]byte{7}, 32)}
	want := old[:8] + "02" + old[10:] + "02" + "30303030303030303030303030303031" + "01" + "30303030303030303030303030303032" + "00" + "01" + strings.Repeat("07", 32)
	if got := hex.EncodeToString(b.Encode()); got != want {
		t.Fatalf("encoded as\n%s\nwant\n%s", got, want)
	}
	if _, err := feed.Decode(append(b.Encode(), 0)); err == nil {
		t.Error("a byte too many is read")
	}
}

func batches(t *rapid.T) *feed.Batch {
	revision := rapid.Custom(func(t *rapid.T) gatehouse.Revision {
		return gatehouse.Revision{Epoch: rapid.Int64Min(0).Draw(t, "epoch"), N: rapid.Int64Min(0).Draw(t, "n")}
	})
	records := rapid.SliceOfN(rapid.Custom(func(t *rapid.T) feed.Record {
		r := feed.Record{
			Kind: gatehouse.Kind(rapid.String().Draw(t, "kind")), ID: rapid.String().Draw(t, "id"),
			Revision: revision.Draw(t, "revision"), Deleted: rapid.Bool().Draw(t, "deleted"),
		}
		if body := rapid.SliceOf(rapid.Byte()).Draw(t, "body"); !r.Deleted && len(body) > 0 {
			r.Body = body
		}
		return r
	}), 0, 5).Draw(t, "records")
	b := &feed.Batch{
		From: revision.Draw(t, "from"), To: revision.Draw(t, "to"),
		Snapshot: rapid.Bool().Draw(t, "snapshot"), More: rapid.Bool().Draw(t, "more"),
		Session: rapid.Uint64().Draw(t, "session"), Part: rapid.Uint32().Draw(t, "part"), Nonce: rapid.Uint64().Draw(t, "nonce"),
		Time:  time.UnixMilli(rapid.Int64Range(0, 1<<45).Draw(t, "time")).UTC(),
		Lease: time.Duration(rapid.Int64Range(0, 20_000).Draw(t, "lease")) * time.Millisecond,
	}
	if len(records) > 0 {
		b.Records = records
	}
	return b
}

func TestDecodeInvertsEncode(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		b := batches(t)
		got, err := feed.Decode(b.Encode())
		if err != nil || !reflect.DeepEqual(&got, b) {
			t.Fatalf("decoded %+v, %v; want %+v", got, err, b)
		}
	})
}

func TestAChangedByteRefusesTheWholeBatch(t *testing.T) {
	s := feed.Sign(sample(), sign)
	if _, err := feed.Open(s, verify); err != nil {
		t.Fatal(err)
	}
	for i := range s.Payload {
		bad := feed.Signed{Payload: bytes.Clone(s.Payload), Signature: s.Signature}
		bad.Payload[i] ^= 1
		if b, err := feed.Open(bad, verify); gatehouse.CodeOf(err) != gatehouse.Unauthenticated || b.Records != nil {
			t.Fatalf("byte %d changed: %+v, %v", i, b, err)
		}
	}
}

// Two spellings of one batch would be two batches with two signatures.
func FuzzDecode(f *testing.F) {
	f.Add(sample().Encode())
	f.Add((&feed.Batch{Snapshot: true, More: true}).Encode())
	f.Fuzz(func(t *testing.T, payload []byte) {
		b, err := feed.Decode(payload)
		if err == nil && !bytes.Equal(b.Encode(), payload) {
			t.Fatalf("%x is another spelling of %x", payload, b.Encode())
		}
	})
}
