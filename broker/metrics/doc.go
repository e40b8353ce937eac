// Package metrics shows what a broker counts: at /metrics for Prometheus, under the names that the usual rules of the JMX exporter give
// to Kafka's MBeans, and beside it /healthz, /readyz and, on a loopback address, /debug/pprof.
//
// Owns: the HTTP listener, and the text that goes over it; what is counted belongs to the parts of the broker. Guarded by: one scrape at a
// time holds Handler.mu; Sources are swapped whole while the broker comes up.
// Invariants: series of partitions and topics are written as they are looked at and never gathered, so that a scrape of 100,000
// partitions needs little more than a list of them; nothing is computed between scrapes; names do not change without docs/metrics.md.
// Imports: the parts of the broker. Kafka's counterpart: kafka.metrics.KafkaMetricsGroup, JMX, and the agent people hang beside it.
package metrics
