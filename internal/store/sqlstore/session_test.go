package sqlstore

import (
	"context"
	"fmt"
	"testing"

	"gatehouse"
)

// Whoever is told of the end of patience as of a deadline of their own does not
// come again.
func TestADatabaseThatDoesNotAnswerIsUnavailable(t *testing.T) {
	err := failed(mute(fmt.Errorf("timeout: %w", context.DeadlineExceeded)))
	if gatehouse.CodeOf(err) != gatehouse.Unavailable {
		t.Errorf("got %v", err)
	}
}

// A table without columns would become a statement without values.
func TestADumpOfATableWithoutColumnsIsRefused(t *testing.T) {
	l := &loader{}
	if err := l.table([]byte(`{"Name":"audit","Columns":""}`)); gatehouse.CodeOf(err) != gatehouse.InvalidArgument {
		t.Errorf("got %v", err)
	}
}
