package meter

import (
	"math"
	"math/bits"
	"sync/atomic"
	"time"
)

const (
	// subBits: each power of two is divided into 2^subBits buckets, so that a quantile is off by a sixteenth at most.
	subBits = 3
	subs    = 1 << subBits
	// maxBits bounds values: 2^37 microseconds are 38 hours, 2^37 bytes 128 GB. Larger ones count as the largest.
	maxBits = 37
	buckets = subs + (maxBits-subBits)*subs
	// weight is what one observation adds to its bucket; fading takes it down from there without losing it to rounding at once.
	weight = 1 << 20
	// halfLife is how fast the past fades: that of the sample that Kafka's histograms keep (alpha 0.015 a second).
	halfLife = 46 * time.Second
)

// Histogram is a distribution of values of which the recent ones count most. Its zero value is ready. Observe may be called from any
// goroutine; whoever reads it sees to it that nobody else does.
type Histogram struct {
	cells [buckets]atomic.Uint64
	faded time.Time // when the past faded last; the reader's
}

func bucketOf(v uint64) int {
	if v < subs {
		return int(v)
	}
	e := bits.Len64(v) - 1
	if e >= maxBits {
		return buckets - 1
	}
	return (e-subBits+1)*subs + int(v>>(e-subBits))&(subs-1)
}

// middle is the value that stands for a bucket.
func middle(bucket int) float64 {
	if bucket < subs {
		return float64(bucket)
	}
	shift := bucket/subs - 1
	low := uint64(subs+bucket%subs) << shift
	return float64(low) + float64(uint64(1)<<shift-1)/2
}

// Observe takes in a value; a negative one counts as 0.
func (h *Histogram) Observe(v int64) { h.cells[bucketOf(uint64(max(v, 0)))].Add(weight) }

// Quantiles are the points that the JMX exporter's rules show.
var Quantiles = [...]struct {
	Label string
	Point float64
}{{"0.50", 0.5}, {"0.75", 0.75}, {"0.95", 0.95}, {"0.98", 0.98}, {"0.99", 0.99}, {"0.999", 0.999}}

// Values are a histogram's values at Quantiles.
type Values [len(Quantiles)]float64

// Read computes the quantiles of several histograms as if they were one, and lets their past fade. Those that are nil are empty; of
// nothing all values are 0, as in Kafka.
func Read(now time.Time, hs ...*Histogram) Values {
	var sum [buckets]uint64
	total := uint64(0)
	for _, h := range hs {
		if h == nil {
			continue
		}
		own := uint64(0)
		for i := range h.cells {
			n := h.cells[i].Load()
			sum[i] += n
			own += n
		}
		total += own
		h.fade(now, own)
	}
	var out Values
	if total == 0 {
		return out
	}
	seen, q := uint64(0), 0
	for i, n := range sum {
		seen += n
		for q < len(out) && float64(seen) >= Quantiles[q].Point*float64(total) && n > 0 {
			out[q] = middle(i)
			q++
		}
	}
	return out
}

// fade makes what was observed so far count less, but never less than one observation: an idle histogram keeps what it saw last.
func (h *Histogram) fade(now time.Time, total uint64) {
	if h.faded.IsZero() {
		h.faded = now
		return
	}
	keep := math.Exp2(-float64(now.Sub(h.faded)) / float64(halfLife))
	if keep >= 1 {
		return
	}
	h.faded = now
	if float64(total)*keep < weight {
		if total <= weight {
			return
		}
		keep = weight / float64(total)
	}
	for i := range h.cells {
		if n := h.cells[i].Load(); n > 0 {
			h.cells[i].Add(-uint64(float64(n) * (1 - keep)))
		}
	}
}

// Timer counts durations and keeps their distribution in microseconds. Its zero value is ready.
type Timer struct {
	Count atomic.Int64
	Hist  Histogram
}

// Observe takes in a duration. A nil Timer takes nothing.
func (t *Timer) Observe(d time.Duration) {
	if t == nil {
		return
	}
	t.Count.Add(1)
	t.Hist.Observe(int64(d / time.Microsecond))
}

// Since takes in the time that has passed since begun. A nil Timer takes nothing.
func (t *Timer) Since(begun time.Time) {
	if t != nil {
		t.Observe(time.Since(begun))
	}
}

// Milliseconds turns values in microseconds into what Kafka's time metrics are in.
func (v Values) Milliseconds() Values {
	for i := range v {
		v[i] /= 1000
	}
	return v
}
