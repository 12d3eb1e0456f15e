package main

import (
	"errors"
	"fmt"
	"io"
	"math"
	"net/netip"
	"os"
	"strconv"
	"strings"
	"time"

	"gatehouse"
)

// instant is a time as people give it: RFC 3339, a date, a duration from now
// such as 36h or 90d, or never.
type instant struct {
	given    bool
	relative bool // after counts; otherwise at, which is zero for never
	at       time.Time
	after    time.Duration
}

// UnmarshalText reads a flag.
func (t *instant) UnmarshalText(b []byte) error {
	text := string(b)
	t.given = true
	if text == "never" {
		return nil
	}
	if d, err := duration(text); err == nil {
		t.relative, t.after = true, d
		return nil
	}
	for _, layout := range []string{time.RFC3339, time.DateOnly} {
		if at, err := time.Parse(layout, text); err == nil {
			t.at = at
			return nil
		}
	}
	return fmt.Errorf("%q is neither a duration such as 90d or 12h nor a time such as 2027-01-31T00:00:00Z", text)
}

// duration knows days, which time.ParseDuration leaves out because some have
// 23 hours. Here a day is 24.
func duration(s string) (time.Duration, error) {
	if days, ok := strings.CutSuffix(s, "d"); ok {
		n, err := strconv.ParseUint(days, 10, 16)
		return time.Duration(n) * 24 * time.Hour, err
	}
	return time.ParseDuration(s)
}

// from is the time meant: durations count from now, forwards.
func (t instant) from(now time.Time) time.Time {
	if t.relative {
		return now.Add(t.after).Truncate(time.Second)
	}
	return t.at
}

// ago is from with durations counted backwards.
func (t instant) ago(now time.Time) time.Time {
	t.after = -t.after
	return t.from(now)
}

func (t instant) opt(now time.Time) gatehouse.Opt[time.Time] {
	return gatehouse.Opt[time.Time]{Set: t.given, Value: t.from(now)}
}

// amount is a limit: a number that the wire has room for, or none.
type amount[T int32 | int64] struct {
	given bool
	n     T
}

// UnmarshalText reads a flag. Zero is refused as on the wire: it could be meant
// as "nothing" and as "no limit". So is what does not fit: the largest number
// that does is another limit than the one asked for.
func (a *amount[T]) UnmarshalText(b []byte) error {
	a.given = true
	if string(b) == "none" {
		return nil
	}
	n, err := strconv.ParseInt(string(b), 10, 64)
	if a.n = T(n); errors.Is(err, strconv.ErrRange) && n > 0 || err == nil && int64(a.n) != n && n > 0 {
		return fmt.Errorf("%s is more than the largest limit, %d", b, most[T]())
	}
	if err != nil || n < 1 {
		return fmt.Errorf("%q is neither a number of at least 1 nor none", b)
	}
	return nil
}

// most is the largest limit of its width.
func most[T int32 | int64]() int64 {
	if n := int64(math.MaxInt64); int64(T(n)) == n {
		return n
	}
	return math.MaxInt32
}

func (a amount[T]) opt() gatehouse.Opt[T] { return gatehouse.Opt[T]{Set: a.given, Value: a.n} }

// sendLimit is a set of limits in one flag.
type sendLimit gatehouse.Limits

// UnmarshalText reads none, or NAME:N,… with the names qps, qpm and tpm.
func (l *sendLimit) UnmarshalText(b []byte) error {
	*l = sendLimit{}
	if string(b) == "none" {
		return nil
	}
	for part := range strings.SplitSeq(string(b), ",") {
		name, number, _ := strings.Cut(part, ":")
		var small amount[int32]
		var large amount[int64]
		var err error
		switch name {
		case "qps":
			err = small.UnmarshalText([]byte(number))
			l.QPS = small.n
		case "qpm":
			err = small.UnmarshalText([]byte(number))
			l.QPM = small.n
		case "tpm":
			err = large.UnmarshalText([]byte(number))
			l.TPM = large.n
		default:
			err = fmt.Errorf("%q is none of qps, qpm and tpm", name)
		}
		if err != nil {
			return err
		}
	}
	return nil
}

// origin is where a key may be used from: an address, or a range of them.
type origin netip.Prefix

// UnmarshalText reads a flag. An address alone is a range of one.
func (o *origin) UnmarshalText(b []byte) error {
	p, err := netip.ParsePrefix(string(b))
	if addr, alone := netip.ParseAddr(string(b)); alone == nil && addr.Zone() == "" {
		p, err = addr.Prefix(addr.BitLen())
	}
	if err != nil {
		return fmt.Errorf("%q is neither an address nor a range such as 10.0.0.0/8", b)
	}
	*o = origin(p)
	return nil
}

func prefixes(in []origin) []netip.Prefix {
	return each(in, func(o origin) netip.Prefix { return netip.Prefix(o) })
}

// say writes what was said of a member to its field, and notes the member.
func say[T any](members *[]string, member string, said, field *T) {
	if said != nil {
		*field, *members = *said, append(*members, member)
	}
}

// sayAll is say for what is repeated, where none means unsaid.
func sayAll(members *[]string, member string, said []string, field *[]string) {
	if len(said) > 0 {
		say(members, member, &said, field)
	}
}

// something refuses an update that names no member: without a mask the server
// would take every member of the object as meant.
func something(members []string) error {
	if len(members) == 0 {
		return gatehouse.Errorf(gatehouse.InvalidArgument, "nothing to change: --help lists what can be")
	}
	return nil
}

// yes is how a switch is shown.
func yes(b bool) string {
	if b {
		return "yes"
	}
	return ""
}

func clock(t time.Time, zero string) string {
	if t.IsZero() {
		return zero
	}
	return t.UTC().Format(time.RFC3339)
}

func limits(l gatehouse.Limits) string {
	var out []string
	for _, x := range []struct {
		name string
		n    int64
	}{{"qps", int64(l.QPS)}, {"qpm", int64(l.QPM)}, {"tpm", l.TPM}} {
		if x.n != 0 {
			out = append(out, fmt.Sprintf("%s %d", x.name, x.n))
		}
	}
	if out == nil {
		return "none"
	}
	return strings.Join(out, ", ")
}

// maxSecretFile bounds what is read as a credential.
const maxSecretFile = 64 << 10

// secretFrom reads a credential from a file, or from standard input as "-". It
// never comes from an argument.
func secretFrom(e *env, file string) (string, error) {
	if file == "" {
		return "", nil
	}
	in := e.in
	if file != "-" {
		f, err := os.Open(file)
		if err != nil {
			return "", err
		}
		defer f.Close()
		in = f
	}
	text, err := io.ReadAll(io.LimitReader(in, maxSecretFile))
	if err != nil {
		return "", err
	}
	secret := strings.TrimSpace(string(text))
	if secret == "" {
		return "", gatehouse.Errorf(gatehouse.InvalidArgument, "%s holds no credential", file)
	}
	return secret, nil
}

// textFrom reads a file that may be absent from the command line.
func textFrom(file string) (string, error) {
	if file == "" {
		return "", nil
	}
	b, err := os.ReadFile(file)
	return string(b), err
}
