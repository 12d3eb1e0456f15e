// Package reach says which addresses this program may connect to on behalf of
// somebody who may have chosen them: an upstream's URL, a team's webhook. The
// network that it runs in holds things that trust whoever can reach them.
package reach

import (
	"errors"
	"net/netip"
	"strings"
	"syscall"
)

// Address ranges that no name may resolve to. The check is made on the
// address about to be dialled, after name resolution: a name checked earlier
// can point elsewhere by then.
var (
	// private may be dialled where an operator allows it.
	private = prefixes(
		"10.0.0.0/8", "172.16.0.0/12", "192.168.0.0/16", "127.0.0.0/8", "100.64.0.0/10",
		"::1/128", "fc00::/7",
	)
	// never holds the metadata services of clouds, which hand out credentials to
	// whoever asks, and ranges that stand for other addresses or for nothing.
	never = prefixes(
		"169.254.0.0/16", "fe80::/10", "100.100.100.200/32", "192.0.0.0/24", "fd00:ec2::/32", "fd20:ce::254/128", "168.63.129.16/32",
		"0.0.0.0/8", "192.0.2.0/24", "192.88.99.0/24", "198.18.0.0/15", "198.51.100.0/24", "203.0.113.0/24", "224.0.0.0/4", "240.0.0.0/4",
		"::/128", "::ffff:0:0:0/96", "64:ff9b::/96", "64:ff9b:1::/48", "100::/64", "2001::/32", "2001:db8::/32", "2002::/16", "fec0::/10", "ff00::/8",
	)
)

func prefixes(list ...string) []netip.Prefix {
	out := make([]netip.Prefix, len(list))
	for i, s := range list {
		out[i] = netip.MustParsePrefix(s)
	}
	return out
}

// Dialable says whether addr may be connected to.
func Dialable(addr netip.Addr, allowPrivate bool) bool {
	addr = addr.Unmap().WithZone("")
	return addr.IsValid() && !Within(never, addr) && (allowPrivate || !Within(private, addr))
}

// Within reports whether one of the ranges holds addr.
func Within(list []netip.Prefix, addr netip.Addr) bool {
	for _, p := range list {
		if p.Contains(addr) {
			return true
		}
	}
	return false
}

// Guard is a net.Dialer's Control: it refuses with [ErrForbidden].
func Guard(allowPrivate bool) func(network, address string, _ syscall.RawConn) error {
	return func(_, address string, _ syscall.RawConn) error {
		ap, err := netip.ParseAddrPort(address)
		if err != nil || !Dialable(ap.Addr(), allowPrivate) {
			return ErrForbidden
		}
		return nil
	}
}

// ErrForbidden is in the chain of a dial that was refused.
var ErrForbidden = errors.New("the name resolves to an address that may not be dialled")

// ForbiddenHost checks a literal address, without port or brackets: behind a
// proxy nobody here resolves, so that is all there is to check. Addresses that
// only some resolvers read, such as 2130706433 and 0x7f.1, are forbidden: no
// top-level domain begins with a digit.
func ForbiddenHost(host string, allowPrivate bool) bool {
	if addr, err := netip.ParseAddr(host); err == nil {
		return !Dialable(addr, allowPrivate)
	}
	host = strings.TrimSuffix(host, ".")
	last := host[strings.LastIndexByte(host, '.')+1:]
	return last == "" || '0' <= last[0] && last[0] <= '9'
}
