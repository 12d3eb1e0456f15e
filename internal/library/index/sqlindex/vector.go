package sqlindex

import (
	"encoding/binary"
	"math"

	"gatehouse"
	"gatehouse/internal/library/index"
)

// maxDimension is beyond every embedding model's.
const maxDimension = 16_384

func checkVector(field string, v []float32, dimension int) error {
	var bad gatehouse.Violations
	if v != nil && len(v) != dimension {
		bad.Addf(field, "has %d dimensions, the collection %d: embed with the collection's model", len(v), dimension)
	}
	if len(v) > maxDimension {
		bad.Addf(field, "has %d dimensions; at most %d are allowed", len(v), maxDimension)
	}
	for _, x := range v {
		// Squares of it are summed in single precision.
		if !(math.Abs(float64(x)) < 1e15) {
			bad.Addf(field, "has a component that is not a number of ordinary size")
			break
		}
	}
	return bad.Err()
}

// ready is the vector as it is stored and compared: of length one under the
// cosine, so that the inner product is the cosine; nil when it has no direction.
func ready(m index.Metric, v []float32) []float32 {
	if len(v) == 0 {
		return nil
	}
	if m != index.Cosine {
		return v
	}
	length := math.Sqrt(dot(v, v))
	if length == 0 {
		return nil
	}
	out := make([]float32, len(v))
	for i, x := range v {
		out[i] = float32(float64(x) / length)
	}
	return out
}

// Pack writes a vector as it is stored: float32s in little-endian order; nil is nil.
func Pack(v []float32) []byte {
	if v == nil {
		return nil
	}
	b := make([]byte, 0, 4*len(v))
	for _, x := range v {
		b = binary.LittleEndian.AppendUint32(b, math.Float32bits(x))
	}
	return b
}

// unpack reads what Pack wrote into v, which has its length.
func unpack(b []byte, v []float32) bool {
	if len(b) != 4*len(v) {
		return false
	}
	for i := range v {
		v[i] = math.Float32frombits(binary.LittleEndian.Uint32(b[4*i:]))
	}
	return true
}

func dot(a, b []float32) (sum float64) {
	b = b[:len(a)]
	for i, x := range a {
		sum += float64(x) * float64(b[i])
	}
	return sum
}

// similarity is the score of a match: the inner product, which under the cosine
// is the cosine, or for distances 1/(1+d).
func similarity(m index.Metric, a, b []float32) float64 {
	if m != index.Euclidean {
		return dot(a, b)
	}
	sum := 0.0
	for i, x := range a {
		d := float64(x) - float64(b[i])
		sum += d * d
	}
	return 1 / (1 + math.Sqrt(sum))
}

// coarse is a vector of one byte a dimension: x ≈ scale × byte.
func coarse(v []float32, into []int8) (scale float32) {
	largest := float32(0)
	for _, x := range v {
		if x < 0 {
			x = -x
		}
		if x > largest {
			largest = x
		}
	}
	if largest < 1e-30 { // its inverse would overflow
		clear(into)
		return 0
	}
	inverse := 127 / largest
	into = into[:len(v)]
	for i, x := range v {
		x = x*inverse + 128.5 // above zero, where cutting off rounds
		into[i] = int8(int32(x) - 128)
	}
	return largest / 127
}

// dotCoarse has four sums, and windows whose bounds are checked once, so that
// the processor's units work side by side. 16,384 products fit an int32.
func dotCoarse(a, b []int8) int32 {
	var s0, s1, s2, s3 int32
	b = b[:len(a)]
	for len(a) >= 8 {
		x, y := (*[8]int8)(a), (*[8]int8)(b)
		s0 += int32(x[0])*int32(y[0]) + int32(x[4])*int32(y[4])
		s1 += int32(x[1])*int32(y[1]) + int32(x[5])*int32(y[5])
		s2 += int32(x[2])*int32(y[2]) + int32(x[6])*int32(y[6])
		s3 += int32(x[3])*int32(y[3]) + int32(x[7])*int32(y[7])
		a, b = a[8:], b[8:]
	}
	for i, x := range a {
		s0 += int32(x) * int32(b[i])
	}
	return s0 + s1 + s2 + s3
}
