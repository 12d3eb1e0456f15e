-- +goose Up
-- Which leaves of a full block hold a common word: see common.go. What is not
-- here yet is searched without it, so a program that does not know this table
-- may go on beside one that does.
CREATE TABLE audit_common (
  word  TEXT   NOT NULL,
  block BIGINT NOT NULL,
  bits  BLOB   NOT NULL,
  PRIMARY KEY (word, block)
) WITHOUT ROWID;
