package compare

import (
	"fmt"
	"slices"

	"github.com/twmb/franz-go/pkg/kmsg"
)

// Case is one request in all versions. Cases run in order, on both brokers alike, and may build on each other.
type Case struct {
	Key  kmsg.Key
	Name string
	// Min and Max bound the versions; Max 0 means up to the newest of 2.7, -1 that the case is one request of its own making.
	Min, Max int16
	// Only makes Min the only version.
	Only  bool
	Build func(b *Broker, version int16) kmsg.Request
	// Do, instead of Build, is a case of several requests or of raw bytes; what it returns is compared.
	Do func(b *Broker, version int16) any
	// Mask names fields whose values may differ, "value of KEY" a configuration entry.
	Mask []string
	// OwnTopics leaves topics out of the answer that this run did not make.
	OwnTopics bool
	// Long leaves the case to FULL=1, and to the table of what was exercised.
	Long bool
	// Deliberate says why Gregor answers otherwise than Kafka: its difference is listed and is no failure.
	Deliberate string
}

// newest is the newest version of each request type that 2.7.2 speaks.
var newest = map[kmsg.Key]int16{
	kmsg.Metadata: 9, kmsg.CreateTopics: 6, kmsg.DeleteTopics: 5, kmsg.CreatePartitions: 3, kmsg.DescribeConfigs: 3, kmsg.AlterConfigs: 1,
	kmsg.IncrementalAlterConfigs: 1, kmsg.DescribeLogDirs: 2, kmsg.ApiVersions: 3, kmsg.FindCoordinator: 3, kmsg.ListOffsets: 5,
	kmsg.OffsetForLeaderEpoch: 3, kmsg.DeleteRecords: 2, kmsg.InitProducerID: 4, kmsg.Produce: 8, kmsg.Fetch: 12,
	kmsg.LeaderAndISR: 4, kmsg.StopReplica: 3, kmsg.UpdateMetadata: 6,
	kmsg.JoinGroup: 7, kmsg.SyncGroup: 5, kmsg.Heartbeat: 4, kmsg.LeaveGroup: 4, kmsg.OffsetCommit: 8, kmsg.OffsetFetch: 7, kmsg.OffsetDelete: 0,
	kmsg.ListGroups: 4, kmsg.DescribeGroups: 5, kmsg.DeleteGroups: 2,
	kmsg.AddPartitionsToTxn: 2, kmsg.AddOffsetsToTxn: 2, kmsg.EndTxn: 2, kmsg.WriteTxnMarkers: 0, kmsg.TxnOffsetCommit: 3,
}

