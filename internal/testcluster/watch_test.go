package testcluster_test

import (
	"context"
	"fmt"
	"slices"
	"testing/synctest"
	"time"

	"gregor/broker"
	"gregor/zkmeta"
)

// watcher checks what must hold all the time.
type watcher struct {
	s    *sim
	led  map[string]int // partition and leader epoch: who led
	hw   map[string]int64
	seen map[*broker.Broker]int // numbers them, and keeps them from being taken for each other
	// said is how often somebody was found to talk without end.
	said int
	zk   map[zkmeta.TopicPartition]zkmeta.PartitionState
}

func newWatcher(s *sim) *watcher {
	return &watcher{s: s, led: map[string]int{}, hw: map[string]int64{}, seen: map[*broker.Broker]int{}, zk: map[zkmeta.TopicPartition]zkmeta.PartitionState{}}
}

// brokers looks at all brokers again and again, each time when nothing happens in the whole cluster: what it sees is of one moment.
func (w *watcher) brokers(ctx context.Context) {
	second := time.Now()
	for ctx.Err() == nil {
		pause(ctx, 25*time.Millisecond)
		synctest.Wait()
		if time.Since(second) >= time.Second {
			w.traffic()
			second = time.Now()
		}
		for _, n := range w.s.nodes {
			b := n.broker()
			if b == nil {
				continue
			}
			for p := range int32(partitions) {
				r, ok := b.Replica(topic, p)
				if !ok {
					continue
				}
				if r.LogStart > r.LSO || r.LSO > r.HW || r.HW > r.LogEnd {
					w.s.problem("partition %d on broker %d: %+v", p, n.id, r)
				}
				if !r.Leading {
					continue
				}
				at := fmt.Sprintf("%d/%d", p, r.LeaderEpoch)
				if id, known := w.led[at]; known && id != n.id {
					w.s.problem("partition %d is led by brokers %d and %d in epoch %d", p, id, n.id, r.LeaderEpoch)
				}
				w.led[at] = n.id
				if w.seen[b] == 0 {
					w.seen[b] = len(w.seen) + 1
				}
				at = fmt.Sprintf("%s by %d", at, w.seen[b])
				if r.HW < w.hw[at] {
					w.s.problem("the high watermark of partition %d fell from %d to %d on its leader %d, epoch %d", p, w.hw[at], r.HW, n.id, r.LeaderEpoch)
				}
				w.hw[at] = r.HW
			}
		}
	}
}

// traffic looks whether anybody talks without end: it would still come to its end, and cost a processor.
func (w *watcher) traffic() {
	for way, n := range w.s.net.Sent() {
		if n < mostInASecond || way[0] == "clients" || way[1] == "clients" {
			continue // a client that is told that its broker does not lead asks again at once
		}
		if w.said++; w.said > 3 {
			return
		}
		w.s.problem("%s has sent %d times to %s within a second", way[0], n, way[1])
		for _, n := range w.s.nodes {
			if b := n.broker(); b != nil {
				for p := range int32(partitions) {
					if r, ok := b.Replica(topic, p); ok {
						w.s.note("broker %d: partition %d: %+v", n.id, p, r)
					}
				}
			}
		}
	}
}

// mostInASecond is several times what the load makes.
const mostInASecond = 1500

// zookeeper follows the states in ZooKeeper.
func (w *watcher) zookeeper(ctx context.Context) {
	host := w.s.net.Host("watcher")
	var c *zkmeta.Client
	for c == nil && ctx.Err() == nil {
		c, _ = zkmeta.Dial(ctx, zkmeta.Options{Connect: "zk:2181", SessionTimeout: 10 * time.Second, Dialer: host.Dial})
	}
	if c == nil {
		return
	}
	defer c.Close()
	var tps []zkmeta.TopicPartition
	for p := range int32(partitions) {
		tps = append(tps, zkmeta.TopicPartition{Topic: topic, Partition: p})
	}
	for ctx.Err() == nil {
		pause(ctx, 100*time.Millisecond)
		limit, cancel := context.WithTimeout(ctx, 2*time.Second)
		states, err := c.PartitionStates(limit, tps)
		cancel()
		if err == nil {
			w.states(states)
		}
	}
}

func (w *watcher) states(now map[zkmeta.TopicPartition]zkmeta.PartitionState) {
	for tp, st := range now {
		old, known := w.zk[tp]
		w.zk[tp] = st
		if len(st.ISR) == 0 || st.Leader >= 0 && !slices.Contains(st.ISR, st.Leader) {
			w.s.problem("%v: no ISR, or a leader outside it: %+v", tp, st)
		}
		if !known || st.Version == old.Version {
			continue
		}
		switch {
		case st.Version < old.Version, st.LeaderEpoch < old.LeaderEpoch, st.ControllerEpoch < old.ControllerEpoch:
			w.s.problem("%v: %+v follows %+v", tp, st, old)
		case st.LeaderEpoch == old.LeaderEpoch && st.Leader != old.Leader:
			w.s.problem("%v: two leaders in one epoch: %+v follows %+v", tp, st, old)
		}
	}
}
