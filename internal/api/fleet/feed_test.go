package fleet_test

import (
	"testing"

	"gatehouse/internal/feed"
	"gatehouse/internal/feed/feedtest"
)

func TestTheFeedOverTheNetwork(t *testing.T) {
	feedtest.Run(t, func(t *testing.T) feedtest.Fixture {
		h := newHouse(t)
		m := h.join(t)
		return feedtest.Fixture{Store: h.store, Feed: m, Verify: m.id.VerifyBatch, Gateway: m.id.Gateway, Open: m.id.Unseal, Wire: feed.Wire}
	})
}
