package broker

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"net"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"github.com/sirupsen/logrus"
	"github.com/twmb/franz-go/pkg/kmsg"

	"gregor/broker/config"
	"gregor/broker/handlers"
	"gregor/broker/metadata"
	"gregor/broker/metrics"
	"gregor/broker/server"
	"gregor/controller"
	"gregor/coordinator/group"
	"gregor/coordinator/txn"
	"gregor/internal/logging"
	"gregor/internal/vfs"
	"gregor/replication"
	"gregor/storage"
	"gregor/zkmeta"
)

// Options is what a broker is made of; nil functions are the operating system's.
type Options struct {
	Config *config.Broker
	Log    logrus.FieldLogger
	FS     vfs.FS
	Listen func(network, addr string) (net.Listener, error)
	Dial   func(ctx context.Context, network, addr string) (net.Conn, error)
	// Progress is told how many logs of how many are loaded, while the directories are recovered.
	Progress func(done, total int)
}

// Broker is a running broker. Its methods may be called from any goroutine.
type Broker struct {
	opt         Options
	cfg         *config.Broker                // as at the start, which read-only settings keep
	live        atomic.Pointer[config.Broker] // as of now
	log         logrus.FieldLogger
	zk          *zkmeta.Client
	store       *storage.Manager
	settings    *topicSettings
	cache       *metadata.Cache
	replicas    *replication.Manager
	epoch       atomic.Int64 // czxid of the present registration
	server      *server.Server
	ctl         *controller.Controller
	producerIDs *handlers.InitProducerID
	isr         interface{ Run(context.Context) }
	session     sessionFile
	lost        bool // the ends of logs may be, see lookBack
	fetches     *handlers.Fetch
	apis        []server.API
	groups      *group.Coordinator
	txns        *txn.Coordinator
	markers     *handlers.Markers

	// Both are nil unless metrics.listener asks.
	metrics *metrics.Server
	counts  *metrics.Counts

	applyMu sync.Mutex // one change of settings reaches the logs at a time

	hostMu sync.Mutex // guards host.Endpoints
	host   zkmeta.BrokerInfo

	run  context.Context // of the broker's own goroutines
	stop context.CancelFunc
	wg   sync.WaitGroup

	fatalOnce sync.Once
	fatal     chan error
}

// Start brings a broker up: session, log directories, listeners, registration, controller. When it returns, the broker serves. Ending
// ctx ends a start that is under way; a running broker is stopped with Close.
func Start(ctx context.Context, opt Options) (_ *Broker, err error) {
	if opt.FS == nil {
		opt.FS = vfs.OS
	}
	if opt.Dial == nil {
		opt.Dial = (&net.Dialer{}).DialContext
	}
	b := &Broker{opt: opt, cfg: opt.Config, log: opt.Log, fatal: make(chan error, 1)}
	b.run, b.stop = context.WithCancel(context.Background())
	defer func() {
		if err != nil {
			b.abandon()
		}
	}()
	steps := []func(context.Context) error{b.observe, b.connect, b.openLogs, b.openGroups, b.openTxns, b.listen, b.register}
	for _, step := range steps {
		if err := step(ctx); err != nil {
			return nil, err
		}
		b.show(metrics.Starting)
	}
	b.serve()
	b.show(metrics.Running)
	return b, nil
}

// connect opens the ZooKeeper session and makes the paths that every broker expects.
func (b *Broker) connect(ctx context.Context) (err error) {
	zc := b.cfg.ZooKeeper
	opt := zkmeta.Options{
		Connect: zc.Connect, SessionTimeout: zc.SessionTimeout, ConnectTimeout: zc.ConnectionTimeout, SetACL: zc.SetACL,
		Dialer: b.opt.Dial, Log: logging.Named(b.log, "kafka.zookeeper.ZooKeeperClient"),
	}
	if b.counts != nil {
		opt.Metrics = &b.counts.ZooKeeper
	}
	b.log.Infof("Connecting to zookeeper on %s", zc.Connect)
	if b.zk, err = zkmeta.Dial(ctx, opt); err != nil {
		return fmt.Errorf("%w; check zookeeper.connect and that the server runs", err)
	}
	return b.zk.EnsurePaths(ctx)
}

