package broker

import (
	"context"
	"maps"
	"net"
	"slices"
	"strconv"

	"gregor/broker/config"
	"gregor/broker/server"
	"gregor/internal/logging"
	"gregor/zkmeta"
)

// readDynamic is cfg with the settings that stand in ZooKeeper for all brokers and, when its id is known, for this one. Settings with
// which the broker cannot be are left out, with a line in the log: they must not keep it from starting.
func (b *Broker) readDynamic(ctx context.Context, cfg *config.Broker) (*config.Broker, error) {
	persistent, err := b.zk.EntityConfig(ctx, zkmeta.EntityBrokers, zkmeta.DefaultEntity)
	if err != nil {
		return nil, err
	}
	all := b.dynamicSettings(cfg, persistent, false)
	next, err := cfg.AtStart(nil, all)
	if err != nil {
		b.log.Errorf("Cluster default configs could not be applied: %v", err)
		next, all = cfg, nil
	}
	if cfg.ID < 0 {
		return next, nil
	}
	entity := strconv.Itoa(int(cfg.ID))
	if persistent, err = b.zk.EntityConfig(ctx, zkmeta.EntityBrokers, entity); err != nil {
		return nil, err
	}
	if fresh, changed := cfg.Reencode(persistent); changed {
		if err := b.zk.SetEntityConfig(ctx, zkmeta.EntityBrokers, entity, fresh); err != nil {
			return nil, err
		}
		b.log.Info("Passwords in the dynamic configuration were encoded with the new password.encoder.secret")
		persistent = fresh
	}
	whole, err := next.AtStart(b.dynamicSettings(cfg, persistent, true), all)
	if err != nil {
		b.log.Errorf("Per-broker configs of %d could not be applied: %v", cfg.ID, err)
		return next, nil
	}
	return whole, nil
}

func (b *Broker) dynamicSettings(cfg *config.Broker, persistent map[string]string, perBroker bool) map[string]string {
	props, ignored := cfg.FromPersistent(persistent, perBroker)
	for _, why := range ignored {
		b.log.Error(why)
	}
	return props
}

// brokerConfigChanged reads the settings of all brokers or of this one and goes on with them. It is called by one goroutine.
func (b *Broker) brokerConfigChanged(entity string) {
	perBroker := entity != zkmeta.DefaultEntity
	cur := b.live.Load()
	if perBroker && entity != strconv.Itoa(int(cur.ID)) {
		return
	}
	persistent, err := b.zk.EntityConfig(b.run, zkmeta.EntityBrokers, entity)
	if err != nil {
		if b.run.Err() == nil {
			b.log.Errorf("Cannot read the changed settings of brokers/%s, the former ones stay in effect: %v", entity, err)
		}
		return
	}
	logging.Named(b.log, configLogger).Infof("Processing override for entityPath: brokers/%s with config: %v", entity, slices.Sorted(maps.Keys(persistent)))
	own, all := cur.DynamicLevels()
	if props := b.dynamicSettings(cur, persistent, perBroker); perBroker {
		own = props
	} else {
		all = props
	}
	next, err := cur.WithDynamic(own, all)
	if err != nil {
		b.log.Errorf("The changed settings of brokers/%s could not be applied, the former ones stay in effect: %v", entity, err)
		return
	}
	b.reconfigure(cur, next)
}

// reconfigure brings every part of the broker from one configuration to the next.
func (b *Broker) reconfigure(from, to *config.Broker) {
	b.live.Store(to)
	was, _ := effective(from, nil)
	now, _ := effective(to, nil)
	b.applyMu.Lock()
	if defaults := b.settings.rebase(to); was.log != now.log {
		b.store.UpdateDefaults(defaults, b.settings.get)
	}
	b.applyMu.Unlock()
	b.store.UpdateCleaner(to.Cleaner())
	if u := uncleanDefault(to); u != uncleanDefault(from) {
		b.ctl.DefaultUncleanChanged(u)
	}
	b.settings.throttles.rates(to)
	b.relisten(from, to)
	b.server.SetLimits(b.limits(to))
}

