package client

import (
	"bytes"
	"context"
	"encoding/json"
	"net/http"
	"strings"

	"google.golang.org/protobuf/encoding/protojson"
	"google.golang.org/protobuf/types/known/emptypb"

	"gatehouse"
	"gatehouse/gen/collections"
)

const collectionsPath = "/v1/collections"

// collectionPath is where a collection is, with what is below it.
func collectionPath(c gatehouse.ID, below ...string) string {
	return strings.Join(append([]string{collectionsPath, "collection_" + c.String()}, below...), "/")
}

// CreateCollection implements gatehouse.Collections.
func (c *Client) CreateCollection(ctx context.Context, n *gatehouse.Collection) (*gatehouse.CollectionView, error) {
	chunks, err := chunksTo(n.Chunks)
	if err != nil {
		return nil, err
	}
	in := &collections.CreateCollectionRequest{
		TeamId: some(n.TeamID.String()), CollectionName: n.Name, ChunkConfiguration: chunks, CollectionDescription: some(n.Description),
		FieldDefinitions: each(n.Fields, fieldTo),
	}
	if n.Model != "" {
		in.IndexConfiguration = &collections.IndexConfiguration{ModelName: n.Model}
	}
	if n.Metric != "" {
		value, ok := collections.HNSWMetric_value[metricPrefix+strings.ToUpper(n.Metric)]
		if !ok {
			return nil, gatehouse.Violations{{Field: "metric_space", Problem: "must be cosine, euclidean or inner_product"}}.Err()
		}
		in.MetricSpace = collections.HNSWMetric(value).Enum()
	}
	return collectionView(n.TeamID)(exchange[collections.CollectionMetadata](ctx, c, request{method: http.MethodPost, path: collectionsPath, snake: true, body: in}))
}

const metricPrefix = "HNSW_METRIC_"

// GetCollection implements gatehouse.Collections.
func (c *Client) GetCollection(ctx context.Context, team, id gatehouse.ID) (*gatehouse.CollectionView, error) {
	return collectionView(team)(exchange[collections.CollectionMetadata](ctx, c, request{method: http.MethodGet, path: collectionPath(id), team: team}))
}

// ListCollections implements gatehouse.Collections.
func (c *Client) ListCollections(ctx context.Context, q gatehouse.LibraryQuery) ([]*gatehouse.CollectionView, string, error) {
	size, after := page(q.Page)
	in := &collections.ListCollectionsRequest{
		TeamId: some(q.TeamID.String()), Limit: some(size), Order: ordering(q), PaginationToken: some(after), Filter: some(q.Filter),
	}
	if q.Sort == gatehouse.SortByAge {
		in.SortBy = collections.CollectionsSortBy_COLLECTIONS_SORT_BY_AGE.Enum()
	}
	out, err := call[collections.ListCollectionsResponse](ctx, c, request{method: http.MethodGet, path: collectionsPath, snake: true, query: in})
	return each(out.GetCollections(), collectionFrom), out.GetPaginationToken(), err
}

// ordering is the direction of a list. It is always said: the wire's default is
// another one.
func ordering(q gatehouse.LibraryQuery) *collections.Ordering {
	if q.Ascending {
		return collections.Ordering_ORDERING_ASCENDING.Enum()
	}
	return collections.Ordering_ORDERING_DESCENDING.Enum()
}

// UpdateCollection implements gatehouse.Collections.
func (c *Client) UpdateCollection(ctx context.Context, u gatehouse.CollectionUpdate) (*gatehouse.CollectionView, error) {
	chunks, err := chunksTo(u.Chunks.Value)
	if err != nil {
		return nil, err
	}
	in := &collections.UpdateCollectionRequest{
		TeamId: some(u.TeamID.String()), CollectionName: given(u.Name), CollectionDescription: given(u.Description), ChunkConfiguration: chunks,
	}
	for _, f := range u.AddFields {
		in.FieldDefinitionUpdates = append(in.FieldDefinitionUpdates, &collections.FieldDefinitionUpdate{FieldDefinition: fieldTo(f)})
	}
	for _, key := range u.RemoveFields {
		in.FieldDefinitionUpdates = append(in.FieldDefinitionUpdates, &collections.FieldDefinitionUpdate{
			FieldDefinition: &collections.FieldDefinition{Key: key}, Operation: collections.FieldDefinitionOperation_FIELD_DEFINITION_DELETE,
		})
	}
	return collectionView(u.TeamID)(exchange[collections.CollectionMetadata](ctx, c, request{method: http.MethodPut, path: collectionPath(u.ID), snake: true, body: in}))
}

