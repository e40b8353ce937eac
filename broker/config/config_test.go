package config

import (
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"gregor/internal/properties"
	"gregor/storage"
)

func with(kv ...string) map[string]string {
	m := map[string]string{"zookeeper.connect": "127.0.0.1:2181"}
	for _, s := range kv {
		k, v, _ := strings.Cut(s, "=")
		m[k] = v
	}
	return m
}

func TestBadValuesAreRefusedNamingKeyValueAndWhatIsAllowed(t *testing.T) {
	for _, c := range []struct {
		set  []string
		want string
	}{
		{[]string{"num.partitions=0"}, "Invalid value 0 for configuration num.partitions: Value must be at least 1"},
		{[]string{"num.partitions= x "}, "Invalid value  x  for configuration num.partitions: Not a number of type INT"},
		{[]string{"offsets.commit.required.acks=40000"}, "Not a number of type SHORT"},
		{[]string{"delete.topic.enable=yes"}, "Invalid value yes for configuration delete.topic.enable: Expected value to be either true or false"},
		{[]string{"log.cleanup.policy=delete,shred"}, "Invalid value shred for configuration log.cleanup.policy: String must be one of: compact, delete"},
		{[]string{"inter.broker.protocol.version=3.9"}, "Invalid value 3.9 for configuration inter.broker.protocol.version: Version `3.9` is not a valid version"},
		{[]string{"broker.id=1001"}, "broker.id must be equal or greater than -1 and not greater than reserved.broker.max.id"},
		{[]string{"broker.id.generation.enable=false"}, "broker.id must be equal or greater than 0"},
		{[]string{"log.retention.ms=0"}, "log.retention.ms must be unlimited (-1) or, equal or greater than 1"},
		{[]string{"log.roll.ms=0"}, "log.roll.ms must be equal or greater than 1"},
		{[]string{"log.roll.jitter.ms=-1"}, "log.roll.jitter.ms must be equal or greater than 0"},
		{[]string{"log.dirs=,"}, "At least one log directory must be defined"},
		{[]string{"log.cleaner.threads=200"}, "log.cleaner.dedupe.buffer.size must be at least 1MB per cleaner thread"},
		{[]string{"replica.fetch.wait.max.ms=30001"}, "replica.socket.timeout.ms should always be at least"},
		{[]string{"replica.lag.time.max.ms=1"}, "replica.fetch.wait.max.ms should always be less than or equal"},
		{[]string{"offsets.commit.required.acks=4"}, "offsets.commit.required.acks must be greater or equal -1"},
		{[]string{"compression.type=brotli"}, "compression.type : brotli is not valid. Valid options are uncompressed,zstd,lz4,snappy,gzip,producer"},
		{[]string{"listeners=PLAINTEXT://:9092,PLAINTEXT://:9093"}, "Each listener must have a different name"},
		{[]string{"listeners=PLAINTEXT://:9092,X://:9092"}, "No security protocol defined for listener X"},
		{[]string{"listeners=PLAINTEXT:9092"}, "Unable to parse PLAINTEXT:9092 to a broker endpoint"},
		{[]string{"listeners=PLAINTEXT://h:99999"}, "port 99999"},
		{[]string{"listener.security.protocol.map=PLAINTEXT:PLAIN"}, "Invalid security protocol `PLAIN`"},
		{[]string{"inter.broker.listener.name=IN"}, "Listener with name IN defined in inter.broker.listener.name not found in listener.security.protocol.map."},
		{[]string{"inter.broker.listener.name=PLAINTEXT", "security.inter.broker.protocol=PLAINTEXT"}, "Only one of inter.broker.listener.name"},
		{[]string{"advertised.listeners=PLAINTEXT://0.0.0.0:1"}, "cannot use the nonroutable meta-address 0.0.0.0"},
		{[]string{"control.plane.listener.name=PLAINTEXT"}, "should have a different value from the inter broker listener name"},
		{[]string{"inter.broker.protocol.version=0.10.2"}, "log.message.format.version 2.7-IV2 can only be used when inter.broker.protocol.version is set to version 0.11.0"},
		{[]string{"queued.max.request.bytes=10"}, "queued.max.request.bytes must be larger or equal to socket.request.max.bytes"},
		{[]string{"max.connections.per.ip=0"}, "can be set to zero only if max.connections.per.ip.overrides"},
		{[]string{"max.connections.per.ip.overrides=a b:3"}, "contains invalid addresses : a b"},
		{[]string{"connections.max.idle.ms=100"}, "connection.failed.authentication.delay.ms=100 should always be less than connections.max.idle.ms=100"},
		{[]string{"listener.name.plaintext.max.connections=-1"}, "Invalid value -1 for configuration listener.name.plaintext.max.connections"},
		{[]string{"gregor.log.format=xml"}, "String must be one of: kafka, json"},
	} {
		_, err := New(with(c.set...))
		if err == nil || !strings.Contains(err.Error(), c.want) {
			t.Errorf("%v: error is %v, want %q", c.set, err, c.want)
		}
	}
	if _, err := New(nil); err == nil || err.Error() != `Missing required configuration "zookeeper.connect" which has no default value.` {
		t.Errorf("without zookeeper.connect: %v", err)
	}
}

