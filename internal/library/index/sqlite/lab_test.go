package sqlite

import (
	"context"
	"fmt"
	"path/filepath"
	"testing"

	"gatehouse"
	"gatehouse/internal/library/index"
	"gatehouse/internal/library/index/sqlindex"
	"gatehouse/internal/library/indextest"
)

func TestLab(t *testing.T) {
	ctx, team, collection := context.Background(), gatehouse.NewID(), gatehouse.NewID()
	ix, _ := Open(ctx, filepath.Join(t.TempDir(), "i.db"), sqlindex.Options{})
	defer ix.Close()
	ix.PutCollection(ctx, team, index.Collection{ID: collection})
	c := indextest.NewCorpus(1, 4)
	bytes, took := c.Fill(t, ix, team, collection, 100_000)
	fmt.Println("MB/s", float64(bytes)/1e6/took.Seconds())
	same, first, all := 0, 0, 0
	for range 60 {
		q := c.Query(collection)
		q.Mode = index.Keyword
		manyMatches, manyOccurrences = 12_000, 60_000
		a, _ := ix.Search(ctx, team, q)
		manyMatches, manyOccurrences = 1e9, 1e9
		b, _ := ix.Search(ctx, team, q)
		for i := range b {
			for _, x := range a {
				if x.ChunkID == b[i].ChunkID {
					same++
					if i == 0 {
						first++
					}
				}
			}
			all++
		}
	}
	fmt.Println("top10 overlap", float64(same)/float64(all), "first kept", float64(first)/60)
}
