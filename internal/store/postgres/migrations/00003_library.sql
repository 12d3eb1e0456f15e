-- +goose Up
-- What teams keep in the library: the records, and beside them what they are
-- found, ordered and counted by.
CREATE TABLE files (
  id         TEXT COLLATE "C" NOT NULL PRIMARY KEY,
  team_id    TEXT COLLATE "C" NOT NULL,
  user_id    TEXT COLLATE "C" NOT NULL,
  name       TEXT COLLATE "C" NOT NULL,
  created_us BIGINT  NOT NULL,
  expire_us  BIGINT  NOT NULL,
  disabled   INTEGER NOT NULL,
  deleted_us BIGINT  NOT NULL,
  epoch      BIGINT  NOT NULL,
  n          BIGINT  NOT NULL,
  version    BIGINT  NOT NULL,
  record     BYTEA   NOT NULL,
  sealed     BYTEA   NOT NULL,
  mac        BYTEA   NOT NULL
);
CREATE TABLE collections (
  id         TEXT COLLATE "C" NOT NULL PRIMARY KEY,
  team_id    TEXT COLLATE "C" NOT NULL,
  user_id    TEXT COLLATE "C" NOT NULL,
  name       TEXT COLLATE "C" NOT NULL,
  created_us BIGINT  NOT NULL,
  expire_us  BIGINT  NOT NULL,
  disabled   INTEGER NOT NULL,
  deleted_us BIGINT  NOT NULL,
  epoch      BIGINT  NOT NULL,
  n          BIGINT  NOT NULL,
  version    BIGINT  NOT NULL,
  record     BYTEA   NOT NULL,
  sealed     BYTEA   NOT NULL,
  mac        BYTEA   NOT NULL
);
CREATE TABLE documents (
  id         TEXT COLLATE "C" NOT NULL PRIMARY KEY,
  team_id    TEXT COLLATE "C" NOT NULL,
  user_id    TEXT COLLATE "C" NOT NULL,
  name       TEXT COLLATE "C" NOT NULL,
  created_us BIGINT  NOT NULL,
  expire_us  BIGINT  NOT NULL,
  disabled   INTEGER NOT NULL,
  deleted_us BIGINT  NOT NULL,
  epoch      BIGINT  NOT NULL,
  n          BIGINT  NOT NULL,
  version    BIGINT  NOT NULL,
  record     BYTEA   NOT NULL,
  sealed     BYTEA   NOT NULL,
  mac        BYTEA   NOT NULL
);

-- What of the records lists are ordered and narrowed by, and what is counted.
-- A file that collections own counts while one of them is there: counted says
-- that it is in its team's sums, and home names the collection that holds it
-- alone, whose sums of sole files it is in too.
CREATE TABLE library_files (
  id           TEXT COLLATE "C" NOT NULL PRIMARY KEY,
  team_id      TEXT COLLATE "C" NOT NULL,
  name         TEXT COLLATE "C" NOT NULL,
  content_type TEXT COLLATE "C" NOT NULL,
  size         BIGINT  NOT NULL,
  blob         TEXT COLLATE "C" NOT NULL,
  owned        INTEGER NOT NULL,
  counted      INTEGER NOT NULL,
  home         TEXT COLLATE "C" NOT NULL,
  created_us   BIGINT  NOT NULL,
  expire_us    BIGINT  NOT NULL
);
CREATE INDEX library_files_1 ON library_files (team_id, name, id);
CREATE INDEX library_files_2 ON library_files (team_id, created_us, id);
CREATE INDEX library_files_3 ON library_files (team_id, size, id);
CREATE INDEX library_files_4 ON library_files (expire_us, id) WHERE expire_us <> 0;
CREATE INDEX library_files_5 ON library_files (id) WHERE owned = 1 AND counted = 0;
CREATE INDEX library_files_6 ON library_files (home, id) WHERE home <> '';
CREATE INDEX library_files_7 ON library_files (blob);

CREATE TABLE library_collections (
  id         TEXT COLLATE "C" NOT NULL PRIMARY KEY,
  team_id    TEXT COLLATE "C" NOT NULL,
  name       TEXT COLLATE "C" NOT NULL,
  created_us BIGINT NOT NULL,
  documents  BIGINT NOT NULL,
  bytes      BIGINT NOT NULL,
  sole_files BIGINT NOT NULL,
  sole_bytes BIGINT NOT NULL
) WITH (fillfactor = 50);
CREATE INDEX library_collections_1 ON library_collections (team_id, name, id);
CREATE INDEX library_collections_2 ON library_collections (team_id, created_us, id);

