-- +goose Up
-- Gateways that join over the network, and the tokens they join by.
CREATE TABLE join_tokens (
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
CREATE INDEX join_tokens_1 ON join_tokens (created_us, id) WHERE deleted_us = 0;
CREATE TABLE memberships (
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