// DeleteCollection implements gatehouse.Collections.
func (c *Client) DeleteCollection(ctx context.Context, team, id gatehouse.ID) error {
	_, err := call[emptypb.Empty](ctx, c, request{method: http.MethodDelete, path: collectionPath(id), team: team})
	return err
}

// DescribeCollection implements gatehouse.Collections.
func (c *Client) DescribeCollection(ctx context.Context, team, id gatehouse.ID) (string, error) {
	out, err := call[collections.GenerateCollectionDescriptionResponse](ctx, c, request{method: http.MethodPost, path: collectionPath(id, "description:generate"),
		snake: true, body: &collections.GenerateCollectionDescriptionRequest{TeamId: some(team.String())}})
	return out.GetCollectionDescription(), err
}

// given is a member that may be changed to nothing.
func given[T any](o gatehouse.Opt[T]) *T {
	if !o.Set {
		return nil
	}
	return &o.Value
}

// chunksTo reads a chunk configuration; nil when there is none.
func chunksTo(raw json.RawMessage) (*collections.ChunkConfiguration, error) {
	if len(raw) == 0 {
		return nil, nil
	}
	out := &collections.ChunkConfiguration{}
	if err := protojson.Unmarshal(raw, out); err != nil {
		return nil, gatehouse.Violations{{Field: "chunk_configuration", Problem: "is not one that this version knows"}}.Err()
	}
	return out, nil
}

// chunksFrom is a chunk configuration as the wire has it. What was decoded can
// be encoded.
func chunksFrom(in *collections.ChunkConfiguration) json.RawMessage {
	var out bytes.Buffer
	text, err := protojson.MarshalOptions{UseProtoNames: true}.Marshal(in)
	if err != nil || json.Compact(&out, text) != nil { // protojson's own spacing differs from build to build
		return nil
	}
	return out.Bytes()
}

func fieldTo(f gatehouse.FieldDefinition) *collections.FieldDefinition {
	return &collections.FieldDefinition{Key: f.Key, Required: f.Required, InjectIntoChunk: f.Inject, Unique: f.Unique, Description: some(f.Description)}
}

// collectionView reads an answer; team is the one that was asked for, which the
// answer does not say.
func collectionView(team gatehouse.ID) func(*collections.CollectionMetadata, http.Header, error) (*gatehouse.CollectionView, error) {
	return func(out *collections.CollectionMetadata, h http.Header, err error) (*gatehouse.CollectionView, error) {
		if err != nil {
			return nil, err
		}
		v := collectionFrom(out)
		v.TeamID, v.Revision = team, tagged(h)
		return v, nil
	}
}

// tagged is the revision of the record that an answer holds.
func tagged(h http.Header) gatehouse.Revision {
	if tag := strings.Trim(h.Get("ETag"), `"`); tag != "" {
		return revision(tag)
	}
	return committed(h)
}

func collectionFrom(in *collections.CollectionMetadata) *gatehouse.CollectionView {
	c := &gatehouse.Collection{
		ID: id(in.CollectionId), Name: in.CollectionName, Description: in.GetCollectionDescription(), Model: in.IndexConfiguration.GetModelName(),
		CreateTime: moment(in.CreatedAt),
	}
	if m := in.GetMetricSpace(); m != collections.HNSWMetric_HNSW_METRIC_UNKNOWN {
		c.Metric = strings.ToLower(strings.TrimPrefix(m.String(), metricPrefix))
	}
	for _, f := range in.FieldDefinitions {
		c.Fields = append(c.Fields, gatehouse.FieldDefinition{
			Key: f.Key, Required: f.Required, Inject: f.InjectIntoChunk, Unique: f.Unique, Description: f.GetDescription(),
		})
	}
	if in.ChunkConfiguration != nil {
		c.Chunks = chunksFrom(in.ChunkConfiguration)
	}
	return &gatehouse.CollectionView{Collection: c, Documents: int(in.DocumentsCount), Bytes: in.TotalFileSize}
}