func TestProtectionThatDoesNotExistYetStopsTheStart(t *testing.T) {
	for _, set := range []string{
		"authorizer.class.name=kafka.security.authorizer.AclAuthorizer", "create.topic.policy.class.name=a.B", "alter.config.policy.class.name=a.B",
		"client.quota.callback.class=a.B", "quota.producer.default=1000", "quota.consumer.default=1000", "principal.builder.class=a.B",
		"listeners=SSL://:9093", "zookeeper.ssl.client.enable=true", "delegation.token.master.key=s3cret", "security.providers=a.B",
	} {
		kv := []string{set}
		if strings.HasPrefix(set, "listeners=") {
			kv = append(kv, "security.inter.broker.protocol=SSL")
		}
		_, err := New(with(kv...))
		key, value, _ := strings.Cut(set, "=")
		if err == nil || !strings.Contains(err.Error(), key) || !strings.Contains(err.Error(), "Gregor") {
			t.Errorf("%s: %v", set, err)
		} else if strings.Contains(err.Error(), "s3cret") {
			t.Errorf("%s: the error shows the secret %s", set, value)
		}
	}
	for _, set := range []string{"authorizer.class.name=", "quota.producer.default=9223372036854775807", "zookeeper.ssl.client.enable=false", "ssl.client.auth=required"} {
		if _, err := New(with(set)); err != nil {
			t.Errorf("%s protects nothing here and is refused: %v", set, err)
		}
	}
}

func TestFallBackChains(t *testing.T) {
	for _, c := range []struct{ set, key, want string }{
		{"", "retention.ms", "604800000"},
		{"log.retention.hours=1", "retention.ms", "3600000"},
		{"log.retention.hours=1 log.retention.minutes=2", "retention.ms", "120000"},
		{"log.retention.hours=1 log.retention.minutes=2 log.retention.ms=3", "retention.ms", "3"},
		{"log.retention.hours=-5", "retention.ms", "-1"},
		{"log.roll.hours=2", "segment.ms", "7200000"},
		{"log.roll.hours=2 log.roll.ms=9", "segment.ms", "9"},
		{"log.roll.jitter.hours=2", "segment.jitter.ms", "7200000"},
		{"log.flush.scheduler.interval.ms=77", "flush.ms", "77"},
		{"log.flush.scheduler.interval.ms=77 log.flush.interval.ms=5", "flush.ms", "5"},
		{"log.message.format.version=2.0", "message.format.version", "2.0-IV1"},
		{"log.cleaner.min.cleanable.ratio=.25", "min.cleanable.dirty.ratio", "0.25"},
	} {
		b, err := New(with(strings.Fields(c.set)...))
		if err != nil {
			t.Errorf("%s: %v", c.set, err)
			continue
		}
		top, _ := b.Topic(nil)
		if got := top.Get(c.key); got != c.want {
			t.Errorf("%s: %s is %s, want %s", c.set, c.key, got, c.want)
		}
	}
	b, err := New(with("zookeeper.session.timeout.ms=6000", "log.dir=/x", "port=9999", "advertised.host.name=pub"))
	if err != nil {
		t.Fatal(err)
	}
	if b.ZooKeeper.ConnectionTimeout != 6*time.Second || !slices.Equal(b.Log.Dirs, []string{"/x"}) {
		t.Errorf("connection timeout %v, dirs %v", b.ZooKeeper.ConnectionTimeout, b.Log.Dirs)
	}
	if got := b.Listeners[0].String() + " " + b.Advertised[0].String(); got != "PLAINTEXT://:9999 PLAINTEXT://pub:9999" {
		t.Error(got)
	}
}

