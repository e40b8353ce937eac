package metrics

import (
	"cmp"
	"maps"
	"slices"
	"sync/atomic"

	"gregor/replication"
)

// topicFamilies are BrokerTopicMetrics: the sum of all topics and, where perTopic is set, each topic's own.
var topicFamilies = []struct {
	name, help string
	perTopic   bool
	of         func(*replication.TopicCounters) *atomic.Int64
}{
	{"bytesin", "Bytes of records that clients produced.", true, func(c *replication.TopicCounters) *atomic.Int64 { return &c.BytesIn }},
	{"bytesout", "Bytes of records that consumers fetched.", true, func(c *replication.TopicCounters) *atomic.Int64 { return &c.BytesOut }},
	{"bytesrejected", "Bytes of record batches refused as too large.", true, func(c *replication.TopicCounters) *atomic.Int64 { return &c.BytesRejected }},
	{"failedfetchrequests", "Reads of a partition that failed for no reason of the client's.", true, func(c *replication.TopicCounters) *atomic.Int64 { return &c.FailedFetch }},
	{"failedproducerequests", "Appends to a partition that failed for a reason that should not occur.", true, func(c *replication.TopicCounters) *atomic.Int64 { return &c.FailedProduce }},
	{"fetchmessageconversions", "Records converted into an older message format for their readers.", true, func(c *replication.TopicCounters) *atomic.Int64 { return &c.FetchConversions }},
	{"messagesin", "Records that clients produced.", true, func(c *replication.TopicCounters) *atomic.Int64 { return &c.MessagesIn }},
	{"producemessageconversions", "Records converted into another message format, or compressed anew, before they were appended.", true, func(c *replication.TopicCounters) *atomic.Int64 { return &c.ProduceConversions }},
	{"replicationbytesin", "Bytes of records that this broker fetched from leaders.", false, func(c *replication.TopicCounters) *atomic.Int64 { return &c.ReplicationBytesIn }},
	{"replicationbytesout", "Bytes of records that followers fetched.", false, func(c *replication.TopicCounters) *atomic.Int64 { return &c.ReplicationBytesOut }},
	{"totalfetchrequests", "Reads of a partition for fetch requests.", true, func(c *replication.TopicCounters) *atomic.Int64 { return &c.FetchRequests }},
	{"totalproducerequests", "Appends to a partition by produce requests.", true, func(c *replication.TopicCounters) *atomic.Int64 { return &c.ProduceRequests }},
}

func (t *text) topics(c *replication.Counters) {
	const prefix = "kafka_server_brokertopicmetrics_"
	sum, topics := c.Sum(), c.Topics()
	names := slices.Sorted(maps.Keys(topics))
	for _, f := range topicFamilies {
		name := prefix + f.name + "_total"
		t.family(name, "counter", f.help)
		t.plain(name, f.of(sum).Load())
		if !f.perTopic {
			continue
		}
		for _, topic := range names {
			if v := f.of(topics[topic]).Load(); v > 0 {
				t.topic(name, topic, v)
			}
		}
	}
	for _, f := range []struct {
		name, help string
		of         *atomic.Int64
	}{
		{"invalidmagicnumberrecords", "Batches refused for their format.", &c.InvalidMagic},
		{"invalidmessagecrcrecords", "Batches refused as corrupt.", &c.InvalidCRC},
		{"invalidoffsetorsequencerecords", "Batches refused for their sequence numbers.", &c.InvalidSequence},
		{"nokeycompactedtopicrecords", "Records without a key refused by compacted topics.", &c.NoKey},
	} {
		name := prefix + f.name + "_total"
		t.family(name, "counter", f.help)
		t.plain(name, f.of.Load())
	}
}

// partitionFamilies are the gauges of each partition. log says that the partition's log is looked at.
var partitionFamilies = []struct {
	name, help string
	log        bool
	of         func(*replication.Gauges) int64
}{
	{"kafka_cluster_partition_atminisr", "1 if exactly min.insync.replicas are in sync.", false, func(g *replication.Gauges) int64 { return truth(g.AtMinISR) }},
	{"kafka_cluster_partition_insyncreplicascount", "Replicas in sync, on the leader.", false, func(g *replication.Gauges) int64 { return int64(g.ISR) }},
	{"kafka_cluster_partition_laststableoffsetlag", "Offsets between the last stable one and the high watermark.", true, func(g *replication.Gauges) int64 { return g.LastStableLag }},
	{"kafka_cluster_partition_replicascount", "Replicas, on the leader.", false, func(g *replication.Gauges) int64 { return int64(g.Replicas) }},
	{"kafka_cluster_partition_underminisr", "1 if fewer than min.insync.replicas are in sync.", false, func(g *replication.Gauges) int64 { return truth(g.UnderMinISR) }},
	{"kafka_cluster_partition_underreplicated", "1 if not all replicas are in sync.", false, func(g *replication.Gauges) int64 { return truth(g.UnderReplicated) }},
	{"kafka_log_log_logendoffset", "The next offset to be written.", true, func(g *replication.Gauges) int64 { return g.LogEnd }},
	{"kafka_log_log_logstartoffset", "The first offset that may be read.", true, func(g *replication.Gauges) int64 { return g.LogStart }},
	{"kafka_log_log_numlogsegments", "Segments of the log.", true, func(g *replication.Gauges) int64 { return g.LogSegments }},
	{"kafka_log_log_size", "Bytes of the log's segments.", true, func(g *replication.Gauges) int64 { return g.LogSize }},
}

func truth(b bool) int64 {
	if b {
		return 1
	}
	return 0
}

// partitions writes each partition's series, family by family: nothing but the list of partitions is held.
func (t *text) partitions(list []*replication.Partition) {
	var g replication.Gauges // one for all: it is handed to functions that the compiler does not know
	for _, f := range partitionFamilies {
		t.family(f.name, "gauge", f.help)
		onlyLogs := f.log && f.name[:10] == "kafka_log_"
		for _, p := range list {
			g = p.Gauges(f.log)
			if onlyLogs && !g.HasLog {
				continue
			}
			tp := p.TopicPartition()
			t.partition(f.name, tp.Topic, tp.Partition, f.of(&g))
			if t.err != nil {
				return
			}
		}
	}
}

// partitionsOf lists the partitions that a broker hosts, by name.
func partitionsOf(m *replication.Manager) []*replication.Partition {
	list := make([]*replication.Partition, 0, m.Count())
	m.Partitions(func(p *replication.Partition) bool {
		list = append(list, p)
		return true
	})
	slices.SortFunc(list, func(a, b *replication.Partition) int {
		x, y := a.TopicPartition(), b.TopicPartition()
		if c := cmp.Compare(x.Topic, y.Topic); c != 0 {
			return c
		}
		return cmp.Compare(x.Partition, y.Partition)
	})
	return list
}

// tally is what ReplicaManager says of all partitions together.
type tally struct {
	partitions, leaders, offline, underReplicated, underMinISR, atMinISR, reassigning int
}

func tallyOf(list []*replication.Partition) tally {
	var t tally
	for _, p := range list {
		g := p.Gauges(false)
		t.partitions++
		for _, c := range []struct {
			is bool
			n  *int
		}{{g.Leading, &t.leaders}, {g.Offline, &t.offline}, {g.UnderReplicated, &t.underReplicated}, {g.UnderMinISR, &t.underMinISR},
			{g.AtMinISR, &t.atMinISR}, {g.Reassigning, &t.reassigning}} {
			if c.is {
				*c.n++
			}
		}
	}
	return t
}
