package rpc

import (
	"strings"
	"testing"

	"google.golang.org/grpc/codes"
	"google.golang.org/protobuf/reflect/protoreflect"
	"google.golang.org/protobuf/types/known/emptypb"

	"gatehouse"
	"gatehouse/gen/xai"
	"gatehouse/internal/simulate"
)

// Every method that the protos know is offered or refused, and only once.
func TestEveryMethodIsOfferedOrRefused(t *testing.T) {
	have := map[string]bool{}
	for _, s := range offered {
		for _, m := range s.methods {
			have[s.name+"/"+m.name] = true
		}
	}
	for _, f := range []protoreflect.FileDescriptor{xai.File_xai_api_v1_auth_proto, xai.File_xai_api_v1_models_proto, xai.File_xai_api_v1_embed_proto,
		xai.File_xai_api_v1_tokenize_proto, xai.File_xai_api_v1_chat_proto, xai.File_xai_api_v1_image_proto, xai.File_xai_api_v1_sample_proto,
		xai.File_xai_api_v1_files_proto, xai.File_xai_api_v1_documents_proto} {
		for i := range f.Services().Len() {
			s := f.Services().Get(i)
			for j := range s.Methods().Len() {
				name := string(s.Name()) + "/" + string(s.Methods().Get(j).Name())
				_, one := refused[name]
				_, all := refused[string(s.Name())+"/*"]
				if have[name] == (one || all) {
					t.Errorf("%s: offered %v, refused %v", name, have[name], one || all)
				}
			}
		}
	}
}

// A name that is misspelt in the list would refuse a field that is translated.
func TestWhatIsHonouredExists(t *testing.T) {
	for _, in := range []protoreflect.MessageDescriptor{(&emptypb.Empty{}).ProtoReflect().Descriptor(), (&xai.GetModelRequest{}).ProtoReflect().Descriptor(),
		(&xai.TokenizeTextRequest{}).ProtoReflect().Descriptor(), (&xai.EmbedRequest{}).ProtoReflect().Descriptor(), (&xai.GetCompletionsRequest{}).ProtoReflect().Descriptor(),
		(&xai.UploadFileChunk{}).ProtoReflect().Descriptor(), (&xai.ListFilesRequest{}).ProtoReflect().Descriptor(), (&xai.RetrieveFileRequest{}).ProtoReflect().Descriptor(),
		(&xai.DeleteFileRequest{}).ProtoReflect().Descriptor(), (&xai.RetrieveFileContentRequest{}).ProtoReflect().Descriptor(), (&xai.CreatePublicUrlRequest{}).ProtoReflect().Descriptor(),
		(&xai.RevokePublicUrlRequest{}).ProtoReflect().Descriptor(), (&xai.SearchRequest{}).ProtoReflect().Descriptor()} {
		heeds(t, in, map[protoreflect.Name]bool{})
	}
}

func heeds(t *testing.T, m protoreflect.MessageDescriptor, seen map[protoreflect.Name]bool) {
	names, ok := honoured[m.Name()]
	if seen[m.Name()] || !ok {
		return
	}
	seen[m.Name()] = true
	for _, name := range strings.Fields(names) {
		f := m.Fields().ByName(protoreflect.Name(name))
		if f == nil {
			t.Errorf("%s has no %s", m.Name(), name)
		} else if f.Message() != nil {
			if _, ok := honoured[f.Message().Name()]; !ok {
				t.Errorf("%s.%s: nothing of a %s is honoured", m.Name(), name, f.Message().Name())
			}
			heeds(t, f.Message(), seen)
		}
	}
}