// openLogs locks and recovers the log directories, and settles the broker's id.
func (b *Broker) openLogs(ctx context.Context) error {
	clusterID, err := b.zk.ClusterID(ctx)
	if err != nil {
		return err
	}
	b.log.Infof("Cluster ID = %s", clusterID)
	b.cache = metadata.New(clusterID)
	if b.cfg, err = b.readDynamic(ctx, b.cfg); err != nil {
		return err
	}
	b.settings = newTopicSettings(b.cfg, b.log)
	if err := b.readTopicConfigs(ctx); err != nil {
		return err
	}
	lc := b.cfg.Log
	opt := storage.Options{
		FS: b.opt.FS, Dirs: lc.Dirs, BrokerID: b.cfg.ID, Defaults: b.settings.defaults(), TopicConfig: b.settings.get,
		RecoveryThreadsPerDir: lc.RecoveryThreadsPerDir, MaxOpenFiles: b.cfg.Gregor.MaxOpenFiles,
		RetentionInterval: lc.RetentionCheckInterval, FlushInterval: lc.FlushCheckInterval,
		RecoveryPointInterval: lc.RecoveryPointInterval, StartOffsetInterval: lc.StartOffsetInterval,
		ProducerIDExpiration: b.cfg.ProducerIDExpiration, DirCheckInterval: dirCheckInterval, MinFreeBytes: b.cfg.Gregor.MinFreeBytes,
		Cleaner: b.cfg.Cleaner(), CleanerLog: logging.Named(b.log, "kafka.log.LogCleaner"),
		Log: logging.Named(b.log, "kafka.log.LogManager"), OnDirFailure: b.dirFailed, Progress: b.opt.Progress,
	}
	if b.counts != nil {
		opt.FlushTime = &b.counts.Flushes
	}
	if b.store, err = storage.Open(ctx, opt); err != nil {
		return err
	}
	id, err := identify(ctx, b.cfg.ID, b.cfg.GenerateID, b.cfg.ReservedMaxID, clusterID, b.store, b.zk.GenerateBrokerID)
	if err != nil {
		return err
	}
	if b.cfg.ID < 0 { // what is set for this broker could not be found before
		if b.cfg, err = b.readDynamic(ctx, b.cfg.WithID(id)); err != nil {
			return err
		}
		b.store.UpdateDefaults(b.settings.rebase(b.cfg), b.settings.get)
		b.store.UpdateCleaner(b.cfg.Cleaner())
	}
	b.live.Store(b.cfg)
	b.session = sessionFileIn(b.opt.FS, lc.Dirs[0])
	return b.lookBack()
}

// dirCheckInterval is how soon a log directory that was taken away, or a full one, is noticed without an append.
const dirCheckInterval = time.Second

// readTopicConfigs reads the settings of every topic that has some, before its log is opened with them.
func (b *Broker) readTopicConfigs(ctx context.Context) error {
	names, err := b.zk.Entities(ctx, zkmeta.EntityTopics)
	if err != nil {
		return err
	}
	configs, err := b.zk.TopicConfigs(ctx, names)
	if err != nil {
		return err
	}
	for name, overrides := range configs {
		b.settings.set(name, overrides)
	}
	return nil
}

