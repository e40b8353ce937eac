package main

import (
	"context"
	"errors"
	"fmt"
	"path/filepath"
	"slices"
	"time"

	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kmsg"

	"gregor/integration/peer"
)

const (
	clusterSize = 3
	// many is the size of the topic in the rows about many partitions.
	many = 5000
	// sessionTimeout is that of the brokers' ZooKeeper sessions, which failing over begins with.
	sessionTimeout = 6 * time.Second
)

func clusterRows() []row {
	return []row{
		{name: "produce-100", measure: produceRow(produceLoad{partitions: 1, valueSize: 100, batchSize: 900_000, conns: 1, inFlight: 5}, perRecord)},
		{name: "produce-1k", measure: produceRow(produceLoad{partitions: 1, valueSize: 1000, batchSize: 900_000, conns: 1, inFlight: 5}, perGB)},
		{name: "cluster-floor", measure: measureClusterFloor, once: true},
		{name: "produce-16k", measure: produceRow(produceLoad{partitions: 16, valueSize: 100, batchSize: 16_384, conns: 1, inFlight: 5}, perRecord)},
		{name: "produce-1k-16k", measure: produceRow(produceLoad{partitions: 16, valueSize: 1000, batchSize: 16_384, conns: 1, inFlight: 5}, perRecord)},
		{name: "latency", measure: measureLatency},
		{name: "first-acks", measure: measureFirstAcks, once: true},
		{name: "create", measure: measureCreate, once: true},
		{name: "idle", measure: measureIdleCluster, once: true},
		{name: "restart", measure: measureRestart, once: true},
		{name: "txn-failover", measure: measureTxnFailover, once: true},
		{name: "offsets-failover", measure: measureOffsetsFailover, once: true},
		{name: "failover", measure: measureFailover, once: true},
		{name: "huge", measure: measureHuge, once: true},
	}
}

// runClusters measures one kind after the other: six brokers at once would not fit.
func (r runner) runClusters(ctx context.Context, chosen []row) (map[peer.Kind]map[string]result, error) {
	results := map[peer.Kind]map[string]result{}
	if err := holdMemory(); err != nil {
		return nil, err
	}
	for _, kind := range r.kinds {
		results[kind] = map[string]result{}
		if err := r.runCluster(ctx, kind, chosen, results[kind]); err != nil {
			return nil, fmt.Errorf("%s: %w", kind, err)
		}
	}
	return results, nil
}

func (r runner) runCluster(ctx context.Context, kind peer.Kind, chosen []row, results map[string]result) error {
	s, stop, err := r.startCluster(ctx, kind)
	defer stop()
	if err != nil {
		return err
	}
	for _, row := range chosen {
		rounds := r.rounds
		if row.once {
			rounds = 1
		}
		var all [][]figure
		var failed error
		for range rounds {
			figures, err := row.measure(ctx, s)
			r.report(kind, row.name, figures, err)
			if ctx.Err() != nil {
				return ctx.Err()
			}
			if err != nil {
				failed = err
				continue
			}
			all = append(all, figures)
		}
		res := result{err: failed}
		if len(all) > 0 {
			res.figures = medians(all)
		}
		results[row.name] = res
	}
	return nil
}

func (r runner) startCluster(ctx context.Context, kind peer.Kind) (*session, func(), error) {
	s := &session{seconds: r.seconds, warm: max(2*time.Second, r.seconds/4), franz: r.franz}
	var z *peer.ZooKeeper
	stop := func() {
		if s.broker != nil {
			for _, b := range s.brokers() {
				b.Close()
			}
		}
		if z != nil {
			z.Close()
		}
	}
	start := peer.StartZooKeeper
	if kind == peer.Gregor {
		start = peer.StartGregorZooKeeper
	}
	var err error
	if z, err = start(ctx, filepath.Join(r.dir, string(kind), "zookeeper")); err != nil {
		return nil, stop, err
	}
	for id := range clusterSize {
		b, err := peer.StartBroker(ctx, peer.Options{Kind: kind, Dir: filepath.Join(r.dir, string(kind), fmt.Sprint(id)), ID: id, Heap: r.heap,
			ZooKeeper: z.Addr, Config: map[string]string{
				"log.segment.bytes": "268435456", "log.retention.bytes": "536870912", "log.retention.check.interval.ms": "500",
				"log.segment.delete.delay.ms": "0", "min.insync.replicas": "2", "zookeeper.session.timeout.ms": fmt.Sprint(sessionTimeout.Milliseconds()),
				"auto.leader.rebalance.enable": "false",
				// One partition each, so that one broker has everything that the rows about coordinators make.
				"offsets.topic.replication.factor": "3", "transaction.state.log.replication.factor": "3", "transaction.state.log.min.isr": "2",
			}})
		if err != nil {
			return nil, stop, err
		}
		if s.broker == nil {
			s.broker = b
		} else {
			s.others = append(s.others, b)
		}
	}
	s.up = time.Now()
	return s, stop, nil
}

