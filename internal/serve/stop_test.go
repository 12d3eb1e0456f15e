package serve

import (
	"context"
	"testing"
	"testing/synctest"
	"time"
)

// A stream that outlasts the drain does not take the time of what comes after
// it: the usage of all others is still ingested.
func TestEveryStepOfAStopHasTimeOfItsOwn(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		p := &program{}
		p.later("usage", func(ctx context.Context) error {
			time.Sleep(stepTime / 2)
			return ctx.Err()
		})
		p.later("stream", func(ctx context.Context) error {
			<-ctx.Done()
			return nil
		})
		began := time.Now()
		if err := p.stop(); err != nil {
			t.Error(err)
		}
		if took := time.Since(began); took != drainTime+stepTime/2 {
			t.Errorf("stopped after %s", took)
		}
	})
}
