// Package torture lets a cluster of real processes suffer faults under load, one and two at a time, on a schedule that a seed decides, and
// checks that nothing acknowledged was lost, doubled or put into another order, that no reader saw what was taken back, and that at the
// end all replicas have the same bytes. `make torture` runs it:
//
//	SEED=7              the schedule (default: the time)
//	SECONDS=600         how long faults are made (default 60)
//	FAULTS=kill,cut     only these (default all)
//	KINDS=gregor,kafka,gregor   the brokers (default four of Gregor's)
//	ZK=debian           on Debian's ZooKeeper
//	IBP=2.6             inter.broker.protocol.version
//	KEEP=dir            where the brokers' files are left
//
// Owns: the schedule; processes and links belong to integration/cluster. Imports: integration/cluster. Kafka's counterpart: Trogdor.
package torture