-- Documents, with what lists need of their files and how far they are indexed.
-- Gone ones are those of a dropped file.
CREATE TABLE library_documents (
  collection_id TEXT COLLATE "C" NOT NULL,
  file_id       TEXT COLLATE "C" NOT NULL,
  team_id       TEXT COLLATE "C" NOT NULL,
  name          TEXT COLLATE "C" NOT NULL,
  content_type  TEXT COLLATE "C" NOT NULL,
  size          BIGINT  NOT NULL,
  created_us    BIGINT  NOT NULL,
  generation    BIGINT  NOT NULL,
  gone          INTEGER NOT NULL,
  status        TEXT COLLATE "C" NOT NULL,
  problem       TEXT COLLATE "C" NOT NULL,
  indexed_us    BIGINT  NOT NULL,
  chunks        BIGINT  NOT NULL,
  chunks_done   BIGINT  NOT NULL,
  PRIMARY KEY (collection_id, file_id)
);
CREATE INDEX library_documents_1 ON library_documents (collection_id, name, file_id);
CREATE INDEX library_documents_2 ON library_documents (collection_id, created_us, file_id);
CREATE INDEX library_documents_3 ON library_documents (collection_id, size, file_id);
CREATE INDEX library_documents_4 ON library_documents (file_id, collection_id);
CREATE INDEX library_documents_5 ON library_documents (collection_id, file_id) WHERE gone = 1;

-- Fields of documents. Values may be longer than an index takes: they are found
-- by their digest.
CREATE TABLE library_fields (
  collection_id TEXT COLLATE "C" NOT NULL,
  file_id       TEXT COLLATE "C" NOT NULL,
  team_id       TEXT COLLATE "C" NOT NULL,
  field         TEXT COLLATE "C" NOT NULL,
  value         TEXT COLLATE "C" NOT NULL,
  digest        TEXT COLLATE "C" NOT NULL,
  PRIMARY KEY (collection_id, file_id, field)
);
CREATE INDEX library_fields_1 ON library_fields (collection_id, field, digest, file_id);

-- What a team keeps, in sums.
CREATE TABLE library_teams (
  team_id     TEXT COLLATE "C" NOT NULL PRIMARY KEY,
  files       BIGINT NOT NULL,
  bytes       BIGINT NOT NULL,
  collections BIGINT NOT NULL
) WITH (fillfactor = 50);

-- Dropped collections that still have documents.
CREATE TABLE library_gone (
  id      TEXT COLLATE "C" NOT NULL PRIMARY KEY,
  team_id TEXT COLLATE "C" NOT NULL
);

-- Work on the index: see LibraryWork. A task that is held is due when its hold
-- ends. That of a whole collection has no file.
CREATE TABLE library_tasks (
  collection_id TEXT COLLATE "C" NOT NULL,
  file_id       TEXT COLLATE "C" NOT NULL,
  team_id       TEXT COLLATE "C" NOT NULL,
  kind          TEXT COLLATE "C" NOT NULL,
  generation    BIGINT NOT NULL,
  attempts      BIGINT NOT NULL,
  due_us        BIGINT NOT NULL,
  holder        TEXT COLLATE "C" NOT NULL,
  PRIMARY KEY (collection_id, file_id)
) WITH (fillfactor = 50);
CREATE INDEX library_tasks_1 ON library_tasks (due_us, collection_id, file_id);

-- Blobs, and how many files refer to each.
CREATE TABLE library_blobs (
  name      TEXT COLLATE "C" NOT NULL PRIMARY KEY,
  team_id   TEXT COLLATE "C" NOT NULL,
  hash      TEXT COLLATE "C" NOT NULL,
  size      BIGINT  NOT NULL,
  stored    INTEGER NOT NULL,
  condemned INTEGER NOT NULL,
  refs      BIGINT  NOT NULL,
  held_us   BIGINT  NOT NULL
) WITH (fillfactor = 50);
CREATE INDEX library_blobs_1 ON library_blobs (team_id, hash, name) WHERE stored = 1 AND condemned = 0;
CREATE INDEX library_blobs_2 ON library_blobs (held_us, name) WHERE refs = 0 AND condemned = 0;
CREATE INDEX library_blobs_3 ON library_blobs (name) WHERE condemned = 1;

