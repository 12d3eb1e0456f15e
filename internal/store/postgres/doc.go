// Package postgres opens the truth in PostgreSQL, 15 or later: the engine for
// several control nodes at once. It refuses a server that would lose what it
// acknowledged, and hands its connections to package sqlstore.
//
// # Two roles
//
// [Migrate] connects as whoever owns the schema, brings it up to date, and makes
// the role that requests run under. That role can neither change the schema nor
// pass by row-level security, so a statement that forgot its team finds no rows;
// what little it needs done of the schema, functions of the owner do.
//
// # Through PgBouncer
//
// Everything is said within transactions, and nothing is left in a session: no
// prepared statements, no SET, no session locks. A pooler in transaction mode
// may stand between, except for [Migrate] and for Options.ListenDSN, which need
// a session of their own.
//
// # Several nodes
//
// The row of the installation is locked first in every Update, so acts are
// serial across nodes and commit order is revision order. What other nodes wrote
// reaches a node's memory from the audit log before it judges any row. LISTEN is
// a hint that saves the feed a poll.
package postgres
