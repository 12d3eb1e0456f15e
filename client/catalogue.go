package client

import (
	"context"
	"errors"
	"net/http"

	"google.golang.org/protobuf/proto"

	"gatehouse"
	"gatehouse/gen/admin"
)

const (
	models  = "/admin/v1/models"
	aliases = "/admin/v1/aliases"
)

// ListModels implements gatehouse.Catalogue.
func (c *Client) ListModels(ctx context.Context, p gatehouse.Page) ([]*gatehouse.Model, string, error) {
	size, after := page(p)
	out, err := call[admin.ListModelsResponse](ctx, c, request{method: http.MethodGet, path: models,
		query: &admin.ListModelsRequest{PageSize: size, PageToken: after}})
	return each(out.GetModels(), modelFrom), out.GetNextPageToken(), err
}

// GetModel implements gatehouse.Catalogue.
func (c *Client) GetModel(ctx context.Context, name string) (*gatehouse.Model, error) {
	return one(modelFrom)(call[admin.Model](ctx, c, request{method: http.MethodGet, path: under(models, name)}))
}

// CreateModel adds a model; AlreadyExists when there is one of the name.
func (c *Client) CreateModel(ctx context.Context, m *gatehouse.Model) (*gatehouse.Model, error) {
	return one(modelFrom)(call[admin.Model](ctx, c, request{method: http.MethodPost, path: models, body: modelTo(m)}))
}

// PutModel implements gatehouse.Catalogue.
func (c *Client) PutModel(ctx context.Context, m *gatehouse.Model) (*gatehouse.Model, error) {
	return one(modelFrom)(upsert[admin.Model](ctx, c, models, m.Name, modelTo(m),
		&admin.UpdateModelRequest{FieldMask: mask(writable((*admin.Model)(nil)))}))
}

// upsert creates a named record, or replaces the one that is there. The wire
// has an operation for each and a scope for each; when both refuse, it is the
// first refusal that explains the situation: a name that is taken by something
// of another kind.
func upsert[T any, P message[T]](ctx context.Context, c *Client, collection, name string, body, fields proto.Message) (P, error) {
	out, refused := call[T, P](ctx, c, request{method: http.MethodPost, path: collection, body: body})
	if !errors.Is(refused, gatehouse.AlreadyExists) {
		return out, refused
	}
	out, err := call[T, P](ctx, c, request{method: http.MethodPatch, path: under(collection, name), body: body, query: fields})
	if errors.Is(err, gatehouse.NotFound) {
		return nil, refused
	}
	return out, err
}

// UpdateModel changes the named members (proto names, such as "context_length")
// of the model m.Name.
func (c *Client) UpdateModel(ctx context.Context, m *gatehouse.Model, members ...string) (*gatehouse.Model, error) {
	return one(modelFrom)(call[admin.Model](ctx, c, request{method: http.MethodPatch, path: under(models, m.Name),
		body: modelTo(m), query: &admin.UpdateModelRequest{FieldMask: mask(members)}}))
}

// DeleteModel implements gatehouse.Catalogue.
func (c *Client) DeleteModel(ctx context.Context, name string) error {
	_, err := call[admin.DeleteModelResponse](ctx, c, request{method: http.MethodDelete, path: under(models, name)})
	return err
}

// ListAliases implements gatehouse.Catalogue.
func (c *Client) ListAliases(ctx context.Context, p gatehouse.Page) ([]*gatehouse.Alias, string, error) {
	size, after := page(p)
	out, err := call[admin.ListAliasesResponse](ctx, c, request{method: http.MethodGet, path: aliases,
		query: &admin.ListAliasesRequest{PageSize: size, PageToken: after}})
	return each(out.GetAliases(), aliasFrom), out.GetNextPageToken(), err
}

// GetAlias implements gatehouse.Catalogue.
func (c *Client) GetAlias(ctx context.Context, name string) (*gatehouse.Alias, error) {
	return one(aliasFrom)(call[admin.Alias](ctx, c, request{method: http.MethodGet, path: under(aliases, name)}))
}

// CreateAlias adds an alias; AlreadyExists when the name is taken.
func (c *Client) CreateAlias(ctx context.Context, a *gatehouse.Alias) (*gatehouse.Alias, error) {
	return one(aliasFrom)(call[admin.Alias](ctx, c, request{method: http.MethodPost, path: aliases, body: aliasTo(a)}))
}

// PutAlias implements gatehouse.Catalogue.
func (c *Client) PutAlias(ctx context.Context, a *gatehouse.Alias) (*gatehouse.Alias, error) {
	return one(aliasFrom)(upsert[admin.Alias](ctx, c, aliases, a.Name, aliasTo(a),
		&admin.UpdateAliasRequest{FieldMask: mask(writable((*admin.Alias)(nil)))}))
}

// UpdateAlias changes the named members, "target" or "fallbacks", of the alias
// a.Name.
func (c *Client) UpdateAlias(ctx context.Context, a *gatehouse.Alias, members ...string) (*gatehouse.Alias, error) {
	return one(aliasFrom)(call[admin.Alias](ctx, c, request{method: http.MethodPatch, path: under(aliases, a.Name),
		body: aliasTo(a), query: &admin.UpdateAliasRequest{FieldMask: mask(members)}}))
}

// DeleteAlias implements gatehouse.Catalogue.
func (c *Client) DeleteAlias(ctx context.Context, name string) error {
	_, err := call[admin.DeleteAliasResponse](ctx, c, request{method: http.MethodDelete, path: under(aliases, name)})
	return err
}

func modelTo(m *gatehouse.Model) *admin.Model {
	return &admin.Model{
		Name: m.Name, Type: string(m.Type), Owner: m.Owner, Version: m.Version, Created: stamp(m.Created), ContextLength: m.ContextLength,
		Input: m.Input, Output: m.Output, FunctionCalling: m.Functions, StructuredOutputs: m.Structured, Reasoning: m.Reasoning,
		Source: m.Source, SourceDate: m.SourceDate, Clusters: m.Clusters,
	}
}

func modelFrom(m *admin.Model) *gatehouse.Model {
	return &gatehouse.Model{
		Name: m.Name, Type: gatehouse.ModelType(m.Type), Owner: m.Owner, Version: m.Version, Created: moment(m.Created), ContextLength: m.ContextLength,
		Input: m.Input, Output: m.Output, Functions: m.FunctionCalling, Structured: m.StructuredOutputs, Reasoning: m.Reasoning,
		Source: m.Source, SourceDate: m.SourceDate, Clusters: m.Clusters, Declared: m.Declared, Revision: revision(m.Revision),
	}
}

func aliasTo(a *gatehouse.Alias) *admin.Alias {
	return &admin.Alias{Name: a.Name, Target: a.Target, Fallbacks: a.Fallbacks}
}

func aliasFrom(a *admin.Alias) *gatehouse.Alias {
	return &gatehouse.Alias{Name: a.Name, Target: a.Target, Fallbacks: a.Fallbacks, Declared: a.Declared, Revision: revision(a.Revision)}
}
