-- +goose Up
-- What teams pay by, and how people come in.
CREATE TABLE billing_accounts (
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
CREATE TABLE top_ups (
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
CREATE INDEX top_ups_1 ON top_ups (created_us, id) WHERE deleted_us = 0;
CREATE INDEX top_ups_2 ON top_ups (team_id, created_us, id) WHERE deleted_us = 0;
CREATE TABLE invoices (
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
CREATE INDEX invoices_1 ON invoices (team_id, created_us, id) WHERE deleted_us = 0;
-- The name is the cycle that an invoice closes.
CREATE INDEX invoices_2 ON invoices (team_id, name) WHERE deleted_us = 0;
CREATE TABLE invitations (
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
CREATE INDEX invitations_1 ON invitations (created_us, id) WHERE deleted_us = 0;
CREATE INDEX invitations_2 ON invitations (team_id, created_us, id) WHERE deleted_us = 0;
CREATE TABLE alert_hooks (
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
CREATE INDEX alert_hooks_1 ON alert_hooks (team_id, created_us, id) WHERE deleted_us = 0;
-- The name is the subject that somebody signs in as.
CREATE INDEX users_3 ON users (name) WHERE deleted_us = 0 AND name <> '';

-- The ledger. Postings are for ever: a mistake is mended by another.
CREATE TABLE postings (
  id      TEXT   NOT NULL PRIMARY KEY,
  team_id TEXT   NOT NULL,
  time_us BIGINT NOT NULL,
  kind    TEXT   NOT NULL,
  cycle   BIGINT NOT NULL,
  ref     TEXT   NOT NULL,
  note    TEXT   NOT NULL,
  entries TEXT   NOT NULL
);
CREATE INDEX postings_1 ON postings (team_id, time_us, id);
CREATE INDEX postings_2 ON postings (team_id, time_us, id) WHERE kind IN ('grant', 'refund');
-- +goose StatementBegin
CREATE TRIGGER postings_no_delete BEFORE DELETE ON postings
BEGIN
  SELECT RAISE(ABORT, 'the ledger is append-only');
END;
-- +goose StatementEnd
-- +goose StatementBegin
CREATE TRIGGER postings_no_update BEFORE UPDATE ON postings
BEGIN
  SELECT RAISE(ABORT, 'the ledger is append-only');
END;
-- +goose StatementEnd

-- The sums of postings' entries; used tells those of usage and adjustments, and
-- for_cycle when their requests were made: it may be before what is closed.
CREATE TABLE balances (
  team_id   TEXT    NOT NULL,
  account   TEXT    NOT NULL,
  cycle     BIGINT  NOT NULL,
  for_cycle BIGINT  NOT NULL,
  used      INTEGER NOT NULL,
  amount    BIGINT  NOT NULL,
  PRIMARY KEY (team_id, account, cycle, for_cycle, used)
) WITHOUT ROWID;

-- What usage postings are for, summed.
CREATE TABLE charges (
  team_id   TEXT   NOT NULL,
  cycle     BIGINT NOT NULL,
  for_cycle BIGINT NOT NULL,
  cluster   TEXT   NOT NULL,
  model     TEXT   NOT NULL,
  unit      BIGINT NOT NULL,
  price     BIGINT NOT NULL,
  units     BIGINT NOT NULL,
  ticks     BIGINT NOT NULL,
  PRIMARY KEY (team_id, cycle, for_cycle, cluster, model, unit, price)
) WITHOUT ROWID;

-- What was ingested on each period and subject of a budget.
CREATE TABLE fund_spent (
  budget  TEXT   NOT NULL,
  start_s BIGINT NOT NULL,
  subject TEXT   NOT NULL,
  team_id TEXT   NOT NULL,
  ticks   BIGINT NOT NULL,
  PRIMARY KEY (budget, start_s, subject)
) WITHOUT ROWID;
CREATE INDEX fund_spent_1 ON fund_spent (start_s) WHERE start_s <> 0;

-- What gateways drew. A hold is open while it drew more than came back.
CREATE TABLE holds (
  id          TEXT   NOT NULL PRIMARY KEY,
  team_id     TEXT   NOT NULL,
  fund        TEXT   NOT NULL,
  gateway     TEXT   NOT NULL,
  incarnation BIGINT NOT NULL,
  seq         BIGINT NOT NULL,
  drawn       BIGINT NOT NULL,
  returned    BIGINT NOT NULL,
  ingested    BIGINT NOT NULL,
  since_us    BIGINT NOT NULL,
  seen_us     BIGINT NOT NULL
);
CREATE UNIQUE INDEX holds_1 ON holds (fund, gateway, incarnation);
CREATE INDEX holds_2 ON holds (since_us, id) WHERE drawn > returned + ingested;
CREATE INDEX holds_3 ON holds (gateway, incarnation) WHERE drawn > returned + ingested;
CREATE INDEX holds_4 ON holds (seen_us) WHERE drawn <= returned + ingested;

CREATE TABLE alerts (
  id      TEXT   NOT NULL PRIMARY KEY,
  team_id TEXT   NOT NULL,
  time_us BIGINT NOT NULL,
  record  TEXT   NOT NULL
);
CREATE INDEX alerts_1 ON alerts (team_id, time_us, id);
CREATE INDEX alerts_2 ON alerts (time_us, id);
-- Which shares of which funds somebody was told of, and when; 0 is for ever.
CREATE TABLE alerts_sent (
  fund    TEXT   NOT NULL,
  share   BIGINT NOT NULL,
  sent_us BIGINT NOT NULL,
  PRIMARY KEY (fund, share)
) WITHOUT ROWID;
CREATE INDEX alerts_sent_1 ON alerts_sent (sent_us) WHERE sent_us <> 0;

-- Who is signed in by an identity provider.
CREATE TABLE sign_ins (
  user_id    TEXT   NOT NULL PRIMARY KEY,
  sealed     BLOB   NOT NULL,
  checked_us BIGINT NOT NULL
);
