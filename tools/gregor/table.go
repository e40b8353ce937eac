package main

import (
	"fmt"
	"io"

	"gregor/tools/brokerapiversions"
	"gregor/tools/clusterstatus"
	"gregor/tools/configs"
	"gregor/tools/consoleconsumer"
	"gregor/tools/consoleproducer"
	"gregor/tools/consumergroups"
	"gregor/tools/consumerperf"
	"gregor/tools/deleterecords"
	"gregor/tools/dumplog"
	"gregor/tools/features"
	"gregor/tools/getoffsetshell"
	"gregor/tools/leaderelection"
	"gregor/tools/logdirs"
	"gregor/tools/preferredelection"
	"gregor/tools/producerperf"
	"gregor/tools/reassign"
	"gregor/tools/replicaverification"
	"gregor/tools/serverstop"
	"gregor/tools/streamsreset"
	"gregor/tools/topics"
	"gregor/tools/transactions"
	"gregor/tools/verifiableconsumer"
	"gregor/tools/verifiableproducer"
	"gregor/tools/zookeeperserver"
	"gregor/tools/zookeepershell"
)

// command is one row of the table: a tool by its script's name and by the Java class that scripts and people know it as.
type command struct {
	name  string
	class string
	about string
	main  func(args []string, stdin io.Reader, stdout, stderr io.Writer) int
}

var commands []command

// The table is filled here and not in its declaration because kafka-run-class looks into it.
func init() {
	commands = []command{
		{"kafka-server-start", "kafka.Kafka", "start a broker from a properties file", serve},
		{"zookeeper-server-start", "org.apache.zookeeper.server.quorum.QuorumPeerMain", "start the embedded ZooKeeper on its own", zookeeperserver.Main},
		{"kafka-configs", "kafka.admin.ConfigCommand", "describe and alter settings of topics, brokers, loggers, users and clients", configs.Main},
		{"kafka-topics", "kafka.admin.TopicCommand", "create, list, describe, alter and delete topics", topics.Main},
		{"kafka-console-producer", "kafka.tools.ConsoleProducer", "write each line of standard input to a topic", consoleproducer.Main},
		{"kafka-console-consumer", "kafka.tools.ConsoleConsumer", "write a topic's records to standard output", consoleconsumer.Main},
		{"kafka-consumer-groups", "kafka.admin.ConsumerGroupCommand", "list, describe, reset and delete consumer groups", consumergroups.Main},
		{"kafka-streams-application-reset", "kafka.tools.StreamsResetter", "let a Kafka Streams application begin anew", streamsreset.Main},
		{"kafka-transactions", "org.apache.kafka.tools.TransactionsCommand", "look at transactions, and abort those that hang", transactions.Main},
		{"kafka-dump-log", "kafka.tools.DumpLogSegments", "print what log segments and their indexes hold", dumplog.Main},
		{"kafka-broker-api-versions", "kafka.admin.BrokerApiVersionsCommand", "print which requests brokers understand", brokerapiversions.Main},
		{"kafka-log-dirs", "kafka.admin.LogDirsCommand", "print the directories of brokers and what lies in them", logdirs.Main},
		{"kafka-delete-records", "kafka.admin.DeleteRecordsCommand", "delete the records before given offsets", deleterecords.Main},
		{"kafka-features", "kafka.admin.FeatureCommand", "print and change the finalized features of a cluster", features.Main},
		{"kafka-producer-perf-test", "org.apache.kafka.tools.ProducerPerformance", "send many records and print how fast that was", producerperf.Main},
		{"kafka-consumer-perf-test", "kafka.tools.ConsumerPerformance", "read many records and print how fast that was", consumerperf.Main},
		{"kafka-verifiable-producer", "org.apache.kafka.tools.VerifiableProducer", "write numbers to a topic and print what became of each, as JSON", verifiableproducer.Main},
		{"kafka-verifiable-consumer", "org.apache.kafka.tools.VerifiableConsumer", "read a topic and print what came, as JSON", verifiableconsumer.Main},
		{"zookeeper-shell", "", "look at and change what ZooKeeper holds", zookeepershell.Main},
		{"kafka-server-stop", "", "stop the brokers on this machine", serverstop.Kafka.Main},
		{"zookeeper-server-stop", "", "stop the ZooKeeper servers of gregor on this machine", serverstop.ZooKeeper.Main},
		{"kafka-reassign-partitions", "kafka.admin.ReassignPartitionsCommand", "move partitions between brokers and between log directories", reassign.Main},
		{"kafka-leader-election", "kafka.admin.LeaderElectionCommand", "make preferred replicas leaders, or replicas that may lack records", leaderelection.Main},
		{"kafka-preferred-replica-election", "kafka.admin.PreferredReplicaLeaderElectionCommand", "make preferred replicas leaders (deprecated)", preferredelection.Main},
		{"kafka-replica-verification", "kafka.tools.ReplicaVerificationTool", "compare what the replicas of partitions hold", replicaverification.Main},
		{"kafka-get-offsets", "kafka.tools.GetOffsetShell", "print the offsets of a topic's partitions", getoffsetshell.Main},
		{"cluster", "", "`cluster status`: brokers, controller, what is wrong and what to do about it", clusterstatus.Main},
		{"kafka-run-class", "", "run a tool by the name of its Java class", runClass},
	}
}

func find(name string) *command {
	for i := range commands {
		if commands[i].name == name {
			return &commands[i]
		}
	}
	return nil
}

// runClass is kafka-run-class.sh: what sets up a JVM is accepted and means nothing here.
func runClass(args []string, stdin io.Reader, stdout, stderr io.Writer) int {
	for len(args) > 0 {
		switch args[0] {
		case "-name":
			args = args[min(2, len(args)):]
			continue
		case "-loggc", "-daemon":
			args = args[1:]
			continue
		}
		break
	}
	if len(args) == 0 || args[0] == "--help" {
		fmt.Fprintln(stdout, "USAGE: kafka-run-class.sh [-daemon] [-name servicename] [-loggc] classname [opts]")
		return 1
	}
	switch args[0] {
	case "org.apache.zookeeper.ZooKeeperMain", "org.apache.zookeeper.ZooKeeperMainWithTlsSupportForKafka":
		return zookeepershell.Class(args[1:], stdin, stdout, stderr) // its server stands behind -server
	}
	for i := range commands {
		if c := &commands[i]; c.class == args[0] {
			return c.main(args[1:], stdin, stdout, stderr)
		}
	}
	fmt.Fprintf(stderr, "Error: Could not find or load main class %s\n"+
		"Caused by: java.lang.ClassNotFoundException: %s (`gregor help` lists the commands there are)\n", args[0], args[0])
	return 1
}
