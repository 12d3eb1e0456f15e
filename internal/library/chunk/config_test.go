package chunk

import (
	"encoding/json"
	"errors"
	"testing"

	"gatehouse"
)

func TestConfigurationsAreReadAsOnTheWire(t *testing.T) {
	for raw, want := range map[string]Config{
		`null`: Default(),
		`{}`:   Default(),
		`{"tokens_configuration":{"max_chunk_size_tokens":512,"chunk_overlap_tokens":64,"encoding_name":"cl100k_base"},"inject_name_into_chunks":true}`: {Method: Tokens, MaxSize: 512, Overlap: 64, Encoding: "cl100k_base", InjectName: true},
		`{"tokens_configuration":{}}`:                           {Method: Tokens, MaxSize: 1024, Overlap: 200, Encoding: O200k},
		`{"tokens_configuration":{"max_chunk_size_tokens":64}}`: {Method: Tokens, MaxSize: 64, Encoding: O200k},
		`{"chars_configuration":{"max_chunk_size_chars":500,"chunk_overlap_chars":50},"strip_whitespace":true}`: {Method: Chars, MaxSize: 500, Overlap: 50, StripWhitespace: true},
		`{"bytes_configuration":{"max_chunk_size_bytes":500},"ast_configuration":null}`:                         {Method: Bytes, MaxSize: 500},
		`{"ast_configuration":{"max_chunk_size_tokens":100}}`:                                                   {Method: AST, MaxSize: 100, Encoding: O200k},
		`{"table_configuration":{"encoding_name":"r50k_base"}}`:                                                 {Method: Table, MaxSize: 1024, Encoding: "r50k_base"},
		`{"markdown_chars_configuration":{"max_chunk_size_chars":500}}`:                                         {Method: MarkdownChars, MaxSize: 500},
		`{"code_tokens_configuration":{"chunk_overlap_tokens":7}}`:                                              {Method: CodeTokens, MaxSize: 1024, Overlap: 7, Encoding: O200k},
		`{"strip_whitespace":false}`:                                                                            {Method: Tokens, MaxSize: 1024, Overlap: 200, Encoding: O200k},
	} {
		got, err := Parse("chunk_configuration", []byte(raw))
		if err != nil || got != want {
			t.Errorf("%s: %+v, %v", raw, got, err)
			continue
		}
		wire, err := json.Marshal(got)
		if err != nil {
			t.Fatal(err)
		}
		if back, err := Parse("c", wire); err != nil || back != got {
			t.Errorf("%s does not survive: %+v, %v", wire, back, err)
		}
	}
}

// Everything wrong is named at once, by its place on the wire.
func TestEveryFaultIsNamed(t *testing.T) {
	for raw, fields := range map[string][]string{
		`[]`: {"c"},
		`{"tokens_configuration":{"max_chunk_size_tokens":3,"chunk_overlap_tokens":-1,"encoding_name":"gpt5"}}`: {"c.tokens_configuration.max_chunk_size_tokens", "c.tokens_configuration.chunk_overlap_tokens", "c.tokens_configuration.encoding_name"},
		`{"tokens_configuration":{"max_chunk_size_tokens":100,"chunk_overlap_tokens":51}}`:                      {"c.tokens_configuration.chunk_overlap_tokens"},
		`{"tokens_configuration":{"max_chunk_size_chars":100}}`:                                                 {"c.tokens_configuration.max_chunk_size_chars"},
		`{"chars_configuration":{},"bytes_configuration":{}}`:                                                   {"c.chars_configuration"},
		`{"chars_configuration":{}}`: {"c.chars_configuration.max_chunk_size_chars"},
		`{"chars_configuration":{"max_chunk_size_chars":9,"encoding_name":"o200k_base"}}`:   {"c.chars_configuration.encoding_name"},
		`{"chars_configuration":7,"strip_whitespace":"yes","size":1}`:                       {"c.chars_configuration", "c.size", "c.strip_whitespace"},
		`{"table_configuration":{"max_chunk_size_tokens":"many","chunk_overlap_tokens":9}}`: {"c.table_configuration.max_chunk_size_tokens"},
		`{"table_configuration":{"max_chunk_size_tokens":100,"chunk_overlap_tokens":9}}`:    {"c.table_configuration.chunk_overlap_tokens"},
		`{"code_chars_configuration":{"max_chunk_size_chars":1e9}}`:                         {"c.code_chars_configuration.max_chunk_size_chars"},
		`{"sentences_configuration":{}}`:                                                    {"c.sentences_configuration"},
		`{"markdown_tokens_configuration":{"max_chunk_size_tokens":1.5}}`:                   {"c.markdown_tokens_configuration.max_chunk_size_tokens"},
		`{"tokens":{"max_chunk_size_tokens":100}}`:                                          {"c.tokens"},
	} {
		_, err := Parse("c", []byte(raw))
		var e *gatehouse.Error
		if !errors.As(err, &e) {
			t.Errorf("%s is accepted", raw)
			continue
		}
		named := map[string]bool{}
		for _, x := range e.Violations {
			named[x.Field] = true
		}
		for _, f := range fields {
			if !named[f] {
				t.Errorf("%s: %s is not named in %v", raw, f, err)
			}
		}
	}
	var v gatehouse.Violations
	Config{}.Validate("c", &v)
	if v.Err() == nil {
		t.Error("an empty configuration is valid")
	}
}
