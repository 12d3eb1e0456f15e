package rpc

import (
	"encoding/json"
	"fmt"
	"net/http"
	"time"

	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/types/known/timestamppb"

	"gatehouse/gen/xai"
)

var auth = service{"Auth", []method{{
	name: "get_api_key_info", message: empty, verb: http.MethodGet, path: "/v1/api-key",
	whole: func(_ proto.Message, body []byte) (proto.Message, error) { return keyInfo(body) },
}}}

func keyInfo(body []byte) (*xai.ApiKey, error) {
	var k struct {
		Redacted    string    `json:"redacted_api_key"`
		UserID      string    `json:"user_id"`
		Name        string    `json:"name"`
		CreateTime  time.Time `json:"create_time"`
		ModifyTime  time.Time `json:"modify_time"`
		ModifiedBy  string    `json:"modified_by"`
		TeamID      string    `json:"team_id"`
		ACLs        []string  `json:"acls"`
		ID          string    `json:"api_key_id"`
		TeamBlocked bool      `json:"team_blocked"`
		Blocked     bool      `json:"api_key_blocked"`
		Disabled    bool      `json:"api_key_disabled"`
	}
	if err := json.Unmarshal(body, &k); err != nil {
		return nil, err
	}
	return &xai.ApiKey{
		RedactedApiKey: k.Redacted, UserId: k.UserID, Name: k.Name, CreateTime: timestamppb.New(k.CreateTime),
		ModifyTime: timestamppb.New(k.ModifyTime), ModifiedBy: k.ModifiedBy, TeamId: k.TeamID, Acls: k.ACLs, ApiKeyId: k.ID,
		ApiKeyBlocked: k.Blocked, TeamBlocked: k.TeamBlocked, Disabled: k.Disabled,
	}, nil
}

var tokenizer = service{"Tokenize", []method{{
	name: "TokenizeText", verb: http.MethodPost, path: "/v1/tokenize-text",
	message: func() proto.Message { return &xai.TokenizeTextRequest{} },
	body: func(in proto.Message) ([]byte, error) {
		r := in.(*xai.TokenizeTextRequest)
		return encode(struct {
			Model string `json:"model"`
			Text  string `json:"text"`
			User  string `json:"user,omitempty"`
		}{r.Model, r.Text, r.User})
	},
	whole: func(in proto.Message, body []byte) (proto.Message, error) {
		tokens, err := tokens(body)
		return &xai.TokenizeTextResponse{Tokens: tokens, Model: in.(*xai.TokenizeTextRequest).Model}, err
	},
}}}

func tokens(body []byte) ([]*xai.Token, error) {
	type token struct {
		ID    uint32 `json:"token_id"`
		Text  string `json:"string_token"`
		Bytes []int  `json:"token_bytes"` // numbers, not base64
	}
	var in struct {
		Tokens []token `json:"token_ids"`
	}
	if err := json.Unmarshal(body, &in); err != nil {
		return nil, err
	}
	return each(in.Tokens, func(t token) *xai.Token {
		return &xai.Token{TokenId: t.ID, StringToken: t.Text, TokenBytes: each(t.Bytes, func(b int) byte { return byte(b) })}
	}), nil
}

var embedder = service{"Embedder", []method{{
	name: "Embed", verb: http.MethodPost, path: "/v1/embeddings",
	message: func() proto.Message { return &xai.EmbedRequest{} },
	body:    func(in proto.Message) ([]byte, error) { return embedBody(in.(*xai.EmbedRequest)) },
	whole:   func(in proto.Message, body []byte) (proto.Message, error) { return embeddings(body) },
}}}

func embedBody(r *xai.EmbedRequest) ([]byte, error) {
	var bad problems
	for i, in := range r.Input {
		if in.Input == nil {
			bad.addf(fmt.Sprintf("input[%d]", i), "must be a string")
		}
	}
	if err := bad.err(); err != nil {
		return nil, err
	}
	format := "float"
	if r.EncodingFormat == xai.EmbedEncodingFormat_FORMAT_BASE64 {
		format = "base64"
	}
	return encode(struct {
		Model  string   `json:"model"`
		Input  []string `json:"input"`
		Format string   `json:"encoding_format"`
		User   string   `json:"user,omitempty"`
	}{r.Model, each(r.Input, (*xai.EmbedInput).GetString_), format, r.User})
}

func embeddings(body []byte) (*xai.EmbedResponse, error) {
	var in struct {
		ID    string `json:"id"`
		Model string `json:"model"`
		Data  []struct {
			Index     int32           `json:"index"`
			Embedding json.RawMessage `json:"embedding"`
		} `json:"data"`
	}
	if err := json.Unmarshal(body, &in); err != nil {
		return nil, err
	}
	out := &xai.EmbedResponse{Id: in.ID, Model: in.Model, Usage: &xai.EmbeddingUsage{NumTextEmbeddings: int32(len(in.Data))}}
	for _, d := range in.Data {
		v := &xai.FeatureVector{}
		var err error
		if len(d.Embedding) > 0 && d.Embedding[0] == '"' {
			err = json.Unmarshal(d.Embedding, &v.Base64Array)
		} else {
			err = json.Unmarshal(d.Embedding, &v.FloatArray)
		}
		if err != nil {
			return nil, err
		}
		out.Embeddings = append(out.Embeddings, &xai.Embedding{Index: d.Index, Embeddings: []*xai.FeatureVector{v}})
	}
	return out, nil
}