// listen wires the request path and binds the listeners; nothing is accepted yet.
func (b *Broker) listen(context.Context) error {
	versions := b.cfg.InterBrokerVersion.InterBroker()
	ro := replication.Options{
		BrokerID: b.cfg.ID, Logs: b.store, TopicConfig: b.settings.get, NewLogs: b.readNewConfigs, MinISR: b.settings.minInsyncReplicas,
		Known:              func(topic string, p int32) bool { _, ok := b.cache.Partition(topic, p); return ok },
		Alive:              func(id int32) bool { _, ok := b.cache.Broker(id); return ok },
		CheckpointInterval: b.cfg.Log.HighWatermarkCheckpoints, MaxLag: b.cfg.Replica.LagTimeMax,
		Fetching: b.fetching(), FollowerThrottle: b.settings.throttles.follower,
		Moving: replication.Moving{Logs: b.store, Threads: b.cfg.Replica.AlterDirsThreads, Throttle: b.settings.throttles.dirs},
		ISR:    b.isrChanger(), OnLeadershipChange: b.rolesChanged, OnStop: b.roleEnded,
		Log: logging.Named(b.log, "kafka.server.ReplicaManager"),
	}
	co := controller.Options{
		ZK: b.zk, BrokerID: b.cfg.ID, Dial: b.opt.Dial, Log: logging.Named(b.log, "kafka.controller.KafkaController"),
		Config: controller.Config{
			DeleteTopics: b.cfg.DeleteTopicEnable, Unclean: uncleanDefault(b.cfg),
			Listener: b.controlListener(), InterBrokerListener: b.cfg.InterBrokerListener, RequestTimeout: b.cfg.ControllerTimeout,
			LeaderAndIsr: versions.LeaderAndIsr, UpdateMetadata: versions.UpdateMetadata, StopReplica: versions.StopReplica, VersionsSet: true,
			NoFeatures: !versions.Features, AutoBalance: b.cfg.AutoBalance, BalanceInterval: b.cfg.BalanceInterval,
			BalancePercentage: b.cfg.BalancePercentage,
		},
	}
	if b.counts != nil {
		ro.Counters, co.Metrics = &b.counts.Topics, &b.counts.Controller
	}
	b.replicas, b.ctl = replication.New(ro), controller.New(co)
	b.apis = b.requestTable()
	sc, limits := b.cfg.Socket, b.limits(b.cfg)
	opt := server.Options{
		APIs: b.apis, Listen: b.opt.Listen, Log: logging.Named(b.log, "kafka.network.Processor"),
		MaxRequestBytes: int(sc.RequestMaxBytes), QueuedMaxRequests: sc.QueuedMaxRequests, QueuedMaxBytes: sc.QueuedMaxRequestBytes,
		MaxConnections: limits.MaxConnections, MaxConnectionsPerIP: limits.MaxConnectionsPerIP,
		MaxConnectionsPerIPOverrides: limits.MaxConnectionsPerIPOverrides, ConnectionRate: limits.ConnectionRate, IdleTimeout: sc.MaxIdle,
	}
	opt.RequestLog = handlers.NewRequestLog(b.log)
	if b.counts != nil {
		opt.Metrics, opt.ErrorsOf = b.counts.Requests, handlers.ErrorsOf
	}
	// Kafka's default of 100 KB would switch the kernel's own tuning off: only a size that somebody asked for is set.
	if b.cfg.IsSet("socket.send.buffer.bytes") {
		opt.SendBuffer = sc.SendBuffer
	}
	if b.cfg.IsSet("socket.receive.buffer.bytes") {
		opt.ReceiveBuffer = sc.ReceiveBuffer
	}
	for _, l := range b.cfg.Listeners {
		opt.Listeners = append(opt.Listeners, b.listener(b.cfg, l))
	}
	srv, err := server.New(opt)
	if err != nil {
		return err
	}
	if err := srv.Listen(); err != nil {
		return err
	}
	b.server = srv
	return nil
}

// controlListener is the listener through which controllers reach brokers.
func (b *Broker) controlListener() string {
	if b.cfg.ControlPlaneListener != "" {
		return b.cfg.ControlPlaneListener
	}
	return b.cfg.InterBrokerListener
}

func uncleanDefault(cfg *config.Broker) bool {
	t, _ := cfg.Topic(nil)
	return t.UncleanElection()
}

