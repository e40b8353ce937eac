package handlers

import (
	"context"
	"errors"
	"io"
	"testing"
	"testing/synctest"
	"time"

	"github.com/sirupsen/logrus"
)

// away is a ZooKeeper that does not answer before its time.
type away struct{ until time.Time }

func (a away) ProducerIDBlock(ctx context.Context, _ int32) (first, last int64, err error) {
	t := time.NewTimer(time.Until(a.until))
	defer t.Stop()
	select {
	case <-t.C:
		return 1000, 1999, nil
	case <-ctx.Done():
		return 0, 0, ctx.Err()
	}
}

// While ZooKeeper is away everybody waits for the first block, and whoever may not wait any longer does not.
func TestWhoWaitsForProducerIDs(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		quiet := logrus.New()
		quiet.SetOutput(io.Discard)
		h := &InitProducerID{IDs: away{time.Now().Add(time.Minute)}, Log: quiet}
		go h.Prefetch(t.Context())
		synctest.Wait()
		short, cancel := context.WithTimeout(t.Context(), time.Second)
		defer cancel()
		if _, err := h.Take(short); !errors.Is(err, context.DeadlineExceeded) {
			t.Errorf("after its time: %v", err)
		}
		for want := int64(1000); want < 1003; want++ {
			if id, err := h.Take(t.Context()); err != nil || id != want {
				t.Errorf("%d %v, want %d", id, err, want)
			}
		}
	})
}
