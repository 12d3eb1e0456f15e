package api_test

import (
	"context"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"os"
	"strings"
	"testing"
	"time"

	"google.golang.org/genproto/googleapis/rpc/errdetails"
	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/credentials/insecure"
	"google.golang.org/grpc/metadata"
	"google.golang.org/grpc/status"
	"google.golang.org/protobuf/encoding/protowire"

	"gatehouse"
	"gatehouse/gen/billing"
	"gatehouse/gen/charger"
	"gatehouse/gen/collections"
	"gatehouse/internal/api"
	"gatehouse/internal/api/apitest"
	"gatehouse/internal/api/xai"
)

// dial serves h as the management listener does, REST and gRPC in the clear,
// and connects to it.
func dial(t *testing.T, h http.Handler) (*grpc.ClientConn, string) {
	t.Helper()
	server := httptest.NewUnstartedServer(h)
	server.Config.Protocols = new(http.Protocols)
	server.Config.Protocols.SetHTTP1(true)
	server.Config.Protocols.SetUnencryptedHTTP2(true)
	server.Start()
	t.Cleanup(server.Close)
	conn, err := grpc.NewClient(server.Listener.Addr().String(), grpc.WithTransportCredentials(insecure.NewCredentials()))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { conn.Close() })
	return conn, server.URL
}

func as(t *testing.T, token string, more ...string) context.Context {
	return metadata.AppendToOutgoingContext(t.Context(), append([]string{"authorization", "Bearer " + token}, more...)...)
}

// A call over gRPC is what the request over REST is, beside it on one port.
func TestGRPCAnswersWhatRESTDoes(t *testing.T) {
	backend, words := apitest.New()
	conn, url := dial(t, xai.Handler(backend, api.Options{Logger: slog.New(slog.DiscardHandler)}))
	ui := billing.NewUISvcClient(conn)
	balance, err := ui.ListPrepaidBalanceChanges(as(t, words["full"]), &billing.ListPrepaidBalanceChangesReq{TeamId: words["prepaid"]})
	if err != nil || balance.Total.Val != -1000 || len(balance.Changes) != 4 {
		t.Errorf("%v %v", balance, err)
	}
	var header metadata.MD
	up, err := ui.TopUpOrGetExistingPendingChange(as(t, words["full"], "x-request-id", "mine"),
		&billing.TopUpOrGetExistingPendingChangeReq{TeamId: words["prepaid"], Amount: &charger.Cent{Val: 500}}, grpc.Header(&header))
	if err != nil || up.Change.Amount.Val != -500 {
		t.Errorf("%v %v", up, err)
	}
	if header.Get("x-gatehouse-revision")[0] != "1.42" || header.Get("x-request-id")[0] != "mine" {
		t.Errorf("header %v", header)
	}
	if res, err := http.Get(url + "/v1/billing/teams/x/prepaid/balance"); err != nil || res.StatusCode != http.StatusUnauthorized {
		t.Errorf("REST beside it: %v %v", res, err)
	}
}

// xAI's SDK lists without options and reads no member that its proto lacks; a
// document comes in one message.
func TestGRPCOfCollections(t *testing.T) {
	backend, words := apitest.New()
	conn, _ := dial(t, xai.Handler(backend, api.Options{Logger: slog.New(slog.DiscardHandler)}))
	c := collections.NewCollectionsClient(conn)
	list, err := c.ListCollections(as(t, words["full"]), &collections.ListCollectionsRequest{})
	if err != nil || len(list.Collections) != 1 || list.Data != nil || list.Collections[0].Id != nil || list.PaginationToken != nil {
		t.Errorf("%v %v", list, err)
	}
	d, err := c.UploadDocument(as(t, words["full"]), &collections.UploadDocumentRequest{
		CollectionId: words["collection"], Name: "big", Data: make([]byte, 20<<20), Fields: map[string]string{"isbn": "1"},
	})
	if err != nil || d.FileMetadata.SizeBytes != 20<<20 || d.Fields["isbn"] != "1" || d.Status != collections.DocumentStatus_DOCUMENT_STATUS_PROCESSING {
		t.Errorf("%v %v", d, err)
	}
	_, err = c.UpdateDocument(as(t, words["narrow"]), &collections.UpdateDocumentRequest{Data: make([]byte, 22<<20)})
	if st := status.Convert(err); st.Code() != codes.PermissionDenied || !strings.Contains(st.Message(), "UpdateDocument") {
		t.Errorf("a message too large, of one who may not send it: %v", err)
	}
	_, err = c.UpdateDocument(as(t, words["full"]), &collections.UpdateDocumentRequest{Data: make([]byte, 22<<20)})
	if status.Code(err) != codes.ResourceExhausted {
		t.Errorf("a message too large: %v", err)
	}
}

