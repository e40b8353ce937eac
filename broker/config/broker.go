package config

import (
	"maps"
	"slices"
	"strconv"
	"strings"
	"time"
)

// Broker is the configuration of one broker: parsed, checked and immutable. The fields are what Gregor uses; every key can be read by name.
type Broker struct {
	// ID is -1 when it is to be taken from meta.properties or generated.
	ID                 int32
	GenerateID         bool
	ReservedMaxID      int32
	Rack               *string
	InterBrokerVersion Version
	DeleteTopicEnable  bool

	Listeners  []Listener
	Advertised []Listener
	// InterBrokerListener and ControlPlaneListener are listener names; the latter is empty when there is none.
	InterBrokerListener  string
	ControlPlaneListener string

	ZooKeeper ZooKeeper
	Socket    Socket
	Log       Log
	Topics    TopicDefaults
	Groups    Groups
	// Transactions is how the transaction coordinator treats transactional ids.
	Transactions Transactions
	Internal     InternalTopics
	Replica      Replica

	// AutoBalance is auto.leader.rebalance.enable; the others are leader.imbalance.*.
	AutoBalance       bool
	BalanceInterval   time.Duration
	BalancePercentage int

	FetchMaxBytes        int32
	FetchSessionSlots    int
	RequestTimeout       time.Duration
	ControllerTimeout    time.Duration
	TransactionMaxMillis int32
	// ProducerIDExpiration is how long an idle idempotent producer is remembered (transactional.id.expiration.ms, as in Kafka 2.7).
	ProducerIDExpiration time.Duration

	Gregor Gregor

	levels levels
	values map[string]string
}

// ZooKeeper is where and how the broker reaches ZooKeeper.
type ZooKeeper struct {
	Connect           string
	SessionTimeout    time.Duration
	ConnectionTimeout time.Duration
	MaxInFlight       int
	SetACL            bool
}

// Socket is what the listeners have in common.
type Socket struct {
	// SendBuffer and ReceiveBuffer are -1 for the system's default.
	SendBuffer, ReceiveBuffer int
	RequestMaxBytes           int32
	MaxConnections            int
	// ListenerMaxConnections holds the limits given for one listener, by its name.
	ListenerMaxConnections map[string]int
	// ConnectionRate is how many connections a second are accepted, ListenerConnectionRate that of one listener, by its name.
	ConnectionRate         int
	ListenerConnectionRate map[string]int
	MaxConnectionsPerIP    int
	// MaxConnectionsPerHost holds exceptions to MaxConnectionsPerIP, by host name or address.
	MaxConnectionsPerHost map[string]int
	// MaxIdle is negative when connections are never too old.
	MaxIdle               time.Duration
	QueuedMaxRequests     int
	QueuedMaxRequestBytes int64
}

// Log is what concerns all logs of the broker; what a topic may override is in Topic.
type Log struct {
	Dirs                     []string
	RecoveryThreadsPerDir    int
	FlushCheckInterval       time.Duration
	RecoveryPointInterval    time.Duration
	StartOffsetInterval      time.Duration
	RetentionCheckInterval   time.Duration
	HighWatermarkCheckpoints time.Duration
}

// TopicDefaults is what a topic gets that is created without saying.
type TopicDefaults struct {
	AutoCreate        bool
	Partitions        int32
	ReplicationFactor int16
}

// Groups is how the group coordinator treats consumer groups and their offsets.
type Groups struct {
	MinSession, MaxSession, InitialDelay time.Duration
	MaxSize, MaxMetadata                 int
	Retention, RetentionCheck            time.Duration
	LoadBuffer                           int
	Codec                                int // 0 none, 1 gzip, 2 snappy, 3 lz4, 4 zstd
	Acks                                 int16
	CommitTimeout                        time.Duration
}

// Transactions is how the transaction coordinator treats transactional ids.
type Transactions struct {
	// AbortInterval and ExpireInterval are how often transactions that took too long are looked for, and ids that are not used any more.
	AbortInterval, ExpireInterval time.Duration
	LoadBuffer                    int
}