// requestTable is every request type that this broker serves; ApiVersions derives from it.
func (b *Broker) requestTable() []server.API {
	log := logging.Named(b.log, "kafka.server.KafkaApis")
	admin := handlers.NewAdmin(handlers.AdminOptions{
		Config: b.live.Load, Levels: logging.LevelsOf(b.log), Metadata: b.cache, ZK: b.zk, IsController: b.ctl.IsActive, Dirs: b.store, Log: log,
		Hosted: b.hosted, Moves: b.replicas,
	})
	control := &handlers.Control{Replicas: b.replicas, Metadata: b.cache, BrokerEpoch: b.epoch.Load, Deleted: b.partitionsDeleted, Log: log}
	b.producerIDs = &handlers.InitProducerID{IDs: b.zk, BrokerID: b.cfg.ID, Coordinator: b.txns, Log: log}
	b.markers = &handlers.Markers{Replicas: b.replicas, Groups: b.groups, Timeout: b.cfg.RequestTimeout, Log: log}
	txns := &handlers.Transactions{Coordinator: b.txns, Groups: b.groups, Metadata: b.cache, Markers: b.markers, Log: log}
	produce := &handlers.Produce{Replicas: b.replicas, Log: log}
	if b.cfg.Gregor.VerifyTransactions {
		produce.Verify, produce.Ask = b.txns.Verify, b.txns.Ask
	}
	b.fetches = handlers.NewFetch(b.replicas, log, int(b.cfg.FetchMaxBytes), b.cfg.FetchSessionSlots)
	b.fetches.Throttle = b.settings.throttles.leader
	if b.cfg.Replica.ByRack {
		b.fetches.RackOf = b.rackOf
	}
	if b.counts != nil {
		produce.Waiting, b.fetches.Waiting = &b.counts.Waiting, &b.counts.Waiting
	}
	groups := &handlers.Groups{
		Coordinator: b.groups, Metadata: b.cache, CreateTopic: admin.CreateInternalTopic, TxnPartition: b.txns.PartitionFor,
		StaticMembers: b.cfg.InterBrokerVersion.InterBroker().StaticMembers, Offsets0: b.zk, MaxMetadata: b.cfg.Groups.MaxMetadata, Log: log,
	}
	var rows []server.API
	for _, family := range []interface{ APIs() []server.API }{
		produce, b.fetches,
		&handlers.ListOffsets{Replicas: b.replicas, Log: log},
		&handlers.OffsetForLeaderEpoch{Replicas: b.replicas},
		&handlers.DeleteRecords{Replicas: b.replicas, Log: log},
		b.producerIDs,
		control, &handlers.Cluster{Controller: b.ctl, Log: log}, admin, groups, txns,
	} {
		rows = append(rows, family.APIs()...)
	}
	txnAdmin := (&handlers.TransactionAdmin{Coordinator: b.txns, Replicas: b.replicas}).APIs()
	if b.cfg.Gregor.TransactionAdmin {
		rows = append(rows, txnAdmin...)
	}
	rows = handlers.WithApiVersions(rows)
	if !b.cfg.Gregor.TransactionAdmin { // not for clients, but leaders ask coordinators
		rows = append(rows, slices.DeleteFunc(txnAdmin, func(a server.API) bool { return a.Key != kmsg.DescribeTransactions })...)
	}
	return rows
}

// hosted gives log end and high watermark of a partition that this broker has a role in.
func (b *Broker) hosted(tp storage.TopicPartition) (end, hw int64, ok bool) {
	p, err := b.replicas.Lookup(tp.Topic, tp.Partition)
	if err != nil {
		return 0, 0, false
	}
	l := p.Log()
	if l == nil {
		return 0, 0, false
	}
	return l.LogEndOffset(), l.HighWatermark(), true
}

