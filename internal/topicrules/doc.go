// Package topicrules owns Kafka's rules about topics that brokers and tools share: which names are legal, which collide, which are internal,
// and how replicas are placed on brokers.
//
// It has no state. It imports the standard library only.
//
// Kafka's counterparts: org.apache.kafka.common.internals.Topic, kafka.admin.AdminUtils.
package topicrules
