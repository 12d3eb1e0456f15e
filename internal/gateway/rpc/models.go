package rpc

import (
	"encoding/json"
	"net/http"
	"strings"
	"time"

	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/types/known/emptypb"
	"google.golang.org/protobuf/types/known/timestamppb"

	"gatehouse/gen/xai"
)

var models = service{"Models", []method{
	listOf("ListLanguageModels", "/v1/language-models", func(list []model) proto.Message {
		return &xai.ListLanguageModelsResponse{Models: each(list, model.language)}
	}),
	listOf("ListEmbeddingModels", "/v1/embedding-models", func(list []model) proto.Message {
		return &xai.ListEmbeddingModelsResponse{Models: each(list, model.embedding)}
	}),
	listOf("ListImageGenerationModels", "/v1/image-generation-models", func(list []model) proto.Message {
		return &xai.ListImageGenerationModelsResponse{Models: each(list, model.image)}
	}),
	oneOf("GetLanguageModel", "/v1/language-models", func(m model) proto.Message { return m.language() }),
	oneOf("GetEmbeddingModel", "/v1/embedding-models", func(m model) proto.Message { return m.embedding() }),
	oneOf("GetImageGenerationModel", "/v1/image-generation-models", func(m model) proto.Message { return m.image() }),
}}

func empty() proto.Message { return &emptypb.Empty{} }

func listOf(name, path string, make func([]model) proto.Message) method {
	return method{name: name, message: empty, verb: http.MethodGet, path: path,
		whole: func(_ proto.Message, body []byte) (proto.Message, error) {
			var in struct {
				Models []model `json:"models"`
			}
			if err := json.Unmarshal(body, &in); err != nil {
				return nil, err
			}
			return make(in.Models), nil
		}}
}

func oneOf(name, path string, make func(model) proto.Message) method {
	return method{name: name, verb: http.MethodGet, path: path,
		message: func() proto.Message { return &xai.GetModelRequest{} },
		where:   func(in proto.Message) (where, error) { return segment("name", in.(*xai.GetModelRequest).Name) },
		whole: func(_ proto.Message, body []byte) (proto.Message, error) {
			var in model
			if err := json.Unmarshal(body, &in); err != nil {
				return nil, err
			}
			return make(in), nil
		}}
}

// segment is the address of an object by what a field calls it, with what
// follows its name.
func segment(field, name string, more ...string) (where, error) {
	var bad problems
	if name == "" {
		bad.addf(field, "is required")
	}
	return where{names: append([]string{name}, more...)}, bad.err()
}

// model is a model as the REST lists describe it.
type model struct {
	ID            string   `json:"id"`
	Fingerprint   string   `json:"fingerprint"`
	Created       int64    `json:"created"`
	Version       string   `json:"version"`
	Input         []string `json:"input_modalities"`
	Output        []string `json:"output_modalities"`
	Aliases       []string `json:"aliases"`
	PromptText    int64    `json:"prompt_text_token_price"`
	PromptImage   int64    `json:"prompt_image_token_price"`
	Cached        int64    `json:"cached_prompt_text_token_price"`
	Completion    int64    `json:"completion_text_token_price"`
	Search        int64    `json:"search_price"`
	Image         int64    `json:"image_price"`
	MaxPromptSize int32    `json:"max_prompt_length"`
}

func (m model) language() *xai.LanguageModel {
	return &xai.LanguageModel{
		Name: m.ID, Aliases: m.Aliases, Version: m.Version, InputModalities: modalities(m.Input), OutputModalities: modalities(m.Output),
		PromptTextTokenPrice: m.PromptText, PromptImageTokenPrice: m.PromptImage, CachedPromptTokenPrice: m.Cached,
		CompletionTextTokenPrice: m.Completion, SearchPrice: m.Search, Created: unix(m.Created), MaxPromptLength: m.MaxPromptSize,
		SystemFingerprint: m.Fingerprint,
	}
}

func (m model) embedding() *xai.EmbeddingModel {
	return &xai.EmbeddingModel{
		Name: m.ID, Aliases: m.Aliases, Version: m.Version, InputModalities: modalities(m.Input), OutputModalities: modalities(m.Output),
		PromptTextTokenPrice: m.PromptText, PromptImageTokenPrice: m.PromptImage, Created: unix(m.Created), SystemFingerprint: m.Fingerprint,
	}
}

func (m model) image() *xai.ImageGenerationModel {
	return &xai.ImageGenerationModel{
		Name: m.ID, Aliases: m.Aliases, Version: m.Version, InputModalities: modalities(m.Input), OutputModalities: modalities(m.Output),
		ImagePrice: m.Image, Created: unix(m.Created), MaxPromptLength: m.MaxPromptSize, SystemFingerprint: m.Fingerprint,
	}
}

// modalities leaves out what the enum has no value for: audio, video.
func modalities(list []string) (out []xai.Modality) {
	for _, s := range list {
		if v, ok := xai.Modality_value[strings.ToUpper(s)]; ok {
			out = append(out, xai.Modality(v))
		}
	}
	return out
}

// unix is nothing for a time that nobody knows.
func unix(seconds int64) *timestamppb.Timestamp {
	if seconds == 0 {
		return nil
	}
	return timestamppb.New(time.Unix(seconds, 0))
}

func each[A, B any](list []A, f func(A) B) []B {
	out := make([]B, len(list))
	for i, v := range list {
		out[i] = f(v)
	}
	return out
}
