package config

import (
	"math"
	"slices"
	"strconv"
	"strings"
)

// crossCheck is what Kafka checks between keys at start-up, in its order and words.
func (b *Broker) crossCheck() error {
	for _, check := range []func() error{b.checkID, b.checkLog, b.checkReplication, b.checkListeners, b.checkVersions, b.checkConnections} {
		if err := check(); err != nil {
			return err
		}
	}
	return nil
}

func (b *Broker) checkID() error {
	if b.GenerateID {
		if b.ID < -1 || b.ID > b.ReservedMaxID {
			return refuse("broker.id", "broker.id must be equal or greater than -1 and not greater than reserved.broker.max.id: broker.id is %d, "+
				"reserved.broker.max.id is %d", b.ID, b.ReservedMaxID)
		}
		return nil
	}
	if b.ID < 0 {
		return refuse("broker.id", "broker.id must be equal or greater than 0 when broker.id.generation.enable is false: it is %d", b.ID)
	}
	return nil
}

func (b *Broker) checkLog() error {
	t := b.topicDefaults()
	number := func(k string) int64 { n, _ := strconv.ParseInt(t[k], 10, 64); return n }
	if v := number("segment.ms"); v < 1 {
		return require("log.roll.ms", "log.roll.ms must be equal or greater than 1", ": it is %d", v)
	}
	if v := number("segment.jitter.ms"); v < 0 {
		return require("log.roll.jitter.ms", "log.roll.jitter.ms must be equal or greater than 0", ": it is %d", v)
	}
	if v := number("retention.ms"); v < 1 && v != -1 {
		return require("log.retention.ms", "log.retention.ms must be unlimited (-1) or, equal or greater than 1", ": it is %d", v)
	}
	if len(b.Log.Dirs) == 0 {
		return refuse("log.dirs", "At least one log directory must be defined via log.dirs or log.dir.")
	}
	threads, dedupe := b.long("log.cleaner.threads"), b.long("log.cleaner.dedupe.buffer.size")
	if threads == 0 || dedupe/threads <= 1<<20 {
		return require("log.cleaner.dedupe.buffer.size", "log.cleaner.dedupe.buffer.size must be at least 1MB per cleaner thread.",
			" It is %d bytes for log.cleaner.threads=%d", dedupe, threads)
	}
	return nil
}

// The selectors of replicas that Kafka brings along: classes of other people's cannot be loaded.
const (
	rackAwareSelector = "org.apache.kafka.common.replica.RackAwareReplicaSelector"
	leaderSelector    = "org.apache.kafka.common.replica.LeaderSelector"
)

func (b *Broker) checkReplication() error {
	if c := b.str("replica.selector.class"); c != "" && c != rackAwareSelector && c != leaderSelector {
		return refuse("replica.selector.class", "there is no class %s here: it is %s, %s or not set", c, rackAwareSelector, leaderSelector)
	}
	wait := b.long("replica.fetch.wait.max.ms")
	if socket := b.long("replica.socket.timeout.ms"); wait > socket {
		return refuse("replica.socket.timeout.ms", "replica.socket.timeout.ms should always be at least replica.fetch.wait.max.ms to prevent "+
			"unnecessary socket timeouts: they are %d and %d", socket, wait)
	}
	if lag := b.long("replica.lag.time.max.ms"); wait > lag {
		return refuse("replica.fetch.wait.max.ms", "replica.fetch.wait.max.ms should always be less than or equal to replica.lag.time.max.ms to "+
			"prevent frequent changes in ISR: they are %d and %d", wait, lag)
	}
	if acks, rf := b.long("offsets.commit.required.acks"), b.long("offsets.topic.replication.factor"); acks < -1 || acks > rf {
		return refuse("offsets.commit.required.acks", "offsets.commit.required.acks must be greater or equal -1 and less or equal to "+
			"offsets.topic.replication.factor: they are %d and %d", acks, rf)
	}
	if c := b.long("offsets.topic.compression.codec"); c < 0 || c > 4 {
		return refuse("offsets.topic.compression.codec", "%d is an unknown compression codec (offsets.topic.compression.codec is 0 none, 1 gzip, "+
			"2 snappy, 3 lz4 or 4 zstd)", c)
	}
	valid := topicKeyByName["compression.type"].Valid.(choice).of
	if c := b.str("compression.type"); !slices.Contains(valid, strings.ToLower(c)) {
		return require("compression.type", "compression.type : "+c+" is not valid. Valid options are "+strings.Join(valid, ","), "")
	}
	return nil
}