// bytesCodec sends bytes as they are under the name of protobuf.
type bytesCodec struct{}

func (bytesCodec) Marshal(v any) ([]byte, error) { return v.([]byte), nil }
func (bytesCodec) Unmarshal([]byte, any) error   { return nil }
func (bytesCodec) Name() string                  { return "proto" }

// Over gRPC as over REST: who may not ask does not learn how we understood it,
// and what is not understood is refused by name.
func TestGRPCIsJudgedAsRESTIs(t *testing.T) {
	backend, words := apitest.New()
	conn, _ := dial(t, xai.Handler(backend, api.Options{Rate: -1, Logger: slog.New(slog.DiscardHandler)}))
	const info, usage = "/prod_mc_billing.UISvc/GetBillingInfo", "/prod_mc_billing.UISvc/AnalyzeBillingItems"
	text := func(number protowire.Number, s string) []byte {
		return protowire.AppendString(protowire.AppendTag(nil, number, protowire.BytesType), s)
	}
	team := text(1, words["team"])
	unknown := append(protowire.AppendVarint(protowire.AppendTag(nil, 99, protowire.VarintType), 1), team...)
	nested := text(1, string(text(2, "x"))) // a time unit, as text
	enum := text(1, string(protowire.AppendVarint(protowire.AppendTag(nil, 2, protowire.VarintType), 77)))
	for name, c := range map[string]struct {
		method, token string
		sent          []byte
		code          codes.Code
		says          string
	}{
		"fine":                         {info, words["full"], team, codes.OK, ""},
		"no credential":                {info, "", unknown, codes.Unauthenticated, "Invalid bearer token"},
		"an inference key":             {info, words["inference"], unknown, codes.Unauthenticated, "Invalid bearer token"},
		"an unknown key":               {info, words["unknown"], unknown, codes.Unauthenticated, "Invalid bearer token"},
		"no scope":                     {info, words["narrow"], unknown, codes.PermissionDenied, "team-token:endpoint:GetBillingInfo"},
		"a foreign team":               {info, words["full"], text(1, words["other"]), codes.NotFound, "Cannot find team"},
		"an unknown field":             {info, words["full"], unknown, codes.InvalidArgument, "unknown field number 99"},
		"an unknown field further in":  {usage, words["full"], nested, codes.InvalidArgument, "analyticsRequest: unknown field number 2"},
		"an unknown enum":              {usage, words["full"], enum, codes.InvalidArgument, "analyticsRequest.timeUnit: unknown value 77"},
		"no protobuf":                  {info, words["full"], []byte{0xff}, codes.InvalidArgument, "the message is none of this method"},
		"a megabyte":                   {info, words["full"], make([]byte, 1<<20+1), codes.ResourceExhausted, "larger than max"},
		"an unknown method":            {"/prod_mc_billing.UISvc/Nothing", words["full"], team, codes.Unimplemented, ""},
		"a service of REST alone":      {"/auth_mgmt.AuthManagement/ListApiKeys", words["full"], nil, codes.Unimplemented, ""},
		"a header that is no revision": {info + " ", words["full"], team, codes.InvalidArgument, "If-Match"},
	} {
		ctx := as(t, c.token)
		if method, bad := strings.CutSuffix(c.method, " "); bad {
			ctx, c.method = as(t, c.token, "if-match", "latest"), method
		}
		err := conn.Invoke(ctx, c.method, c.sent, nil, grpc.ForceCodec(bytesCodec{}))
		if st := status.Convert(err); st.Code() != c.code || !strings.Contains(st.Message(), c.says) {
			t.Errorf("%s: %v", name, err)
		}
	}
}

