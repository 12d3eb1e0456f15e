-- +goose Up
-- Text is compared by bytes, as every engine does it, whatever the locale.
CREATE TABLE installation (
  id           INTEGER PRIMARY KEY CHECK (id = 1),
  epoch        BIGINT  NOT NULL,
  n            BIGINT  NOT NULL,
  tree_size    BIGINT  NOT NULL,
  frontier     BYTEA   NOT NULL,
  late_us      BIGINT  NOT NULL,
  floor_epoch  BIGINT  NOT NULL,
  floor_n      BIGINT  NOT NULL,
  fingerprint  BYTEA   NOT NULL,
  mac          BYTEA   NOT NULL
) WITH (fillfactor = 20);
CREATE TABLE api_keys (
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
CREATE TABLE management_keys (
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
CREATE TABLE teams (
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
CREATE TABLE users (
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
CREATE TABLE upstreams (
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
CREATE TABLE models (
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
CREATE TABLE aliases (
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
CREATE TABLE prices (
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
CREATE TABLE clusters (
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
CREATE TABLE join_tokens (
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
CREATE TABLE memberships (
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
CREATE INDEX api_keys_1 ON api_keys (team_id, created_us, id, disabled, expire_us) WHERE deleted_us = 0;
CREATE INDEX api_keys_2 ON api_keys (team_id, user_id, created_us, id, disabled, expire_us) WHERE deleted_us = 0;
CREATE INDEX management_keys_1 ON management_keys (created_us, id) WHERE deleted_us = 0;
CREATE INDEX management_keys_2 ON management_keys (team_id, created_us, id) WHERE deleted_us = 0;
CREATE INDEX teams_1 ON teams (created_us, id) WHERE deleted_us = 0;
CREATE INDEX users_1 ON users (created_us, id) WHERE deleted_us = 0;
CREATE INDEX users_2 ON users (team_id, created_us, id) WHERE deleted_us = 0;
CREATE INDEX prices_1 ON prices (name, created_us) WHERE deleted_us = 0;
CREATE INDEX join_tokens_1 ON join_tokens (created_us, id) WHERE deleted_us = 0;

-- Live keys by ACL entry, so that a filter reads only keys that hold it.
CREATE TABLE api_key_acls (
  team_id    TEXT COLLATE "C" NOT NULL,
  entry      TEXT COLLATE "C" NOT NULL,
  created_us BIGINT NOT NULL,
  id         TEXT COLLATE "C" NOT NULL,
  PRIMARY KEY (team_id, entry, created_us, id)
);

CREATE TABLE audit (
  idx       BIGINT PRIMARY KEY,
  event_id  TEXT COLLATE "C" NOT NULL,
  time_us   BIGINT NOT NULL,
  late_us   BIGINT NOT NULL,
  team_id   TEXT COLLATE "C" NOT NULL,
  user_id   TEXT COLLATE "C" NOT NULL,
  action    TEXT COLLATE "C" NOT NULL,
  body      BYTEA  NOT NULL,
  personal  BYTEA,
  signature BYTEA  NOT NULL
);
CREATE INDEX audit_team ON audit (team_id, idx);
CREATE INDEX audit_user ON audit (user_id, team_id, idx) WHERE user_id <> '';
CREATE INDEX audit_event ON audit (event_id);
-- Events written while the clock was behind an earlier event: see Events.
CREATE INDEX audit_behind ON audit (time_us) WHERE time_us < late_us;

-- Rows of the log are for ever; only what a leaf merely commits to may go.
-- +goose StatementBegin
CREATE FUNCTION gatehouse_append_only() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
  IF TG_OP = 'UPDATE' THEN
    IF NEW.personal IS NULL
      AND ROW(NEW.idx, NEW.event_id, NEW.time_us, NEW.late_us, NEW.team_id, NEW.user_id, NEW.action, NEW.body, NEW.signature)
        IS NOT DISTINCT FROM
          ROW(OLD.idx, OLD.event_id, OLD.time_us, OLD.late_us, OLD.team_id, OLD.user_id, OLD.action, OLD.body, OLD.signature) THEN
      RETURN NEW;
    END IF;
  END IF;
  RAISE EXCEPTION 'the audit log is append-only';
END
$$;
-- +goose StatementEnd
CREATE TRIGGER audit_no_change BEFORE UPDATE OR DELETE ON audit FOR EACH ROW EXECUTE FUNCTION gatehouse_append_only();
CREATE TRIGGER audit_no_truncate BEFORE TRUNCATE ON audit FOR EACH STATEMENT EXECUTE FUNCTION gatehouse_append_only();

-- The words of descriptions and markers of team, user and action.
CREATE TABLE audit_words (
  idx   BIGINT   PRIMARY KEY,
  words TSVECTOR NOT NULL
);
CREATE INDEX audit_words_words ON audit_words USING gin (words);

CREATE TABLE checkpoints (
  size BIGINT NOT NULL PRIMARY KEY,
  note BYTEA  NOT NULL
);

CREATE TABLE changes (
  epoch   BIGINT NOT NULL,
  n       BIGINT NOT NULL,
  kind    TEXT COLLATE "C" NOT NULL,
  id      TEXT COLLATE "C" NOT NULL,
  time_us BIGINT NOT NULL,
  PRIMARY KEY (epoch, n, kind, id)
);

CREATE TABLE remembered (
  id        TEXT COLLATE "C" NOT NULL PRIMARY KEY,
  value     BYTEA  NOT NULL,
  expire_us BIGINT NOT NULL
);
CREATE INDEX remembered_expire ON remembered (expire_us);

CREATE TABLE gateways (
  id        TEXT COLLATE "C" NOT NULL PRIMARY KEY,
  cluster   TEXT COLLATE "C" NOT NULL,
  version   TEXT    NOT NULL,
  joined_us BIGINT  NOT NULL,
  seen_us   BIGINT  NOT NULL,
  epoch     BIGINT  NOT NULL,
  n         BIGINT  NOT NULL,
  problem   TEXT    NOT NULL,
  lease_us  BIGINT  NOT NULL,
  forgotten INTEGER NOT NULL
) WITH (fillfactor = 50);

CREATE TABLE key_last_use (
  key_id  TEXT COLLATE "C" NOT NULL,
  last4   TEXT COLLATE "C" NOT NULL,
  time_us BIGINT NOT NULL,
  PRIMARY KEY (key_id, last4)
) WITH (fillfactor = 70);

CREATE TABLE high_water (
  gateway     TEXT COLLATE "C" NOT NULL,
  incarnation BIGINT NOT NULL,
  position    BIGINT NOT NULL,
  PRIMARY KEY (gateway, incarnation)
) WITH (fillfactor = 50);

CREATE TABLE objects (
  id         TEXT COLLATE "C" NOT NULL PRIMARY KEY,
  team_id    TEXT COLLATE "C" NOT NULL,
  upstream   TEXT COLLATE "C" NOT NULL,
  model      TEXT NOT NULL,
  created_us BIGINT NOT NULL
);

-- Jobs that one node at a time does, and the freeze of mutations.
CREATE TABLE leases (
  name     TEXT COLLATE "C" NOT NULL PRIMARY KEY,
  holder   TEXT   NOT NULL,
  until_us BIGINT NOT NULL
);

-- Usage says its names once; rows and rollups hold their numbers.
CREATE TABLE usage_names (
  id   BIGINT GENERATED BY DEFAULT AS IDENTITY PRIMARY KEY,
  name TEXT COLLATE "C" NOT NULL UNIQUE
);

-- A table for each UTC day, so that retention drops files instead of rows.
CREATE TABLE usage_rows (
  day       BIGINT NOT NULL,
  id        BYTEA  NOT NULL,
  start_us  BIGINT NOT NULL,
  team      BIGINT NOT NULL,
  api_key   BIGINT NOT NULL,
  model     BIGINT NOT NULL,
  endpoint  BIGINT NOT NULL,
  cluster   BIGINT NOT NULL,
  client_ip TEXT   NOT NULL,
  vector    BYTEA  NOT NULL,
  rest      BYTEA  NOT NULL,
  PRIMARY KEY (day, id)
) PARTITION BY RANGE (day);
CREATE INDEX usage_rows_time ON usage_rows (team, start_us);

-- Rollups: the sums of a team's UTC day, as runs that add up. They are packed
-- already, so the engine need not try.
CREATE TABLE usage_runs (
  team     BIGINT NOT NULL,
  day      BIGINT NOT NULL,
  seq      BIGINT NOT NULL,
  requests BIGINT NOT NULL,
  models   BYTEA  NOT NULL,
  cells    BYTEA  NOT NULL,
  units    BYTEA  NOT NULL,
  quarters BYTEA  NOT NULL,
  PRIMARY KEY (team, day, seq)
);
ALTER TABLE usage_runs ALTER models SET STORAGE EXTERNAL, ALTER cells SET STORAGE EXTERNAL,
  ALTER units SET STORAGE EXTERNAL, ALTER quarters SET STORAGE EXTERNAL;
CREATE SEQUENCE usage_runs_seq;

-- What the request role may not do itself, and needs done. The functions run
-- as whoever migrated; Migrate fixes their search path, so that nobody puts
-- another table under a name.

-- Room for a day of usage and the day after. Attaching takes a lock that
-- neither reading nor inserting waits for; making a partition in place would.
-- +goose StatementBegin
CREATE FUNCTION gatehouse_usage_days(first bigint) RETURNS void
LANGUAGE plpgsql SECURITY DEFINER AS $$
DECLARE
  d bigint;
  part text;
BEGIN
  FOR d IN first .. first + 1 LOOP
    part := 'usage_rows_' || replace(d::text, '-', 'm');
    CONTINUE WHEN to_regclass(part) IS NOT NULL;
    -- Two nodes at midnight: the second finds the table made.
    PERFORM pg_advisory_xact_lock(7163950276843261294);
    CONTINUE WHEN to_regclass(part) IS NOT NULL;
    EXECUTE format('CREATE TABLE %I (LIKE usage_rows INCLUDING DEFAULTS INCLUDING STORAGE)', part);
    EXECUTE format('ALTER TABLE usage_rows ATTACH PARTITION %I FOR VALUES FROM (%s) TO (%s)', part, d, d + 1);
  END LOOP;
END
$$;
-- +goose StatementEnd

-- Drops the tables of days before a day, some at a time.
-- +goose StatementBegin
CREATE FUNCTION gatehouse_drop_usage(before bigint, most bigint) RETURNS void
LANGUAGE plpgsql SECURITY DEFINER AS $$
DECLARE
  part text;
BEGIN
  PERFORM pg_advisory_xact_lock(7163950276843261294);
  FOR part IN
    SELECT c.relname FROM pg_inherits i JOIN pg_class c ON c.oid = i.inhrelid
    WHERE i.inhparent = 'usage_rows'::regclass AND replace(substr(c.relname, 12), 'm', '-')::bigint < before
    ORDER BY replace(substr(c.relname, 12), 'm', '-')::bigint LIMIT least(most, 8)
  LOOP
    EXECUTE format('DROP TABLE %I', part);
  END LOOP;
END
$$;
-- +goose StatementEnd

-- Searches the words. The table of words has no policy, since an index of words
-- cannot be used behind one; instead nobody else may read it, and a team's
-- search is narrowed here by the marker that its events carry. The plan is made
-- for each search: a rare word wants the index of words, a common one the order.
-- +goose StatementBegin
CREATE FUNCTION gatehouse_audit_search(q text, low bigint, high bigint, ascending boolean, most bigint) RETURNS SETOF bigint
LANGUAGE plpgsql STABLE SECURITY DEFINER AS $$
DECLARE
  scope text := coalesce(current_setting('gatehouse.scope', true), '');
BEGIN
  IF scope = '' THEN
    RETURN;
  END IF;
  IF scope <> '*' THEN
    q := q || format(' & ''zzt%s''', encode(substr(sha256(convert_to(scope, 'UTF8')), 1, 8), 'hex'));
  END IF;
  RETURN QUERY EXECUTE 'SELECT idx FROM audit_words WHERE words @@ $1::tsquery AND idx >= $2 AND idx < $3 ORDER BY idx '
    || CASE WHEN ascending THEN '' ELSE 'DESC' END || ' LIMIT $4' USING q, low, high, most;
END
$$;
-- +goose StatementEnd

-- Who sees what. The scope is set for a transaction: '*' for the installation,
-- a team's id, or nothing; with nothing there are no rows. The sub-selects are
-- evaluated once for a statement and not for a row.
ALTER TABLE api_keys ENABLE ROW LEVEL SECURITY;
ALTER TABLE api_keys FORCE ROW LEVEL SECURITY;
CREATE POLICY team ON api_keys USING ((SELECT nullif(current_setting('gatehouse.scope', true), '')) = '*' OR team_id = (SELECT nullif(current_setting('gatehouse.scope', true), '')));
ALTER TABLE management_keys ENABLE ROW LEVEL SECURITY;
ALTER TABLE management_keys FORCE ROW LEVEL SECURITY;
CREATE POLICY team ON management_keys USING ((SELECT nullif(current_setting('gatehouse.scope', true), '')) = '*' OR team_id = (SELECT nullif(current_setting('gatehouse.scope', true), '')));
ALTER TABLE teams ENABLE ROW LEVEL SECURITY;
ALTER TABLE teams FORCE ROW LEVEL SECURITY;
CREATE POLICY team ON teams USING ((SELECT nullif(current_setting('gatehouse.scope', true), '')) = '*' OR team_id = (SELECT nullif(current_setting('gatehouse.scope', true), '')));
ALTER TABLE users ENABLE ROW LEVEL SECURITY;
ALTER TABLE users FORCE ROW LEVEL SECURITY;
CREATE POLICY team ON users USING ((SELECT nullif(current_setting('gatehouse.scope', true), '')) = '*' OR team_id = (SELECT nullif(current_setting('gatehouse.scope', true), '')));
ALTER TABLE api_key_acls ENABLE ROW LEVEL SECURITY;
ALTER TABLE api_key_acls FORCE ROW LEVEL SECURITY;
CREATE POLICY team ON api_key_acls USING ((SELECT nullif(current_setting('gatehouse.scope', true), '')) = '*' OR team_id = (SELECT nullif(current_setting('gatehouse.scope', true), '')));
ALTER TABLE objects ENABLE ROW LEVEL SECURITY;
ALTER TABLE objects FORCE ROW LEVEL SECURITY;
CREATE POLICY team ON objects USING ((SELECT nullif(current_setting('gatehouse.scope', true), '')) = '*' OR team_id = (SELECT nullif(current_setting('gatehouse.scope', true), '')));
-- Anybody may append: a team's act may be about the installation.
ALTER TABLE audit ENABLE ROW LEVEL SECURITY;
ALTER TABLE audit FORCE ROW LEVEL SECURITY;
CREATE POLICY team ON audit USING ((SELECT nullif(current_setting('gatehouse.scope', true), '')) = '*' OR team_id = (SELECT nullif(current_setting('gatehouse.scope', true), '')))
  WITH CHECK ((SELECT nullif(current_setting('gatehouse.scope', true), '')) IS NOT NULL);
ALTER TABLE usage_rows ENABLE ROW LEVEL SECURITY;
ALTER TABLE usage_rows FORCE ROW LEVEL SECURITY;
CREATE POLICY team ON usage_rows USING ((SELECT nullif(current_setting('gatehouse.scope', true), '')) = '*'
  OR team = (SELECT n.id FROM usage_names n WHERE n.name = (SELECT nullif(current_setting('gatehouse.scope', true), ''))));
ALTER TABLE usage_runs ENABLE ROW LEVEL SECURITY;
ALTER TABLE usage_runs FORCE ROW LEVEL SECURITY;
CREATE POLICY team ON usage_runs USING ((SELECT nullif(current_setting('gatehouse.scope', true), '')) = '*'
  OR team = (SELECT n.id FROM usage_names n WHERE n.name = (SELECT nullif(current_setting('gatehouse.scope', true), ''))));
