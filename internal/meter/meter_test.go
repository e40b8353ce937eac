package meter

import (
	"math"
	"sync"
	"testing"
	"time"
)

var epoch = time.Unix(1_000_000, 0)

func TestQuantilesAreWithinASixteenth(t *testing.T) {
	var h Histogram
	for v := int64(1); v <= 100_000; v++ {
		h.Observe(v)
	}
	got := Read(epoch, &h)
	for i, q := range Quantiles {
		want := q.Point * 100_000
		if math.Abs(got[i]-want) > want/16 {
			t.Errorf("quantile %s of 1..100000 is %v", q.Label, got[i])
		}
	}
}

func TestEveryValueHasABucketThatHoldsIt(t *testing.T) {
	last := -1
	for e := range 64 {
		for _, v := range []uint64{1<<e - 1, 1 << e, 1<<e + 1<<e/3} {
			b := bucketOf(v)
			if b < 0 || b >= buckets {
				t.Fatalf("%d falls into bucket %d of %d", v, b, buckets)
			}
			if v < 1<<maxBits {
				if m := middle(b); math.Abs(m-float64(v)) > float64(v)/8 {
					t.Errorf("%d falls into the bucket of %v", v, m)
				}
			}
			if b < last-1 {
				t.Errorf("bucket of %d is %d, after %d", v, b, last)
			}
			last = b
		}
	}
}

func TestNothingObservedIsZero(t *testing.T) {
	if got := Read(epoch, nil, &Histogram{}); got != (Values{}) {
		t.Errorf("quantiles of nothing are %v", got)
	}
}

func TestThePastFades(t *testing.T) {
	var h Histogram
	for range 1000 {
		h.Observe(1000)
	}
	Read(epoch, &h)
	now := epoch
	for range 20 { // five minutes of scrapes
		now = now.Add(15 * time.Second)
		Read(now, &h)
	}
	for range 100 {
		h.Observe(10)
	}
	got := Read(now.Add(time.Second), &h)
	if got[0] > 11 || got[1] > 11 {
		t.Errorf("five minutes later 0.50 is %v and 0.75 %v, want what came since: 10", got[0], got[1])
	}
}

func TestAnIdleHistogramKeepsWhatItSawLast(t *testing.T) {
	var h Histogram
	h.Observe(700)
	now := epoch
	for range 1000 {
		now = now.Add(time.Minute)
		if got := Read(now, &h)[4]; math.Abs(got-700) > 50 {
			t.Fatalf("after %v of idleness 0.99 is %v", now.Sub(epoch), got)
		}
	}
}

func TestObservationsDuringReadsAreNotLost(t *testing.T) {
	var tm Timer
	var wg sync.WaitGroup
	for range 4 {
		wg.Go(func() {
			for range 10_000 {
				tm.Observe(time.Millisecond)
			}
		})
	}
	now := epoch
	for range 100 {
		now = now.Add(time.Second)
		Read(now, &tm.Hist)
	}
	wg.Wait()
	if n := tm.Count.Load(); n != 40_000 {
		t.Errorf("%d of 40000 counted", n)
	}
	if got := Read(now, &tm.Hist).Milliseconds()[0]; math.Abs(got-1) > 0.07 {
		t.Errorf("the median of 1 ms is %v", got)
	}
}

func BenchmarkObserve(b *testing.B) {
	var tm Timer
	b.ReportAllocs()
	b.RunParallel(func(pb *testing.PB) {
		for i := time.Duration(0); pb.Next(); i++ {
			tm.Observe(i & 0xffff)
		}
	})
}