// InternalTopics is how the offsets and the transaction topic are created.
type InternalTopics struct {
	OffsetsPartitions, TransactionPartitions               int32
	OffsetsReplicationFactor, TransactionReplicationFactor int16
	OffsetsSegmentBytes, TransactionSegmentBytes           int32
	TransactionMinISR                                      int32
}

// Replica is what replication needs in every role.
type Replica struct {
	LagTimeMax    time.Duration
	SocketTimeout time.Duration
	// ByRack: consumers that name their rack read from a replica in it (replica.selector.class is RackAwareReplicaSelector).
	ByRack bool
	// ControlledShutdown: leaderships are handed over before a stop, tried ShutdownRetries times, ShutdownBackoff apart.
	ControlledShutdown bool
	ShutdownRetries    int
	ShutdownBackoff    time.Duration
	// Fetchers is num.replica.fetchers; the others are replica.fetch.*.
	Fetchers                                          int
	FetchWait, FetchBackoff                           time.Duration
	FetchMinBytes, FetchMaxBytes, FetchPartitionBytes int32
	// Quota and AlterDirsQuota are the windows in which throttled replicas and moves between log directories are measured.
	Quota, AlterDirsQuota QuotaWindow
	// AlterDirsThreads is num.replica.alter.log.dirs.threads.
	AlterDirsThreads int
}

// QuotaWindow is so many samples of a length.
type QuotaWindow struct {
	Samples int
	Length  time.Duration
}

// Gregor holds the keys that Kafka does not have.
type Gregor struct {
	// MaxOpenFiles bounds the descriptors that logs keep open; 0 derives it from the process's limit.
	MaxOpenFiles int
	// MinFreeBytes is the free space below which a log directory takes no more records from clients; 0 is no floor.
	MinFreeBytes int64
	// EmbeddedZooKeeper starts a ZooKeeper in this process, at the first address of zookeeper.connect.
	EmbeddedZooKeeper bool
	ZooKeeperDataDir  string
	// TransactionAdmin serves the requests of KIP-664, which 2.7 does not have.
	TransactionAdmin bool
	// VerifyTransactions refuses records of partitions that are not in their producer's transaction.
	VerifyTransactions bool
	// LogFormat is kafka or json.
	LogFormat string
	LogLevel  string
	// LogLevels are the levels of single loggers, each name=LEVEL.
	LogLevels []string
	// MetricsListener is host:port of metrics, health and profiles, or empty. An empty host is every interface.
	MetricsListener string
}

// gregorKeys are Gregor's own.
var gregorKeys = []Key{
	{"gregor.max.open.files", Int, "0", atLeast(0), Medium, ReadOnly, Used,
		"Descriptors that logs may keep open; 0 takes them from the limit of the process."},
	{"gregor.log.dir.min.free.bytes", Long, "0", atLeast(0), Medium, ReadOnly, Used,
		"Free space of a log directory below which records are refused, retriably, until a tenth more than that is free; 0 is no floor."},
	{"gregor.zookeeper.embedded", Boolean, "false", nil, Medium, ReadOnly, Used,
		"Start a ZooKeeper in this process, at the first address of zookeeper.connect."},
	{"gregor.zookeeper.data.dir", String, "./data/zookeeper", nil, Medium, ReadOnly, Used,
		"Directory of the embedded ZooKeeper."},
	{"gregor.transactions.admin.enable", Boolean, "false", nil, Medium, ReadOnly, Used,
		"Serve DescribeProducers, DescribeTransactions and ListTransactions (KIP-664), which Kafka has from 3.0 on, to find hanging transactions."},
	{"gregor.transactions.verify", Boolean, "true", nil, Medium, ReadOnly, Used,
		"Refuse records that begin a transaction in a partition that their producer has not added to it, where this broker knows (KIP-890)."},
	{"gregor.log.format", String, "kafka", oneOf("kafka", "json"), Low, ReadOnly, Used,
		"Layout of the process's own log: Kafka's lines, or JSON."},
	{"gregor.log.level", String, "info", oneOf("trace", "debug", "info", "warn", "error"), Low, ReadOnly, Used,
		"Least severe lines that are logged."},
	{"gregor.log.loggers", List, "", nil, Low, ReadOnly, Used,
		"Levels of single loggers, such as kafka.request.logger=DEBUG for a line per request, or state.change.logger=WARN."},
	{"metrics.listener", String, "", hostPort, Low, ReadOnly, Used,
		"host:port of /metrics for Prometheus, /healthz and /readyz; empty for none, unless JMX_PORT asks. On a loopback address /debug/pprof too."},
}

