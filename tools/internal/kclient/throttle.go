package kclient

import (
	"context"
	"time"
)

// Throttle slows a loop down to so many rounds a second; a negative rate does not, and 0 stops it after the first.
type Throttle struct {
	Rate  int64
	Start time.Time
	owed  time.Duration
}

// leastPause is the shortest sleep that is worth its inaccuracy; what is shorter is saved up.
const leastPause = 2 * time.Millisecond

// Pause is called after round n (from 0), which began at now, and returns when the next may begin.
func (t *Throttle) Pause(ctx context.Context, n int64, now time.Time) {
	elapsed := now.Sub(t.Start).Truncate(time.Millisecond).Seconds()
	if t.Rate < 0 || elapsed <= 0 || float64(n)/elapsed <= float64(t.Rate) {
		return
	}
	if t.Rate == 0 {
		<-ctx.Done()
		return
	}
	if t.owed += time.Second / time.Duration(t.Rate); t.owed < leastPause {
		return
	}
	timer := time.NewTimer(t.owed)
	defer timer.Stop()
	select {
	case <-timer.C:
		t.owed = 0
	case <-ctx.Done():
	}
}
