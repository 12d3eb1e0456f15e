package main

import (
	"encoding/json"
	"os"
	"testing"

	"google.golang.org/grpc"
	"google.golang.org/grpc/credentials/insecure"
	"google.golang.org/grpc/metadata"

	"gatehouse/gen/billing"
)

// Money as a person sees it: what each command about it prints, and how those
// that must fail do.
func TestBillingIsWhatTheSessionShows(t *testing.T) {
	start(t)
	replay(t, "billing.txt")
}

// The management listener answers xAI's gRPC beside REST, in the clear on loopback.
func TestBillingAnswersGRPC(t *testing.T) {
	in := start(t)
	conn, err := grpc.NewClient(in.Management, grpc.WithTransportCredentials(insecure.NewCredentials()))
	check(t, err)
	defer conn.Close()
	ctx := metadata.AppendToOutgoingContext(t.Context(), "authorization", "Bearer "+os.Getenv("GATEHOUSE_MANAGEMENT_KEY"))
	must(t, "billing", "grant", "10", "--note", "welcome")
	out, err := billing.NewUISvcClient(conn).ListPrepaidBalanceChanges(ctx, &billing.ListPrepaidBalanceChangesReq{TeamId: teamID(t)})
	check(t, err)
	if out.Total.Val != -1000 {
		t.Errorf("%v", out)
	}
}

func teamID(t *testing.T) string {
	t.Helper()
	var self struct{ TeamId string }
	check(t, json.Unmarshal([]byte(must(t, "validate", "--json")), &self))
	return self.TeamId
}

// Percents are what was typed, or refused: a tax is not rounded.
func TestTaxIsExact(t *testing.T) {
	for p, want := range map[float64]int{0: 0, 19: 1900, 7.7: 770, 8.25: 825, 0.01: 1, 100: 10000} {
		if got, err := basisPoints(p); err != nil || got != want {
			t.Errorf("%v is %d, %v", p, got, err)
		}
	}
	for _, p := range []float64{-1, 19.001, 0.005} {
		if got, err := basisPoints(p); err == nil {
			t.Errorf("%v is %d", p, got)
		}
	}
}