// keys is every key that may stand in server.properties, by name.
var keys = func() map[string]*Key {
	m := make(map[string]*Key)
	for _, part := range [][]Key{keysAToK, keysLToR, keysSToZ, gregorKeys} {
		for i := range part {
			m[part[i].Name] = &part[i]
		}
	}
	return m
}()

// LookupKey returns the definition of a broker key; listener.name.NAME.KEY has that of KEY.
func LookupKey(name string) (*Key, bool) {
	if k, ok := keys[name]; ok {
		return k, true
	}
	if base, _, ok := listenerKey(name); ok {
		for i := range base {
			// listener.name.NAME.MECHANISM.KEY: the mechanism comes first, so try what follows each dot.
			if i == 0 || base[i-1] == '.' {
				if k, ok := keys[base[i:]]; ok {
					return k, true
				}
			}
		}
	}
	return nil, false
}

// listenerKey splits listener.name.NAME.KEY.
func listenerKey(name string) (base, listener string, ok bool) {
	rest, ok := strings.CutPrefix(name, "listener.name.")
	if !ok {
		return "", "", false
	}
	listener, base, ok = strings.Cut(rest, ".")
	return base, listener, ok && base != ""
}

// synonyms lists the keys that say the same as name, the strongest first.
func synonyms(name string) []string {
	switch name {
	case "log.roll.ms", "log.roll.hours":
		return []string{"log.roll.ms", "log.roll.hours"}
	case "log.roll.jitter.ms", "log.roll.jitter.hours":
		return []string{"log.roll.jitter.ms", "log.roll.jitter.hours"}
	case "log.flush.interval.ms":
		return []string{"log.flush.interval.ms", "log.flush.scheduler.interval.ms"}
	case "log.retention.ms", "log.retention.minutes", "log.retention.hours":
		return []string{"log.retention.ms", "log.retention.minutes", "log.retention.hours"}
	}
	if base, _, ok := listenerKey(name); ok {
		if k, ok := LookupKey(name); ok {
			base = k.Name
		}
		return []string{name, base}
	}
	return []string{name}
}

// levels keeps what was set where, as it was written.
type levels struct {
	static, dynamicDefault, dynamicBroker map[string]string
}

// effective is the static level with the dynamic ones laid over it: a key set at a higher level hides all its synonyms below.
func (l levels) effective() map[string]string {
	props := maps.Clone(l.static)
	for _, level := range []map[string]string{l.dynamicDefault, l.dynamicBroker} {
		for k := range level {
			for _, s := range synonyms(k) {
				if _, listener, ok := listenerKey(k); !ok || listener == "" || s == k {
					delete(props, s)
				}
			}
		}
		maps.Copy(props, level)
	}
	return props
}

// New builds a Broker from properties that were already gathered (Load is what a process calls).
func New(props map[string]string) (*Broker, error) {
	return build(levels{static: maps.Clone(props)})
}

// WithID is a copy with the broker id that was found in meta.properties or generated.
func (b *Broker) WithID(id int32) *Broker {
	nb := *b
	nb.ID = id
	nb.values = maps.Clone(b.values)
	nb.values["broker.id"] = strconv.Itoa(int(id))
	return &nb
}

