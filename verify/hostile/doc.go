// Package hostile is a corpus of documents that mean harm: they unpack to far
// more than they are, lead back to themselves, are cut, name paths that are
// not theirs, or say that they are what they are not. Its tests give them to the
// extraction; those of verify upload them.
package hostile