// A message that stops coming does not hold its stream.
func TestASlowCallEnds(t *testing.T) {
	backend, words := apitest.New()
	conn, _ := dial(t, xai.Handler(backend, api.Options{BodyTime: 50 * time.Millisecond, Logger: slog.New(slog.DiscardHandler)}))
	ctx, cancel := context.WithTimeout(as(t, words["full"]), 5*time.Second)
	defer cancel()
	call, err := conn.NewStream(ctx, &grpc.StreamDesc{ClientStreams: true}, "/prod_mc_billing.UISvc/GetBillingInfo")
	if err != nil {
		t.Fatal(err)
	}
	if err := call.RecvMsg(new(billing.GetBillingInfoResp)); err == nil || ctx.Err() != nil {
		t.Errorf("%v, %v", err, ctx.Err())
	}
}

// What a program needs to mend its call is in the details; what went wrong
// inside is in none of it.
func TestGRPCFailuresAreToldAsOverREST(t *testing.T) {
	_, words := apitest.New()
	for _, c := range []struct {
		err  error
		code codes.Code
		text string
	}{
		{nil, codes.Internal, "internal error"}, // it panics
		{context.DeadlineExceeded, codes.DeadlineExceeded, "the request took too long"},
		{gatehouse.Errorf(gatehouse.Unavailable, "starting"), codes.Unavailable, "starting"},
		{gatehouse.Errorf(gatehouse.Conflict, "x"), codes.Aborted, "x"},
	} {
		h := xai.Handler(api.BackendFunc(func(*gatehouse.Call) api.Caller { return broken{err: c.err} }), api.Options{Logger: slog.New(slog.DiscardHandler)})
		conn, _ := dial(t, h)
		_, err := billing.NewUISvcClient(conn).GetBillingInfo(as(t, words["full"]), &billing.GetBillingInfoReq{})
		if st := status.Convert(err); st.Code() != c.code || st.Message() != c.text {
			t.Errorf("%v: %v", c.err, err)
		}
	}
	backend, words := apitest.New()
	conn, _ := dial(t, xai.Handler(backend, api.Options{Rate: 1, Logger: slog.New(slog.DiscardHandler)}))
	ui := billing.NewUISvcClient(conn)
	_, err := ui.SetBillingInfo(as(t, words["full"]), &billing.SetBillingInfoReq{TeamId: words["team"]})
	if bad, ok := status.Convert(err).Details()[0].(*errdetails.BadRequest); !ok || bad.FieldViolations[0].Field != "billingInfo" {
		t.Errorf("%v", err)
	}
	_, err = ui.GetBillingInfo(as(t, words["full"]), &billing.GetBillingInfoReq{})
	if retry, ok := status.Convert(err).Details()[0].(*errdetails.RetryInfo); !ok || retry.RetryDelay.Seconds != 1 {
		t.Errorf("%v", err)
	}
}

// The page on gRPC has every method that answers, beside its service.
func TestTheGRPCPageHasEveryMethod(t *testing.T) {
	page, err := os.ReadFile("../../docs/reference/grpc.md")
	if err != nil {
		t.Fatal(err)
	}
	backend, _ := apitest.New()
	for _, path := range api.New(backend, api.Options{}, xai.Face(), xai.CollectionsFace()).Calls() {
		service, method, _ := strings.Cut(strings.TrimPrefix(path, "/"), "/")
		_, row, _ := strings.Cut(string(page), "\n| `"+service+"` |")
		if row, _, _ = strings.Cut(row, "\n"); !strings.Contains(row, "`"+method+"`") {
			t.Errorf("docs/reference/grpc.md lacks %s of %s", method, service)
		}
	}
}