func TestLoadLaysOverridesOverEnvironmentOverFile(t *testing.T) {
	path := filepath.Join(t.TempDir(), "server.properties")
	text := "# a comment\nzookeeper.connect=zk:2181\nnum.partitions = 2\nnum.io.threads=16\nlog.dirs=/a,\\\n   /b\nbroker.rack=r\\u00e9\nmy.key=1\n"
	if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	b, warnings, err := Load(path, []string{"num.partitions=4"}, []string{"KAFKA_NUM_PARTITIONS=3", "KAFKA_BROKER_ID=7", "HOME=/root"})
	if err != nil {
		t.Fatal(err)
	}
	if b.Topics.Partitions != 4 || b.ID != 7 || !slices.Equal(b.Log.Dirs, []string{"/a", "/b"}) || *b.Rack != "ré" || b.Gregor.EmbeddedZooKeeper {
		t.Errorf("partitions %d id %d dirs %v rack %s embedded %v", b.Topics.Partitions, b.ID, b.Log.Dirs, *b.Rack, b.Gregor.EmbeddedZooKeeper)
	}
	if len(warnings) != 2 || warnings[0].Kind != UnknownKey || warnings[0].Key != "my.key" || warnings[1].Kind != NoEffect || warnings[1].Key != "num.io.threads" {
		t.Errorf("warnings: %v", warnings)
	}
}

func TestBareStart(t *testing.T) {
	b := Default()
	if b.ID != 0 || b.Listeners[0].String() != "PLAINTEXT://127.0.0.1:9092" || b.ZooKeeper.Connect != "127.0.0.1:2181" || !b.Gregor.EmbeddedZooKeeper ||
		b.Log.Dirs[0] != "./data/kafka-logs" {
		t.Errorf("%+v", b)
	}
	b, _, err := Load("", nil, []string{"KAFKA_ZOOKEEPER_CONNECT=zk:2181/chroot", "KAFKA_LOG_DIR=/x"})
	if err != nil {
		t.Fatal(err)
	}
	if b.Gregor.EmbeddedZooKeeper || b.Log.Dirs[0] != "/x" {
		t.Errorf("a given ZooKeeper and log.dir are not respected: %+v", b)
	}
}

func TestEnvironment(t *testing.T) {
	props, warnings := environment([]string{
		"KAFKA_ADVERTISED_LISTENERS=PLAINTEXT://a:1", "KAFKA_CFG_NUM_PARTITIONS=3", "KAFKA_PORT=tcp://10.0.0.1:9092", "KAFKA_PORT_9092_TCP_ADDR=10.0.0.1",
		"KAFKA_SERVICE_HOST=10.0.0.1", "KAFKA_SERVICE_PORT_CLIENT=9092", "KAFKA_HEAP_OPTS=-Xmx1G", "KAFKA_LOG4J_OPTS=x", "KAFKA_JMX_PORT=9999", "KAFKA_VERSION=2.7.2",
		"KAFKA_ZOOKEEPER_CLIENTCNXNSOCKET=x", "KAFKA_LISTENER_NAME_SASL__PLAINTEXT_MAX_CONNECTIONS=5", "KAFKA_NO_SUCH_KEY=1",
		"KAFKA_LISTENER_NAME_A___B_MAX_CONNECTIONS=6", "OTHER=1",
	})
	want := map[string]string{
		"advertised.listeners": "PLAINTEXT://a:1", "num.partitions": "3", "zookeeper.clientCnxnSocket": "x",
		"listener.name.sasl_plaintext.max.connections": "5", "listener.name.a-b.max.connections": "6",
	}
	if !maps.Equal(props, want) {
		t.Errorf("got %v, want %v", props, want)
	}
	if len(warnings) != 1 || warnings[0].Key != "no.such.key" {
		t.Errorf("warnings %v", warnings)
	}
	env := []string{"KAFKA_ADVERTISED_LISTENERS=IN://kafka:29092,OUT://localhost:9092", "KAFKA_LISTENER_SECURITY_PROTOCOL_MAP=IN:PLAINTEXT,OUT:PLAINTEXT",
		"KAFKA_INTER_BROKER_LISTENER_NAME=IN", "KAFKA_ZOOKEEPER_CONNECT=z:2181"}
	b, _, err := Load("", nil, env)
	if err != nil {
		t.Fatal(err)
	}
	if got := b.Listeners[0].String() + "," + b.Listeners[1].String(); got != "IN://0.0.0.0:29092,OUT://0.0.0.0:9092" {
		t.Errorf("derived listeners %s", got)
	}
}

