// Package verify tortures the real program: it kills it, cuts its clients off,
// edits its database, and compares what it says afterwards with what an
// independent ledger saw. Each check is a test that runs a fraction of itself
// under make test, and a make verify-NAME that runs all of it, resumes where an
// earlier run stopped, prints one line and appends it to results.jsonl.
package verify