-- Who sees what, as for the tables before.
ALTER TABLE files ENABLE ROW LEVEL SECURITY;
ALTER TABLE files FORCE ROW LEVEL SECURITY;
CREATE POLICY team ON files USING ((SELECT nullif(current_setting('gatehouse.scope', true), '')) = '*' OR team_id = (SELECT nullif(current_setting('gatehouse.scope', true), '')));
ALTER TABLE collections ENABLE ROW LEVEL SECURITY;
ALTER TABLE collections FORCE ROW LEVEL SECURITY;
CREATE POLICY team ON collections USING ((SELECT nullif(current_setting('gatehouse.scope', true), '')) = '*' OR team_id = (SELECT nullif(current_setting('gatehouse.scope', true), '')));
ALTER TABLE documents ENABLE ROW LEVEL SECURITY;
ALTER TABLE documents FORCE ROW LEVEL SECURITY;
CREATE POLICY team ON documents USING ((SELECT nullif(current_setting('gatehouse.scope', true), '')) = '*' OR team_id = (SELECT nullif(current_setting('gatehouse.scope', true), '')));
ALTER TABLE library_files ENABLE ROW LEVEL SECURITY;
ALTER TABLE library_files FORCE ROW LEVEL SECURITY;
CREATE POLICY team ON library_files USING ((SELECT nullif(current_setting('gatehouse.scope', true), '')) = '*' OR team_id = (SELECT nullif(current_setting('gatehouse.scope', true), '')));
ALTER TABLE library_collections ENABLE ROW LEVEL SECURITY;
ALTER TABLE library_collections FORCE ROW LEVEL SECURITY;
CREATE POLICY team ON library_collections USING ((SELECT nullif(current_setting('gatehouse.scope', true), '')) = '*' OR team_id = (SELECT nullif(current_setting('gatehouse.scope', true), '')));
ALTER TABLE library_documents ENABLE ROW LEVEL SECURITY;
ALTER TABLE library_documents FORCE ROW LEVEL SECURITY;
CREATE POLICY team ON library_documents USING ((SELECT nullif(current_setting('gatehouse.scope', true), '')) = '*' OR team_id = (SELECT nullif(current_setting('gatehouse.scope', true), '')));
ALTER TABLE library_fields ENABLE ROW LEVEL SECURITY;
ALTER TABLE library_fields FORCE ROW LEVEL SECURITY;
CREATE POLICY team ON library_fields USING ((SELECT nullif(current_setting('gatehouse.scope', true), '')) = '*' OR team_id = (SELECT nullif(current_setting('gatehouse.scope', true), '')));
ALTER TABLE library_teams ENABLE ROW LEVEL SECURITY;
ALTER TABLE library_teams FORCE ROW LEVEL SECURITY;
CREATE POLICY team ON library_teams USING ((SELECT nullif(current_setting('gatehouse.scope', true), '')) = '*' OR team_id = (SELECT nullif(current_setting('gatehouse.scope', true), '')));
ALTER TABLE library_gone ENABLE ROW LEVEL SECURITY;
ALTER TABLE library_gone FORCE ROW LEVEL SECURITY;
CREATE POLICY team ON library_gone USING ((SELECT nullif(current_setting('gatehouse.scope', true), '')) = '*' OR team_id = (SELECT nullif(current_setting('gatehouse.scope', true), '')));
ALTER TABLE library_tasks ENABLE ROW LEVEL SECURITY;
ALTER TABLE library_tasks FORCE ROW LEVEL SECURITY;
CREATE POLICY team ON library_tasks USING ((SELECT nullif(current_setting('gatehouse.scope', true), '')) = '*' OR team_id = (SELECT nullif(current_setting('gatehouse.scope', true), '')));
ALTER TABLE library_blobs ENABLE ROW LEVEL SECURITY;
ALTER TABLE library_blobs FORCE ROW LEVEL SECURITY;
CREATE POLICY team ON library_blobs USING ((SELECT nullif(current_setting('gatehouse.scope', true), '')) = '*' OR team_id = (SELECT nullif(current_setting('gatehouse.scope', true), '')));
