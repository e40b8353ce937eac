package server

import (
	"math"
	"testing"
	"time"
)

func TestRateLimitSpacesConnections(t *testing.T) {
	start := time.Unix(1_600_000_000, 0)
	r := newRateLimit(10)
	for i := range 10 {
		if d := r.wait(start); d != 0 {
			t.Fatalf("connection %d of the first second waits %v", i, d)
		}
	}
	for i := 1; i <= 5; i++ {
		if d, want := r.wait(start), time.Duration(i)*100*time.Millisecond; d.Round(time.Millisecond) != want {
			t.Errorf("connection %d over the rate waits %v, want %v", i, d, want)
		}
	}
	if d := r.wait(start.Add(time.Hour)); d != 0 {
		t.Errorf("after an hour without connections one waits %v", d)
	}
	for range 9 {
		r.wait(start.Add(time.Hour))
	}
	if d := r.wait(start.Add(time.Hour)); d == 0 {
		t.Error("an hour without connections allows more than a second's worth at once")
	}
	for _, none := range []int{0, math.MaxInt32} {
		if d := newRateLimit(none).wait(start); d != 0 {
			t.Errorf("rate %d: waits %v", none, d)
		}
	}
}
