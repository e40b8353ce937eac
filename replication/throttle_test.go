package replication

import (
	"testing"
	"time"

	"gregor/storage"
)

func TestThrottleHoldsTheRate(t *testing.T) {
	th := NewThrottle(11, time.Second)
	th.SetRate(1000)
	now := time.Unix(1000, 0)
	begun, sum := now, 0
	for now.Sub(begun) < 60*time.Second {
		if wait := th.Wait(now); wait > 0 {
			now = now.Add(wait)
			continue
		}
		th.Record(700, now)
		sum += 700
		now = now.Add(10 * time.Millisecond)
	}
	if sum < 55_000 || sum > 65_000 {
		t.Errorf("%d bytes in a minute at 1000 a second", sum)
	}
	th.SetRate(Unthrottled)
	if th.Exceeded(now) {
		t.Error("no rate is exceeded")
	}
	th.SetRate(0)
	if th.Record(1, now); !th.Exceeded(now) {
		t.Error("nothing may pass at rate 0")
	}
}

func TestThrottleCoversItsReplicas(t *testing.T) {
	th := NewThrottle(11, time.Second)
	var none *Throttle
	check := func(want bool, topic string, partition int32) {
		t.Helper()
		if th.covers(storage.TopicPartition{Topic: topic, Partition: partition}) != want || none.Covers(topic, partition) {
			t.Error(topic, partition)
		}
	}
	check(false, "a", 0)
	th.SetTopic("a", true, nil)
	th.SetTopic("b", false, []int32{1, 3})
	check(true, "a", 7)
	check(true, "b", 3)
	check(false, "b", 2)
	th.SetTopic("a", false, nil)
	check(false, "a", 7)
}
