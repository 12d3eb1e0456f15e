package gateway

import (
	"time"

	"gatehouse/internal/llm"
)

// A Refuser is an [http.ResponseWriter] that is told why an answer is the
// gateway's own error, besides being sent its body: a face that speaks no HTTP
// statuses cannot tell a wrong key from a wrong argument by 400. It is told once,
// also when an answer that had begun breaks off. after is when a retry makes
// sense; zero: no advice.
type Refuser interface {
	Refuse(f llm.Fault, message string, after time.Duration)
}

func (c *call) tellRefuser(no *refusal) {
	if w, ok := c.w.(Refuser); ok {
		w.Refuse(no.fault, no.message, no.after)
	}
}