func build(l levels) (*Broker, error) {
	b := &Broker{levels: l, values: make(map[string]string, len(keys))}
	props := l.effective()
	for _, name := range slices.Sorted(maps.Keys(keys)) {
		k := keys[name]
		raw, set := props[name]
		switch {
		case set:
			v, err := k.parse(raw)
			if err != nil {
				return nil, err
			}
			b.values[name] = v
		case k.Default == required:
			return nil, refuse(name, "Missing required configuration %q which has no default value.", name)
		case k.Default != null:
			b.values[name] = k.Default
		}
	}
	for _, name := range slices.Sorted(maps.Keys(props)) {
		if _, _, prefixed := listenerKey(name); prefixed {
			if k, ok := LookupKey(name); ok {
				pk := *k
				pk.Name = name
				v, err := pk.parse(props[name])
				if err != nil {
					return nil, err
				}
				b.values[name] = v
			}
		}
	}
	if err := b.fill(); err != nil {
		return nil, err
	}
	if err := b.crossCheck(); err != nil {
		return nil, err
	}
	return b, b.refuseProtection()
}

// Get is the value in effect under a key of its own name, in canonical form; ok is false when the key has none.
func (b *Broker) Get(name string) (value string, ok bool) {
	value, ok = b.values[name]
	return value, ok
}

// IsSet tells whether the user gave the key in server.properties, by --override or in the environment.
func (b *Broker) IsSet(name string) bool {
	_, ok := b.levels.static[name]
	return ok
}

func (b *Broker) str(name string) string { return b.values[name] }

func (b *Broker) quotaWindow(prefix string) QuotaWindow {
	return QuotaWindow{b.int(prefix + ".window.num"), time.Duration(b.long(prefix+".window.size.seconds")) * time.Second}
}

// alterDirsThreads is one for each log directory unless the configuration says otherwise.
func (b *Broker) alterDirsThreads() int {
	if v, ok := b.Get("num.replica.alter.log.dirs.threads"); ok && v != "" {
		return b.int("num.replica.alter.log.dirs.threads")
	}
	_, dirs := b.first("log.dirs", "log.dir")
	return len(splitList(dirs))
}

func (b *Broker) long(name string) int64 {
	n, _ := strconv.ParseInt(b.values[name], 10, 64)
	return n
}

func (b *Broker) int(name string) int   { return int(b.long(name)) }
func (b *Broker) bool(name string) bool { return b.values[name] == "true" }

func (b *Broker) double(name string) float64 {
	f, _ := strconv.ParseFloat(b.values[name], 64)
	return f
}

// ms is a number of milliseconds as a duration; what does not fit is the longest there is.
func (b *Broker) ms(name string) time.Duration { return millis(b.long(name)) }

func millis(n int64) time.Duration {
	const most = int64(1<<63-1) / int64(time.Millisecond)
	return time.Duration(max(min(n, most), -most)) * time.Millisecond
}

// first returns the first of several keys that has a value.
func (b *Broker) first(names ...string) (name, value string) {
	for _, n := range names {
		if v, ok := b.values[n]; ok {
			return n, v
		}
	}
	return "", ""
}

