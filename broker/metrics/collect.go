package metrics

import (
	"context"
	"fmt"
	"math"
	"os"
	"runtime"
	"strconv"
	"strings"
	"syscall"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/twmb/franz-go/pkg/kerr"

	"gregor/broker/server"
	"gregor/controller"
	"gregor/internal/meter"
	"gregor/storage"
	"gregor/wire"
)

// controllerPatience is how long a scrape waits for the controller to describe itself before it takes what it said last.
const controllerPatience = 500 * time.Millisecond

// scrape is one look at a broker. It is the Collector of everything that there is only one of.
type scrape struct {
	Sources
	now   time.Time
	cpu   *cpu
	tally tally
	out   chan<- prometheus.Metric
}

// Describe says nothing: what there is depends on what was used.
func (s *scrape) Describe(chan<- *prometheus.Desc) {}

// Collect implements prometheus.Collector.
func (s *scrape) Collect(out chan<- prometheus.Metric) {
	s.out = out
	s.gauge("kafka_server_kafkaserver_brokerstate", "0 not running, 1 starting, 2 recovering, 3 running, 6 pending shutdown, 7 shutting down.", float64(s.State))
	s.gauge("gregor_broker_info", "Who this broker is.", 1, "broker_id", strconv.Itoa(int(s.BrokerID)), "cluster_id", s.ClusterID)
	s.process()
	if s.Replicas != nil {
		s.replicas()
	}
	if s.Store != nil {
		s.logs()
	}
	if s.Server != nil {
		s.network()
		s.requests()
		s.waiting()
	}
	if s.Controller != nil {
		s.controller()
	}
	if s.ZooKeeper != nil {
		s.zookeeper()
	}
	if s.Transactions != nil {
		s.transactions()
	}
}

func (s *scrape) transactions() {
	const p = "kafka_coordinator_transaction_transactionmarkerchannelmanager_"
	unknown, retries := s.Transactions.Stats()
	s.gauge(p+"unknowndestinationqueuesize", "Transactions that wait for a partition to get a leader that takes its marker.", float64(unknown))
	s.gauge(p+"logappendretryqueuesize", "Transactions whose completion could not be recorded yet.", float64(retries))
}

func (s *scrape) emit(kind prometheus.ValueType, name, help string, v float64, labels []string) {
	names, values := make([]string, 0, len(labels)/2), make([]string, 0, len(labels)/2)
	for i := 0; i+1 < len(labels); i += 2 {
		names, values = append(names, labels[i]), append(values, labels[i+1])
	}
	m, err := prometheus.NewConstMetric(prometheus.NewDesc(name, help, names, nil), kind, v, values...)
	if err != nil {
		m = prometheus.NewInvalidMetric(prometheus.NewDesc(name, help, names, nil), err)
	}
	s.out <- m
}

// gauge and counter show one series; labels are names and values in turn.
func (s *scrape) gauge(name, help string, v float64, labels ...string) {
	s.emit(prometheus.GaugeValue, name, help, v, labels)
}

func (s *scrape) counter(name, help string, v int64, labels ...string) {
	s.emit(prometheus.CounterValue, name, help, float64(v), labels)
}

// distribution shows a histogram of Kafka's: a counter and a gauge per quantile.
func (s *scrape) distribution(name, help string, count int64, v meter.Values, labels ...string) {
	s.counter(name+"_count", help+" How many.", count, labels...)
	for i, q := range meter.Quantiles {
		s.gauge(name, help, v[i], append(labels[:len(labels):len(labels)], "quantile", q.Label)...)
	}
}

func (s *scrape) timer(name, help string, t *meter.Timer, labels ...string) {
	s.distribution(name, help+" In milliseconds.", t.Count.Load(), meter.Read(s.now, &t.Hist).Milliseconds(), labels...)
}

