package xai

import (
	"bytes"
	"context"
	"encoding/json"
	"strings"

	"google.golang.org/protobuf/encoding/protojson"
	"google.golang.org/protobuf/types/known/emptypb"

	"gatehouse"
	"gatehouse/gen/collections"
	"gatehouse/internal/api"
)

// CreateCollection implements collections.CollectionsServer.
func (l library) CreateCollection(ctx context.Context, in *collections.CreateCollectionRequest) (*collections.CollectionMetadata, error) {
	var bad gatehouse.Violations
	c := &gatehouse.Collection{
		TeamID: api.ID("team_id", in.GetTeamId(), &bad), Name: in.CollectionName, Description: in.GetCollectionDescription(),
		Model: in.IndexConfiguration.GetModelName(), Metric: metric(in.GetMetricSpace()),
	}
	for _, f := range in.FieldDefinitions {
		c.Fields = append(c.Fields, field(f))
	}
	if in.CollectionName == "" {
		bad.Addf("collection_name", "is required")
	}
	if err := bad.Err(); err != nil {
		return nil, err
	}
	var err error
	if c.Chunks, err = chunks(in.ChunkConfiguration); err != nil {
		return nil, err
	}
	return l.one(ctx)(api.From(ctx).CreateCollection(ctx, c))
}

// ListCollections implements collections.CollectionsServer.
func (l library) ListCollections(ctx context.Context, in *collections.ListCollectionsRequest) (*collections.ListCollectionsResponse, error) {
	var bad gatehouse.Violations
	q := gatehouse.LibraryQuery{
		TeamID: api.ID("team_id", in.GetTeamId(), &bad), Filter: in.GetFilter(), Sort: gatehouse.SortByName,
		Ascending: in.GetOrder() == collections.Ordering_ORDERING_ASCENDING,
	}
	if in.GetSortBy() == collections.CollectionsSortBy_COLLECTIONS_SORT_BY_AGE {
		q.Sort = gatehouse.SortByAge
	}
	var err error
	if q.Page, err = page(in.Limit, in.GetPaginationToken()); err != nil {
		return nil, err
	}
	if err := bad.Err(); err != nil {
		return nil, err
	}
	all, next, err := api.From(ctx).ListCollections(ctx, q)
	if err != nil {
		return nil, err
	}
	out := &collections.ListCollectionsResponse{PaginationToken: api.Next(next)}
	for _, c := range all {
		shown, err := l.collection(c)
		if err != nil {
			return nil, err
		}
		out.Collections = append(out.Collections, shown)
	}
	if l.aliases {
		out.Data, out.HasMore = out.Collections, new(next != "")
	}
	return out, nil
}

// GetCollectionMetadata implements collections.CollectionsServer.
func (l library) GetCollectionMetadata(ctx context.Context, in *collections.GetCollectionMetadataRequest) (*collections.CollectionMetadata, error) {
	team, err := teamOf(in.GetTeamId())
	if err != nil {
		return nil, err
	}
	return l.one(ctx)(api.From(ctx).GetCollection(ctx, team, api.PathID(in.CollectionId)))
}

// UpdateCollection implements collections.CollectionsServer.
func (l library) UpdateCollection(ctx context.Context, in *collections.UpdateCollectionRequest) (*collections.CollectionMetadata, error) {
	var bad gatehouse.Violations
	up := gatehouse.CollectionUpdate{TeamID: api.ID("team_id", in.GetTeamId(), &bad), ID: api.PathID(in.CollectionId)}
	if in.CollectionName == nil && in.CollectionDescription == nil && in.ChunkConfiguration == nil && len(in.FieldDefinitionUpdates) == 0 {
		nothing(&bad)
	}
	if in.CollectionName != nil {
		up.Name = gatehouse.Some(*in.CollectionName)
	}
	if in.CollectionDescription != nil {
		up.Description = gatehouse.Some(*in.CollectionDescription)
	}
	for _, f := range in.FieldDefinitionUpdates {
		redefine(&up, f, &bad)
	}
	if err := bad.Err(); err != nil {
		return nil, err
	}
	if in.ChunkConfiguration != nil {
		raw, err := chunks(in.ChunkConfiguration)
		if err != nil {
			return nil, err
		}
		up.Chunks = gatehouse.Some(raw)
	}
	return l.one(ctx)(api.From(ctx).UpdateCollection(ctx, up))
}