// register puts the broker under /brokers/ids, after removing what its former process left there.
func (b *Broker) register(ctx context.Context) error {
	endpoints, err := b.endpoints(b.cfg)
	if err != nil {
		return err
	}
	b.host = zkmeta.BrokerInfo{ID: b.cfg.ID, Rack: b.cfg.Rack, Version: b.cfg.InterBrokerVersion.InterBroker().BrokerJSON, JmxPort: -1, Endpoints: endpoints, PowerLost: b.lost}
	if former := b.session.read().session; former != 0 {
		removed, err := b.zk.ClearStale(ctx, b.cfg.ID, former)
		if err != nil {
			return err
		}
		for _, path := range removed {
			b.log.Infof("Removed %s, left by this broker's former process (session 0x%x)", path, former)
		}
	}
	if err := b.registerNow(ctx); err != nil {
		return err
	}
	return nil
}

func (b *Broker) registerNow(ctx context.Context) error {
	epoch, err := b.zk.RegisterBroker(ctx, b.registration())
	if err != nil {
		return err
	}
	b.registered(epoch, b.zk.SessionID())
	return nil
}

// registration is what /brokers/ids/N says of this broker as of now.
func (b *Broker) registration() zkmeta.BrokerInfo {
	b.hostMu.Lock()
	info := b.host
	b.hostMu.Unlock()
	info.Timestamp = time.Now().UnixMilli()
	return info
}

// registered is told each registration: the first, and those that follow an expired session.
func (b *Broker) registered(epoch, session int64) {
	b.epoch.Store(epoch)
	if err := b.session.write(formerLife{session, bootID(), b.lost}, false); err != nil {
		b.log.Warnf("Cannot write %s, so a start after a crash will wait for the session to expire: %v", b.session.name, err)
	}
	b.log.Infof("Registered broker %d at path /brokers/ids/%d with addresses: %s, czxid (broker epoch): %d", b.host.ID, b.host.ID, addresses(b.registration().Endpoints), epoch)
}

// serve starts the goroutines that last as long as the broker.
func (b *Broker) serve() {
	b.goRun("replica manager", b.replicas.Run)
	b.goRun("controller", b.ctl.Run)
	b.goRun("group coordinator", b.groups.Run)
	b.goRun("transaction coordinator", b.txns.Run)
	b.wg.Go(func() { b.isr.Run(b.run) })
	b.wg.Go(func() { b.zk.KeepRegistered(b.run, b.registration, b.registered) })
	b.wg.Go(func() { b.zk.WatchConfigChanges(b.run, b.configChanged) })
	b.wg.Go(func() { b.producerIDs.Prefetch(b.run) })
	b.server.Serve()
}

func (b *Broker) goRun(what string, f func(context.Context) error) {
	b.wg.Go(func() {
		if err := f(b.run); err != nil && b.run.Err() == nil {
			b.die(fmt.Errorf("%s: %w", what, err))
		}
	})
}

const configLogger = "kafka.server.DynamicConfigManager"

// configChanged reads an entity whose settings changed.
func (b *Broker) configChanged(entityPath string) {
	if entity, ok := strings.CutPrefix(entityPath, zkmeta.EntityBrokers+"/"); ok {
		b.brokerConfigChanged(entity)
		return
	}
	topic, ok := strings.CutPrefix(entityPath, zkmeta.EntityTopics+"/")
	if !ok {
		return // users and clients have nothing dynamic yet
	}
	overrides, err := b.zk.TopicConfig(b.run, topic)
	if err != nil {
		if b.run.Err() == nil {
			b.log.Errorf("Cannot read the changed settings of topic %s, the former ones stay in effect: %v", topic, err)
		}
		return
	}
	b.setTopic(topic, overrides)
	b.ctl.TopicConfigChanged(topic, overrides)
	changes := make([]string, 0, len(overrides))
	for _, k := range slices.Sorted(maps.Keys(overrides)) {
		changes = append(changes, k+" -> "+overrides[k])
	}
	logging.Named(b.log, configLogger).Infof("Processing override for entityPath: %s with config: Map(%s)", entityPath, strings.Join(changes, ", "))
}

func (b *Broker) setTopic(topic string, overrides map[string]string) {
	b.applyMu.Lock()
	defer b.applyMu.Unlock()
	b.store.UpdateConfig(topic, b.settings.set(topic, overrides))
}

