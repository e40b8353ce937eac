package handlers

import (
	"testing"
	"testing/synctest"
	"time"
)

type expiries struct {
	began time.Time
	at    map[uint64]time.Duration
}

func (e *expiries) expire(ticket uint64) { e.at[ticket] = time.Since(e.began) }

// Each wait ends at its own time, whatever the order in which they began, and those that were removed never do.
func TestDeadlines(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var l deadlines
		e := &expiries{time.Now(), map[uint64]time.Duration{}}
		ds := make([]deadline, 100)
		for i := range ds {
			ds[i].index = -1
			l.add(&ds[i], time.Duration(1+i*37%100)*time.Millisecond, e, uint64(i))
		}
		for i := 0; i < len(ds); i += 3 {
			l.remove(&ds[i])
			l.remove(&ds[i])
		}
		time.Sleep(50500 * time.Microsecond)
		l.add(&ds[0], time.Millisecond, e, 1000)
		time.Sleep(time.Second)
		synctest.Wait()
		for i := range ds {
			at, ok := e.at[uint64(i)]
			if i%3 == 0 == ok || ok && at != time.Duration(1+i*37%100)*time.Millisecond {
				t.Errorf("%d expired after %v: %v", i, at, ok)
			}
		}
		if e.at[1000] != 51500*time.Microsecond {
			t.Error("added later:", e.at[1000])
		}
		if len(l.list) != 0 || !l.armed.IsZero() {
			t.Error("the timer runs for nobody")
		}
	})
}