func (s *scrape) replicas() {
	const p = "kafka_server_replicamanager_"
	t := s.tally
	s.gauge(p+"partitioncount", "Partitions that this broker hosts.", float64(t.partitions))
	s.gauge(p+"leadercount", "Partitions that this broker leads.", float64(t.leaders))
	s.gauge(p+"offlinereplicacount", "Partitions in failed log directories.", float64(t.offline))
	s.gauge(p+"underreplicatedpartitions", "Led partitions of which not all replicas are in sync.", float64(t.underReplicated))
	s.gauge(p+"underminisrpartitioncount", "Led partitions with fewer than min.insync.replicas in sync.", float64(t.underMinISR))
	s.gauge(p+"atminisrpartitioncount", "Led partitions with exactly min.insync.replicas in sync.", float64(t.atMinISR))
	s.gauge(p+"reassigningpartitions", "Led partitions whose replicas are being moved.", float64(t.reassigning))
	if s.Counts != nil {
		c := &s.Counts.Topics
		s.counter(p+"isrexpands_total", "Replicas that this broker as a leader proposed to take in.", c.ISRExpands.Load())
		s.counter(p+"isrshrinks_total", "Times that this broker as a leader proposed to leave replicas out.", c.ISRShrinks.Load())
		s.counter(p+"failedisrupdates_total", "Proposals that were refused.", c.FailedISRUpdates.Load())
	}
	if s.Sessions != nil {
		const p = "kafka_server_fetchsessioncache_"
		n, partitions, evicted := s.Sessions.Stats()
		s.gauge(p+"numincrementalfetchsessions", "Incremental fetch sessions.", float64(n))
		s.gauge(p+"numincrementalfetchpartitionscached", "Partitions in incremental fetch sessions.", float64(partitions))
		s.counter(p+"incrementalfetchsessionevictions_total", "Sessions that lost their place to another.", evicted)
	}
}

func (s *scrape) logs() {
	const p = "kafka_log_logmanager_"
	offline := 0
	for _, d := range s.Store.Dirs() {
		if !d.Online {
			offline++
		}
		s.gauge(p+"logdirectoryoffline", "1 if the log directory has failed.", float64(truth(!d.Online)), "logDirectory", jmxQuoted(d.Path))
	}
	s.gauge(p+"offlinelogdirectorycount", "Log directories that have failed.", float64(offline))
	s.cleaner()
	s.timer("kafka_log_logflushstats_logflushrateandtimems", "Flushes of segments to disk.", &s.Counts.Flushes)
}

func (s *scrape) cleaner() {
	st := s.Store.CleanerStats()
	const c, m = "kafka_log_logcleaner_", "kafka_log_logcleanermanager_"
	s.gauge(c+"deadthreadcount", "Threads of the log cleaner that have died: a log that cannot be cleaned is set aside instead.", 0)
	s.gauge(c+"cleaner_recopy_percent", "Bytes written per 100 read, of the last cleanings.", float64(st.RecopyPercent))
	s.gauge(c+"max_buffer_utilization_percent", "How full the offset map was in the last cleanings, at most.", float64(st.MaxBufferPercent))
	s.gauge(c+"max_clean_time_secs", "How long the last cleanings took, at most.", float64(st.MaxCleanSeconds))
	s.gauge(c+"max_compaction_delay_secs", "By how much max.compaction.lag.ms was exceeded before the last cleanings, at most.", float64(st.MaxDelaySeconds))
	s.gauge(m+"max_dirty_percent", "Share of the dirtiest compacted log that could be cleaned.", float64(st.MaxDirtyPercent))
	s.gauge(m+"time_since_last_run_ms", "Since the log cleaner looked for dirty logs.", float64(st.SinceLastRun.Milliseconds()))
	for dir, n := range st.UncleanableLogs {
		s.gauge(m+"uncleanable_partitions_count", "Partitions that the log cleaner set aside because of an error.", float64(n), "logDirectory", jmxQuoted(dir))
		s.gauge(m+"uncleanable_bytes", "Bytes of those partitions that would be cleaned.", float64(st.UncleanableDirBytes[dir]), "logDirectory", jmxQuoted(dir))
	}
	s.counter("kafka_utils_throttler_cleaner_io_count", "Bytes that the log cleaner read and wrote.", st.Bytes)
}