// newConfigsTimeout bounds how long a LeaderAndIsr request waits for the settings of its new topics: a controller that made them had
// ZooKeeper a moment ago.
const newConfigsTimeout = 10 * time.Second

// readNewConfigs reads the settings of topics that are about to get logs here. They may have been made with settings, which is no
// change that anybody is notified of, or have had others in a former life.
func (b *Broker) readNewConfigs(topics []string) {
	ctx, cancel := context.WithTimeout(b.run, newConfigsTimeout)
	defer cancel()
	configs, err := b.zk.TopicConfigs(ctx, topics)
	if err != nil {
		b.log.Errorf("Cannot read the settings of %d new topics (%s, ...), the broker's defaults are in effect until they are altered or the broker is restarted: %v",
			len(topics), topics[0], err)
		return
	}
	for _, topic := range topics {
		b.setTopic(topic, configs[topic])
	}
}

// dirFailed is told by storage that a directory went offline. The broker lives as long as one is left.
func (b *Broker) dirFailed(dir string, err error) {
	b.log.Errorf("Log directory %s failed and is offline until restart; its partitions are not served: %v", dir, err)
	if b.replicas != nil {
		b.replicas.DirFailed(dir)
	}
	if b.store != nil {
		online := 0
		for _, d := range b.store.Dirs() {
			if d.Online {
				online++
			}
		}
		if online == 0 {
			b.die(fmt.Errorf("shutdown broker because all log dirs in %v have failed: %w", b.cfg.Log.Dirs, err))
			return
		}
	}
	b.wg.Go(func() {
		if err := b.zk.NotifyLogDirFailure(b.run, b.cfg.ID); err != nil && b.run.Err() == nil {
			b.log.Errorf("Cannot tell the controller about the failed log directory %s: %v", dir, err)
		}
	})
}

func (b *Broker) die(err error) {
	b.fatalOnce.Do(func() { b.fatal <- err })
}

// Fatal delivers an error after which the broker cannot go on; the owner closes it.
func (b *Broker) Fatal() <-chan error { return b.fatal }

// ID is the broker's id.
func (b *Broker) ID() int32 { return b.cfg.ID }

// Addr is the address that a listener is bound to, nil if there is none of that name.
func (b *Broker) Addr(listener string) net.Addr { return b.server.Addr(listener) }

// Close stops the broker cleanly: requests in flight are answered, logs flushed, the session closed. When ctx ends first, what is left is
// done without waiting for clients.
func (b *Broker) Close(ctx context.Context) error {
	var errs []error
	b.log.Infof("[KafkaServer id=%d] shutting down", b.cfg.ID)
	b.show(metrics.PendingControlledStop)
	b.handOver(ctx)
	b.replicas.Resign()
	b.show(metrics.ShuttingDown)
	errs = append(errs, b.server.Shutdown(ctx))
	b.stop()
	b.wg.Wait()
	errs = append(errs, b.store.CheckpointHighWatermarks(), b.store.Close(ctx))
	// A session that cannot be closed lives on until it expires: its note stays, so that the next start knows it for its own.
	closes := b.zk.Connected()
	b.zk.Close()
	if closes {
		errs = append(errs, b.session.remove())
	}
	b.hide()
	err := errors.Join(errs...)
	if err == nil {
		b.log.Infof("[KafkaServer id=%d] shut down completed", b.cfg.ID)
	}
	return err
}

// abandon takes down what a failed start has built.
func (b *Broker) abandon() {
	b.stop()
	if b.server != nil {
		b.server.Close()
	}
	b.wg.Wait()
	if b.store != nil {
		b.store.Close(context.Background())
	}
	if b.zk != nil {
		b.zk.Close()
	}
	b.hide()
}

func addresses(list []zkmeta.Endpoint) string {
	parts := make([]string, len(list))
	for i, e := range list {
		parts[i] = e.String()
	}
	return strings.Join(parts, ",")
}
