package xai

import (
	"context"

	"github.com/grpc-ecosystem/grpc-gateway/v2/runtime"
	"google.golang.org/grpc"
	"google.golang.org/protobuf/reflect/protoreflect"

	"gatehouse"
	"gatehouse/gen/collections"
	"gatehouse/internal/api"
)

// CollectionsFace is xAI's collections and documents for api.New. Its members
// are in snake_case, which is why it is no part of Face.
func CollectionsFace() api.Face {
	return api.Face{
		Name:     "Collections",
		About:    "Collections and their documents, as xAI's Management API and SDK know them, and under the names of the older dialect beside its own.",
		Services: []protoreflect.ServiceDescriptor{collections.File_xai_api_v1_collections_proto.Services().ByName("Collections")},
		Register: func(mux *runtime.ServeMux) error {
			return collections.RegisterCollectionsHandlerServer(context.Background(), mux, library{aliases: true})
		},
		GRPC:       func(s grpc.ServiceRegistrar) { collections.RegisterCollectionsServer(s, library{}) },
		MaxMessage: maxMessage, ProtoNames: true, Under: []string{"/v1/collections"},
		Plain: []api.Plain{upload},
		// Another document calls the same two members so, on the same path.
		Aliases: map[protoreflect.FullName]map[string]string{
			"collections.CreateCollectionRequest": names,
			"collections.UpdateCollectionRequest": names,
		},
	}
}

var names = map[string]string{"name": "collection_name", "description": "collection_description"}

// maxMessage is what xAI's SDK sends and takes, in bytes (wire.md §9.2), with
// room for what stands beside a document of that size.
const maxMessage = 20<<20 + 64<<10

// library answers /v1/collections, over REST and over gRPC.
type library struct {
	collections.UnimplementedCollectionsServer
	aliases bool // answers have the members of the older dialect too
}

// maxPage is how many a page has at most, and unless less is asked (wire.md §5).
const maxPage = 100

// page reads the paging of a list.
func page(limit *int32, token string) (gatehouse.Page, error) {
	if limit == nil {
		return gatehouse.Page{Size: maxPage, Token: token}, nil
	}
	if *limit < 1 {
		return gatehouse.Page{}, gatehouse.Violations{{Field: "limit", Problem: "must be at least 1"}}.Err()
	}
	return gatehouse.Page{Size: min(int(*limit), maxPage), Token: token}, nil
}

// collectionID and fileID spell ids as xAI does.
func collectionID(id gatehouse.ID) string { return "collection_" + id.String() }
func fileID(id gatehouse.ID) string       { return "file_" + id.String() }

// teamOf reads the team of a request; the zero ID is the caller's.
func teamOf(text string) (gatehouse.ID, error) {
	var bad gatehouse.Violations
	id := api.ID("team_id", text, &bad)
	return id, bad.Err()
}

// nothing refuses an update that changes nothing: it is a mistake in every case.
func nothing(bad *gatehouse.Violations) { bad.Addf("body", "names no member to change") }
