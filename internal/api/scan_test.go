package api

import (
	"bytes"
	"encoding/json"
	"io"
	"reflect"
	"strings"
	"testing"

	"github.com/go-json-experiment/json/jsontext"
)

// judge is what an independent strict reader says of the same bytes.
func judge(b []byte) error {
	d := jsontext.NewDecoder(bytes.NewReader(b))
	if _, err := d.ReadValue(); err != nil {
		return err
	}
	if _, err := d.ReadToken(); err != io.EOF {
		return io.ErrUnexpectedEOF
	}
	return nil
}

func meaning(t *testing.T, b []byte) (v any) {
	d := json.NewDecoder(bytes.NewReader(b))
	d.UseNumber()
	if err := d.Decode(&v); err != nil {
		t.Fatalf("%q: %v", b, err)
	}
	return v
}

// The scanner and jsontext agree on what is one well-formed value, and what
// the scanner hands on means the same as what came in.
func FuzzScanAgreesWithJSONText(f *testing.F) {
	for _, s := range []string{
		`{}`, `[]`, `null`, `-0.5e+7`, `{"a":[1,"\u00e9\ud83d\ude00\n",true,false,null]}`, `{"a":1,"\u0061":2}`, `[1,]`, `{"a":1,}`,
		`"\ud800"`, `"\udc00\ud800"`, "\"\xff\"", "\"\x01\"", `01`, `1.`, `-`, `1e`, `{"a" 1}`, `{1:2}`, ` {"a":{}} `, `{} x`, `nul`, `"\x"`, `"\u12"`,
		"\ufeff{}", `{"":0,"":0}`, `"<&>\u2028"`, strings.Repeat("[", 64) + strings.Repeat("]", 64),
	} {
		f.Add([]byte(s))
	}
	f.Fuzz(func(t *testing.T, b []byte) {
		n, err := scan(b)
		if err != nil && strings.Contains(err.Error(), "nesting deeper") {
			return // ours alone
		}
		if other := judge(b); (err == nil) != (other == nil) {
			t.Fatalf("%q: scan says %v, jsontext says %v", b, err, other)
		}
		if err == nil && !reflect.DeepEqual(meaning(t, n.append(nil)), meaning(t, b)) {
			t.Fatalf("%q became %q", b, n.append(nil))
		}
	})
}

func TestScanRefusesTheSixtyFifthLevel(t *testing.T) {
	for depth, ok := range map[int]bool{64: true, 65: false} {
		_, err := scan([]byte(strings.Repeat("[", depth) + strings.Repeat("]", depth)))
		if (err == nil) != ok {
			t.Errorf("depth %d: %v", depth, err)
		}
	}
}

// A credential that somebody put in the place of a member name comes back in
// no error and so reaches no log.
func TestErrorsDoNotEchoSecrets(t *testing.T) {
	secret := "gthk_" + strings.Repeat("s3cret", 12)
	_, err := scan([]byte(`{"` + secret + `":1,"` + secret + `":2}`))
	if err == nil || strings.Contains(err.Error(), secret[:24]) {
		t.Errorf("echoed: %v", err)
	}
}