func TestJmxPortOpensTheMetricsListener(t *testing.T) {
	for _, c := range []struct {
		environ, overrides []string
		want               string
	}{
		{nil, nil, ""},
		{[]string{"JMX_PORT=9999"}, nil, ":9999"},
		{[]string{"KAFKA_JMX_PORT=9998", "JMX_PORT="}, nil, ":9998"},
		{[]string{"JMX_PORT=9999"}, []string{"metrics.listener=http://127.0.0.1:1"}, "127.0.0.1:1"},
		{[]string{"JMX_PORT=9999", "KAFKA_METRICS_LISTENER=[::1]:7"}, nil, "[::1]:7"},
	} {
		b, _, err := Load("", c.overrides, c.environ)
		if err != nil {
			t.Fatal(err)
		}
		if b.Gregor.MetricsListener != c.want {
			t.Errorf("%v %v: metrics.listener is %q, want %q", c.environ, c.overrides, b.Gregor.MetricsListener, c.want)
		}
	}
	for _, bad := range []string{"9404", "host", "host:port", ":70000"} {
		if _, _, err := Load("", []string{"metrics.listener=" + bad}, nil); err == nil {
			t.Errorf("metrics.listener=%s was accepted", bad)
		}
	}
}

func TestDynamicSettingsHideTheirSynonymsBelow(t *testing.T) {
	b, err := New(with("log.retention.hours=2"))
	if err != nil {
		t.Fatal(err)
	}
	d, err := b.WithDynamic(nil, map[string]string{"log.retention.ms": "1000"})
	if err != nil {
		t.Fatal(err)
	}
	d2, err := d.WithDynamic(map[string]string{"log.retention.ms": "500"}, map[string]string{"log.retention.ms": "1000"})
	if err != nil {
		t.Fatal(err)
	}
	for _, c := range []struct {
		b    *Broker
		want string
		from Source
		n    int
	}{{b, "7200000", SourceStatic, 0}, {d, "1000", SourceDynamicDefault, 3}, {d2, "500", SourceDynamicBroker, 4}} {
		for _, e := range c.b.DescribeTopic(nil) {
			if e.Name == "retention.ms" && (*e.Value != c.want || c.n > 0 && (e.Source != c.from || len(e.Synonyms) != c.n)) {
				t.Errorf("retention.ms is %s from %d with %d synonyms %+v, want %s from %d with %d", *e.Value, e.Source, len(e.Synonyms), e.Synonyms, c.want, c.from, c.n)
			}
		}
	}
}

func TestTopicSettings(t *testing.T) {
	for _, c := range []struct{ key, value, want string }{
		{"no.such", "1", "Unknown topic config name: no.such"},
		{"retention.ms", "-2", "Invalid value -2 for configuration retention.ms: Value must be at least -1"},
		{"min.cleanable.dirty.ratio", "1.5", "Invalid value 1.5 for configuration min.cleanable.dirty.ratio: Value must be no more than 1"},
		{"segment.bytes", "13", "Invalid value 13 for configuration segment.bytes: Value must be at least 14"},
		{"max.compaction.lag.ms", "0", "Invalid value 0 for configuration max.compaction.lag.ms: Value must be at least 1"},
		{"min.compaction.lag.ms", "9223372036854775807", ""},
		{"cleanup.policy", "bad", "Invalid value bad for configuration cleanup.policy: String must be one of: compact, delete"},
		{"cleanup.policy", "compact, delete", ""},
		{"leader.replication.throttled.replicas", "0:1,x", "Invalid value [0:1, x] for configuration leader.replication.throttled.replicas: " +
			"leader.replication.throttled.replicas must be the literal '*' or a list of replicas in the following format: [partitionId]:[brokerId],[partitionId]:[brokerId],..."},
		{"leader.replication.throttled.replicas", "*", ""},
		{"compression.type", "GZIP", "Invalid value GZIP for configuration compression.type: String must be one of: uncompressed, zstd, lz4, snappy, gzip, producer"},
	} {
		err := ValidateTopic(map[string]string{c.key: c.value})
		if got := ""; err != nil && err.Error() != c.want || err == nil && got != c.want {
			t.Errorf("%s=%s: %v, want %q", c.key, c.value, err, c.want)
		}
	}
	err := ValidateTopic(map[string]string{"min.compaction.lag.ms": "100", "max.compaction.lag.ms": "50"})
	if err == nil || err.Error() != "conflict topic config setting min.compaction.lag.ms (100) > max.compaction.lag.ms (50)" {
		t.Error(err)
	}
	top, bad := Default().Topic(map[string]string{"retention.ms": "x", "segment.ms": "5", "cleanup.policy": "compact"})
	if len(bad) != 1 || top.Get("retention.ms") != "604800000" || top.Get("segment.ms") != "5" {
		t.Errorf("bad %v, retention %s", bad, top.Get("retention.ms"))
	}
	if c, d := top.Policy(); !c || d {
		t.Error("policy")
	}
}

