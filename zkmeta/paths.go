package zkmeta

import "strconv"

// Paths of znodes, below the chroot.
const (
	PathAdmin                   = "/admin"
	PathDeleteTopics            = "/admin/delete_topics"
	PathReassignPartitions      = "/admin/reassign_partitions"
	PathPreferredReplicaElect   = "/admin/preferred_replica_election"
	PathBrokers                 = "/brokers"
	PathBrokerIDs               = "/brokers/ids"
	PathBrokerSeqID             = "/brokers/seqid"
	PathTopics                  = "/brokers/topics"
	PathCluster                 = "/cluster"
	PathClusterID               = "/cluster/id"
	PathConfig                  = "/config"
	PathConfigChanges           = "/config/changes"
	PathConsumers               = "/consumers"
	PathController              = "/controller"
	PathControllerEpoch         = "/controller_epoch"
	PathFeature                 = "/feature"
	PathIsrChangeNotification   = "/isr_change_notification"
	PathLogDirEventNotification = "/log_dir_event_notification"
	PathProducerIDBlock         = "/latest_producer_id_block"
	PathDelegationToken         = "/delegation_token"
)

// Entity types below /config.
const (
	EntityTopics  = "topics"
	EntityClients = "clients"
	EntityUsers   = "users"
	EntityBrokers = "brokers"
	// DefaultEntity is the name under which the settings of all entities of a type stand.
	DefaultEntity = "<default>"
)

// persistentPaths are made at the start of every broker, parents first.
var persistentPaths = []string{
	PathConsumers,
	PathBrokers, PathBrokerIDs, PathTopics,
	PathConfig, PathConfigChanges,
	PathAdmin, PathDeleteTopics,
	PathBrokerSeqID,
	PathIsrChangeNotification,
	PathProducerIDBlock,
	PathLogDirEventNotification,
	"/config/" + EntityTopics, "/config/" + EntityClients, "/config/" + EntityUsers, "/config/" + EntityBrokers,
}

// PathBroker is /brokers/ids/N.
func PathBroker(id int32) string { return PathBrokerIDs + "/" + strconv.Itoa(int(id)) }

// PathTopic is /brokers/topics/T.
func PathTopic(topic string) string { return PathTopics + "/" + topic }

// PathTopicPartitions is /brokers/topics/T/partitions.
func PathTopicPartitions(topic string) string { return PathTopic(topic) + "/partitions" }

// PathPartition is /brokers/topics/T/partitions/P.
func PathPartition(tp TopicPartition) string {
	return PathTopicPartitions(tp.Topic) + "/" + strconv.Itoa(int(tp.Partition))
}

// PathPartitionState is /brokers/topics/T/partitions/P/state.
func PathPartitionState(tp TopicPartition) string { return PathPartition(tp) + "/state" }

// PathDeleteTopic is /admin/delete_topics/T.
func PathDeleteTopic(topic string) string { return PathDeleteTopics + "/" + topic }

// PathEntityConfig is /config/TYPE/NAME; name may have more than one element, as in "alice/clients/c1" below users.
func PathEntityConfig(entityType, name string) string {
	return PathConfig + "/" + entityType + "/" + name
}
