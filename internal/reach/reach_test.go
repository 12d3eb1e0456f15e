package reach

import (
	"net/netip"
	"testing"
)

func TestDialableAddresses(t *testing.T) {
	for addr, want := range map[string][2]bool{ // without and with private addresses
		"1.1.1.1": {true, true}, "2606:4700::1111": {true, true},
		"127.0.0.1": {false, true}, "10.1.2.3": {false, true}, "192.168.0.1": {false, true}, "172.31.0.1": {false, true}, "::1": {false, true},
		"fd00::1": {false, true}, "100.64.0.1": {false, true}, "::ffff:127.0.0.1": {false, true}, "::ffff:10.0.0.1": {false, true},
		"169.254.169.254": {false, false}, "::ffff:169.254.169.254": {false, false}, "fe80::1": {false, false}, "fd00:ec2::254": {false, false},
		"100.100.100.200": {false, false}, "0.0.0.0": {false, false}, "::": {false, false}, "64:ff9b::7f00:1": {false, false},
		"2002:7f00:1::": {false, false}, "224.0.0.1": {false, false}, "255.255.255.255": {false, false}, "192.0.0.192": {false, false},
	} {
		for i, private := range []bool{false, true} {
			if got := Dialable(netip.MustParseAddr(addr), private); got != want[i] {
				t.Errorf("%s private=%v: %v", addr, private, got)
			}
		}
	}
}