func (b *Broker) checkListeners() error {
	names := func(ls []Listener) (out []string) {
		for _, l := range ls {
			out = append(out, l.Name)
		}
		return out
	}
	listeners, advertised := names(b.Listeners), names(b.Advertised)
	if !slices.Contains(advertised, b.InterBrokerListener) {
		return require("inter.broker.listener.name", "inter.broker.listener.name must be a listener name defined in advertised.listeners. "+
			"The valid options based on currently configured listeners are "+strings.Join(advertised, ","), "; it is %s", b.InterBrokerListener)
	}
	for _, n := range advertised {
		if !slices.Contains(listeners, n) {
			return require("advertised.listeners", "advertised.listeners listener names must be equal to or a subset of the ones defined in listeners. Found "+
				strings.Join(advertised, ",")+". The valid options based on the current configuration are "+strings.Join(listeners, ","), "")
		}
	}
	for _, l := range b.Advertised {
		if l.Host == "0.0.0.0" {
			return require("advertised.listeners", "advertised.listeners cannot use the nonroutable meta-address 0.0.0.0. Use a routable IP address.",
				" It is %s", l)
		}
	}
	if c := b.ControlPlaneListener; c != "" {
		if !slices.Contains(advertised, c) {
			return require("control.plane.listener.name", "control.plane.listener.name must be a listener name defined in advertised.listeners. "+
				"The valid options based on currently configured listeners are "+strings.Join(advertised, ","), "; it is %s", c)
		}
		if c == b.InterBrokerListener {
			return refuse("control.plane.listener.name", "control.plane.listener.name, when defined, should have a different value from the "+
				"inter broker listener name. Currently they both have the value %s", c)
		}
	}
	return nil
}

func (b *Broker) checkVersions() error {
	text := b.str("log.message.format.version")
	format, _ := ParseVersion(text)
	if b.InterBrokerVersion.RecordVersion() >= format.RecordVersion() {
		return nil
	}
	least := V0_10_0_IV0
	if format.RecordVersion() == 2 {
		least = V0_11_0_IV0
	}
	return refuse("log.message.format.version", "log.message.format.version %s can only be used when inter.broker.protocol.version is set to "+
		"version %s or higher; it is %s", text, least.Short(), b.InterBrokerVersion)
}

func (b *Broker) checkConnections() error {
	if q, m := b.Socket.QueuedMaxRequestBytes, int64(b.Socket.RequestMaxBytes); q > 0 && q < m {
		return refuse("queued.max.request.bytes", "queued.max.request.bytes must be larger or equal to socket.request.max.bytes: they are %d and %d", q, m)
	}
	if b.Socket.MaxConnectionsPerIP == 0 && len(b.Socket.MaxConnectionsPerHost) == 0 {
		return require("max.connections.per.ip", "max.connections.per.ip can be set to zero only if max.connections.per.ip.overrides property is set.", "")
	}
	delay, idle := b.long("connection.failed.authentication.delay.ms"), b.long("connections.max.idle.ms")
	if idle >= 0 && delay >= idle {
		return refuse("connection.failed.authentication.delay.ms", "connection.failed.authentication.delay.ms=%d should always be less than "+
			"connections.max.idle.ms=%d to prevent failed authentication responses from timing out", delay, idle)
	}
	return nil
}

// refuseProtection stops the start when a setting asks for protection that does not exist yet.
func (b *Broker) refuseProtection() error {
	why := map[string]string{
		"authorizer.class.name":          "Gregor has no authorizer yet and would let everyone in; remove the key to run without one",
		"alter.config.policy.class.name": "Gregor cannot apply the policy and would accept what it forbids; remove the key",
		"create.topic.policy.class.name": "Gregor cannot apply the policy and would accept what it forbids; remove the key",
		"client.quota.callback.class":    "Gregor has no quotas yet and would let every client through unthrottled; remove the key",
		"quota.consumer.default":         "Gregor has no quotas yet and would let every client through unthrottled; remove the key",
		"quota.producer.default":         "Gregor has no quotas yet and would let every client through unthrottled; remove the key",
		"principal.builder.class":        "Gregor cannot run Java classes; remove the key to use the default principals",
		"security.providers":             "Gregor cannot run Java classes; remove the key",
		"delegation.token.master.key":    "Gregor has no delegation tokens yet; remove the key",
		"zookeeper.ssl.client.enable":    "Gregor has no TLS to ZooKeeper yet and would talk to it in the clear; set it to false",
	}
	for _, name := range slices.Sorted(mapKeys(b.values)) {
		k, _ := LookupKey(name)
		v := b.values[name]
		if k.Use != Protects || v == k.Default || v == "" {
			continue
		}
		if n, err := strconv.ParseInt(v, 10, 64); err == nil && (n == math.MaxInt64 || k.Type == Int && n == math.MaxInt32) {
			continue
		}
		if k.Sensitive() {
			v = "[hidden]"
		}
		return invalid(name, v, why[k.Name])
	}
	for _, l := range append(slices.Clone(b.Listeners), b.Advertised...) {
		if l.Protocol != "PLAINTEXT" {
			return invalid("listeners", l.String(), "its security protocol is "+l.Protocol+", and Gregor speaks only PLAINTEXT yet")
		}
	}
	return nil
}
