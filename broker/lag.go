package broker

import (
	"context"
	"maps"
	"strconv"
	"sync"

	"github.com/twmb/franz-go/pkg/kmsg"

	"gregor/coordinator/group/fsm"
	"gregor/wire/peer"
)

// listOffsetsVersion is one that every broker that this one replicates with speaks: one offset for each partition.
const listOffsetsVersion = 1

// partitionEnds fills in how far consumers may read partitions that other brokers lead, as far as these answer before ctx ends.
func (b *Broker) partitionEnds(ctx context.Context, ends map[fsm.TP]int64) {
	byLeader := map[int32]*kmsg.ListOffsetsRequest{}
	at := map[int32]map[string]int{}
	for tp := range ends {
		leader, _, _, ok := b.cache.LeaderEndpoint(tp.Topic, tp.Partition, b.cfg.InterBrokerListener)
		if !ok || leader == b.cfg.ID {
			continue
		}
		req := byLeader[leader]
		if req == nil {
			req = kmsg.NewPtrListOffsetsRequest()
			req.Version, req.ReplicaID = listOffsetsVersion, -1
			byLeader[leader], at[leader] = req, map[string]int{}
		}
		i, ok := at[leader][tp.Topic]
		if !ok {
			i = len(req.Topics)
			at[leader][tp.Topic] = i
			req.Topics = append(req.Topics, kmsg.ListOffsetsRequestTopic{Topic: tp.Topic})
		}
		req.Topics[i].Partitions = append(req.Topics[i].Partitions, kmsg.ListOffsetsRequestTopicPartition{Partition: tp.Partition, CurrentLeaderEpoch: -1, Timestamp: -1})
	}
	var mu sync.Mutex
	var wg sync.WaitGroup
	for leader, req := range byLeader {
		wg.Go(func() {
			found := b.askEnds(ctx, leader, req)
			mu.Lock()
			defer mu.Unlock()
			maps.Copy(ends, found)
		})
	}
	wg.Wait()
}

func (b *Broker) askEnds(ctx context.Context, leader int32, req *kmsg.ListOffsetsRequest) map[fsm.TP]int64 {
	addr, ok := b.endpoint(leader, b.cfg.InterBrokerListener)
	if !ok {
		return nil
	}
	conn, err := peer.Dial(ctx, b.opt.Dial, addr, "broker-"+strconv.Itoa(int(b.cfg.ID))+"-lag", b.cfg.ControllerTimeout)
	if err != nil {
		return nil // the series are left out until it answers
	}
	defer func() { _ = conn.Close() }()
	defer context.AfterFunc(ctx, func() { _ = conn.Close() })()
	msg, err := conn.RoundTrip(req)
	resp, ok := msg.(*kmsg.ListOffsetsResponse)
	if err != nil || !ok {
		return nil
	}
	out := map[fsm.TP]int64{}
	for i := range resp.Topics {
		for _, p := range resp.Topics[i].Partitions {
			if p.ErrorCode == 0 && p.Offset >= 0 {
				out[fsm.TP{Topic: resp.Topics[i].Topic, Partition: p.Partition}] = p.Offset
			}
		}
	}
	return out
}
