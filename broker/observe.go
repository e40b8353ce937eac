package broker

import (
	"context"
	"net"

	"gregor/broker/metrics"
	"gregor/internal/logging"
)

// observe opens the listener for metrics and health if one is asked for, before anything else: whoever watches a start that takes long
// sees that it is under way.
func (b *Broker) observe(context.Context) (err error) {
	addr := b.cfg.Gregor.MetricsListener
	if addr == "" {
		return nil
	}
	log := logging.Named(b.log, "kafka.metrics.KafkaMetricsReporter")
	if b.metrics, err = metrics.Listen(addr, b.opt.Listen, log); err != nil {
		return err
	}
	b.counts = metrics.NewCounts()
	log.Infof("Metrics are served at http://%v/metrics", b.metrics.Addr())
	return nil
}

// show has metrics and health look at what the broker has by now.
func (b *Broker) show(state metrics.State) {
	if b.metrics == nil {
		return
	}
	src := metrics.Sources{
		State: state, BrokerID: b.cfg.ID, Counts: b.counts, Server: b.server, APIs: b.apis,
		Replicas: b.replicas, Store: b.store, Controller: b.ctl, Transactions: b.txns, ZooKeeper: b.zk, Groups: b.groups,
	}
	if b.cache != nil {
		src.ClusterID = b.cache.ClusterID()
		src.Ends = b.partitionEnds
		src.ControllerKnown = func() bool { return b.cache.ControllerID() >= 0 }
	}
	if b.fetches != nil {
		src.Sessions = b.fetches.Sessions
	}
	b.metrics.Set(src)
}

func (b *Broker) hide() {
	if b.metrics != nil {
		b.metrics.Close()
	}
}

// MetricsAddr is the address that metrics.listener is bound to, nil if nothing asks for one.
func (b *Broker) MetricsAddr() net.Addr {
	if b.metrics == nil {
		return nil
	}
	return b.metrics.Addr()
}