// measureFirstAcks makes a hundred topics, one after the other, and times the first acks=all produce to each.
func measureFirstAcks(ctx context.Context, s *session) ([]figure, error) {
	const n = 100
	c, err := peer.Dial(ctx, s.broker.Addr)
	if err != nil {
		return nil, err
	}
	defer c.Close()
	records, _, err := plainBatch(100, 100, time.Now().UnixMilli())
	if err != nil {
		return nil, err
	}
	names := s.names(n)
	took := make(latencies, 0, n)
	for _, name := range names {
		if err := s.create(ctx, []string{name}, 1); err != nil {
			return nil, err
		}
		began := time.Now()
		for code := int16(-1); code != 0; {
			if code, err = produceOnce(ctx, c, name, 0, slices.Clone(records)); err != nil {
				return nil, err
			}
			if time.Since(began) > 30*time.Second {
				return nil, fmt.Errorf("producing to %s: %w", name, kerr.ErrorForCode(code))
			}
		}
		took = append(took, time.Since(began))
	}
	slices.Sort(took)
	return []figure{
		{"p50", float64(took.at(0.5).Microseconds()) / 1000, "ms", 0, 0},
		{"p99", float64(took.at(0.98).Microseconds()) / 1000, "ms", 0, 0},
		{"worst", float64(took.at(1).Microseconds()) / 1000, "ms", 0, 0},
	}, deleteTopics(ctx, s.broker.Addr, names)
}

func produceOnce(ctx context.Context, c *peer.Conn, topic string, partition int32, records []byte) (int16, error) {
	req := kmsg.NewPtrProduceRequest()
	req.Version, req.Acks, req.TimeoutMillis = 8, -1, 30_000
	req.Topics = []kmsg.ProduceRequestTopic{{Topic: topic, Partitions: []kmsg.ProduceRequestTopicPartition{{Partition: partition, Records: records}}}}
	resp, err := c.Request(ctx, req)
	if err != nil {
		return 0, err
	}
	return resp.(*kmsg.ProduceResponse).Topics[0].Partitions[0].ErrorCode, nil
}

// measureCreate makes a topic of many partitions, and waits until all brokers know all leaders, and all followers follow.
func measureCreate(ctx context.Context, s *session) ([]figure, error) {
	names := s.names(1)
	began := time.Now()
	if err := s.createSpread(ctx, names[0], many); err != nil {
		return nil, err
	}
	answered := time.Since(began)
	for _, b := range s.brokers() {
		if err := led(ctx, b.Addr, names[0], many, -1, len(s.brokers())); err != nil {
			return nil, err
		}
	}
	return []figure{
		{"answered", answered.Seconds(), "s", 0, 0},
		{"led everywhere", time.Since(began).Seconds(), "s", 0, 2},
	}, deleteTopics(ctx, s.broker.Addr, names)
}

// createSpread makes a topic whose partitions are led by all brokers alike.
func (s *session) createSpread(ctx context.Context, topic string, partitions int32) error {
	c, err := peer.Dial(ctx, s.broker.Addr)
	if err != nil {
		return err
	}
	defer c.Close()
	req := kmsg.NewPtrCreateTopicsRequest()
	req.Version, req.TimeoutMillis = 4, 120_000
	req.Topics = []kmsg.CreateTopicsRequestTopic{{Topic: topic, NumPartitions: partitions, ReplicationFactor: clusterSize}}
	resp, err := c.Request(ctx, req)
	if err != nil {
		return err
	}
	return kerr.ErrorForCode(resp.(*kmsg.CreateTopicsResponse).Topics[0].ErrorCode)
}