func TestModels(t *testing.T) {
	w, _ := simulated(t)
	key := w.key()
	limited := w.key(func(k *gatehouse.Key) { k.ACL = gatehouse.ACL{"api-key:model:vector", "api-key:endpoint:models"} })
	w.start()
	models := xai.NewModelsClient(w.conn)
	list, err := models.ListLanguageModels(key, &emptypb.Empty{})
	w.must(err)
	if len(list.Models) != 1 {
		t.Fatal(list)
	}
	one, err := models.GetLanguageModel(key, &xai.GetModelRequest{Name: "latest"})
	w.must(err)
	same(t, list.Models[0], one)
	same(t, message(t, &xai.LanguageModel{}, `{"name":"small","aliases":["latest"],"version":"1.0","input_modalities":["TEXT","IMAGE"],"output_modalities":["TEXT"],
		"prompt_text_token_price":"10","cached_prompt_token_price":"5","completion_text_token_price":"20","max_prompt_length":4096,"created":"2023-11-14T22:13:20Z","system_fingerprint":"`+one.SystemFingerprint+`"}`), one)
	pictures, err := models.ListImageGenerationModels(key, &emptypb.Empty{})
	w.must(err)
	picture, err := models.GetImageGenerationModel(key, &xai.GetModelRequest{Name: "deep/paint"})
	w.must(err)
	same(t, pictures.Models[0], picture)
	vectors, err := models.ListEmbeddingModels(limited, &emptypb.Empty{})
	w.must(err)
	vector, err := models.GetEmbeddingModel(limited, &xai.GetModelRequest{Name: "vector"})
	w.must(err)
	same(t, vectors.Models[0], vector)
	if none, err := models.ListLanguageModels(limited, &emptypb.Empty{}); err != nil || len(none.Models) != 0 {
		t.Errorf("%v, %v: a key lists what it may use", none, err)
	}
	_, err = models.GetLanguageModel(limited, &xai.GetModelRequest{Name: "small"})
	check(t, err, codes.NotFound, "The model small does not exist", false)
	_, err = models.GetLanguageModel(key, &xai.GetModelRequest{})
	check(t, err, codes.InvalidArgument, "name: is required", false)
}

func TestAKeyDescribesItself(t *testing.T) {
	w, _ := simulated(t)
	key := w.key(func(k *gatehouse.Key) { k.ACL = gatehouse.ACL{"api-key:endpoint:embed"} })
	w.start()
	info, err := xai.NewAuthClient(w.conn).GetApiKeyInfo(key, &emptypb.Empty{})
	w.must(err)
	if info.Name != "test" || info.TeamId != w.team.String() || info.Acls[0] != "api-key:endpoint:embed" || !strings.HasPrefix(info.RedactedApiKey, "gthk_...") ||
		info.ApiKeyId == "" || info.CreateTime.AsTime().IsZero() || info.Disabled {
		t.Errorf("%v", info)
	}
}

func TestTokens(t *testing.T) {
	w, _ := simulated(t)
	key := w.key()
	w.start()
	got, err := xai.NewTokenizeClient(w.conn).TokenizeText(key, &xai.TokenizeTextRequest{Model: "small", Text: "hello ☂"})
	w.must(err)
	text := ""
	for _, tok := range got.Tokens {
		text += string(tok.TokenBytes)
	}
	if text != "hello ☂" || got.Model != "small" || got.Tokens[0].StringToken != "hello" {
		t.Errorf("%v", got)
	}
}

func TestEmbeddings(t *testing.T) {
	w, _ := simulated(t)
	key := w.key()
	w.start()
	client := xai.NewEmbedderClient(w.conn)
	in := message(t, &xai.EmbedRequest{}, `{"model":"vector","input":[{"string":"a"},{"string":"b c"}]}`)
	got, err := client.Embed(key, in)
	w.must(err)
	want := &xai.EmbedResponse{Model: "vector", Usage: &xai.EmbeddingUsage{NumTextEmbeddings: 2}}
	for i, text := range []string{"a", "b c"} {
		v := []*xai.FeatureVector{{FloatArray: simulate.Vector(text)}}
		want.Embeddings = append(want.Embeddings, &xai.Embedding{Index: int32(i), Embeddings: v})
	}
	same(t, want, got)
	in.EncodingFormat = xai.EmbedEncodingFormat_FORMAT_BASE64
	got, err = client.Embed(key, in)
	w.must(err)
	if got.Embeddings[1].Embeddings[0].Base64Array == "" {
		t.Errorf("%v", got)
	}
	if u := w.usage(); len(u) != 2 || u[0].Endpoint != "/v1/embeddings" || u[0].Usage.Prompt() != 3 {
		t.Errorf("%+v", u)
	}
	_, err = client.Embed(key, message(t, &xai.EmbedRequest{}, `{"model":"vector","input":[{"string":"a"},{"image_url":{}},{}]}`))
	check(t, err, codes.InvalidArgument, "input[1].image_url: is not offered", false)
	_, err = client.Embed(key, message(t, &xai.EmbedRequest{}, `{"model":"vector","input":[{}]}`))
	check(t, err, codes.InvalidArgument, "input[0]: must be a string", false)
}