func (b *Broker) fill() error {
	b.ID, b.GenerateID, b.ReservedMaxID = int32(b.long("broker.id")), b.bool("broker.id.generation.enable"), int32(b.long("reserved.broker.max.id"))
	if r, ok := b.Get("broker.rack"); ok {
		b.Rack = &r
	}
	b.InterBrokerVersion, _ = ParseVersion(b.str("inter.broker.protocol.version"))
	b.DeleteTopicEnable = b.bool("delete.topic.enable")
	_, timeout := b.first("zookeeper.connection.timeout.ms", "zookeeper.session.timeout.ms")
	connectTimeout, _ := strconv.ParseInt(timeout, 10, 64)
	b.ZooKeeper = ZooKeeper{
		Connect:           b.str("zookeeper.connect"),
		SessionTimeout:    b.ms("zookeeper.session.timeout.ms"),
		ConnectionTimeout: millis(connectTimeout),
		MaxInFlight:       b.int("zookeeper.max.in.flight.requests"),
		SetACL:            b.bool("zookeeper.set.acl"),
	}
	_, dirs := b.first("log.dirs", "log.dir")
	for _, d := range splitList(dirs) {
		if d != "" {
			b.Log.Dirs = append(b.Log.Dirs, d)
		}
	}
	b.Log.RecoveryThreadsPerDir = b.int("num.recovery.threads.per.data.dir")
	b.Log.FlushCheckInterval = b.ms("log.flush.scheduler.interval.ms")
	b.Log.RecoveryPointInterval = b.ms("log.flush.offset.checkpoint.interval.ms")
	b.Log.StartOffsetInterval = b.ms("log.flush.start.offset.checkpoint.interval.ms")
	b.Log.RetentionCheckInterval = b.ms("log.retention.check.interval.ms")
	b.Log.HighWatermarkCheckpoints = b.ms("replica.high.watermark.checkpoint.interval.ms")
	b.Topics = TopicDefaults{
		AutoCreate:        b.bool("auto.create.topics.enable"),
		Partitions:        int32(b.long("num.partitions")),
		ReplicationFactor: int16(b.long("default.replication.factor")),
	}
	b.Groups = Groups{
		MinSession: b.ms("group.min.session.timeout.ms"), MaxSession: b.ms("group.max.session.timeout.ms"),
		InitialDelay: b.ms("group.initial.rebalance.delay.ms"), MaxSize: b.int("group.max.size"),
		MaxMetadata: b.int("offset.metadata.max.bytes"), Retention: time.Duration(b.long("offsets.retention.minutes")) * time.Minute,
		RetentionCheck: b.ms("offsets.retention.check.interval.ms"), LoadBuffer: b.int("offsets.load.buffer.size"),
		Codec: b.int("offsets.topic.compression.codec"), Acks: int16(b.long("offsets.commit.required.acks")),
		CommitTimeout: b.ms("offsets.commit.timeout.ms"),
	}
	b.Transactions = Transactions{
		AbortInterval:  b.ms("transaction.abort.timed.out.transaction.cleanup.interval.ms"),
		ExpireInterval: b.ms("transaction.remove.expired.transaction.cleanup.interval.ms"),
		LoadBuffer:     b.int("transaction.state.log.load.buffer.size"),
	}
	b.Internal = InternalTopics{
		OffsetsPartitions:            int32(b.long("offsets.topic.num.partitions")),
		OffsetsReplicationFactor:     int16(b.long("offsets.topic.replication.factor")),
		OffsetsSegmentBytes:          int32(b.long("offsets.topic.segment.bytes")),
		TransactionPartitions:        int32(b.long("transaction.state.log.num.partitions")),
		TransactionReplicationFactor: int16(b.long("transaction.state.log.replication.factor")),
		TransactionSegmentBytes:      int32(b.long("transaction.state.log.segment.bytes")),
		TransactionMinISR:            int32(b.long("transaction.state.log.min.isr")),
	}
	b.Replica = Replica{
		LagTimeMax: b.ms("replica.lag.time.max.ms"), SocketTimeout: b.ms("replica.socket.timeout.ms"), Fetchers: b.int("num.replica.fetchers"),
		FetchWait: b.ms("replica.fetch.wait.max.ms"), FetchBackoff: b.ms("replica.fetch.backoff.ms"),
		FetchMinBytes: int32(b.long("replica.fetch.min.bytes")), FetchMaxBytes: int32(b.long("replica.fetch.response.max.bytes")),
		FetchPartitionBytes: int32(b.long("replica.fetch.max.bytes")),
		Quota:               b.quotaWindow("replication.quota"), AlterDirsQuota: b.quotaWindow("alter.log.dirs.replication.quota"),
		AlterDirsThreads:   b.alterDirsThreads(),
		ControlledShutdown: b.bool("controlled.shutdown.enable"), ShutdownRetries: b.int("controlled.shutdown.max.retries"),
		ShutdownBackoff: b.ms("controlled.shutdown.retry.backoff.ms"),
	}
	b.AutoBalance, b.BalancePercentage = b.bool("auto.leader.rebalance.enable"), b.int("leader.imbalance.per.broker.percentage")
	b.BalanceInterval = time.Duration(b.long("leader.imbalance.check.interval.seconds")) * time.Second
	b.FetchMaxBytes = int32(b.long("fetch.max.bytes"))
	b.FetchSessionSlots = b.int("max.incremental.fetch.session.cache.slots")
	b.RequestTimeout = b.ms("request.timeout.ms")
	b.ControllerTimeout = b.ms("controller.socket.timeout.ms")
	b.TransactionMaxMillis = int32(b.long("transaction.max.timeout.ms"))
	b.ProducerIDExpiration = b.ms("transactional.id.expiration.ms")
	b.Gregor = Gregor{
		MaxOpenFiles:       b.int("gregor.max.open.files"),
		MinFreeBytes:       b.long("gregor.log.dir.min.free.bytes"),
		EmbeddedZooKeeper:  b.bool("gregor.zookeeper.embedded"),
		ZooKeeperDataDir:   b.str("gregor.zookeeper.data.dir"),
		TransactionAdmin:   b.bool("gregor.transactions.admin.enable"),
		VerifyTransactions: b.bool("gregor.transactions.verify"),
		LogFormat:          b.str("gregor.log.format"),
		LogLevel:           b.str("gregor.log.level"),
		LogLevels:          splitList(b.str("gregor.log.loggers")),
		MetricsListener:    strings.TrimPrefix(b.str("metrics.listener"), "http://"),
	}
	if err := b.fillListeners(); err != nil {
		return err
	}
	return b.fillSocket()
}

