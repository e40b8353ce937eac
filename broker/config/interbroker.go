package config

// InterBroker is what inter.broker.protocol.version stands for between brokers and in ZooKeeper.
type InterBroker struct {
	// What a follower sends. Epochs: logs are truncated by leader epochs.
	Fetch, ListOffsets, OffsetForLeaderEpoch int16
	Epochs                                   bool
	// What a controller sends.
	LeaderAndIsr, UpdateMetadata, StopReplica int16
	// ControlledShutdown is what a broker sends that stops.
	ControlledShutdown int16
	// AlterIsr: leaders ask the controller to change the in-sync replicas; before, they write the znode themselves.
	AlterIsr bool
	// Features: /feature and the features of brokers are kept.
	Features bool
	// OffsetValue and GroupValue are the versions of the group coordinator's records. StaticMembers: group.instance.id is understood.
	OffsetValue, GroupValue int16
	StaticMembers           bool
	// BrokerJSON is the version of /brokers/ids/N.
	BrokerJSON int
}

// since is the version of something from a version of Kafka on.
type since struct {
	from    string
	version int16
}

// interBroker holds, for each request, the versions in descending order of Kafka's (ReplicaFetcherThread, ControllerChannelManager,
// KafkaServer and ZkData at 2.7.2). What is older than the last has version 0.
var interBroker = map[string][]since{
	"Fetch": {{"2.7-IV1", 12}, {"2.3-IV1", 11}, {"2.1-IV2", 10}, {"2.0-IV1", 8}, {"1.1-IV0", 7}, {"0.11.0-IV1", 5}, {"0.11.0-IV0", 4},
		{"0.10.1-IV1", 3}, {"0.10.0-IV0", 2}, {"0.9.0", 1}},
	"ListOffsets":          {{"2.2-IV1", 5}, {"2.1-IV1", 4}, {"2.0-IV1", 3}, {"0.11.0-IV0", 2}, {"0.10.1-IV2", 1}},
	"OffsetForLeaderEpoch": {{"2.3-IV1", 3}, {"2.1-IV1", 2}, {"2.0-IV0", 1}},
	"LeaderAndIsr":         {{"2.4-IV1", 4}, {"2.4-IV0", 3}, {"2.2-IV0", 2}, {"1.0-IV0", 1}},
	"UpdateMetadata":       {{"2.4-IV1", 6}, {"2.2-IV0", 5}, {"1.0-IV0", 4}, {"0.10.2-IV0", 3}, {"0.10.0-IV1", 2}, {"0.9.0", 1}},
	"StopReplica":          {{"2.6-IV0", 3}, {"2.4-IV1", 2}, {"2.2-IV0", 1}},
	"ControlledShutdown":   {{"2.4-IV1", 3}, {"2.2-IV0", 2}, {"0.9.0", 1}},
	"offset value":         {{"2.1-IV1", 3}, {"2.1-IV0", 2}, {"0.8.0", 1}},
	"group value":          {{"2.3-IV0", 3}, {"2.1-IV0", 2}, {"0.10.1-IV0", 1}},
	"broker JSON":          {{"2.7-IV0", 5}, {"0.10.0-IV1", 4}, {"0.8.0", 2}},
}

// InterBroker returns what the version stands for.
func (v Version) InterBroker() InterBroker {
	of := func(what string) int16 {
		for _, s := range interBroker[what] {
			if v.atLeast(s.from) {
				return s.version
			}
		}
		return 0
	}
	return InterBroker{
		Fetch: of("Fetch"), ListOffsets: of("ListOffsets"), OffsetForLeaderEpoch: of("OffsetForLeaderEpoch"), Epochs: v.atLeast("0.11.0-IV2"),
		LeaderAndIsr: of("LeaderAndIsr"), UpdateMetadata: of("UpdateMetadata"), StopReplica: of("StopReplica"),
		ControlledShutdown: of("ControlledShutdown"), AlterIsr: v.atLeast("2.7-IV2"), Features: v.atLeast("2.7-IV0"),
		OffsetValue: of("offset value"), GroupValue: of("group value"), StaticMembers: v.atLeast("2.3-IV0"),
		BrokerJSON: int(of("broker JSON")),
	}
}

// atLeast compares with a version by its full name.
func (v Version) atLeast(name string) bool {
	for i, n := range versions {
		if n == name {
			return int(v) >= i
		}
	}
	panic("no version " + name)
}
