package crowd

import "testing"

// One of many cannot take the room of all others, and what is left is given back.
func TestNobodyCrowdsOutOthers(t *testing.T) {
	c := New[string](2, 3)
	if !c.Enter("a") || !c.Enter("a") || c.Enter("a") {
		t.Error("a may be two at once")
	}
	if !c.Enter("b") || c.Enter("c") {
		t.Error("three may be in at once")
	}
	c.Leave("a")
	if !c.Enter("c") || c.Enter("b") {
		t.Error("who leaves makes room for one")
	}
	c.Leave("a")
	c.Leave("b")
	c.Leave("c")
	if len(c.by) != 0 || c.n != 0 {
		t.Errorf("%v", c.by)
	}
}
