-- +goose Up
CREATE TABLE installation (
  id           INTEGER PRIMARY KEY CHECK (id = 1),
  epoch        BIGINT  NOT NULL,
  n            BIGINT  NOT NULL,
  tree_size    BIGINT  NOT NULL,
  frontier     BLOB    NOT NULL,
  late_us      BIGINT  NOT NULL,
  floor_epoch  BIGINT  NOT NULL,
  floor_n      BIGINT  NOT NULL,
  fingerprint  BLOB    NOT NULL,
  mac          BLOB    NOT NULL
);
CREATE TABLE api_keys (
  id         TEXT    NOT NULL PRIMARY KEY,
  team_id    TEXT    NOT NULL,
  user_id    TEXT    NOT NULL,
  name       TEXT    NOT NULL,
  created_us BIGINT  NOT NULL,
  expire_us  BIGINT  NOT NULL,
  disabled   INTEGER NOT NULL,
  deleted_us BIGINT  NOT NULL,
  epoch      BIGINT  NOT NULL,
  n          BIGINT  NOT NULL,
  version    BIGINT  NOT NULL,
  record     BLOB    NOT NULL,
  sealed     BLOB    NOT NULL,
  mac        BLOB    NOT NULL
);
CREATE INDEX api_keys_1 ON api_keys (team_id, created_us, id, disabled, expire_us) WHERE deleted_us = 0;
CREATE INDEX api_keys_2 ON api_keys (team_id, user_id, created_us, id, disabled, expire_us) WHERE deleted_us = 0;
CREATE TABLE management_keys (
  id         TEXT    NOT NULL PRIMARY KEY,
  team_id    TEXT    NOT NULL,
  user_id    TEXT    NOT NULL,
  name       TEXT    NOT NULL,
  created_us BIGINT  NOT NULL,
  expire_us  BIGINT  NOT NULL,
  disabled   INTEGER NOT NULL,
  deleted_us BIGINT  NOT NULL,
  epoch      BIGINT  NOT NULL,
  n          BIGINT  NOT NULL,
  version    BIGINT  NOT NULL,
  record     BLOB    NOT NULL,
  sealed     BLOB    NOT NULL,
  mac        BLOB    NOT NULL
);
CREATE INDEX management_keys_1 ON management_keys (created_us, id) WHERE deleted_us = 0;
CREATE INDEX management_keys_2 ON management_keys (team_id, created_us, id) WHERE deleted_us = 0;
CREATE TABLE teams (
  id         TEXT    NOT NULL PRIMARY KEY,
  team_id    TEXT    NOT NULL,
  user_id    TEXT    NOT NULL,
  name       TEXT    NOT NULL,
  created_us BIGINT  NOT NULL,
  expire_us  BIGINT  NOT NULL,
  disabled   INTEGER NOT NULL,
  deleted_us BIGINT  NOT NULL,
  epoch      BIGINT  NOT NULL,
  n          BIGINT  NOT NULL,
  version    BIGINT  NOT NULL,
  record     BLOB    NOT NULL,
  sealed     BLOB    NOT NULL,
  mac        BLOB    NOT NULL
);
CREATE INDEX teams_1 ON teams (created_us, id) WHERE deleted_us = 0;
CREATE TABLE users (
  id         TEXT    NOT NULL PRIMARY KEY,
  team_id    TEXT    NOT NULL,
  user_id    TEXT    NOT NULL,
  name       TEXT    NOT NULL,
  created_us BIGINT  NOT NULL,
  expire_us  BIGINT  NOT NULL,
  disabled   INTEGER NOT NULL,
  deleted_us BIGINT  NOT NULL,
  epoch      BIGINT  NOT NULL,
  n          BIGINT  NOT NULL,
  version    BIGINT  NOT NULL,
  record     BLOB    NOT NULL,
  sealed     BLOB    NOT NULL,
  mac        BLOB    NOT NULL
);
CREATE INDEX users_1 ON users (created_us, id) WHERE deleted_us = 0;
CREATE INDEX users_2 ON users (team_id, created_us, id) WHERE deleted_us = 0;
CREATE TABLE upstreams (
  id         TEXT    NOT NULL PRIMARY KEY,
  team_id    TEXT    NOT NULL,
  user_id    TEXT    NOT NULL,
  name       TEXT    NOT NULL,
  created_us BIGINT  NOT NULL,
  expire_us  BIGINT  NOT NULL,
  disabled   INTEGER NOT NULL,
  deleted_us BIGINT  NOT NULL,
  epoch      BIGINT  NOT NULL,
  n          BIGINT  NOT NULL,
  version    BIGINT  NOT NULL,
  record     BLOB    NOT NULL,
  sealed     BLOB    NOT NULL,
  mac        BLOB    NOT NULL
);
CREATE TABLE models (
  id         TEXT    NOT NULL PRIMARY KEY,
  team_id    TEXT    NOT NULL,
  user_id    TEXT    NOT NULL,
  name       TEXT    NOT NULL,
  created_us BIGINT  NOT NULL,
  expire_us  BIGINT  NOT NULL,
  disabled   INTEGER NOT NULL,
  deleted_us BIGINT  NOT NULL,
  epoch      BIGINT  NOT NULL,
  n          BIGINT  NOT NULL,
  version    BIGINT  NOT NULL,
  record     BLOB    NOT NULL,
  sealed     BLOB    NOT NULL,
  mac        BLOB    NOT NULL
);
CREATE TABLE aliases (
  id         TEXT    NOT NULL PRIMARY KEY,
  team_id    TEXT    NOT NULL,
  user_id    TEXT    NOT NULL,
  name       TEXT    NOT NULL,
  created_us BIGINT  NOT NULL,
  expire_us  BIGINT  NOT NULL,
  disabled   INTEGER NOT NULL,
  deleted_us BIGINT  NOT NULL,
  epoch      BIGINT  NOT NULL,
  n          BIGINT  NOT NULL,
  version    BIGINT  NOT NULL,
  record     BLOB    NOT NULL,
  sealed     BLOB    NOT NULL,
  mac        BLOB    NOT NULL
);
CREATE TABLE prices (
  id         TEXT    NOT NULL PRIMARY KEY,
  team_id    TEXT    NOT NULL,
  user_id    TEXT    NOT NULL,
  name       TEXT    NOT NULL,
  created_us BIGINT  NOT NULL,
  expire_us  BIGINT  NOT NULL,
  disabled   INTEGER NOT NULL,
  deleted_us BIGINT  NOT NULL,
  epoch      BIGINT  NOT NULL,
  n          BIGINT  NOT NULL,
  version    BIGINT  NOT NULL,
  record     BLOB    NOT NULL,
  sealed     BLOB    NOT NULL,
  mac        BLOB    NOT NULL
);
CREATE INDEX prices_1 ON prices (name, created_us) WHERE deleted_us = 0;
CREATE TABLE clusters (
  id         TEXT    NOT NULL PRIMARY KEY,
  team_id    TEXT    NOT NULL,
  user_id    TEXT    NOT NULL,
  name       TEXT    NOT NULL,
  created_us BIGINT  NOT NULL,
  expire_us  BIGINT  NOT NULL,
  disabled   INTEGER NOT NULL,
  deleted_us BIGINT  NOT NULL,
  epoch      BIGINT  NOT NULL,
  n          BIGINT  NOT NULL,
  version    BIGINT  NOT NULL,
  record     BLOB    NOT NULL,
  sealed     BLOB    NOT NULL,
  mac        BLOB    NOT NULL
);

