-- +goose Up
-- Jobs that one node at a time does, and the freeze of mutations.
CREATE TABLE leases (
  name     TEXT   NOT NULL PRIMARY KEY,
  holder   TEXT   NOT NULL,
  until_us BIGINT NOT NULL
);