// led waits until a broker says that each partition of a topic has a leader, which is not the one that is gone, and at least so many
// replicas in sync.
func led(ctx context.Context, addr, topic string, partitions int, gone int32, inSync int) error {
	c, err := peer.Dial(ctx, addr)
	if err != nil {
		return err
	}
	defer c.Close()
	for {
		req := kmsg.NewPtrMetadataRequest()
		req.Version = 7
		req.Topics = []kmsg.MetadataRequestTopic{{Topic: kmsg.StringPtr(topic)}}
		resp, err := c.Request(ctx, req)
		if err != nil {
			return err
		}
		n := 0
		for _, t := range resp.(*kmsg.MetadataResponse).Topics {
			for _, p := range t.Partitions {
				if p.ErrorCode == 0 && p.Leader >= 0 && p.Leader != gone && len(p.ISR) >= inSync {
					n++
				}
			}
		}
		if n == partitions {
			return nil
		}
		if err := wait(ctx, 10*time.Millisecond); err != nil {
			return err
		}
	}
}

// measureIdleCluster makes 45,000 partitions, of which each broker follows 30,000, and looks what they cost while nothing happens.
func measureIdleCluster(ctx context.Context, s *session) ([]figure, error) {
	if s.broker.Kind == peer.Kafka {
		return nil, errors.New("not tried")
	}
	names := s.names(9)
	for _, name := range names {
		if err := s.createSpread(ctx, name, many); err != nil {
			return nil, err
		}
	}
	for _, name := range names {
		for _, b := range s.brokers() {
			if err := led(ctx, b.Addr, name, many, -1, 1); err != nil {
				return nil, err
			}
		}
	}
	if err := wait(ctx, 7*time.Second); err != nil {
		return nil, err
	}
	if err := s.begin(); err != nil {
		return nil, err
	}
	if err := wait(ctx, 10*time.Second); err != nil {
		return nil, err
	}
	if err := s.end(); err != nil {
		return nil, err
	}
	u, err := s.others[0].Usage()
	return []figure{
		{"CPU of a core, each", s.cpu.Seconds() / 10 * 100 / clusterSize, "%", 0, 2},
		{"RSS of one", float64(u.RSS) / (1 << 20), "MB", 0, 0},
	}, errors.Join(err, deleteTopics(ctx, s.broker.Addr, names))
}

// fill makes a topic of many partitions and writes so much to each.
func (s *session) fill(ctx context.Context, bytes int) (topic string, err error) {
	topic = s.names(1)[0]
	if err := s.create(ctx, []string{topic}, many); err != nil {
		return "", err
	}
	if err := led(ctx, s.broker.Addr, topic, many, -1, 1); err != nil || bytes == 0 {
		return topic, err
	}
	c, err := peer.Dial(ctx, s.broker.Addr)
	if err != nil {
		return "", err
	}
	defer c.Close()
	records, _, err := plainBatch(1000, bytes, time.Now().UnixMilli())
	if err != nil {
		return "", err
	}
	const atOnce = 50
	for from := int32(0); from < many; from += atOnce {
		req := kmsg.NewPtrProduceRequest()
		req.Version, req.Acks, req.TimeoutMillis = 8, -1, 60_000
		t := kmsg.ProduceRequestTopic{Topic: topic}
		for p := from; p < min(many, from+atOnce); p++ {
			t.Partitions = append(t.Partitions, kmsg.ProduceRequestTopicPartition{Partition: p, Records: records})
		}
		req.Topics = []kmsg.ProduceRequestTopic{t}
		resp, err := c.Request(ctx, req)
		if err != nil {
			return "", err
		}
		for _, p := range resp.(*kmsg.ProduceResponse).Topics[0].Partitions {
			if err := kerr.ErrorForCode(p.ErrorCode); err != nil {
				return "", fmt.Errorf("%s-%d: %w", topic, p.Partition, err)
			}
		}
	}
	return topic, nil
}

