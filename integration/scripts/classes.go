package scripts

// classes are the Java classes behind the scripts.
var classes = map[string]string{
	"kafka-acls":                       "kafka.admin.AclCommand",
	"kafka-broker-api-versions":        "kafka.admin.BrokerApiVersionsCommand",
	"kafka-configs":                    "kafka.admin.ConfigCommand",
	"kafka-console-consumer":           "kafka.tools.ConsoleConsumer",
	"kafka-console-producer":           "kafka.tools.ConsoleProducer",
	"kafka-consumer-groups":            "kafka.admin.ConsumerGroupCommand",
	"kafka-consumer-perf-test":         "kafka.tools.ConsumerPerformance",
	"kafka-delete-records":             "kafka.admin.DeleteRecordsCommand",
	"kafka-dump-log":                   "kafka.tools.DumpLogSegments",
	"kafka-features":                   "kafka.admin.FeatureCommand",
	"kafka-get-offsets":                "kafka.tools.GetOffsetShell",
	"kafka-leader-election":            "kafka.admin.LeaderElectionCommand",
	"kafka-log-dirs":                   "kafka.admin.LogDirsCommand",
	"kafka-producer-perf-test":         "org.apache.kafka.tools.ProducerPerformance",
	"kafka-preferred-replica-election": "kafka.admin.PreferredReplicaLeaderElectionCommand",
	"kafka-reassign-partitions":        "kafka.admin.ReassignPartitionsCommand",
	"kafka-replica-verification":       "kafka.tools.ReplicaVerificationTool",
	"kafka-streams-application-reset":  "kafka.tools.StreamsResetter",
	"kafka-topics":                     "kafka.admin.TopicCommand",
	"kafka-transactions":               "org.apache.kafka.tools.TransactionsCommand", // of 3.0: see transactions_test.go
	"kafka-verifiable-consumer":        "org.apache.kafka.tools.VerifiableConsumer",
	"kafka-verifiable-producer":        "org.apache.kafka.tools.VerifiableProducer",
	"zookeeper-shell":                  "org.apache.zookeeper.ZooKeeperMainWithTlsSupportForKafka",
}
