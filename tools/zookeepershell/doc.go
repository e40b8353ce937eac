// Package zookeepershell is zookeeper-shell: what zkCli.sh of ZooKeeper 3.5 does, once for a command line or for lines of standard input.
//
// Owns: the shell's grammar, its commands and their output; one session of ZooKeeper at a time.
// Guarded by: commands run one after the other; printer has a lock, because events arrive meanwhile.
// Invariants: a command that is not understood is refused before anything is sent; output and exit codes are those that scripts grep.
// Imports: go-zookeeper, tools/internal.
// Kafka counterpart: org.apache.zookeeper.ZooKeeperMainWithTlsSupportForKafka.
package zookeepershell
