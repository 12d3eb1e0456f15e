package sqlstore

// The portable texts that engines replace, for [Dialect.Overrides]. A text that
// changes here must be looked at in every engine.
const (
	// SelectState reads the installation row, and LockState does so and holds it.
	SelectState = string(selectState)
	LockState   = string(lockState)
	// InsertRun appends a run: team, day, requests, four packs, team, day.
	InsertRun = string(insertRun)
	// DropRows drops usage before a day, some at a time: day, how many.
	DropRows = string(dropRows)
	// ClaimTask claims one task: holder, until, now. CondemnBlobs condemns some:
	// now twice, how many.
	ClaimTask    = string(claimTask)
	CondemnBlobs = string(condemnBlobs)
)
