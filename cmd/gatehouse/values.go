package main

import (
	"fmt"
	"io"
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

// amount is a limit: a number, or none.
type amount struct {
	given bool
	n     int64
}

// UnmarshalText reads a flag. Zero is refused as on the wire: it could be meant
// as "nothing" and as "no limit".
func (a *amount) UnmarshalText(b []byte) error {
	a.given = true
	if string(b) == "none" {
		return nil
	}
	n, err := strconv.ParseInt(string(b), 10, 64)
	if err != nil || n < 1 {
		return fmt.Errorf("%q is neither a number of at least 1 nor none", b)
	}
	a.n = n
	return nil
}

// clamp32 keeps a number that does not fit from turning into one that does: the
// largest is refused by nobody and limits nothing.
func (a amount) clamp32() int32 { return int32(min(a.n, 1<<31-1)) }

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
