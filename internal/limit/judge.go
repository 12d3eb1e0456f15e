package limit

import (
	"time"

	"gatehouse"
)

// judge says whether r fits now, without taking anything. Windows are advanced.
func (e *entry) judge(now time.Duration, r *Request, p *part) Verdict {
	v := Verdict{OK: true}
	if l := int64(r.Limits.QPS); l > 0 {
		if l = p.most(perSecond, l); e.second.sum >= l {
			v.refuse("qps", wait(now, e.second.until(l-1), secondPart))
		}
	}
	if l := int64(r.Limits.QPM); l > 0 {
		if l = p.most(perMinute, l); e.minute.sum >= l {
			v.refuse("qpm", wait(now, e.minute.until(l-1), minutePart))
		}
	}
	if l := r.Limits.TPM; l > 0 {
		if most := e.ceiling(l, r, p); e.tokens.sum > most {
			v.refuse("tpm", wait(now, e.tokens.until(most), minutePart))
		}
	}
	if !v.OK {
		e.describe(now, r.Limits, &v)
	}
	return v
}

// ceiling is the largest sum at which r may enter: without reserve the limit
// itself, because it engages only when strictly exceeded; with it, what leaves
// room for the whole estimate. It may be negative: then waiting for the window
// alone does not help.
func (e *entry) ceiling(tpm int64, r *Request, p *part) int64 {
	most := p.mostTokens(tpm) - e.held
	if r.Reserve {
		most -= min(max(r.Estimate, 0), gatehouse.MaxTPM+1)
	}
	return most
}

// refuse records a limit that does not fit. Of several, the one that lasts
// longest is named: told any other, the client would come back too early.
func (v *Verdict) refuse(name string, after time.Duration) {
	if v.OK || after > v.RetryAfter {
		v.OK, v.Limit, v.RetryAfter = false, name, after
	}
}

// take counts r and makes its ticket. judge said yes under the same lock.
func (e *entry) take(s *shard, now time.Duration, r *Request, p *part, v *Verdict) *Ticket {
	// A window also counts while its limit is absent, so that the limit, once
	// back, knows the minute before.
	if e.second != nil && !p.taken {
		e.second.add(1)
	}
	if e.minute != nil && !p.taken {
		e.minute.add(1)
	}
	var t *Ticket
	if e.tokens != nil {
		t = &Ticket{shard: s, entry: e}
		e.open++
		t.begin(now, r)
	}
	e.describe(now, r.Limits, v)
	return t
}

// begin posts the estimate, or holds it in reserve mode.
func (t *Ticket) begin(now time.Duration, r *Request) {
	estimate := max(r.Estimate, 0)
	if r.Reserve {
		t.held = min(estimate, gatehouse.MaxTPM)
		t.entry.held += t.held
		return
	}
	if estimate > 0 {
		t.post(now, estimate)
	}
}

// describe fills what headers show, from the state after the decision.
func (e *entry) describe(now time.Duration, l gatehouse.Limits, v *Verdict) {
	v.Requests, v.Tokens = Allowance{}, Allowance{}
	if l.QPS > 0 {
		v.Requests = allowance(int64(l.QPS), e.second.sum, wait(now, e.second.empties(), secondPart))
	}
	if l.QPM > 0 {
		a := allowance(int64(l.QPM), e.minute.sum, wait(now, e.minute.empties(), minutePart))
		if l.QPS == 0 || a.Remaining < v.Requests.Remaining || a.Remaining == 0 && v.Limit == "qpm" {
			v.Requests = a
		}
	}
	if l.TPM > 0 {
		v.Tokens = allowance(l.TPM, e.tokens.sum+e.held, wait(now, e.tokens.empties(), minutePart))
	}
}

func allowance(limit, used int64, reset time.Duration) Allowance {
	return Allowance{limit, max(limit-used, 0), reset}
}

// wait is the time from now to the start of a sub-window.
func wait(now time.Duration, at int64, part time.Duration) time.Duration {
	return max(time.Duration(at)*part-now, 0)
}
