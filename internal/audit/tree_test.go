package audit

import (
	"encoding/hex"
	"testing"

	"golang.org/x/mod/sumdb/tlog"
	"pgregory.net/rapid"

	"gatehouse"
)

// The vectors that Certificate Transparency's implementations share (RFC 6962).
func TestRootsAreThoseOfRFC6962(t *testing.T) {
	leaves := []string{"", "00", "10", "2021", "3031", "40414243", "5051525354555657", "606162636465666768696a6b6c6d6e6f"}
	roots := []string{
		"e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855",
		"6e340b9cffb37a989ca544e6bb780a2c78901d3fb33738768511a30617afa01d",
		"fac54203e7cc696cf0dfcb42c92a1d9dbaf70ad9e621f4bd8d98662f00e3c125",
		"aeb6bcfe274b70a14fb067a5e5578264db0fa9b51af5e0ba159158f329e06e77",
		"d37ee418976dd95753c1c73862b9398fa2a2cf9b4ff0fdfe8b30cd95209614b7",
		"4e3bbb1f7b478dcfe71fb631631519a3bca12c9aefca1612bfce4c13a86264d4",
		"76e67dadbcdf1e10e1b74ddc608abd2f98dfb16fbce75277b5232a127f2087ef",
		"ddb89be403809e325750d3d263cd78929c2942b7942a34b77e122c9594a74c8c",
		"5dc9da79a70659a9ad559cb701ded9a2ab9d823aad2f4960cfe370eff4604328",
	}
	var frontier [][32]byte
	for size := range roots {
		root, err := Root(frontier, int64(size))
		if err != nil || hex.EncodeToString(root[:]) != roots[size] {
			t.Errorf("size %d: %x, %v", size, root, err)
		}
		if size < len(leaves) {
			data, _ := hex.DecodeString(leaves[size])
			if frontier, err = Append(frontier, int64(size), LeafHash(data)); err != nil {
				t.Fatal(err)
			}
		}
	}
}

// The checksum database's implementation is the oracle.
func TestRootsAreThoseOfAnotherImplementation(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		var stored []tlog.Hash
		read := tlog.HashReaderFunc(func(at []int64) ([]tlog.Hash, error) {
			out := make([]tlog.Hash, len(at))
			for i, x := range at {
				out[i] = stored[x]
			}
			return out, nil
		})
		var frontier [][32]byte
		for size := range rapid.Int64Range(1, 300).Draw(t, "n") {
			data := rapid.SliceOfN(rapid.Byte(), 0, 4).Draw(t, "leaf")
			hashes, err := tlog.StoredHashes(size, data, read)
			if err != nil {
				t.Fatal(err)
			}
			stored = append(stored, hashes...)
			before := len(frontier)
			grown, err := Append(frontier, size, LeafHash(data))
			if err != nil || len(frontier) != before {
				t.Fatal(err)
			}
			frontier = grown
			want, err := tlog.TreeHash(size+1, read)
			if err != nil {
				t.Fatal(err)
			}
			if got, err := Root(frontier, size+1); err != nil || got != [32]byte(want) {
				t.Fatalf("size %d: %x, want %x (%v)", size+1, got, want, err)
			}
		}
	})
}

func TestAFrontierOfAnotherSizeIsRefused(t *testing.T) {
	three := make([][32]byte, 2)
	for _, size := range []int64{-1, 0, 1, 4, 7} {
		if _, err := Root(three, size); gatehouse.CodeOf(err) != gatehouse.Internal {
			t.Errorf("root of size %d: %v", size, err)
		}
		if _, err := Append(three, size, [32]byte{}); gatehouse.CodeOf(err) != gatehouse.Internal {
			t.Errorf("append at size %d: %v", size, err)
		}
	}
}
