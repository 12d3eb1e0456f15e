-- +goose Up
-- What teams pay by, and how people come in.
CREATE TABLE billing_accounts (
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
CREATE TABLE top_ups (
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
CREATE INDEX top_ups_1 ON top_ups (created_us, id) WHERE deleted_us = 0;
CREATE INDEX top_ups_2 ON top_ups (team_id, created_us, id) WHERE deleted_us = 0;
CREATE TABLE invoices (
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
CREATE INDEX invoices_1 ON invoices (team_id, created_us, id) WHERE deleted_us = 0;
-- The name is the cycle that an invoice closes.
CREATE INDEX invoices_2 ON invoices (team_id, name) WHERE deleted_us = 0;
CREATE TABLE invitations (
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
CREATE INDEX invitations_1 ON invitations (created_us, id) WHERE deleted_us = 0;
CREATE INDEX invitations_2 ON invitations (team_id, created_us, id) WHERE deleted_us = 0;
CREATE TABLE alert_hooks (
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
CREATE INDEX alert_hooks_1 ON alert_hooks (team_id, created_us, id) WHERE deleted_us = 0;
-- The name is the subject that somebody signs in as.
CREATE INDEX users_3 ON users (name) WHERE deleted_us = 0 AND name <> '';

-- The ledger. Postings are for ever: a mistake is mended by another.
CREATE TABLE postings (
  id      TEXT COLLATE "C" NOT NULL PRIMARY KEY,
  team_id TEXT COLLATE "C" NOT NULL,
  time_us BIGINT NOT NULL,
  kind    TEXT COLLATE "C" NOT NULL,
  cycle   BIGINT NOT NULL,
  ref     TEXT COLLATE "C" NOT NULL,
  note    TEXT COLLATE "C" NOT NULL,
  entries TEXT COLLATE "C" NOT NULL
);
CREATE INDEX postings_1 ON postings (team_id, time_us, id);
CREATE INDEX postings_2 ON postings (team_id, time_us, id) WHERE kind IN ('grant', 'refund');
-- +goose StatementBegin
CREATE FUNCTION gatehouse_ledger_only() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
  RAISE EXCEPTION 'the ledger is append-only';
END
$$;
-- +goose StatementEnd
CREATE TRIGGER postings_no_change BEFORE UPDATE OR DELETE ON postings FOR EACH ROW EXECUTE FUNCTION gatehouse_ledger_only();
CREATE TRIGGER postings_no_truncate BEFORE TRUNCATE ON postings FOR EACH STATEMENT EXECUTE FUNCTION gatehouse_ledger_only();

-- The sums of postings' entries; used tells those of usage and adjustments, and
-- for_cycle when their requests were made: it may be before what is closed.
CREATE TABLE balances (
  team_id   TEXT COLLATE "C" NOT NULL,
  account   TEXT COLLATE "C" NOT NULL,
  cycle     BIGINT  NOT NULL,
  for_cycle BIGINT  NOT NULL,
  used      INTEGER NOT NULL,
  amount    BIGINT  NOT NULL,
  PRIMARY KEY (team_id, account, cycle, for_cycle, used)
) WITH (fillfactor = 50);

-- What usage postings are for, summed.
CREATE TABLE charges (
  team_id   TEXT COLLATE "C" NOT NULL,
  cycle     BIGINT NOT NULL,
  for_cycle BIGINT NOT NULL,
  cluster   TEXT COLLATE "C" NOT NULL,
  model     TEXT COLLATE "C" NOT NULL,
  unit      BIGINT NOT NULL,
  price     BIGINT NOT NULL,
  units     BIGINT NOT NULL,
  ticks     BIGINT NOT NULL,
  PRIMARY KEY (team_id, cycle, for_cycle, cluster, model, unit, price)
) WITH (fillfactor = 50);

-- What was ingested on each period and subject of a budget.
CREATE TABLE fund_spent (
  budget  TEXT COLLATE "C" NOT NULL,
  start_s BIGINT NOT NULL,
  subject TEXT COLLATE "C" NOT NULL,
  team_id TEXT COLLATE "C" NOT NULL,
  ticks   BIGINT NOT NULL,
  PRIMARY KEY (budget, start_s, subject)
) WITH (fillfactor = 50);
CREATE INDEX fund_spent_1 ON fund_spent (start_s) WHERE start_s <> 0;

-- What gateways drew. A hold is open while it drew more than came back.
CREATE TABLE holds (
  id          TEXT COLLATE "C" NOT NULL PRIMARY KEY,
  team_id     TEXT COLLATE "C" NOT NULL,
  fund        TEXT COLLATE "C" NOT NULL,
  gateway     TEXT COLLATE "C" NOT NULL,
  incarnation BIGINT NOT NULL,
  seq         BIGINT NOT NULL,
  drawn       BIGINT NOT NULL,
  returned    BIGINT NOT NULL,
  ingested    BIGINT NOT NULL,
  since_us    BIGINT NOT NULL,
  seen_us     BIGINT NOT NULL
) WITH (fillfactor = 50);
CREATE UNIQUE INDEX holds_1 ON holds (fund, gateway, incarnation);
CREATE INDEX holds_2 ON holds (since_us, id) WHERE drawn > returned + ingested;
CREATE INDEX holds_3 ON holds (gateway, incarnation) WHERE drawn > returned + ingested;
CREATE INDEX holds_4 ON holds (seen_us) WHERE drawn <= returned + ingested;

CREATE TABLE alerts (
  id      TEXT COLLATE "C" NOT NULL PRIMARY KEY,
  team_id TEXT COLLATE "C" NOT NULL,
  time_us BIGINT NOT NULL,
  record  TEXT COLLATE "C" NOT NULL
);
CREATE INDEX alerts_1 ON alerts (team_id, time_us, id);
CREATE INDEX alerts_2 ON alerts (time_us, id);
-- Which shares of which funds somebody was told of, and when; 0 is for ever.
CREATE TABLE alerts_sent (
  fund    TEXT COLLATE "C" NOT NULL,
  share   BIGINT NOT NULL,
  sent_us BIGINT NOT NULL,
  PRIMARY KEY (fund, share)
);
CREATE INDEX alerts_sent_1 ON alerts_sent (sent_us) WHERE sent_us <> 0;

-- Who is signed in by an identity provider.
CREATE TABLE sign_ins (
  user_id    TEXT COLLATE "C" NOT NULL PRIMARY KEY,
  sealed     BYTEA  NOT NULL,
  checked_us BIGINT NOT NULL
);

-- Who sees what, as for the tables before.
ALTER TABLE billing_accounts ENABLE ROW LEVEL SECURITY;
ALTER TABLE billing_accounts FORCE ROW LEVEL SECURITY;
CREATE POLICY team ON billing_accounts USING ((SELECT nullif(current_setting('gatehouse.scope', true), '')) = '*' OR team_id = (SELECT nullif(current_setting('gatehouse.scope', true), '')));
ALTER TABLE top_ups ENABLE ROW LEVEL SECURITY;
ALTER TABLE top_ups FORCE ROW LEVEL SECURITY;
CREATE POLICY team ON top_ups USING ((SELECT nullif(current_setting('gatehouse.scope', true), '')) = '*' OR team_id = (SELECT nullif(current_setting('gatehouse.scope', true), '')));
ALTER TABLE invoices ENABLE ROW LEVEL SECURITY;
ALTER TABLE invoices FORCE ROW LEVEL SECURITY;
CREATE POLICY team ON invoices USING ((SELECT nullif(current_setting('gatehouse.scope', true), '')) = '*' OR team_id = (SELECT nullif(current_setting('gatehouse.scope', true), '')));
ALTER TABLE invitations ENABLE ROW LEVEL SECURITY;
ALTER TABLE invitations FORCE ROW LEVEL SECURITY;
CREATE POLICY team ON invitations USING ((SELECT nullif(current_setting('gatehouse.scope', true), '')) = '*' OR team_id = (SELECT nullif(current_setting('gatehouse.scope', true), '')));
ALTER TABLE alert_hooks ENABLE ROW LEVEL SECURITY;
ALTER TABLE alert_hooks FORCE ROW LEVEL SECURITY;
CREATE POLICY team ON alert_hooks USING ((SELECT nullif(current_setting('gatehouse.scope', true), '')) = '*' OR team_id = (SELECT nullif(current_setting('gatehouse.scope', true), '')));
ALTER TABLE postings ENABLE ROW LEVEL SECURITY;
ALTER TABLE postings FORCE ROW LEVEL SECURITY;
CREATE POLICY team ON postings USING ((SELECT nullif(current_setting('gatehouse.scope', true), '')) = '*' OR team_id = (SELECT nullif(current_setting('gatehouse.scope', true), '')));
ALTER TABLE balances ENABLE ROW LEVEL SECURITY;
ALTER TABLE balances FORCE ROW LEVEL SECURITY;
CREATE POLICY team ON balances USING ((SELECT nullif(current_setting('gatehouse.scope', true), '')) = '*' OR team_id = (SELECT nullif(current_setting('gatehouse.scope', true), '')));
ALTER TABLE charges ENABLE ROW LEVEL SECURITY;
ALTER TABLE charges FORCE ROW LEVEL SECURITY;
CREATE POLICY team ON charges USING ((SELECT nullif(current_setting('gatehouse.scope', true), '')) = '*' OR team_id = (SELECT nullif(current_setting('gatehouse.scope', true), '')));
ALTER TABLE fund_spent ENABLE ROW LEVEL SECURITY;
ALTER TABLE fund_spent FORCE ROW LEVEL SECURITY;
CREATE POLICY team ON fund_spent USING ((SELECT nullif(current_setting('gatehouse.scope', true), '')) = '*' OR team_id = (SELECT nullif(current_setting('gatehouse.scope', true), '')));
ALTER TABLE holds ENABLE ROW LEVEL SECURITY;
ALTER TABLE holds FORCE ROW LEVEL SECURITY;
CREATE POLICY team ON holds USING ((SELECT nullif(current_setting('gatehouse.scope', true), '')) = '*' OR team_id = (SELECT nullif(current_setting('gatehouse.scope', true), '')));
ALTER TABLE alerts ENABLE ROW LEVEL SECURITY;
ALTER TABLE alerts FORCE ROW LEVEL SECURITY;
CREATE POLICY team ON alerts USING ((SELECT nullif(current_setting('gatehouse.scope', true), '')) = '*' OR team_id = (SELECT nullif(current_setting('gatehouse.scope', true), '')));
-- What has no team is the installation's alone.
ALTER TABLE alerts_sent ENABLE ROW LEVEL SECURITY;
ALTER TABLE alerts_sent FORCE ROW LEVEL SECURITY;
CREATE POLICY system ON alerts_sent USING ((SELECT nullif(current_setting('gatehouse.scope', true), '')) = '*');
ALTER TABLE sign_ins ENABLE ROW LEVEL SECURITY;
ALTER TABLE sign_ins FORCE ROW LEVEL SECURITY;
CREATE POLICY system ON sign_ins USING ((SELECT nullif(current_setting('gatehouse.scope', true), '')) = '*');
