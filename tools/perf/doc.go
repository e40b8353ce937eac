// Command perf loads brokers and measures what it costs them.
//
//	perf peer [-seconds N] [-out FILE] [ROW...]   the same load on Apache Kafka 2.7.2 and on Gregor, in one run, as ratios
//	perf produce -bootstrap HOST:PORT ...         one load on a broker that runs already; also fetch, latency
//
// The client is not to be what is measured: it sends batches that it encoded beforehand, over connections with a bounded number of
// requests in flight, and throws away what it fetches. -client franz-go takes franz-go instead, which encodes each record.
//
// Rows named floor are no broker: produce-floor, latency-floor and cluster-floor put the load of produce-1k, latency and a cluster's
// produce-1k on the least that one process, or a leader and two followers, must do with it. What a broker takes beyond that can be won.
//
// Owns: the processes of a run. Holds always: CPU is the broker process's user and system time from /proc, taken before and after the
// measured part, which follows a warm-up of the same load. Imports: integration/peer, wire/record, franz-go.
// Kafka's counterpart: kafka-producer-perf-test.sh, kafka-consumer-perf-test.sh and Trogdor.
package main
