// Package feed carries what the management plane said to where it is enforced:
// the tail of changes on one side, the gateway's replica on the other.
//
// A [Source] turns the store's changes into signed batches. A [Follower] pulls
// them, verifies, applies them to a [Replica] and acknowledges, with its next
// poll, the revision that the replica enforces. The replica answers the
// gateway's hot path without locks. [Propagated] computes from the
// acknowledgements what may honestly be called propagated.
//
// # The rules that the safety argument rests on
//
//   - The log is truth. Wake-ups are hints; every waiter also polls.
//   - A bad signature refuses the whole batch. A validly signed but invalid
//     record is denied alone, and its reason travels back as Poll.Problem.
//   - Batches chain by From and To; older, repeated and reordered ones are
//     refused. The applied revision never decreases within an epoch, and a new
//     epoch begins with a snapshot.
//   - Tombstones of keys outlive snapshots and epochs: a restored backup that
//     holds a deleted key does not revive it here.
//   - A lease is granted only with a batch that ends at the newest revision, read
//     after the poll arrived, and lives from when the poll was sent. Polls share
//     a reading only if it began after each of them.
//   - A revision is acknowledged only after the replica serves it.
package feed
