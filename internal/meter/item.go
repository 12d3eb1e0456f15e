package meter

import (
	"strings"
	"time"

	"gatehouse"
	"gatehouse/internal/store"
)

// field is a column of billing items.
type field string

// The fields, spelled as on the wire.
const (
	fieldKey         field = "api_key_id"
	fieldModel       field = "model"
	fieldEndpoint    field = "endpoint"
	fieldCluster     field = "cluster_name"
	fieldIP          field = "request_ip"
	fieldUser        field = "user_id"
	fieldDescription field = "description" // endpoint and model in words
	fieldUnitType    field = "unit_type"
	fieldUsage       field = "usage" // units of the item, as num_units
	fieldUnits       field = "num_units"
	fieldUSD         field = "usd"
	fieldTokens      field = "tokens"
	fieldEndUser     field = "end_user" // the body's user

	// fieldTag begins tag.NAME, a tag of the key at the time of the request.
	fieldTag = "tag."
)

// groupFields may be grouped by, with the columns of the store each needs.
var groupFields = map[string][]store.Dimension{
	"api_key_id": {store.ByKey}, "model": {store.ByModel}, "endpoint": {store.ByEndpoint},
	"cluster_name": {store.ByCluster}, "request_ip": {store.ByIP}, "user_id": {store.ByUser},
	"description": {store.ByEndpoint, store.ByModel}, "unit_type": nil, "end_user": nil,
}

// grouped finds the field of a name, and the store's columns that it needs.
func grouped(name string) (dims []store.Dimension, ok bool) {
	if field(name).tag() != "" {
		return nil, true
	}
	dims, ok = groupFields[name]
	return dims, ok
}

// tag is the name of the tag that the field is; empty for other fields.
func (f field) tag() string {
	name, ok := strings.CutPrefix(string(f), fieldTag)
	if !ok {
		return ""
	}
	return name
}

// raw reports whether only single requests tell the field.
func (f field) raw() bool {
	return f == fieldIP || f == fieldUser || f == fieldEndUser || f.tag() != ""
}

// filterFields may be filtered by.
var filterFields = map[string]field{
	"api_key_id": fieldKey, "model": fieldModel, "endpoint": fieldEndpoint, "cluster_name": fieldCluster,
	"request_ip": fieldIP, "user_id": fieldUser, "description": fieldDescription, "unit_type": fieldUnitType,
	"usage": fieldUsage, "num_units": fieldUnits, "usd": fieldUSD, "tokens": fieldTokens,
	"end_user": fieldEndUser,
}

func filterable(name string) (f field, ok bool) {
	if field(name).tag() != "" {
		return field(name), true
	}
	f, ok = filterFields[name]
	return f, ok
}

// numeric reports whether the field is compared as a number.
func (f field) numeric() bool {
	return f == fieldUsage || f == fieldUnits || f == fieldUSD || f == fieldTokens
}

// item is what analysis counts: one unit of one request. From a rollup it
// stands for many at once, and then for every unit when whole is set.
type item struct {
	at                                      time.Time
	key, model, endpoint, cluster, ip, user string
	endUser                                 string
	tags                                    map[string]string

	whole  bool // units and costs are summed over every unit type
	unit   gatehouse.Unit
	units  int64
	tokens int64
	cost   gatehouse.Ticks
	items  int64 // how many billing items it stands for
}

func (it *item) text(f field) string {
	switch f {
	case fieldKey:
		return it.key
	case fieldModel:
		return it.model
	case fieldEndpoint:
		return it.endpoint
	case fieldCluster:
		return it.cluster
	case fieldIP:
		return it.ip
	case fieldUser:
		return it.user
	case fieldDescription:
		return Describe(it.endpoint, it.model)
	case fieldUnitType:
		return it.unit.String()
	case fieldEndUser:
		return it.endUser
	}
	return it.tags[f.tag()]
}

func (it *item) number(f field) float64 {
	switch f {
	case fieldUSD:
		return it.cost.Float()
	case fieldTokens:
		return float64(it.tokens)
	}
	return float64(it.units)
}

// set fills the column of a dimension.
func (it *item) set(d store.Dimension, v string) {
	switch d {
	case store.ByKey:
		it.key = v
	case store.ByModel:
		it.model = v
	case store.ByEndpoint:
		it.endpoint = v
	case store.ByCluster:
		it.cluster = v
	}
}

// sums makes the item stand for all that a cell without units summed.
func (it *item) sums(c *store.UsageCell) {
	it.units, it.tokens, it.cost, it.items = c.Amount, c.Tokens, c.Ticks, c.Items
}

// each yields the parts of a vector: one item per unit in use.
func (it *item) each(u *gatehouse.Usage, c *gatehouse.Costs, yield func(*item) error) error {
	for i, n := range u {
		if n == 0 {
			continue
		}
		it.unit, it.units, it.cost, it.items, it.tokens = gatehouse.Unit(i), n, c[i], 1, 0
		if it.unit.IsToken() {
			it.tokens = n
		}
		if err := yield(it); err != nil {
			return err
		}
	}
	return nil
}

// Describe is the description of a billing item: what was done, and by which
// model, as "Chat grok-4".
func Describe(endpoint, model string) string {
	if endpoint == "" {
		return model
	}
	return strings.ToUpper(endpoint[:1]) + endpoint[1:] + " " + model
}