// limits are the limits of connections in a configuration.
func (b *Broker) limits(cfg *config.Broker) server.Limits {
	sc := cfg.Socket
	l := server.Limits{
		MaxConnections: sc.MaxConnections, MaxConnectionsPerIP: sc.MaxConnectionsPerIP, MaxConnectionsPerIPOverrides: make(map[string]int),
		ConnectionRate: sc.ConnectionRate, Listeners: make(map[string]server.ListenerLimits),
	}
	for host, n := range sc.MaxConnectionsPerHost {
		if net.ParseIP(host) != nil {
			l.MaxConnectionsPerIPOverrides[net.ParseIP(host).String()] = n
			continue
		}
		addrs, err := net.DefaultResolver.LookupHost(b.run, host)
		if err != nil {
			b.log.Errorf("max.connections.per.ip.overrides: the limit of %s has no effect, its address cannot be found: %v", host, err)
		}
		for _, a := range addrs {
			l.MaxConnectionsPerIPOverrides[a] = n
		}
	}
	for _, ln := range cfg.Listeners {
		l.Listeners[ln.Name] = server.ListenerLimits{MaxConnections: sc.ListenerMaxConnections[ln.Name], ConnectionRate: sc.ListenerConnectionRate[ln.Name]}
	}
	return l
}

// listener is what the server needs to know of a listener.
func (b *Broker) listener(cfg *config.Broker, l config.Listener) server.ListenerConfig {
	return server.ListenerConfig{
		Name: l.Name, Addr: l.Address(), ControlPlane: l.Name == cfg.ControlPlaneListener, InterBroker: l.Name == cfg.InterBrokerListener,
		MaxConnections: cfg.Socket.ListenerMaxConnections[l.Name], ConnectionRate: cfg.Socket.ListenerConnectionRate[l.Name],
	}
}

// relisten closes listeners that are no more, opens new ones, and tells the cluster where the broker is to be reached.
func (b *Broker) relisten(from, to *config.Broker) {
	if slices.Equal(from.Listeners, to.Listeners) && slices.Equal(from.Advertised, to.Advertised) {
		return
	}
	for _, l := range from.Listeners {
		if !slices.Contains(to.Listeners, l) {
			b.log.Infof("Closing listener %s", l)
			b.server.RemoveListener(l.Name)
		}
	}
	for _, l := range to.Listeners {
		if slices.Contains(from.Listeners, l) {
			continue
		}
		b.log.Infof("Opening listener %s", l)
		if err := b.server.AddListener(b.listener(to, l)); err != nil {
			b.log.Errorf("A listener of the changed settings is not served: %v", err)
		}
	}
	endpoints, err := b.endpoints(to)
	if err == nil {
		b.hostMu.Lock()
		b.host.Endpoints = endpoints
		b.hostMu.Unlock()
		err = b.zk.UpdateBroker(b.run, b.registration())
	}
	if err != nil && b.run.Err() == nil {
		b.log.Errorf("Cannot tell the cluster of the changed listeners; alter them again: %v", err)
		return
	}
	b.log.Infof("Addresses are now %s", addresses(endpoints))
}

// endpoints are the advertised listeners, with the ports that were bound.
func (b *Broker) endpoints(cfg *config.Broker) ([]zkmeta.Endpoint, error) {
	advertised, err := cfg.ResolveAdvertised(func(listener string) int {
		if a, ok := b.server.Addr(listener).(*net.TCPAddr); ok {
			return a.Port
		}
		return -1
	})
	if err != nil {
		return nil, err
	}
	var out []zkmeta.Endpoint
	for _, l := range advertised {
		out = append(out, zkmeta.Endpoint{Listener: l.Name, Protocol: l.Protocol, Host: l.Host, Port: int32(l.Port)})
	}
	return out, nil
}
