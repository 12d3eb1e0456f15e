// Package engine starts the real PostgreSQL, Redis (or Valkey) and S3 server that
// tests run against: on loopback, on a free port, in a directory of their own, and
// gone with the test process. Nothing is mocked and nothing is skipped: a
// missing program fails the test with the command that installs it.
package engine