// jmxQuoted writes a value as Kafka does for JMX, which the exporter's rules leave as it is: quoted if anything but letters, digits
// and a few others is in it.
func jmxQuoted(v string) string {
	plain := !strings.ContainsFunc(v, func(r rune) bool {
		return !(r >= 'a' && r <= 'z' || r >= 'A' && r <= 'Z' || r >= '0' && r <= '9' || strings.ContainsRune("-%._ \t", r))
	})
	if plain {
		return v
	}
	return `"` + strings.NewReplacer(`\`, `\\`, `"`, `\"`, `*`, `\*`, `?`, `\?`, "\n", `\n`).Replace(v) + `"`
}

func (s *scrape) network() {
	st := s.Server.Stats()
	s.gauge("kafka_network_requestchannel_requestqueuesize", "Large requests that wait for their turn; others start as they are read.", float64(st.LargeWaiting))
	s.gauge("kafka_network_requestchannel_responsequeuesize", "Answers that wait for those before them, or for the socket.", float64(st.ResponsesQueued))
	s.gauge("kafka_network_socketserver_memorypoolused", "Bytes that the bodies of large requests take.", float64(st.PoolUsed))
	s.gauge("kafka_network_socketserver_memorypoolavailable", "Bytes that the bodies of large requests may take yet.", float64(max(st.PoolLimit-st.PoolUsed, 0)))
	s.gauge("kafka_network_socketserver_networkprocessoravgidlepercent",
		"Share of the processors' time that this process left unused since the last scrape: there are no network threads of their own.", s.cpu.idle)
	s.counter("kafka_server_kafkarequesthandlerpool_requesthandleravgidlepercent_count",
		"Nanoseconds that this process left unused, per processor: its rate is a thousand million when idle, as of Kafka's handler threads.", s.cpu.idleNanos)
	s.gauge("gregor_requests_in_flight", "Requests that are begun and not answered.", float64(st.InFlight))
	for _, l := range st.Listeners {
		s.gauge("gregor_connections", "Open connections.", float64(l.Open), "listener", l.Name)
		s.counter("gregor_connections_accepted_total", "Connections that were accepted.", l.Accepted, "listener", l.Name)
	}
}

var requestTimes = []struct {
	name, help string
	phase      int
}{
	{"requestqueuetimems", "Time until a request begins, in milliseconds.", server.QueueTime},
	{"localtimems", "Time that the broker worked on a request, in milliseconds.", server.LocalTime},
	{"remotetimems", "Time that a request waited for others, in milliseconds.", server.RemoteTime},
	{"responsequeuetimems", "Time that an answer waited for those before it, in milliseconds.", server.ResponseQueueTime},
	{"responsesendtimems", "Time that sending an answer took, in milliseconds.", server.SendTime},
	{"totaltimems", "Time from a request's arrival to its answer's departure, in milliseconds.", server.TotalTime},
	{"requestbytes", "Size of requests without their headers.", server.Size},
}

func (s *scrape) requests() {
	const fetch = 1
	for _, api := range s.APIs {
		key := api.Key.Int16()
		all := s.Counts.Requests.Requests(key, false)
		name := wire.APIName(key)
		if key == fetch {
			followers := s.Counts.Requests.Requests(key, true)
			s.requestsOf("FetchConsumer", all)
			s.requestsOf("FetchFollower", followers)
			all = append(all, followers...)
		}
		s.requestsOf(name, all)
		server.Errors(all, func(code int16, n int64) {
			s.counter("kafka_network_requestmetrics_errors_total", "Error codes in answers, NONE included.", n, "request", name, "error", errorName(code))
		})
	}
}

func (s *scrape) requestsOf(name string, stats []*server.RequestStats) {
	const p = "kafka_network_requestmetrics_"
	total := int64(0)
	server.Versions(stats, func(v int16, n int64) {
		total += n
		s.counter(p+"requests_total", "Requests.", n, "request", name, "version", strconv.Itoa(int(v)))
	})
	for _, f := range requestTimes {
		v := server.Times(s.now, stats, f.phase)
		if f.phase != server.Size {
			v = v.Milliseconds()
		}
		s.distribution(p+f.name, f.help, total, v, "request", name)
	}
}

// errorName is the name of an error code in Kafka 2.7.
func errorName(code int16) string {
	switch code {
	case 0:
		return "NONE"
	case 6:
		return "NOT_LEADER_OR_FOLLOWER" // the library has its name of before 2.6
	}
	if e := kerr.TypedErrorForCode(code); e != nil {
		return e.Message
	}
	return strconv.Itoa(int(code))
}

func (s *scrape) waiting() {
	const p = "kafka_server_delayedoperationpurgatory_"
	w := &s.Counts.Waiting
	for _, op := range []struct {
		name         string
		ops, watches int64
	}{
		{"Fetch", w.Fetches.Load(), w.FetchWatches.Load()},
		{"Produce", w.Produces.Load(), w.ProduceWatches.Load()},
	} {
		s.gauge(p+"numdelayedoperations", "Requests that wait for others.", float64(op.ops), "delayedOperation", op.name)
		s.gauge(p+"purgatorysize", "Partitions that requests wait for.", float64(op.watches), "delayedOperation", op.name)
	}
	const f = "kafka_server_delayedfetchmetrics_expires_total"
	s.counter(f, "Fetches that were answered because their time was over.", w.ConsumerFetchesExpired.Load(), "fetcherType", "consumer")
	s.counter(f, "Fetches that were answered because their time was over.", w.FollowerFetchesExpired.Load(), "fetcherType", "follower")
	s.counter("kafka_server_delayedproducemetrics_expires_total", "Produce requests that were not replicated in time.", w.ProducesExpired.Load())
}

// activities are ControllerStats.
var activities = []struct {
	name string
	of   controller.Activity
}{
	{"controllerchange", controller.ControllerChange}, {"leaderelection", controller.BrokerChange}, {"topicchange", controller.TopicChange},
	{"topicdeletion", controller.TopicDeletion}, {"manualleaderbalance", controller.ManualLeaderBalance}, {"isrchange", controller.IsrChange},
	{"leaderandisrresponsereceived", controller.LeaderAndIsrResponseReceived}, {"logdirchange", controller.LogDirChange},
	{"controllershutdown", controller.ControllerShutdown}, {"topicuncleanleaderelectionenable", controller.TopicUncleanElectionEnable},
}

func (s *scrape) controller() {
	ctx, cancel := context.WithTimeout(context.Background(), controllerPatience)
	defer cancel()
	st := s.Controller.Stats(ctx)
	m := &s.Counts.Controller
	const k = "kafka_controller_kafkacontroller_"
	s.gauge(k+"activecontrollercount", "1 on the broker that is the controller.", float64(truth(s.Controller.IsActive())))
	s.gauge(k+"controllerstate", "What the controller is at; 0 is nothing.", float64(m.Now()))
	s.gauge(k+"globaltopiccount", "Topics of the cluster, on the controller.", float64(st.Topics))
	s.gauge(k+"globalpartitioncount", "Partitions of the cluster, on the controller.", float64(st.Partitions))
	s.gauge(k+"offlinepartitionscount", "Partitions without a leader that is alive, on the controller.", float64(st.Offline))
	s.gauge(k+"preferredreplicaimbalancecount", "Partitions that their preferred leader does not lead, on the controller.", float64(st.Imbalanced))
	s.gauge(k+"topicstodeletecount", "Topics that are being deleted, on the controller.", float64(st.DeletingTopics))
	s.gauge(k+"replicastodeletecount", "Replicas that are being deleted, on the controller.", float64(st.DeletingReplicas))
	s.gauge(k+"topicsineligibletodeletecount", "Topics whose deletion cannot go on, on the controller.", float64(st.StuckTopics))
	s.gauge(k+"replicasineligibletodeletecount", "Replicas that cannot be deleted for now, on the controller.", float64(st.StuckReplicas))
	for _, a := range activities {
		s.timer("kafka_controller_controllerstats_"+a.name+"rateandtimems", "What the controller did, and how long it took.", &m.Activities[a.of])
	}
	s.counter("kafka_controller_controllerstats_uncleanleaderelections_total", "Leaders elected that were not in sync.", m.UncleanElections.Load())
	const e = "kafka_controller_controllereventmanager_"
	s.gauge(e+"eventqueuesize", "Events that wait for the controller.", float64(st.Queue))
	s.timer(e+"eventqueuetimems", "What events wait for the controller.", &m.QueueTime)
	const c = "kafka_controller_controllerchannelmanager_"
	total := 0
	for id, ch := range st.Channels {
		total += ch.Queue
		s.gauge(c+"queuesize", "Requests that wait to be sent to a broker.", float64(ch.Queue), "broker_id", strconv.Itoa(int(id)))
		s.timer(c+"requestrateandqueuetimems", "What requests to a broker wait.", ch.QueueTime, "broker_id", strconv.Itoa(int(id)))
	}
	s.gauge(c+"totalqueuesize", "Requests that wait to be sent to brokers.", float64(total))
}

func (s *scrape) zookeeper() {
	const p = "kafka_server_sessionexpirelistener_zookeeper"
	m := &s.Counts.ZooKeeper
	s.counter(p+"syncconnects_total", "Connections to ZooKeeper.", m.Connects.Load())
	s.counter(p+"disconnects_total", "Connections to ZooKeeper that were lost.", m.Disconnects.Load())
	s.counter(p+"expires_total", "ZooKeeper sessions that expired.", m.Expires.Load())
	s.counter(p+"authfailures_total", "Credentials that ZooKeeper refused.", m.AuthFailures.Load())
	s.timer("kafka_server_zookeeperclientmetrics_zookeeperrequestlatencyms", "Requests to ZooKeeper.", &m.Latency)
	s.gauge("gregor_zookeeper_connected", "1 while a ZooKeeper session is connected.", float64(truth(s.ZooKeeper.Connected())))
}

// process is what the operating system says of this process, beside what client_golang reads.
func (s *scrape) process() {
	b, err := os.ReadFile("/proc/self/io")
	if err != nil {
		return
	}
	for line := range strings.Lines(string(b)) {
		name, value, _ := strings.Cut(strings.TrimSpace(line), ": ")
		n, err := strconv.ParseInt(value, 10, 64)
		if err != nil {
			continue
		}
		switch name {
		case "read_bytes":
			s.gauge("kafka_server_kafkaserver_linux_disk_read_bytes", "Bytes that this process had read from disks.", float64(n))
		case "write_bytes":
			s.gauge("kafka_server_kafkaserver_linux_disk_write_bytes", "Bytes that this process had written to disks.", float64(n))
		}
	}
}

// cpu knows how much of the processors this process left unused.
type cpu struct {
	start, last    time.Time
	used, lastUsed time.Duration
	idle           float64
	idleNanos      int64
}

func (c *cpu) sample(now time.Time) {
	var ru syscall.Rusage
	if syscall.Getrusage(syscall.RUSAGE_SELF, &ru) != nil {
		return
	}
	c.used = time.Duration(ru.Utime.Nano() + ru.Stime.Nano())
	procs := float64(runtime.GOMAXPROCS(0))
	if wall := now.Sub(c.last); wall > 0 {
		c.idle = math.Min(math.Max(1-float64(c.used-c.lastUsed)/float64(wall)/procs, 0), 1)
	}
	c.idleNanos = max(c.idleNanos, int64(now.Sub(c.start))-int64(float64(c.used)/procs))
	c.last, c.lastUsed = now, c.used
}

func dirsAlive(dirs []storage.DirStatus) error {
	var bad []string
	for _, d := range dirs {
		if d.Online {
			return nil
		}
		bad = append(bad, fmt.Sprintf("%s: %v", d.Path, d.Err))
	}
	return fmt.Errorf("every log directory has failed: %s", strings.Join(bad, "; "))
}
