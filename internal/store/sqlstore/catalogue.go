package sqlstore

import (
	"database/sql"

	"gatehouse"
	"gatehouse/internal/store"
)

// Upstream implements [store.CatalogueView].
func (v *view) Upstream(id gatehouse.ID) (*gatehouse.Upstream, error) {
	return find(v, &upstreamTable, id.String())
}

// Upstreams implements [store.CatalogueView].
func (v *view) Upstreams() ([]*gatehouse.Upstream, error) { return byName(v, &upstreamTable) }

// Model implements [store.CatalogueView].
func (v *view) Model(name string) (*gatehouse.Model, error) { return find(v, &modelTable, name) }

// Models implements [store.CatalogueView].
func (v *view) Models() ([]*gatehouse.Model, error) { return byName(v, &modelTable) }

// Alias implements [store.CatalogueView].
func (v *view) Alias(name string) (*gatehouse.Alias, error) { return find(v, &aliasTable, name) }

// Aliases implements [store.CatalogueView].
func (v *view) Aliases() ([]*gatehouse.Alias, error) { return byName(v, &aliasTable) }

// Price implements [store.CatalogueView].
func (v *view) Price(id gatehouse.ID) (*gatehouse.Price, error) {
	return find(v, &priceTable, id.String())
}

// Prices implements [store.CatalogueView].
func (v *view) Prices() ([]*gatehouse.Price, error) { return byName(v, &priceTable) }

// PricesOf implements [store.Ingest].
func (v *view) PricesOf(model string) ([]*gatehouse.Price, error) {
	return now(v, &priceTable, `r.deleted_us = 0 AND r.name = ? ORDER BY r.created_us DESC, r.id`, model)
}

// Cluster implements [store.CatalogueView].
func (v *view) Cluster(name string) (*gatehouse.Cluster, error) { return find(v, &clusterTable, name) }

// Clusters implements [store.CatalogueView].
func (v *view) Clusters() ([]*gatehouse.Cluster, error) { return byName(v, &clusterTable) }

// JoinToken implements [store.CatalogueView].
func (v *view) JoinToken(id gatehouse.ID) (*gatehouse.JoinToken, error) {
	return find(v, &joinTokenTable, id.String())
}

// JoinTokens implements [store.CatalogueView].
func (v *view) JoinTokens(after store.Cursor, limit int) ([]*gatehouse.JoinToken, error) {
	var f filter
	f.add("deleted_us = 0")
	f.after(after, "")
	return list(v, &joinTokenTable, f.where()+` ORDER BY created_us, id`, f.args, limit)
}

// Membership implements [store.CatalogueView].
func (v *view) Membership(gateway gatehouse.ID) (*gatehouse.Membership, error) {
	return find(v, &membershipTable, gateway.String())
}

// Memberships implements [store.CatalogueView].
func (v *view) Memberships() ([]*gatehouse.Membership, error) {
	return list(v, &membershipTable, `WHERE deleted_us = 0 ORDER BY created_us, id`, nil, -1)
}

// byName lists live records by name; prices of one model by effective time.
func byName[T any](v *view, a *authority[T]) ([]*T, error) {
	return list(v, a, `WHERE deleted_us = 0 ORDER BY name, created_us, id`, nil, -1)
}

const selectGateways query = `SELECT id, cluster, version, joined_us, seen_us, epoch, n, problem, lease_us, forgotten
FROM gateways ORDER BY id`

// Gateways implements [store.CatalogueView].
func (v *view) Gateways() ([]*gatehouse.Gateway, error) {
	var out []*gatehouse.Gateway
	err := v.sess.each(v.ctx, selectGateways, nil, func(rows *sql.Rows) (bool, error) {
		g := &gatehouse.Gateway{}
		var id string
		var joined, seen, lease int64
		err := rows.Scan(&id, &g.Cluster, &g.Version, &joined, &seen, &g.Enforced.Epoch, &g.Enforced.N, &g.Problem, &lease, &g.Forgotten)
		if err != nil {
			return false, err
		}
		g.Joined, g.LastSeen, g.Lease = fromMicros(joined), fromMicros(seen), fromMicros(lease)
		out = append(out, g)
		return true, g.ID.UnmarshalText([]byte(id))
	})
	return out, failed(err)
}