func TestJavaDouble(t *testing.T) {
	for f, want := range map[float64]string{0.9: "0.9", 1: "1.0", 1.7976931348623157e308: "1.7976931348623157E308", 2147483647: "2.147483647E9", 0.0001: "1.0E-4", 1e7: "1.0E7", 0: "0.0"} {
		if got := JavaDouble(f); got != want {
			t.Errorf("%g: %s, want %s", f, got, want)
		}
	}
}

// FuzzNew: no file makes the reader panic or take what it cannot hold; what is taken once is taken again with the values it shows.
func FuzzNew(f *testing.F) {
	f.Add("zookeeper.connect=h:1\nlisteners=A://:1,B://h:2\nlistener.security.protocol.map=A:PLAINTEXT,B:PLAINTEXT\ninter.broker.listener.name=A")
	f.Add("zookeeper.connect=h:1,g/chroot\nadvertised.listeners=PLAINTEXT://[::1]:9\nlog.dirs=/a,,/b\nmax.connections.per.ip.overrides=h:1,::1:2")
	f.Add("zookeeper.connect=h\nlistener.name.plaintext.max.connections=7\nlog.retention.hours=-1\ninter.broker.protocol.version=2.6-IV0")
	for _, k := range keys {
		f.Add("zookeeper.connect=h:1\n" + k.Name + "=1")
	}
	f.Fuzz(func(t *testing.T, text string) {
		props, err := properties.Parse(text)
		if err != nil {
			return
		}
		b, err := New(props)
		if err != nil {
			return
		}
		b.warnings()
		if _, bad := b.Topic(props); b.Log.Dirs == nil || len(b.Listeners) == 0 || b.Listeners[0].Address() == "" {
			t.Fatalf("%+v, %v", b, bad)
		}
		if _, err := New(props); err != nil {
			t.Fatalf("taken, then refused: %v", err)
		}
	})
}

func TestStorageDefaultsAreTheTopicDefaults(t *testing.T) {
	top, _ := Default().Topic(nil)
	if got, want := top.Storage(), storage.DefaultConfig(); got != want {
		t.Errorf("got %+v\nwant %+v", got, want)
	}
}

// The file that is delivered loads without a word, and is a bare start except for the ZooKeeper in the process.
func TestDeliveredFileIsValid(t *testing.T) {
	b, warnings, err := Load("../../config/server.properties", nil, nil)
	if err != nil || len(warnings) > 0 {
		t.Fatal(err, warnings)
	}
	d := Default()
	if b.Listeners[0] != d.Listeners[0] || b.Log.Dirs[0] != d.Log.Dirs[0] || b.ZooKeeper.Connect != d.ZooKeeper.Connect || b.ID != d.ID || b.Internal != d.Internal {
		t.Errorf("the file: %+v\na bare start: %+v", b, d)
	}
	// Every line that is commented out is a setting that may be switched on.
	text, err := os.ReadFile("../../config/server.properties")
	if err != nil {
		t.Fatal(err)
	}
	for line := range strings.Lines(string(text)) {
		if key, _, ok := strings.Cut(strings.TrimPrefix(line, "#"), "="); ok && !strings.Contains(key, " ") {
			if _, known := LookupKey(key); !known {
				t.Errorf("%s is no key", key)
			}
		}
	}
}
