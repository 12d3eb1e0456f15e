package api

import (
	"context"
	"log/slog"
	"net/http"
	"net/netip"
	"time"

	"github.com/grpc-ecosystem/grpc-gateway/v2/runtime"
	"google.golang.org/grpc"
	"google.golang.org/protobuf/encoding/protojson"
	"google.golang.org/protobuf/reflect/protoreflect"

	"gatehouse"
	"gatehouse/internal/openapi"
)

// Caller is the management plane as one principal sees it.
type Caller interface {
	gatehouse.Keys
	gatehouse.ManagementKeys
	gatehouse.AuditLog
	gatehouse.UsageReader
	gatehouse.Teams
	gatehouse.Upstreams
	gatehouse.Catalogue
	gatehouse.Prices
	gatehouse.Fleet
	gatehouse.JoinTokens
	gatehouse.Importer
	gatehouse.Discovery
	gatehouse.Money
	gatehouse.Invoices
	gatehouse.Treasury
	gatehouse.Ledger
	gatehouse.Budgets
	gatehouse.AlertHooks
	gatehouse.Members
	gatehouse.SignIns
	gatehouse.Collections
	gatehouse.Documents
	// Authenticate checks the credential alone.
	Authenticate(context.Context) error
	// Authorize checks the credential and that it may call op. Every method
	// checks again where it acts; this one exists so that 403 comes before 400.
	Authorize(ctx context.Context, op gatehouse.Operation) error
}

// Backend answers calls. The Call stays the edge's: fields about the content
// are filled after Authorize and before any other method.
type Backend interface {
	As(*gatehouse.Call) Caller
}

// BackendFunc makes a Backend of a function, such as one that returns
// control's own type.
type BackendFunc func(*gatehouse.Call) Caller

// As calls f.
func (f BackendFunc) As(c *gatehouse.Call) Caller { return f(c) }

// Options configure the faces. The zero value works.
type Options struct {
	Brand  string           // of tokens; empty: gatehouse.DefaultBrand
	Logger *slog.Logger     // nil: slog.Default
	Now    func() time.Time // nil: time.Now
	// Rate is requests per second per management key; 0 is DefaultRate,
	// negative is unlimited.
	Rate float64
	// BodyTime is how long each megabyte of a body may take to arrive; 0 is
	// DefaultBodyTime.
	BodyTime time.Duration
	// Spool is the folder where uploads wait until they are complete; empty:
	// the system's for temporary files, which may be memory.
	Spool string
	// ClientIP says who is calling; nil: the peer of the connection. It is
	// where trusted proxies are decided.
	ClientIP func(*http.Request) netip.Addr
}

// DefaultRate is contract.md's.
const DefaultRate = 50

// DefaultBodyTime lets a megabyte through at 280 kbit/s.
const DefaultBodyTime = 30 * time.Second

// Face is one dialect: generated services with the structs that answer them,
// and plain routes for what protojson cannot say.
type Face struct {
	Name     string // in the document
	About    string // a sentence or two, in the document
	Services []protoreflect.ServiceDescriptor
	Register func(*runtime.ServeMux) error
	// GRPC registers what also answers gRPC on the same listener; nil: nothing.
	// Its methods may rely on nothing that only JSON is held to, such as masks.
	GRPC func(grpc.ServiceRegistrar)
	// MaxMessage is how large a message over gRPC may be, in bytes; 0: as a body
	// over REST.
	MaxMessage int
	Plain      []Plain
	// Aliases are other spellings of members, by message: the alias table.
	Aliases map[protoreflect.FullName]map[string]string
	// ProtoNames writes members of answers as the proto spells them, in
	// snake_case. Requests are read in either spelling, whatever it says.
	ProtoNames bool
	// Errors is the body of every refusal on the face's routes, and on paths that
	// no face serves and that begin with one of Under: the longest of all faces'
	// decides.
	Errors ErrorStyle
	Under  []string
	// Teamless says that paths name no team: which one a key of the organisation
	// means is ?team_id= or X-Team-ID, and else its home.
	Teamless bool
}

// json is how the face's answers are written.
func (f Face) json() protojson.MarshalOptions {
	return protojson.MarshalOptions{EmitUnpopulated: true, UseProtoNames: f.ProtoNames}
}

// Plain is a route that writes its own answer. Query lists the parameters it
// takes; its body is a form, or there is none.
type Plain struct {
	Method, Path string
	Operation    gatehouse.Operation
	Query        []string
	Upload       *Upload // nil: no body
	Handle       func(http.ResponseWriter, *http.Request, *Request) error
	Doc          PlainDoc
}

// PlainDoc is what the document says about a Plain, which no descriptor does.
type PlainDoc struct {
	Summary string
	Query   map[string]string // what each parameter means
	Kind    string            // media type of the answer; empty: application/json
	Answer  *openapi.Schema   // nil: any value
	Example any               // of the answer; a string where it is no JSON
}

func (o Options) filled() Options {
	if o.Brand == "" {
		o.Brand = gatehouse.DefaultBrand
	}
	if o.Logger == nil {
		o.Logger = slog.Default()
	}
	if o.Now == nil {
		o.Now = time.Now
	}
	if o.Rate == 0 {
		o.Rate = DefaultRate
	}
	if o.BodyTime == 0 {
		o.BodyTime = DefaultBodyTime
	}
	if o.ClientIP == nil {
		o.ClientIP = peer
	}
	return o
}

func peer(r *http.Request) netip.Addr {
	ap, err := netip.ParseAddrPort(r.RemoteAddr)
	if err != nil {
		return netip.Addr{}
	}
	return ap.Addr().Unmap()
}
