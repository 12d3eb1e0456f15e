-- +goose Up
-- Which of the truth's editions a document is made of. What was indexed before
-- does not say, and is none: it is indexed anew.
ALTER TABLE index_documents ADD COLUMN generation BIGINT NOT NULL DEFAULT 0;
