package sqlstore

import (
	"bufio"
	"context"
	"crypto/sha256"
	"encoding/hex"
	"io"
	"strings"

	"gatehouse"
	"gatehouse/internal/audit"
	"gatehouse/internal/store"
)

// Summary says what a dump holds, and what a load must have found again.
type Summary struct {
	Revision gatehouse.Revision `json:"revision"`
	// Leaves and Root are of the audit log.
	Leaves int64            `json:"leaves"`
	Root   string           `json:"root"` // hex
	Rows   map[string]int64 `json:"rows"` // by table
}

// recordTables have the columns of rowColumns.
const recordTables = "api_keys management_keys teams users upstreams models aliases prices clusters join_tokens memberships " +
	"billing_accounts top_ups invoices invitations alert_hooks files collections documents"

// otherTables are what a dump holds beside the records, with their columns.
// Leases are of those who run, and words follow from the log; neither is here.
var otherTables = []table{
	{"installation", "id epoch n tree_size frontier late_us floor_epoch floor_n fingerprint mac"},
	{"api_key_acls", "team_id entry created_us id"},
	{"audit", "idx event_id time_us late_us team_id user_id action body personal signature"},
	{"checkpoints", "size note"},
	{"changes", "epoch n kind id time_us"},
	{"remembered", "id value expire_us"},
	{"gateways", "id cluster version joined_us seen_us epoch n problem lease_us forgotten"},
	{"key_last_use", "key_id last4 time_us"},
	{"high_water", "gateway incarnation position"},
	{"objects", "id team_id upstream model created_us"},
	{"usage_names", "id name"},
	{"usage_runs", "team day seq requests models cells units quarters"},
	{"postings", "id team_id time_us kind cycle ref note entries"},
	{"balances", "team_id account cycle for_cycle used amount"},
	{"charges", "team_id cycle for_cycle cluster model unit price units ticks"},
	{"fund_spent", "budget start_s subject team_id ticks"},
	{"holds", "id team_id fund gateway incarnation seq drawn returned ingested since_us seen_us"},
	{"alerts", "id team_id time_us record"},
	{"alerts_sent", "fund share sent_us"},
	{"sign_ins", "user_id sealed checked_us"},
	{"library_files", "id team_id name content_type size blob owned counted home created_us expire_us"},
	{"library_collections", "id team_id name created_us documents bytes sole_files sole_bytes"},
	{"library_documents", "collection_id file_id team_id name content_type size created_us generation gone status problem indexed_us chunks chunks_done"},
	{"library_fields", "collection_id file_id team_id field value digest"},
	{"library_teams", "team_id files bytes collections"},
	{"library_gone", "id team_id"},
	{"library_tasks", "collection_id file_id team_id kind generation attempts due_us holder"},
	{"library_blobs", "name team_id hash size stored condemned refs held_us"},
	{"usage_rows", "day id start_us team api_key model endpoint cluster client_ip vector rest"},
}

// table is a table's name and columns.
type table struct{ Name, Columns string }

func (t table) columns() []string { return strings.Fields(t.Columns) }
func (t table) list() string      { return strings.Join(t.columns(), ", ") }

// dumped are all tables of a dump, in its order.
func dumped() []table {
	all := otherTables[:1:1]
	for _, name := range strings.Fields(recordTables) {
		all = append(all, table{name, strings.ReplaceAll(rowColumns, ",", "")})
	}
	return append(all, otherTables[1:]...)
}

// Dump writes every row of one snapshot to w, in a form that any engine loads.
// What is sealed stays sealed: a dump is of no use without the secrets, and
// still holds names, addresses and usage. It takes as long as reading
// everything, and holds a reader and the snapshot for that time.
func (s *Store) Dump(ctx context.Context, w io.Writer) (sum Summary, err error) {
	err = s.View(store.System(ctx), func(sv store.View) error {
		v := sv.(*view)
		if sum, err = v.summary(); err != nil {
			return err
		}
		d := newDumper(w)
		for _, t := range dumped() {
			if sum.Rows[t.Name], err = v.dump(d, t); err != nil {
				return err
			}
		}
		return d.end(sum)
	})
	return sum, err
}

func (v *view) summary() (sum Summary, err error) {
	st, err := v.state()
	if err != nil {
		return sum, err
	}
	root, err := audit.Root(st.tree.Frontier, st.tree.Size)
	return Summary{Revision: st.rev, Leaves: st.tree.Size, Root: hex.EncodeToString(root[:]), Rows: map[string]int64{}}, err
}

// dump writes a table's rows and counts them.
func (v *view) dump(d *dumper, t table) (n int64, err error) {
	if err := d.table(t); err != nil {
		return 0, err
	}
	row := make([]any, len(t.columns()))
	targets := make([]any, len(row))
	for i := range row {
		targets[i] = &row[i]
	}
	err = v.sess.rows(v.ctx, query("SELECT "+t.list()+" FROM "+t.Name), nil, func(rows scanner) (bool, error) {
		if err := rows.Scan(targets...); err != nil {
			return false, err
		}
		n++
		return true, d.row(row)
	})
	return n, failed(err)
}

func newDumper(w io.Writer) *dumper {
	hash := sha256.New()
	return &dumper{out: bufio.NewWriterSize(io.MultiWriter(w, hash), 1<<16), raw: w, hash: hash}
}
