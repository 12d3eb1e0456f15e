package verify

import (
	"context"
	"io"
	"net/http"
	"strings"

	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/credentials/insecure"
	"google.golang.org/grpc/metadata"
	"google.golang.org/grpc/status"
	"google.golang.org/protobuf/encoding/protojson"
	"google.golang.org/protobuf/reflect/protoreflect"
	"google.golang.org/protobuf/types/dynamicpb"

	"gatehouse"
	"gatehouse/gen/billing"
	"gatehouse/gen/collections"
	"gatehouse/gen/xai"
)

// calls asks what also answers gRPC the same questions: every method, which is
// the operation of its name.
func (m *matrix) calls() {
	m.t.Helper()
	conn := m.dial(m.management)
	for _, service := range []protoreflect.ServiceDescriptor{
		billing.File_prod_mc_billing_billing_proto.Services().ByName("UISvc"),
		collections.File_xai_api_v1_collections_proto.Services().ByName("Collections"),
	} {
		for i := range service.Methods().Len() {
			if method := service.Methods().Get(i); place(string(method.Name())) < 0 {
				m.t.Errorf("%s of gRPC has no row in the matrix", method.FullName())
			}
		}
		for _, r := range matrixRows { // in the order in which the valid ones are made
			if method := service.Methods().ByName(protoreflect.Name(r.op)); method != nil {
				m.call(conn, method, r)
			}
		}
	}
}

func (m *matrix) dial(listener string) *grpc.ClientConn {
	m.t.Helper()
	conn, err := grpc.NewClient(strings.TrimPrefix(listener, "http://"), grpc.WithTransportCredentials(insecure.NewCredentials()))
	if err != nil {
		m.t.Fatal(err)
	}
	m.t.Cleanup(func() { conn.Close() })
	return conn
}

// messageOf is the message that asks what the row does: its own, else its body
// with the ids that over REST are in the path.
func messageOf(method protoreflect.MethodDescriptor, r row) string {
	if r.message != "" {
		return r.message
	}
	ids := ""
	for _, name := range []protoreflect.Name{"team_id", "collection_id", "file_id"} {
		word := matrixParameters[string(name)]
		if name == "file_id" && r.id != "" {
			word = r.id
		}
		if method.Input().Fields().ByName(name) != nil && !strings.Contains(r.body, `"`+string(name)+`"`) {
			ids += `,"` + string(name) + `":"` + word + `"`
		}
	}
	if r.body == "" {
		return "{" + ids[1:] + "}"
	}
	if ids == "" {
		return r.body
	}
	return "{" + ids[1:] + "," + r.body[1:]
}

func (m *matrix) call(conn *grpc.ClientConn, method protoreflect.MethodDescriptor, r row) {
	ask := asking{method: "GRPC", text: string(method.FullName()) + "\n\n" + messageOf(method, r)}
	send := func(credential string, a asking) reply { return m.invoke(conn, method, credential, a) }
	m.strange(method, ask, send)
	m.foreignCalls(ask, r, bearer(m.b.key), send)
	m.last = append(m.last, func() {
		a := ask.by(m.spare)
		m.answered(ask.target(), a, send(bearer(m.a.key), a), int(codes.OK))
	})
}

// foreignCalls are [matrix.foreigners] over gRPC.
func (m *matrix) foreignCalls(ask asking, row row, credential string, send func(string, asking) reply) {
	for _, variant := range ask.variants(m.b) {
		a, none := variant(m.a), variant(m.never)
		m.later(func() {
			r, never := send(credential, a), send(credential, none)
			if row.echoes {
				never.body = told(ask, m.never, m.a, never.body)
			}
			problem := m.silent(a, r)
			refused := r.status == int(codes.NotFound) || r.status == int(codes.InvalidArgument)
			if narrow := row.op == "getFiles" && r.status == int(codes.OK); r != never || !refused && !narrow {
				problem = "want what is answered for what never was: " + never.body
			}
			m.verdict(ask.target(), "team B's key", a, r, problem)
		})
	}
}

// gateCalls are those of the library that the gateway answers over gRPC.
func (m *matrix) gateCalls() {
	m.t.Helper()
	conn := m.dial(m.gateway)
	methods := map[string]protoreflect.MethodDescriptor{}
	for _, service := range []protoreflect.ServiceDescriptor{
		xai.File_xai_api_v1_files_proto.Services().ByName("Files"), xai.File_xai_api_v1_documents_proto.Services().ByName("Documents"),
	} {
		for i := range service.Methods().Len() {
			methods[string(service.Methods().Get(i).Name())] = service.Methods().Get(i)
		}
	}
	for _, o := range m.ops {
		if method := methods[o.call]; method != nil {
			delete(methods, o.row.call)
			m.gateCall(conn, method, o)
		}
	}
	for _, method := range methods {
		m.t.Errorf("%s of gRPC has no row in the matrix", method.FullName())
	}
}

