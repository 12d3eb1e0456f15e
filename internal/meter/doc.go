// Package meter counts what was consumed, exactly once, whoever dies in
// between.
//
// A gateway holds a [Journal]: a write-ahead log of its requests. Begin writes
// what is known at admission before the first upstream byte; Close writes the
// rest. A [Shipper] reads synced records back in the order of their closing and
// hands them as [Batch]es to a [Sink]: the [Ingester] of the same process, or a
// connection to one. The Ingester rates each record with the price in force at
// its start and inserts it, its high-water mark and the rollups in one
// transaction. [Analyze] answers questions about what was inserted.
//
// # Exactly once
//
// Three rules carry the promise, and each covers the hole of another:
//
//   - A record's ID is fixed before the request leaves and ingest is unique on
//     it, so shipping twice is harmless: replay is always allowed.
//   - A segment is deleted only after every record in it was acknowledged and
//     every request opened in it is closed or written again further on, so not
//     shipping is impossible while the disk lives.
//   - An open record without a close in a dead incarnation becomes one record
//     with the outcome Interrupted and an estimate, so a crash hides nothing.
//
// The high-water mark per (gateway, incarnation) makes replay cheap, and stands
// in for the ids of rows that retention dropped: a volume that comes back after
// a year adds nothing. [ShipDir] reads such a volume; it is a start of its
// gateway without the gateway.
//
// # What is full says no
//
// A journal that cannot be shipped grows to its limit and then refuses new
// requests, while those that began are still written down. Memory stays bounded
// on the way: what is not shipped is on disk, ids of objects included.
//
// # The journal's format
//
// See format.go for frames and record.go for payloads. Both are final: files
// of an older version of the program are read after an upgrade.
package meter
