package fleet_test

import (
	"context"
	"math"
	"net/http"
	"testing"

	"github.com/google/go-cmp/cmp"

	"gatehouse"
	face "gatehouse/internal/api/fleet"
	"gatehouse/internal/purse"
)

// vault remembers what it was asked, and answers with what a test gave it.
type vault struct {
	asked purse.DrawRequest
	reply purse.DrawReply
	err   error
}

func (v *vault) Draw(_ context.Context, r purse.DrawRequest) (purse.DrawReply, error) {
	v.asked = r
	return v.reply, v.err
}

// Every figure arrives as it was sent, and in the name of the member alone.
func TestMoneyIsDrawnInTheNameOfTheMember(t *testing.T) {
	h := newHouse(t)
	m, other := h.join(t), h.join(t)
	h.bank.reply = purse.DrawReply{Answers: []purse.Answer{
		{Drawn: 7, Returned: 2, Left: -3, Held: 4, Others: 5, Never: true}, {Left: math.MaxInt64 / 2},
	}}
	r := purse.DrawRequest{Gateway: other.id.Gateway, Incarnation: 9, Shipped: 8, Seq: 7, Asks: []purse.Ask{
		{Fund: gatehouse.Fund{Team: gatehouse.NewID()}, Returned: 1, Want: 2, Least: 3},
		{Fund: gatehouse.Fund{Team: gatehouse.NewID(), Budget: gatehouse.NewID(), Of: "blue", Start: 1_700_000_000}, Want: 4},
	}}
	got, err := m.Draw(t.Context(), r)
	r.Gateway = m.id.Gateway
	if err != nil || !cmp.Equal(h.bank.asked, r) || !cmp.Equal(got, h.bank.reply) {
		t.Errorf("%v\nasked   %s\nanswers %s", err, cmp.Diff(r, h.bank.asked), cmp.Diff(h.bank.reply, got))
	}
	if _, err := m.Pull(t.Context(), m.poll()); err != nil {
		t.Fatal(err)
	}
	h.forget(t, m.id.Gateway)
	_, err = m.Draw(t.Context(), r)
	code(t, "a forgotten member", err, gatehouse.Unauthenticated)
}

// A control of the release before has no such call: nobody can tell, which is no
// reason to refuse a request for want of money.
func TestAnOldControlCannotBeAskedForMoney(t *testing.T) {
	h := newHouse(t)
	m := h.join(t)
	handler := face.Handler(h.face())
	old := h.serve(t, http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.URL.Path == face.Prefix+"Draw" {
			http.NotFound(w, r)
			return
		}
		handler.ServeHTTP(w, r)
	}))
	_, err := connect(t, m.id, old).Draw(t.Context(), purse.DrawRequest{Incarnation: 1, Seq: 1})
	code(t, "a draw", err, gatehouse.Unavailable)
	c := h.face()
	c.Bank = nil
	_, err = connect(t, m.id, h.serve(t, face.Handler(c))).Draw(t.Context(), purse.DrawRequest{Incarnation: 1, Seq: 1})
	code(t, "a draw from a control without a bank", err, gatehouse.Unavailable)
}
