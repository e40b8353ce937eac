// Package torture lets a cluster of real processes suffer faults under load, one and two at a time, on a schedule that a seed decides, and
// checks that nothing acknowledged was lost, doubled or put into another order, that no reader saw what was taken back, and that at the
// end all replicas have the same bytes. `make torture` runs it:
//
//	SEED=7              the schedule (default: the time)
//	SECONDS=600         how long faults are made (default 60)
//	WORKLOAD=txn        transactions: copies of a topic by workers that abort, stand still and die, each record once and in order; transfers
//	                    between two partitions, of which a reader of what was committed sees both halves or none, and which add up to nothing
//	WORKLOAD=groups     members of groups that commit, leave, stand still and die: everything is read, no committed offset goes back, a
//	                    partition has one owner in a generation
//	FAULTS=kill,cut     only these (default all)
//	MATRIX=1            each fault and each pair of two once, in an order that the seed decides, instead
//	KINDS=gregor,kafka,gregor   the brokers (default four of Gregor's)
//	ZK=debian           on Debian's ZooKeeper
//	IBP=2.6             inter.broker.protocol.version
//	KEEP=dir            where the brokers' files are left
//
// Owns: the schedule; processes and links belong to integration/cluster. Imports: integration/cluster. Kafka's counterpart: Trogdor.
package torture
