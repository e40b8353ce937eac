package replication

import (
	"math"
	"slices"
	"sync"
	"sync/atomic"
	"time"

	"gregor/storage"
)

// Unthrottled is the rate of a Throttle that lets everything pass.
const Unthrottled int64 = math.MaxInt64

// Throttle measures the bytes of throttled replicas in a sliding window, and says when they are too many. What passes is counted, not
// cut: a rate that is exceeded stops throttled replicas until the window has room again. It is safe for concurrent use; nil throttles nothing.
type Throttle struct {
	rate   atomic.Int64
	window time.Duration // of one sample
	keep   int           // samples

	mu      sync.Mutex
	samples []throttleSample // by time; the last is being filled

	topics struct {
		sync.RWMutex
		set map[string][]int32 // nil: all partitions
	}
	any atomic.Bool // some topic has throttled replicas
}

type throttleSample struct {
	begun time.Time
	bytes int64
}

// NewThrottle measures over so many samples, the last of which is not over yet.
func NewThrottle(samples int, window time.Duration) *Throttle {
	t := &Throttle{window: max(window, time.Second), keep: max(samples, 1)}
	t.rate.Store(Unthrottled)
	t.topics.set = map[string][]int32{}
	return t
}

// SetRate changes the rate, in bytes per second.
func (t *Throttle) SetRate(rate int64) { t.rate.Store(rate) }

// SetTopic says which partitions of a topic are throttled here: all, or those of the list.
func (t *Throttle) SetTopic(topic string, all bool, partitions []int32) {
	t.topics.Lock()
	defer t.topics.Unlock()
	switch {
	case all:
		t.topics.set[topic] = nil
	case len(partitions) > 0:
		t.topics.set[topic] = partitions
	default:
		delete(t.topics.set, topic)
	}
	t.any.Store(len(t.topics.set) > 0)
}

// Covers says whether a partition's replica is throttled.
func (t *Throttle) Covers(topic string, partition int32) bool {
	if t == nil || !t.any.Load() {
		return false
	}
	t.topics.RLock()
	defer t.topics.RUnlock()
	list, ok := t.topics.set[topic]
	return ok && (list == nil || slices.Contains(list, partition))
}

func (t *Throttle) covers(tp storage.TopicPartition) bool { return t.Covers(tp.Topic, tp.Partition) }

// Record counts bytes that passed.
func (t *Throttle) Record(bytes int, now time.Time) {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.forget(now)
	if n := len(t.samples); n == 0 || now.Sub(t.samples[n-1].begun) >= t.window {
		t.samples = append(t.samples, throttleSample{begun: now})
	}
	t.samples[len(t.samples)-1].bytes += int64(bytes)
}

// forget drops samples that are too old to count.
func (t *Throttle) forget(now time.Time) {
	old := 0
	for old < len(t.samples) && now.Sub(t.samples[old].begun) >= time.Duration(t.keep)*t.window {
		old++
	}
	t.samples = slices.Delete(t.samples, 0, old)
}

// Exceeded says whether throttled replicas must wait.
func (t *Throttle) Exceeded(now time.Time) bool { return t.Wait(now) > 0 }

// Wait is how long throttled replicas must wait from now on, if nothing else passes meanwhile.
func (t *Throttle) Wait(now time.Time) time.Duration {
	if t == nil {
		return 0
	}
	rate := t.rate.Load()
	if rate == Unthrottled {
		return 0
	}
	t.mu.Lock()
	defer t.mu.Unlock()
	t.forget(now)
	if len(t.samples) == 0 {
		return 0
	}
	var sum int64
	for _, s := range t.samples {
		sum += s.bytes
	}
	passed := max(now.Sub(t.samples[0].begun), t.window)
	whole := time.Duration(t.keep) * t.window
	if float64(sum) <= float64(rate)*passed.Seconds() {
		return 0
	}
	// It is enough if the samples grow old, or fall out of the window.
	wait := whole - now.Sub(t.samples[0].begun)
	if rate > 0 {
		wait = min(wait, time.Duration(float64(sum)/float64(rate)*float64(time.Second))-passed)
	}
	return max(wait, time.Millisecond)
}