-- Live keys by ACL entry, so that a filter reads only keys that hold it.
CREATE TABLE api_key_acls (
  team_id    TEXT   NOT NULL,
  entry      TEXT   NOT NULL,
  created_us BIGINT NOT NULL,
  id         TEXT   NOT NULL,
  PRIMARY KEY (team_id, entry, created_us, id)
) WITHOUT ROWID;

CREATE TABLE audit (
  idx       INTEGER PRIMARY KEY,
  event_id  TEXT   NOT NULL,
  time_us   BIGINT NOT NULL,
  late_us   BIGINT NOT NULL,
  team_id   TEXT   NOT NULL,
  user_id   TEXT   NOT NULL,
  action    TEXT   NOT NULL,
  body      BLOB   NOT NULL,
  personal  BLOB,
  signature BLOB   NOT NULL
);
CREATE INDEX audit_team ON audit (team_id, idx);
CREATE INDEX audit_user ON audit (user_id, team_id, idx) WHERE user_id <> '';
CREATE INDEX audit_event ON audit (event_id);
-- Events written while the clock was behind an earlier event: see Events.
CREATE INDEX audit_behind ON audit (time_us) WHERE time_us < late_us;

-- Rows of the log are for ever; only what a leaf merely commits to may go.
-- +goose StatementBegin
CREATE TRIGGER audit_no_delete BEFORE DELETE ON audit
BEGIN
  SELECT RAISE(ABORT, 'the audit log is append-only');
