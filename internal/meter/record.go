package meter

import (
	"time"

	"gatehouse"
	"gatehouse/internal/store"
)

// OpenRecord is what is known of a request when it is admitted: enough to
// bill an estimate should the gateway die before the end.
type OpenRecord struct {
	ID             gatehouse.ID // version 7, made at admission
	Start          time.Time
	TeamID         gatehouse.ID
	KeyID          gatehouse.ID
	UserID         gatehouse.ID // the key's owner
	Tags           map[string]string
	EndUser        string
	Model          string // canonical, as dispatched first
	Asked          string // as the client wrote it, when different
	Endpoint       string
	Cluster        string
	ClientIP       string
	RequestID      string
	Upstream       string
	UpstreamID     gatehouse.ID // whose ids Entry.Object records
	PromptEstimate int64        // prompt tokens as counted here
}

// CloseRecord is the rest. Model and Upstream are empty when they are those of
// the open record; a fallback or a retry elsewhere names what answered.
type CloseRecord struct {
	Close         time.Time
	Model         string
	Upstream      string
	Attempts      int
	Status        int
	Outcome       gatehouse.Outcome
	Usage         gatehouse.Usage
	Estimated     bool
	ServiceTier   string
	FirstByte     time.Duration
	Latency       time.Duration
	UpstreamUsage string
}

// Object is an id that an upstream handed out, and who may use it.
type Object = store.Object

// join makes the usage record of a request that was closed.
func join(gateway gatehouse.ID, o *OpenRecord, c *CloseRecord) gatehouse.UsageRecord {
	r := opened(gateway, o)
	r.Close, r.Attempts, r.Status, r.Outcome = c.Close, c.Attempts, c.Status, c.Outcome
	r.Usage, r.Estimated, r.ServiceTier = c.Usage, c.Estimated, c.ServiceTier
	r.FirstByte, r.Latency, r.UpstreamUsage = c.FirstByte, c.Latency, c.UpstreamUsage
	if c.Model != "" {
		r.Model = c.Model
	}
	if c.Upstream != "" {
		r.Upstream = c.Upstream
	}
	return r
}

func opened(gateway gatehouse.ID, o *OpenRecord) gatehouse.UsageRecord {
	return gatehouse.UsageRecord{
		ID: o.ID, Start: o.Start, TeamID: o.TeamID, KeyID: o.KeyID, UserID: o.UserID, Tags: o.Tags,
		EndUser: o.EndUser, Model: o.Model, Asked: o.Asked, Endpoint: o.Endpoint, Cluster: o.Cluster,
		Gateway: gateway, ClientIP: o.ClientIP, RequestID: o.RequestID, Upstream: o.Upstream,
	}
}

// Estimate is the usage to close a request with when the upstream reported
// none: the prompt as counted here and the output seen. The record must say
// Estimated.
func Estimate(prompt, output int64) gatehouse.Usage {
	var u gatehouse.Usage
	u[gatehouse.PromptText], u[gatehouse.CompletionText] = max(prompt, 0), max(output, 0)
	return u
}

// interrupted makes the record of a request that its gateway did not survive.
// Nobody knows when it ended; last is the latest moment its incarnation wrote
// of, which makes the record the same at every replay.
func interrupted(gateway gatehouse.ID, o *OpenRecord, output int64, last time.Time) gatehouse.UsageRecord {
	r := opened(gateway, o)
	if last.Before(o.Start) {
		last = o.Start
	}
	r.Close, r.Latency, r.Attempts = last, last.Sub(o.Start), 1
	r.Outcome, r.Estimated = gatehouse.Interrupted, true
	r.Usage = Estimate(o.PromptEstimate, output)
	return r
}
