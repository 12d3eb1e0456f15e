-- +goose Up
CREATE TABLE index_collections (
  id        INTEGER PRIMARY KEY AUTOINCREMENT,
  team      BLOB    NOT NULL,
  uuid      BLOB    NOT NULL,
  metric    TEXT    NOT NULL,
  dimension BIGINT  NOT NULL,
  version   BIGINT  NOT NULL,
  gone      INTEGER NOT NULL
);
-- A collection that is being taken out makes room for one with its id.
CREATE UNIQUE INDEX index_collections_1 ON index_collections (team, uuid) WHERE gone = 0;
-- Ids are never used again: what is cached of a document is true for ever.
CREATE TABLE index_documents (
  id           INTEGER PRIMARY KEY AUTOINCREMENT,
  collection   BIGINT  NOT NULL,
  uuid         BLOB    NOT NULL,
  name         TEXT    NOT NULL,
  content_type TEXT    NOT NULL,
  size         BIGINT  NOT NULL,
  created_us   BIGINT  NOT NULL,
  chunks       BIGINT  NOT NULL,
  vectors      BIGINT  NOT NULL,
  bytes        BIGINT  NOT NULL
);
CREATE UNIQUE INDEX index_documents_1 ON index_documents (collection, uuid);
CREATE TABLE index_fields (
  document BIGINT NOT NULL,
  key      TEXT   NOT NULL,
  value    TEXT   NOT NULL,
  PRIMARY KEY (document, key)
) WITHOUT ROWID;
-- A chunk's id is its document's, shifted, plus its place.
CREATE TABLE index_chunks (
  id     INTEGER PRIMARY KEY,
  uuid   BLOB   NOT NULL,
  page   BIGINT NOT NULL,
  text   TEXT   NOT NULL,
  vector BLOB
);
CREATE INDEX index_chunks_1 ON index_chunks (id >> 20);
-- The words are tokens already, each with its collection before it: no parser
-- may look at them, and no collection is searched in another's words.
CREATE VIRTUAL TABLE index_words USING fts5 (words, content = '', contentless_delete = 1, tokenize = "ascii tokenchars '_'");
CREATE VIRTUAL TABLE index_counts USING fts5vocab (index_words, row);
-- Segments of the words are merged by eights: by fours, the default, takes a
-- third of the time of indexing.
INSERT INTO index_words (index_words, rank) VALUES ('automerge', 8);