// possible is the error codes that 2.7.2 can answer to a request type on a plaintext listener without an authorizer, apart from disk and
// ZooKeeper failures: what the cases do not reach is listed as a gap.
var possible = map[kmsg.Key][]int{
	kmsg.Metadata:                {0, 3, 5, 9, 17, 38, 72},
	kmsg.CreateTopics:            {0, 7, 17, 36, 37, 38, 39, 40, 41, 42},
	kmsg.DeleteTopics:            {0, 3, 7, 41, 42, 73},
	kmsg.CreatePartitions:        {0, 3, 7, 17, 37, 39, 41, 42, 60},
	kmsg.DescribeConfigs:         {0, 3, 17, 42},
	kmsg.AlterConfigs:            {0, 3, 40, 42},
	kmsg.IncrementalAlterConfigs: {0, 3, 40, 42},
	kmsg.DescribeLogDirs:         {0, 56},
	kmsg.Produce:                 {0, 2, 3, 6, 7, 10, 17, 18, 19, 20, 21, 32, 43, 45, 47, 56, 74, 76, 87},
	kmsg.Fetch:                   {0, 1, 3, 6, 56, 70, 71, 74, 75, 76},
	kmsg.ListOffsets:             {0, 3, 6, 42, 43, 56, 74, 75, 78},
	kmsg.OffsetForLeaderEpoch:    {0, 3, 6, 56, 74, 75},
	kmsg.DeleteRecords:           {0, 1, 3, 6, 7, 17, 44, 56},
	kmsg.InitProducerID:          {0, 14, 15, 16, 42, 47, 50, 51, 90},
	kmsg.AddPartitionsToTxn:      {0, 3, 14, 15, 16, 29, 42, 47, 49, 51, 55, 90},
	kmsg.AddOffsetsToTxn:         {0, 14, 15, 16, 42, 47, 49, 51, 90},
	kmsg.EndTxn:                  {0, 14, 15, 16, 42, 47, 48, 49, 51, 90},
	kmsg.WriteTxnMarkers:         {0, 3, 6, 7, 19, 20, 43, 47, 52, 56},
	kmsg.TxnOffsetCommit:         {0, 3, 12, 14, 15, 16, 22, 24, 25, 28, 47, 82},
	kmsg.ApiVersions:             {0, 35, 42},
	kmsg.LeaderAndISR:            {0, 11, 56, 77},
	kmsg.StopReplica:             {0, 11, 56, 77},
	kmsg.UpdateMetadata:          {0, 11, 77},
	kmsg.FindCoordinator:         {0, 15},
	kmsg.JoinGroup:               {0, 14, 15, 16, 23, 24, 25, 26, 79, 81, 82},
	kmsg.SyncGroup:               {0, 15, 16, 22, 23, 24, 25, 27, 82},
	kmsg.Heartbeat:               {0, 15, 16, 22, 24, 25, 27, 82},
	kmsg.LeaveGroup:              {0, 14, 15, 16, 24, 25, 82},
	kmsg.OffsetCommit:            {0, 3, 12, 14, 15, 16, 22, 25, 27, 28, 82},
	kmsg.OffsetFetch:             {0, 14, 15, 16, 88},
	kmsg.OffsetDelete:            {0, 3, 14, 15, 16, 24, 68, 69, 86},
	kmsg.ListGroups:              {0, 14, 15},
	kmsg.DescribeGroups:          {0, 14, 15, 16},
	kmsg.DeleteGroups:            {0, 14, 15, 16, 68, 69},
}

func (c *Case) versions() (from, to int16) {
	to = newest[c.Key]
	if c.Only {
		return c.Min, c.Min
	}
	if c.Max == -1 {
		return 0, 0
	}
	if c.Max > 0 {
		to = c.Max
	}
	return c.Min, to
}

// world is a pair of brokers with settings of their own, and the cases that it is for.
type world struct {
	name   string
	config map[string]string
	dirs   int
	cases  func() []Case
}

var worlds = []world{
	{name: "usual", config: map[string]string{"auto.create.topics.enable": "true", "log.retention.ms": "-1"}, dirs: 1, cases: func() []Case {
		return slices.Concat(topicCases(), configCases(), produceCases(), fetchCases(), offsetCases(), fieldCases(), wireCases(), waitCases(), controlCases())
	}},
	{name: "failing", config: map[string]string{"auto.create.topics.enable": "false", "log.retention.ms": "-1", "delete.topic.enable": "false",
		"replica.high.watermark.checkpoint.interval.ms": "300"}, dirs: 2, cases: failingCases},
	{name: "groups", config: map[string]string{"offsets.topic.num.partitions": "3", "group.initial.rebalance.delay.ms": "0"}, dirs: 1, cases: groupCases},
	{name: "formats", config: map[string]string{"log.retention.ms": "-1"}, dirs: 1, cases: legacyCases},
	{name: "transactions", config: map[string]string{"offsets.topic.num.partitions": "3", "transaction.state.log.num.partitions": "3",
		"group.initial.rebalance.delay.ms": "0", "transaction.max.timeout.ms": "60000", "auto.create.topics.enable": "false",
		"transaction.abort.timed.out.transaction.cleanup.interval.ms": "200", "log.retention.ms": "-1"}, dirs: 1, cases: txnCases},
	{name: "deposed", config: map[string]string{"auto.create.topics.enable": "true", "default.replication.factor": "3", "log.retention.ms": "-1"}, dirs: 1, cases: deposedCases},
}

func (b *Broker) topic(name string, version int16) string {
	return fmt.Sprintf("%s-%s-v%d", b.Topic, name, version)
}

func ptr[T any](v T) *T { return &v }
