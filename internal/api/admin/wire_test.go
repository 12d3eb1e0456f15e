package admin_test

import (
	"log/slog"
	"reflect"
	"strings"
	"testing"

	"google.golang.org/protobuf/reflect/protoreflect"

	"gatehouse"
	adminpb "gatehouse/gen/admin"
	"gatehouse/internal/api"
	"gatehouse/internal/api/admin"
	"gatehouse/internal/api/apitest"
)

// The wire of /admin/v1, as scripts see it. Run with -update after an
// intended change and read the diff.
func TestWire(t *testing.T) {
	backend, words := apitest.New()
	apitest.Run(t, "testdata", admin.Handler(backend, api.Options{Rate: -1, Logger: slog.New(slog.DiscardHandler)}), words)
}

// What the wire lets a PATCH name, the record has under the same name: a member
// that it lacked would be accepted and then quietly left alone.
func TestEveryMaskReachesTheRecord(t *testing.T) {
	for message, record := range map[protoreflect.ProtoMessage]any{
		&adminpb.Upstream{}: gatehouse.Upstream{}, &adminpb.Model{}: gatehouse.Model{},
		&adminpb.Alias{}: gatehouse.Alias{}, &adminpb.Cluster{}: gatehouse.Cluster{},
	} {
		fields := message.ProtoReflect().Descriptor().Fields()
		for i := range fields.Len() {
			name := fields.Get(i).JSONName()
			if name != "credential" && !has(record, name) {
				t.Errorf("%T has no member %s", record, name)
			}
		}
	}
}

func has(record any, name string) bool {
	typ := reflect.TypeOf(record)
	for i := range typ.NumField() {
		if tag, _, _ := strings.Cut(typ.Field(i).Tag.Get("json"), ","); tag == name {
			return true
		}
	}
	return false
}