func (m *matrix) gateCall(conn *grpc.ClientConn, method protoreflect.MethodDescriptor, o *operation) {
	ask := asking{method: "GRPC", text: string(method.FullName()) + "\n\n" + o.message}
	send := func(credential string, a asking) reply { return m.invoke(conn, method, credential, a) }
	m.foreignCalls(ask, o.row, m.entitled(o, m.b), send)
	turned := func(name, credential string, want codes.Code) {
		for _, s := range []*side{m.a, m.b, m.never} {
			a := ask.by(s)
			m.later(func() {
				r := send(credential, a)
				problem := m.same("gRPC "+name+o.ID, r)
				if r.status != int(want) {
					problem = "want " + want.String()
				}
				m.verdict(ask.target(), name, a, r, problem)
			})
		}
	}
	for _, c := range m.outside {
		want := codes.Unauthenticated
		if c.status == http.StatusForbidden {
			want = codes.PermissionDenied
		}
		turned(c.name, c.text, want)
	}
	for endpoint, key := range m.without {
		if o.Endpoint == gatehouse.EndpointACL(endpoint) {
			turned("without "+endpoint, bearer(key), codes.PermissionDenied)
		}
	}
	m.last = append(m.last, func() {
		a := ask.by(m.spare)
		m.answered(ask.target(), a, send(m.entitled(o, m.a), a), int(codes.OK))
	})
}

// strange is what strangers and the unscoped are told.
func (m *matrix) strange(method protoreflect.MethodDescriptor, ask asking, send func(string, asking) reply) {
	scope := "team-token:endpoint:" + string(method.Name())
	for _, c := range m.dead {
		if c.only == "invited" {
			continue
		}
		m.later(func() {
			r := send(c.text, ask.by(m.a))
			problem := m.same("401 gRPC", r)
			if r.status != int(codes.Unauthenticated) {
				problem = "want UNAUTHENTICATED"
			}
			m.verdict(ask.target(), c.name, ask, r, problem)
		})
	}
	for _, s := range []*side{m.a, m.never} {
		m.later(func() {
			a := ask.by(s)
			r := send(bearer(m.lacking[scope]), a)
			problem := m.same("403 gRPC "+scope, r)
			if r.status != int(codes.PermissionDenied) || r.body != "This management key lacks the scope "+scope {
				problem = "want PERMISSION_DENIED naming " + scope
			}
			m.verdict(ask.target(), "missing scope", a, r, problem)
		})
	}
}

// invoke makes a call of JSON, of a stream a message a line; the reply is the
// status and what was said.
func (m *matrix) invoke(conn *grpc.ClientConn, method protoreflect.MethodDescriptor, credential string, a asking) reply {
	ctx, cancel := context.WithCancel(metadata.AppendToOutgoingContext(context.Background(), "x-request-id", "matrix"))
	defer cancel()
	if credential != "" {
		ctx = metadata.AppendToOutgoingContext(ctx, "authorization", credential)
	}
	desc := &grpc.StreamDesc{ClientStreams: method.IsStreamingClient(), ServerStreams: method.IsStreamingServer()}
	stream, err := conn.NewStream(ctx, desc, "/"+string(method.Parent().FullName())+"/"+string(method.Name()))
	if err != nil {
		return failed(err)
	}
	for line := range strings.Lines(a.body()) {
		in := dynamicpb.NewMessage(method.Input())
		if err := protojson.Unmarshal([]byte(line), in); err != nil {
			return reply{status: -1, body: err.Error()}
		}
		if stream.SendMsg(in) != nil {
			break // the answer says why
		}
	}
	stream.CloseSend()
	var said strings.Builder
	for {
		out := dynamicpb.NewMessage(method.Output())
		if err := stream.RecvMsg(out); err == io.EOF {
			return reply{body: said.String()}
		} else if err != nil {
			return failed(err)
		}
		text, _ := protojson.Marshal(out)
		said.Write(text)
		if !desc.ServerStreams {
			return reply{body: said.String()}
		}
	}
}

func failed(err error) reply {
	return reply{status: int(status.Code(err)), body: status.Convert(err).Message()}
}
