package sqlite_test

import (
	"context"
	"errors"
	"slices"
	"testing"

	"gatehouse"
	"gatehouse/internal/store"
)

// TestSnapshotKeepsItsOrder goes through more keys than are judged at a time:
// edited ones are left out, the others come in the order of the table and as of
// the snapshot, whatever changes meanwhile.
func TestSnapshotKeepsItsOrder(t *testing.T) {
	const many = 500
	v := newVault(t)
	var keys []*gatehouse.Key
	_, err := v.db.Update(context.Background(), gatehouse.Cause{}, func(tx store.Tx) error {
		keys = keys[:0]
		for i := range many {
			k := benchKey(v.team, int64(i))
			keys = append(keys, k)
			if err := tx.PutKey(k, created(v.team, k.Name)); err != nil {
				return err
			}
		}
		return nil
	})
	v.must(err)
	var want []gatehouse.ID
	for i, k := range keys {
		if i%7 == 3 {
			v.exec("UPDATE api_keys SET disabled = 1 - disabled WHERE id = ?", k.ID.String())
			continue
		}
		want = append(want, k.ID)
	}
	var got []gatehouse.ID
	v.must(v.db.View(context.Background(), func(w store.View) error {
		return w.AllKeys(func(k *gatehouse.Key) error {
			if len(got) == 0 {
				last := *keys[many-1]
				last.Name = "renamed"
				v.put(&last)
			}
			if k.Name == "renamed" {
				t.Error("the snapshot shows what came after it")
			}
			got = append(got, k.ID)
			return nil
		})
	}))
	if !slices.Equal(got, want) {
		t.Errorf("%d keys instead of %d, or in another order", len(got), len(want))
	}
	if len(v.said) != many-len(want) {
		t.Errorf("%d rows were reported, and %d edited", len(v.said), many-len(want))
	}
}

// TestSnapshotThatIsGivenUpEnds stops in the middle, where rows are still being
// judged.
func TestSnapshotThatIsGivenUpEnds(t *testing.T) {
	v := newVault(t)
	for i := range 300 {
		v.put(benchKey(v.team, int64(i)))
	}
	enough := errors.New("enough")
	for _, most := range []int{1, 64, 200, 299} {
		n := 0
		err := v.db.View(context.Background(), func(w store.View) error {
			return w.AllKeys(func(*gatehouse.Key) error {
				if n++; n == most {
					return enough
				}
				return nil
			})
		})
		if !errors.Is(err, enough) || n != most {
			t.Errorf("stopped at %d with %v instead of at %d", n, err, most)
		}
	}
}
