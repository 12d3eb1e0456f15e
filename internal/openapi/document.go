// Package openapi is a document of OpenAPI 3.0.3 as Go values, and the two
// forms in which a listener shows it: /openapi.json for programs and /docs for
// people. It knows no route: whoever serves routes makes the document of them.
//
// The members are those of the specification, as far as they are used here;
// see https://spec.openapis.org/oas/v3.0.3.
package openapi

import "strings"

// Version is the version of the specification that documents are written in.
const Version = "3.0.3"

// Document describes all that one listener serves.
type Document struct {
	OpenAPI    string                `json:"openapi"`
	Info       Info                  `json:"info"`
	Tags       []Tag                 `json:"tags,omitempty"`
	Security   []map[string][]string `json:"security,omitempty"` // any one of them
	Paths      map[string]Path       `json:"paths"`
	Components Components            `json:"components"`
}

// Info says what is described.
type Info struct {
	Title       string `json:"title"`
	Version     string `json:"version"`
	Description string `json:"description,omitempty"`
}

// Tag is a group of operations.
type Tag struct {
	Name        string `json:"name"`
	Description string `json:"description,omitempty"`
}

// Path is the operations of one path, by method in lower case.
type Path map[string]*Operation

// Operation is one method of one path.
type Operation struct {
	ID           string               `json:"operationId"`
	Tags         []string             `json:"tags,omitempty"`
	Summary      string               `json:"summary,omitempty"`
	Description  string               `json:"description,omitempty"`
	Scope        string               `json:"x-gatehouse-scope,omitempty"`        // what a management key's ACL must hold
	Organization bool                 `json:"x-gatehouse-organization,omitempty"` // needs a key of all teams
	Endpoint     string               `json:"x-gatehouse-endpoint,omitempty"`     // what an inference key's ACL must hold
	Parameters   []*Parameter         `json:"parameters,omitempty"`
	Body         *Body                `json:"requestBody,omitempty"`
	Security     *[]map[string]string `json:"security,omitempty"` // empty: needs no credential, whatever the document says
	Responses    map[string]*Response `json:"responses"`          // by status
}

// Parameter is a part of the path, the query or the header.
type Parameter struct {
	Ref         string  `json:"$ref,omitempty"`
	Name        string  `json:"name,omitempty"`
	In          string  `json:"in,omitempty"` // path, query or header
	Required    bool    `json:"required,omitempty"`
	Description string  `json:"description,omitempty"`
	Schema      *Schema `json:"schema,omitempty"`
}

// Body is what a request carries.
type Body struct {
	Description string           `json:"description,omitempty"`
	Required    bool             `json:"required,omitempty"`
	Content     map[string]Media `json:"content"` // by media type
}

// Media is a body in one media type.
type Media struct {
	Schema  *Schema `json:"schema,omitempty"`
	Example any     `json:"example,omitempty"`
}

// Response is one answer.
type Response struct {
	Ref         string            `json:"$ref,omitempty"`
	Description string            `json:"description,omitempty"`
	Headers     map[string]Header `json:"headers,omitempty"`
	Content     map[string]Media  `json:"content,omitempty"`
}

// Header is a header of an answer.
type Header struct {
	Ref         string  `json:"$ref,omitempty"`
	Description string  `json:"description,omitempty"`
	Schema      *Schema `json:"schema,omitempty"`
}

// Components are what operations refer to.
type Components struct {
	Schemas    map[string]*Schema    `json:"schemas,omitempty"`
	Parameters map[string]*Parameter `json:"parameters,omitempty"`
	Responses  map[string]*Response  `json:"responses,omitempty"`
	Headers    map[string]Header     `json:"headers,omitempty"`
	Security   map[string]Security   `json:"securitySchemes,omitempty"`
}

// Security is a way to present a credential.
type Security struct {
	Type        string `json:"type"` // http or apiKey
	Scheme      string `json:"scheme,omitempty"`
	In          string `json:"in,omitempty"`
	Name        string `json:"name,omitempty"`
	Description string `json:"description,omitempty"`
}

// Schema says what a value may be. The zero Schema is any value.
type Schema struct {
	Ref         string             `json:"$ref,omitempty"` // alone
	Type        string             `json:"type,omitempty"`
	Format      string             `json:"format,omitempty"`
	Description string             `json:"description,omitempty"`
	Nullable    bool               `json:"nullable,omitempty"`
	ReadOnly    bool               `json:"readOnly,omitempty"` // in answers alone; a request may hold it, and it is ignored
	Pattern     string             `json:"pattern,omitempty"`
	Enum        []any              `json:"enum,omitempty"`
	MinLength   int                `json:"minLength,omitempty"`
	Properties  map[string]*Schema `json:"properties,omitempty"`
	Required    []string           `json:"required,omitempty"`
	Additional  any                `json:"additionalProperties,omitempty"` // false, or the *Schema of each
	Items       *Schema            `json:"items,omitempty"`
	AllOf       []*Schema          `json:"allOf,omitempty"`
	AnyOf       []*Schema          `json:"anyOf,omitempty"`
	Alias       bool               `json:"x-gatehouse-alias,omitempty"` // another name of a member beside it: only one of them may be sent
}

// New is an empty document.
func New(info Info) *Document {
	return &Document{OpenAPI: Version, Info: info, Paths: map[string]Path{}, Components: Components{
		Schemas: map[string]*Schema{}, Parameters: map[string]*Parameter{}, Responses: map[string]*Response{},
		Headers: map[string]Header{}, Security: map[string]Security{},
	}}
}

// Add puts op at a method, in any case, and a path.
func (d *Document) Add(method, path string, op *Operation) {
	if d.Paths[path] == nil {
		d.Paths[path] = Path{}
	}
	d.Paths[path][strings.ToLower(method)] = op
}

// References to components, by kind.
const (
	schemas    = "#/components/schemas/"
	parameters = "#/components/parameters/"
	responses  = "#/components/responses/"
	headers    = "#/components/headers/"
)

// SchemaRef refers to a schema by its name among the components.
func SchemaRef(name string) *Schema { return &Schema{Ref: schemas + name} }

// ParameterRef refers to a parameter.
func ParameterRef(name string) *Parameter { return &Parameter{Ref: parameters + name} }

// ResponseRef refers to a response.
func ResponseRef(name string) *Response { return &Response{Ref: responses + name} }

// HeaderRef refers to a header.
func HeaderRef(name string) Header { return Header{Ref: headers + name} }

// With returns s with a description and, when asked, null among its values. A
// reference can have neither beside it, and is wrapped.
func (s *Schema) With(description string, nullable bool) *Schema {
	if description == "" && !nullable {
		return s
	}
	out := *s
	if s.Ref != "" {
		out = Schema{AllOf: []*Schema{s}}
	}
	if description != "" {
		out.Description = description
	}
	if out.Nullable = nullable; nullable && out.Enum != nil {
		out.Enum = append(append([]any{}, out.Enum...), nil) // null must be listed there too
	}
	return &out
}