func (b *Broker) fillSocket() error {
	b.Socket = Socket{
		SendBuffer:             b.int("socket.send.buffer.bytes"),
		ReceiveBuffer:          b.int("socket.receive.buffer.bytes"),
		RequestMaxBytes:        int32(b.long("socket.request.max.bytes")),
		MaxConnections:         b.int("max.connections"),
		MaxConnectionsPerIP:    b.int("max.connections.per.ip"),
		MaxIdle:                b.ms("connections.max.idle.ms"),
		QueuedMaxRequests:      b.int("queued.max.requests"),
		QueuedMaxRequestBytes:  b.long("queued.max.request.bytes"),
		ConnectionRate:         b.int("max.connection.creation.rate"),
		ListenerConnectionRate: make(map[string]int),
		ListenerMaxConnections: make(map[string]int),
		MaxConnectionsPerHost:  make(map[string]int),
	}
	for name := range b.values {
		switch base, listener, _ := listenerKey(name); base {
		case "max.connections":
			b.Socket.ListenerMaxConnections[strings.ToUpper(listener)] = b.int(name)
		case "max.connection.creation.rate":
			b.Socket.ListenerConnectionRate[strings.ToUpper(listener)] = b.int(name)
		}
	}
	const key = "max.connections.per.ip.overrides"
	overrides, err := b.csvMap(key)
	if err != nil {
		return err
	}
	for _, o := range overrides {
		n, err := strconv.ParseInt(o[1], 10, 32)
		if err != nil {
			return invalid(key, b.str(key), "the count of "+o[0]+" is not a number: write host:count,host:count")
		}
		if !validHost(o[0]) {
			return refuse(key, "%s contains invalid addresses : %s", key, o[0])
		}
		b.Socket.MaxConnectionsPerHost[o[0]] = int(n)
	}
	return nil
}

// csvMap reads a value of the form k:v,k:v; the last colon of each separates, so that a key may be an IPv6 address.
func (b *Broker) csvMap(key string) ([][2]string, error) {
	var out [][2]string
	for _, item := range splitList(b.str(key)) {
		i := strings.LastIndexByte(item, ':')
		if i < 0 {
			return nil, refuse(key, "Error parsing configuration property '%s': %q is not of the form name:value", key, item)
		}
		out = append(out, [2]string{strings.TrimSpace(item[:i]), strings.TrimSpace(item[i+1:])})
	}
	return out, nil
}

// validHost is Kafka's pattern of a host: letters, digits and -._:%.
func validHost(s string) bool {
	for i := range len(s) {
		c := s[i]
		if (c < '0' || c > '9') && (c < 'a' || c > 'z') && (c < 'A' || c > 'Z') && !strings.ContainsRune("-._:%", rune(c)) {
			return false
		}
	}
	return s != ""
}
