package verify

import (
	"context"
	"strings"

	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/credentials/insecure"
	"google.golang.org/grpc/metadata"
	"google.golang.org/grpc/status"
	"google.golang.org/protobuf/encoding/protojson"
	"google.golang.org/protobuf/reflect/protoreflect"
	"google.golang.org/protobuf/types/dynamicpb"

	"gatehouse/gen/billing"
)

// calls asks what also answers gRPC the same questions: every method of UISvc,
// which is the operation of its name.
func (m *matrix) calls() {
	m.t.Helper()
	conn, err := grpc.NewClient(strings.TrimPrefix(m.management, "http://"), grpc.WithTransportCredentials(insecure.NewCredentials()))
	if err != nil {
		m.t.Fatal(err)
	}
	m.t.Cleanup(func() { conn.Close() })
	service := billing.File_prod_mc_billing_billing_proto.Services().ByName("UISvc")
	for i := range service.Methods().Len() {
		method := service.Methods().Get(i)
		at := place(string(method.Name()))
		if at < 0 {
			m.t.Errorf("%s of gRPC has no row in the matrix", method.Name())
			continue
		}
		m.call(conn, method, matrixRows[at])
	}
}

func (m *matrix) call(conn *grpc.ClientConn, method protoreflect.MethodDescriptor, r row) {
	text := r.message
	switch {
	case text == "" && r.body == "":
		text = `{"teamId":"$team"}`
	case text == "":
		text = `{"teamId":"$team",` + r.body[1:]
	}
	ask := asking{method: "GRPC", text: string(method.FullName()) + "\n\n" + text}
	send := func(credential string, a asking) reply { return m.invoke(conn, method, credential, a) }
	m.strange(method, ask, send)
	for _, variant := range ask.variants(m.b) {
		a, none := variant(m.a), variant(m.never)
		m.later(func() {
			r, never := send(bearer(m.b.key), a), send(bearer(m.b.key), none)
			problem := m.silent(a, r)
			if refused := r.status == int(codes.NotFound) || r.status == int(codes.InvalidArgument); r != never || !refused {
				problem = "want what is answered for what never was: " + never.body
			}
			m.verdict(ask.target(), "team B's key", a, r, problem)
		})
	}
	m.last = append(m.last, func() {
		a := ask.by(m.a)
		m.answered(ask.target(), a, send(bearer(m.a.key), a), int(codes.OK))
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

// invoke makes a call of JSON; the reply is the status and what was said.
func (m *matrix) invoke(conn *grpc.ClientConn, method protoreflect.MethodDescriptor, credential string, a asking) reply {
	in, out := dynamicpb.NewMessage(method.Input()), dynamicpb.NewMessage(method.Output())
	if err := protojson.Unmarshal([]byte(a.body()), in); err != nil {
		return reply{status: -1, body: err.Error()}
	}
	ctx := metadata.AppendToOutgoingContext(context.Background(), "x-request-id", "matrix")
	if credential != "" {
		ctx = metadata.AppendToOutgoingContext(ctx, "authorization", credential)
	}
	err := conn.Invoke(ctx, "/"+string(method.Parent().FullName())+"/"+string(method.Name()), in, out)
	if err == nil {
		text, _ := protojson.Marshal(out)
		return reply{body: string(text)}
	}
	return reply{status: int(status.Code(err)), body: status.Convert(err).Message()}
}