// redefine takes one update of a field over.
func redefine(up *gatehouse.CollectionUpdate, f *collections.FieldDefinitionUpdate, bad *gatehouse.Violations) {
	key := f.FieldDefinition.GetKey()
	switch {
	case key == "":
		bad.Addf("field_definition_updates", "each needs a field_definition with a key")
	case f.Operation == collections.FieldDefinitionOperation_FIELD_DEFINITION_DELETE:
		up.RemoveFields = append(up.RemoveFields, key)
	default:
		up.AddFields = append(up.AddFields, field(f.FieldDefinition))
	}
}

// DeleteCollection implements collections.CollectionsServer.
func (library) DeleteCollection(ctx context.Context, in *collections.DeleteCollectionRequest) (*emptypb.Empty, error) {
	team, err := teamOf(in.GetTeamId())
	if err != nil {
		return nil, err
	}
	return &emptypb.Empty{}, api.From(ctx).DeleteCollection(ctx, team, api.PathID(in.CollectionId))
}

// GenerateCollectionDescription implements collections.CollectionsServer.
func (library) GenerateCollectionDescription(ctx context.Context, in *collections.GenerateCollectionDescriptionRequest) (*collections.GenerateCollectionDescriptionResponse, error) {
	team, err := teamOf(in.GetTeamId())
	if err != nil {
		return nil, err
	}
	text, err := api.From(ctx).DescribeCollection(ctx, team, api.PathID(in.CollectionId))
	return &collections.GenerateCollectionDescriptionResponse{CollectionDescription: text}, err
}

// one encodes what create, get and update return.
func (l library) one(ctx context.Context) func(*gatehouse.CollectionView, error) (*collections.CollectionMetadata, error) {
	return func(c *gatehouse.CollectionView, err error) (*collections.CollectionMetadata, error) {
		if err != nil {
			return nil, err
		}
		api.From(ctx).ETag(c.Revision)
		return l.collection(c)
	}
}

// collection is a collection on the wire.
func (l library) collection(c *gatehouse.CollectionView) (*collections.CollectionMetadata, error) {
	cut := &collections.ChunkConfiguration{}
	if err := protojson.Unmarshal(c.Chunks, cut); err != nil {
		return nil, gatehouse.Errorf(gatehouse.Internal, "chunk configuration of %s", c.ID).Because(err)
	}
	out := &collections.CollectionMetadata{
		CollectionId: collectionID(c.ID), CollectionName: c.Name, CreatedAt: api.Stamp(c.CreateTime),
		IndexConfiguration: &collections.IndexConfiguration{ModelName: c.Model}, ChunkConfiguration: cut,
		DocumentsCount: int32(c.Documents), CollectionDescription: &c.Description, TotalFileSize: c.Bytes,
	}
	for _, f := range c.Fields {
		out.FieldDefinitions = append(out.FieldDefinitions, &collections.FieldDefinition{
			Key: f.Key, Required: f.Required, InjectIntoChunk: f.Inject, Unique: f.Unique, Description: some(f.Description),
		})
	}
	if l.aliases {
		out.Id, out.Name, out.Description, out.DocumentCount = &out.CollectionId, &out.CollectionName, &c.Description, &out.DocumentsCount
		out.MetricSpace = collections.HNSWMetric(collections.HNSWMetric_value[metricPrefix+strings.ToUpper(c.Metric)]).Enum()
	}
	return out, nil
}

const metricPrefix = "HNSW_METRIC_"

// metric is a metric in the contract's words; unknown is none, for the default.
func metric(m collections.HNSWMetric) string {
	if m == collections.HNSWMetric_HNSW_METRIC_UNKNOWN {
		return ""
	}
	return strings.ToLower(strings.TrimPrefix(m.String(), metricPrefix))
}

// chunks is a chunk configuration as the contract carries it: what was given, in
// snake_case; nil when nothing was.
func chunks(in *collections.ChunkConfiguration) (json.RawMessage, error) {
	if in == nil {
		return nil, nil
	}
	text, err := protojson.MarshalOptions{UseProtoNames: true}.Marshal(in)
	if err != nil {
		return nil, gatehouse.Violations{{Field: "chunk_configuration", Problem: "must be valid UTF-8"}}.Err()
	}
	var out bytes.Buffer
	err = json.Compact(&out, text) // protojson's own spacing differs from build to build
	return out.Bytes(), err
}

func field(f *collections.FieldDefinition) gatehouse.FieldDefinition {
	return gatehouse.FieldDefinition{
		Key: f.Key, Required: f.Required, Inject: f.InjectIntoChunk, Unique: f.Unique, Description: f.GetDescription(),
	}
}
