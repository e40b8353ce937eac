package broker

import (
	"context"
	"net"
	"strconv"

	"gregor/internal/logging"
	"gregor/replication"
	"gregor/storage"
)

// fetching is how this broker follows others.
func (b *Broker) fetching() replication.Fetching {
	r, v := b.cfg.Replica, b.cfg.InterBrokerVersion.InterBroker()
	return replication.Fetching{
		Dial: b.opt.Dial, Endpoint: func(id int32) (string, bool) { return b.endpoint(id, b.cfg.InterBrokerListener) },
		Threads: r.Fetchers, MaxWait: r.FetchWait, MinBytes: r.FetchMinBytes, MaxBytes: r.FetchMaxBytes, PartitionBytes: r.FetchPartitionBytes,
		Backoff: r.FetchBackoff, Timeout: r.SocketTimeout,
		Versions: replication.FetchVersions{Fetch: v.Fetch, ListOffsets: v.ListOffsets, OffsetForLeaderEpoch: v.OffsetForLeaderEpoch, Epochs: v.Epochs},
	}
}

// isrChanger is how in-sync replicas are changed at this inter.broker.protocol.version.
func (b *Broker) isrChanger() replication.ISRChanger {
	log := logging.Named(b.log, "kafka.server.DefaultAlterIsrManager")
	if !b.cfg.InterBrokerVersion.InterBroker().AlterIsr {
		z := &replication.ZKISR{ZK: b.zk, Log: log}
		b.isr = z
		return z
	}
	a := replication.NewAlterISR(replication.AlterISROptions{
		BrokerID: b.cfg.ID, BrokerEpoch: b.epoch.Load, Dial: b.opt.Dial, Timeout: b.cfg.Replica.SocketTimeout, Log: log,
		Controller: func() (string, bool) { return b.endpoint(b.cache.ControllerID(), b.controlListener()) },
		Read: func(ctx context.Context, tp storage.TopicPartition) (replication.ISRAnswer, error) {
			return replication.ReadISR(ctx, b.zk, tp)
		},
	})
	b.isr = a
	return a
}

// endpoint is where another broker listens.
func (b *Broker) endpoint(id int32, listener string) (addr string, ok bool) {
	br, ok := b.cache.Broker(id)
	if !ok {
		return "", false
	}
	e, ok := br.Endpoint(listener)
	if !ok {
		return "", false
	}
	return net.JoinHostPort(e.Host, strconv.Itoa(int(e.Port))), true
}

// rackOf is the rack of a broker that is alive, empty if it has none.
func (b *Broker) rackOf(id int32) string {
	if br, ok := b.cache.Broker(id); ok && br.Rack != nil {
		return *br.Rack
	}
	return ""
}
