package embed

import (
	"encoding/base64"
	"encoding/binary"
	"encoding/json"
	"errors"
	"math"
	"strings"

	"gatehouse"
)

// embeddings is the answer of /v1/embeddings (wire.md §6.7).
type embeddings struct {
	Data []struct {
		Index     *int   `json:"index"` // nil: its place in the list
		Embedding vector `json:"embedding"`
	} `json:"data"`
}

// vector is written as numbers, or as base64 of little-endian floats by
// upstreams that know nothing else.
type vector []float32

// UnmarshalJSON reads either.
func (v *vector) UnmarshalJSON(text []byte) error {
	if len(text) == 0 || text[0] != '"' {
		return json.Unmarshal(text, (*[]float32)(v))
	}
	raw, err := base64.StdEncoding.DecodeString(strings.Trim(string(text), `"`))
	if err != nil || len(raw)%4 != 0 {
		return errors.New("no base64 of floats")
	}
	*v = make(vector, len(raw)/4)
	for i := range *v {
		(*v)[i] = math.Float32frombits(binary.LittleEndian.Uint32(raw[4*i:]))
	}
	return nil
}

// vectors are n in the order of their texts, or an error that says what is wrong
// with them.
func (e *embeddings) vectors(n int) ([][]float32, error) {
	if len(e.Data) != n {
		return nil, unsound("%d vectors for %d texts", len(e.Data), n)
	}
	out := make([][]float32, n)
	for i, d := range e.Data {
		if d.Index != nil {
			i = *d.Index
		}
		if i < 0 || i >= n || out[i] != nil {
			return nil, unsound("a vector of no text, or two of one")
		}
		if err := d.Embedding.check(len(e.Data[0].Embedding)); err != nil {
			return nil, err
		}
		out[i] = d.Embedding
	}
	return out, nil
}

func (v vector) check(dimension int) error {
	if len(v) != dimension || dimension == 0 || dimension > MaxDimension {
		return unsound("a vector of %d numbers, where the first has %d and at most %d are possible", len(v), dimension, MaxDimension)
	}
	for _, x := range v {
		if math.IsNaN(float64(x)) || math.IsInf(float64(x), 0) {
			return unsound("a vector with what is no number")
		}
	}
	return nil
}

// unsound is of an answer that is whole and wrong: the model is not what it is
// used as, and the next answer will be alike.
func unsound(format string, args ...any) error {
	e := gatehouse.Errorf(gatehouse.FailedPrecondition, format, args...)
	e.Message = "the model answered with " + e.Message
	return e
}
