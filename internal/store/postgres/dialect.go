package postgres

import (
	"errors"
	"strings"
	"time"

	"github.com/jackc/pgx/v5/pgconn"

	"gatehouse/internal/library/filter"
	"gatehouse/internal/store/sqlstore"
)

// channel is what changes are announced on.
const channel = "gatehouse_changes"

// patience bounds statements that nobody waits for with a context of their own.
// A server that does not answer for so long is as good as lost.
const patience = 20 * time.Second

// dialect is what PostgreSQL does its own way.
func dialect(node string) *sqlstore.Dialect {
	return &sqlstore.Dialect{
		Dollar: true,
		// The first statement locks the installation row; those after it must see
		// all that was committed before the lock was had, as a snapshot would not.
		Begin:     "BEGIN ISOLATION LEVEL READ COMMITTED",
		BeginRead: "BEGIN ISOLATION LEVEL REPEATABLE READ, READ ONLY",
		// The words are tokens already: no parser may look at them.
		Index:      "INSERT INTO audit_words (idx, words) VALUES ($1, array_to_tsvector(string_to_array($2, ' ')))",
		Match:      match,
		Filter:     filter.Postgres,
		Unprepared: true, Cursors: true, Shared: true,
		Scope: "SELECT set_config('gatehouse.scope', $1, true)",
		// A process that was stopped in the middle holds the installation's lock: the
		// server takes it away before others lose patience.
		WriteScope: "SELECT set_config('gatehouse.scope', $1, true), set_config('idle_in_transaction_session_timeout', '10s', true)",
		Columns: `INSERT INTO usage_rows (day, id, start_us, team, api_key, model, endpoint, cluster, client_ip, vector, rest)
SELECT * FROM unnest($1::bigint[], $2::bytea[], $3::bigint[], $4::bigint[], $5::bigint[], $6::bigint[], $7::bigint[], $8::bigint[],
$9::text[], $10::bytea[], $11::bytea[]) ON CONFLICT DO NOTHING`,
		Notify:    "NOTIFY " + channel + ", '" + node + "'",
		LockBooks: "SELECT pg_advisory_xact_lock(book) FROM unnest($1::bigint[]) AS locked (book)",
		AddDay:    "SELECT gatehouse_usage_days($1)",
		Patience:  patience,
		Refused:   refused,
		Again:     again,
		Loaded: []string{
			"SELECT setval(pg_get_serial_sequence('usage_names', 'id'), (SELECT COALESCE(MAX(id), 0) + 1 FROM usage_names), false)",
			"SELECT setval('usage_runs_seq', (SELECT COALESCE(MAX(seq), 0) + 1 FROM usage_runs), false)",
		},
		Overrides: overrides,
	}
}

// overrides are the statements that differ, by their portable text.
var overrides = map[string]string{
	// The row's lock alone: an update would leave a dead row for each group.
	sqlstore.LockState: sqlstore.SelectState + ` FOR UPDATE`,
	// Several nodes append runs to one day at once, so numbers are the sequence's.
	sqlstore.InsertRun: `INSERT INTO usage_runs (team, day, seq, requests, models, cells, units, quarters)
SELECT $1::bigint, $2::bigint, nextval('usage_runs_seq'), $3::bigint, $4::bytea, $5::bytea, $6::bytea, $7::bytea
WHERE $8::bigint IS NOT NULL AND $9::bigint IS NOT NULL`,
	// Days are tables. Dropping one waits for whoever reads usage, such as a dump
	// that takes hours, and whoever reads or writes usage waits behind it: so it
	// gives up soon, and the job comes again.
	sqlstore.DropRows: `WITH patience AS MATERIALIZED (SELECT set_config('lock_timeout', '100ms', true) AS set)
SELECT gatehouse_drop_usage($1, $2) FROM patience WHERE patience.set <> ''`,
	// Nodes that claim at once each pass over what another has locked, and so does
	// the sweeper for a blob that a file is taking.
	sqlstore.ClaimTask: `WITH next AS MATERIALIZED (SELECT collection_id, file_id FROM library_tasks WHERE due_us <= $3
ORDER BY due_us, collection_id, file_id LIMIT 1 FOR UPDATE SKIP LOCKED)
UPDATE library_tasks t SET holder = $1, due_us = $2, attempts = t.attempts + 1 FROM next
WHERE t.collection_id = next.collection_id AND t.file_id = next.file_id
RETURNING t.team_id, t.collection_id, t.file_id, t.kind, t.generation, t.attempts`,
	sqlstore.CondemnBlobs: `WITH idle AS MATERIALIZED (SELECT b.name FROM library_blobs b WHERE b.refs = 0 AND b.condemned = 0 AND b.held_us <= $1 AND b.held_us <= $2
AND NOT EXISTS (SELECT 1 FROM library_files f WHERE f.blob = b.name) ORDER BY b.held_us, b.name LIMIT $3 FOR UPDATE OF b SKIP LOCKED)
UPDATE library_blobs SET condemned = 1 FROM idle WHERE library_blobs.name = idle.name`,
}

// again reports that the transaction was chosen to end a deadlock.
func again(err error) bool {
	var said *pgconn.PgError
	return errors.As(err, &said) && said.Code == "40P01"
}

// match asks the function that may read the words.
func match(m sqlstore.Match) sqlstore.Matched {
	var terms []string
	for _, w := range m.Prefixes {
		terms = append(terms, `'`+w+`':*`)
	}
	for _, w := range m.Exact {
		terms = append(terms, `'`+w+`'`)
	}
	return sqlstore.Matched{
		From:     "gatehouse_audit_search(?, ?, ?, ?, ?) w (idx) JOIN audit a ON a.idx = w.idx",
		FromArgs: []any{strings.Join(terms, " & "), m.Low, m.High, m.Ascending, m.Most},
		Index:    "w.idx",
	}
}

// refused tells the server's no from silence. An administrator may end a
// connection while its commit waits for a standby, when it is durable here
// already: that is no refusal.
func refused(err error) bool {
	var said *pgconn.PgError
	return errors.As(err, &said) && said.Severity != "FATAL" && said.Severity != "PANIC" && !strings.HasPrefix(said.Code, "57P") && !strings.HasPrefix(said.Code, "08")
}