// measureRestart kills a follower of many partitions of 100 KB each and starts it again.
func measureRestart(ctx context.Context, s *session) ([]figure, error) {
	topic, err := s.fill(ctx, 100_000)
	if err != nil {
		return nil, err
	}
	old := s.others[0]
	old.Kill()
	b, err := old.Restart(ctx)
	if err != nil {
		return nil, err
	}
	s.others[0] = b
	began := time.Now()
	if err := led(ctx, s.broker.Addr, topic, many, -1, clusterSize); err != nil {
		return nil, err
	}
	return []figure{
		{"first answer", b.Started.Seconds(), "s", 0, 1},
		{"in sync after it", time.Since(began).Seconds(), "s", 0, 0},
	}, deleteTopics(ctx, s.broker.Addr, []string{topic})
}

// measureFailover kills the controller, which leads many partitions, and waits until all have another leader.
func measureFailover(ctx context.Context, s *session) ([]figure, error) {
	topic, err := s.fill(ctx, 0)
	if err != nil {
		return nil, err
	}
	if err := led(ctx, s.broker.Addr, topic, many, -1, clusterSize); err != nil {
		return nil, err
	}
	began := time.Now()
	s.broker.Kill()
	if err := led(ctx, s.others[0].Addr, topic, many, 0, 2); err != nil {
		return nil, err
	}
	took := time.Since(began)
	if s.broker, err = s.broker.Restart(ctx); err != nil {
		return nil, err
	}
	return []figure{
		{"led again", took.Seconds(), "s", 0, 0},
		{"past the session timeout", (took - sessionTimeout).Seconds(), "s", 0.1, 0.5},
	}, deleteTopics(ctx, s.broker.Addr, []string{topic})
}

// measureHuge makes 100,000 partitions with three replicas each in 50 topics, kills a broker that leads a third of them and controls the
// cluster, and waits until all are led. Gregor only: Kafka's brokers do not get there with the heap of the other rows.
func measureHuge(ctx context.Context, s *session) ([]figure, error) {
	if s.broker.Kind == peer.Kafka {
		return nil, errors.New("not tried")
	}
	const topics, partitions = 50, 2000
	names := s.names(topics)
	began := time.Now()
	for _, name := range names {
		if err := s.createSpread(ctx, name, partitions); err != nil {
			return nil, err
		}
	}
	all := func(addr string, gone int32, inSync int) error {
		for _, name := range names {
			if err := led(ctx, addr, name, partitions, gone, inSync); err != nil {
				return err
			}
		}
		return nil
	}
	for _, b := range s.brokers() {
		if err := all(b.Addr, -1, clusterSize); err != nil {
			return nil, err
		}
	}
	made := time.Since(began)
	rss := func() (most float64, err error) {
		for _, b := range s.others {
			u, err := b.Usage()
			if err != nil {
				return 0, err
			}
			most = max(most, float64(u.RSS)/(1<<20))
		}
		return most, nil
	}
	before, err := rss()
	if err != nil {
		return nil, err
	}
	began = time.Now()
	s.broker.Kill()
	for _, b := range s.others {
		if err := all(b.Addr, 0, 2); err != nil {
			return nil, err
		}
	}
	took := time.Since(began)
	after, err := rss()
	if err != nil {
		return nil, err
	}
	began = time.Now()
	if s.broker, err = s.broker.Restart(ctx); err != nil {
		return nil, err
	}
	if err := all(s.others[0].Addr, -1, clusterSize); err != nil {
		return nil, err
	}
	return []figure{
		{"made and in sync", made.Seconds(), "s", 0, 0},
		{"RSS of a broker", before, "MB", 0, 1024},
		{"led again, past the session timeout", (took - sessionTimeout).Seconds(), "s", 0, 5},
		{"RSS after it", after, "MB", 0, 1024},
		{"killed broker back in sync", time.Since(began).Seconds(), "s", 0, 0},
	}, deleteTopics(ctx, s.broker.Addr, names)
}
