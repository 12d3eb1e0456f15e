// Package sqlite opens the truth in a SQLite file: the embedded engine. It
// sets up and asserts what durability rests on, migrates, and hands the
// connections to package sqlstore.
package sqlite