END;
-- +goose StatementEnd
-- +goose StatementBegin
CREATE TRIGGER audit_no_update BEFORE UPDATE ON audit
WHEN NEW.personal IS NOT NULL OR NEW.idx IS NOT OLD.idx OR NEW.event_id IS NOT OLD.event_id
  OR NEW.time_us IS NOT OLD.time_us OR NEW.late_us IS NOT OLD.late_us OR NEW.team_id IS NOT OLD.team_id
  OR NEW.user_id IS NOT OLD.user_id OR NEW.action IS NOT OLD.action OR NEW.body IS NOT OLD.body
  OR NEW.signature IS NOT OLD.signature
BEGIN
  SELECT RAISE(ABORT, 'the audit log is append-only');
END;
-- +goose StatementEnd

-- The words of descriptions and markers of team, user and action, so that the
-- match alone narrows. Prefixes are filed up to the length of common words:
-- such a search reads one list in order instead of merging many.
CREATE VIRTUAL TABLE audit_words USING fts5(
  words, content='', columnsize=0, detail=none, prefix='1 2 3 4 5 6 7 8', tokenize='ascii'
);

CREATE TABLE checkpoints (
  size BIGINT NOT NULL PRIMARY KEY,
  note BLOB   NOT NULL
);

CREATE TABLE changes (
  epoch   BIGINT NOT NULL,
  n       BIGINT NOT NULL,
  kind    TEXT   NOT NULL,
  id      TEXT   NOT NULL,
  time_us BIGINT NOT NULL,
  PRIMARY KEY (epoch, n, kind, id)
) WITHOUT ROWID;

CREATE TABLE remembered (
  id        TEXT   NOT NULL PRIMARY KEY,
  value     BLOB   NOT NULL,
  expire_us BIGINT NOT NULL
);
CREATE INDEX remembered_expire ON remembered (expire_us);

CREATE TABLE gateways (
  id        TEXT    NOT NULL PRIMARY KEY,
  cluster   TEXT    NOT NULL,
  version   TEXT    NOT NULL,
  joined_us BIGINT  NOT NULL,
  seen_us   BIGINT  NOT NULL,
  epoch     BIGINT  NOT NULL,
  n         BIGINT  NOT NULL,
  problem   TEXT    NOT NULL,
  lease_us  BIGINT  NOT NULL,
  forgotten INTEGER NOT NULL
);

CREATE TABLE key_last_use (
  key_id  TEXT   NOT NULL,
  last4   TEXT   NOT NULL,
  time_us BIGINT NOT NULL,
  PRIMARY KEY (key_id, last4)
) WITHOUT ROWID;

CREATE TABLE high_water (
  gateway     TEXT   NOT NULL,
  incarnation BIGINT NOT NULL,
  position    BIGINT NOT NULL,
  PRIMARY KEY (gateway, incarnation)
) WITHOUT ROWID;

CREATE TABLE objects (
  id         TEXT   NOT NULL PRIMARY KEY,
  team_id    TEXT   NOT NULL,
  upstream   TEXT   NOT NULL,
  model      TEXT   NOT NULL,
  created_us BIGINT NOT NULL
);

-- Usage says its names once; rows and rollups hold their numbers.
CREATE TABLE usage_names (
  id   INTEGER PRIMARY KEY,
  name TEXT NOT NULL UNIQUE
);

CREATE TABLE usage_rows (
  day      BIGINT NOT NULL,
  id       BLOB   NOT NULL,
  start_us BIGINT NOT NULL,
  team     BIGINT NOT NULL,
  api_key  BIGINT NOT NULL,
  model    BIGINT NOT NULL,
  endpoint BIGINT NOT NULL,
  cluster  BIGINT NOT NULL,
  client_ip TEXT  NOT NULL,
  vector   BLOB   NOT NULL,
  rest     BLOB   NOT NULL,
  PRIMARY KEY (day, id)
) WITHOUT ROWID;
CREATE INDEX usage_rows_time ON usage_rows (team, start_us);

-- Rollups: the sums of a team's UTC day, as runs that add up. A batch appends
-- one, and later they are merged: see rollup.go. What is read most stands
-- first, since a value behind a large one costs reading that too.
CREATE TABLE usage_runs (
  team     BIGINT NOT NULL,
  day      BIGINT NOT NULL,
  seq      BIGINT NOT NULL,
  requests BIGINT NOT NULL,
  models   BLOB   NOT NULL,
  cells    BLOB   NOT NULL,
  units    BLOB   NOT NULL,
  quarters BLOB   NOT NULL,
  PRIMARY KEY (team, day, seq)
);
