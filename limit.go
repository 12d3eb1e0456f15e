package gatehouse

import "math"

// Limits bound what one key may send. A zero field is no limit; on the wire
// that is null, and 0 is refused.
type Limits struct {
	QPS int32 `json:"qps,omitzero"` // requests admitted in any sliding second
	QPM int32 `json:"qpm,omitzero"` // requests admitted in any sliding minute
	TPM int64 `json:"tpm,omitzero"` // tokens in the last minute; engages when strictly exceeded
}

// MaxTPM is the largest token limit. Above it a sum over a minute of many
// gateways could overflow (contract.md).
const MaxTPM = 1_000_000_000_000_000

// Validate checks the ranges of the fields that are set.
func (l Limits) Validate(v *Violations) {
	if l.QPS < 0 {
		v.Addf("qps", "must be 1 to %d, or null for no limit", math.MaxInt32)
	}
	if l.QPM < 0 {
		v.Addf("qpm", "must be 1 to %d, or null for no limit", math.MaxInt32)
	}
	if l.TPM < 0 || l.TPM > MaxTPM {
		v.Addf("tpm", "must be 1 to %d, or null for no limit", int64(MaxTPM))
	}
}
