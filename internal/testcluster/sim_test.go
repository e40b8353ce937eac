package testcluster_test

import (
	"bytes"
	"context"
	"fmt"
	"io"
	"maps"
	"math/rand/v2"
	"net"
	"path"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/sirupsen/logrus"
	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kgo"
	"github.com/twmb/franz-go/pkg/kmsg"

	"gregor/integration/cluster"
	"gregor/internal/testcluster"
	"gregor/internal/vfs"
)

const (
	topic      = "sim"
	partitions = 4
	machines   = 4
	replicas   = 3
)

// sim is a cluster of four brokers and a ZooKeeper that suffers what a seed decides, under load.
type sim struct {
	seed  uint64
	extra map[string]string // settings of all brokers
	hurry time.Duration     // everything in the schedule takes so many hundredths of its time
	net   *testcluster.Network
	zk    *zookeeper
	nodes []*node
	c     *cluster.Cluster // the client's side
	load  cluster.Workload
	bank  bool           // the load is transactions
	wg    sync.WaitGroup // what goes on beside the test, dying processes too
	began time.Time

	mu       sync.Mutex // for moments
	story    []string
	problems []string
	logs     io.Writer // of the brokers, if anybody wants them
}

func (s *sim) note(format string, args ...any) {
	line := fmt.Sprintf("%8.3f ", time.Since(s.began).Seconds()) + fmt.Sprintf(format, args...)
	s.mu.Lock()
	defer s.mu.Unlock()
	s.story = append(s.story, line)
	if s.logs != nil {
		fmt.Fprintln(s.logs, line)
	}
}

// tell is the story so far.
func (s *sim) tell() []string {
	s.mu.Lock()
	defer s.mu.Unlock()
	return slices.Clone(s.story)
}

func (s *sim) problem(format string, args ...any) {
	s.note("PROBLEM: "+format, args...)
	s.mu.Lock()
	defer s.mu.Unlock()
	if len(s.problems) < 20 {
		s.problems = append(s.problems, fmt.Sprintf(format, args...))
	}
}

// logger writes a process's log into the story of a seed that is looked at.
func (s *sim) logger(name string) *logrus.Logger {
	l := quiet()
	if s.logs != nil {
		l.SetLevel(logrus.InfoLevel)
		l.SetFormatter(lines{s, name})
		l.SetOutput(s.logs)
	}
	return l
}

type lines struct {
	s    *sim
	name string
}

func (f lines) Format(e *logrus.Entry) ([]byte, error) {
	return fmt.Appendf(nil, "%8.3f %s %s %s\n", time.Since(f.s.began).Seconds(), f.name, e.Level, e.Message), nil
}

// delays are those of a network nearby, in which now and then something is late.
func delays(r *rand.Rand) time.Duration {
	d := 50*time.Microsecond + time.Duration(r.Int64N(int64(300*time.Microsecond)))
	if r.IntN(100) == 0 {
		d += time.Duration(r.Int64N(int64(30 * time.Millisecond)))
	}
	return d
}

// vary makes seeds differ in more than their faults.
func (s *sim) vary() {
	r := rand.New(rand.NewPCG(s.seed, 4))
	pick := func(key string, values ...string) {
		if _, given := s.extra[key]; !given {
			s.extra[key] = values[r.IntN(len(values))]
		}
	}
	pick("zookeeper.session.timeout.ms", "4000", "6000", "10000")
	pick("replica.lag.time.max.ms", "2000", "5000", "10000")
	pick("replica.fetch.wait.max.ms", "100", "500")
	pick("log.segment.bytes", "20000", "200000")
	pick("inter.broker.protocol.version", "2.7", "2.7", "2.6") // below 2.7 leaders write their ISR themselves
	s.hurry = []time.Duration{10, 40, 100}[r.IntN(3)]
	s.note("%v, hurry %d", s.extra, s.hurry)
}

// run is one seed's cluster, from its start to its end. It is called in a bubble.
func (s *sim) run(lasts time.Duration) {
	s.began = time.Now()
	s.vary()
	s.net = testcluster.New(s.seed, delays)
	s.zk = &zookeeper{s: s, mem: vfs.NewMem()}
	defer s.wg.Wait()
	if err := s.zk.start(); err != nil {
		s.problem("%v", err)
		return
	}
	defer s.zk.kill(false)
	for id := 1; id <= machines; id++ {
		n := &node{s: s, id: id, name: fmt.Sprintf("b%d", id), mem: vfs.NewMem()}
		s.nodes = append(s.nodes, n)
		n.start()
	}
	defer func() {
		for _, n := range s.nodes {
			n.kill(false)
		}
	}()
	admin, err := kgo.NewClient(s.client("admin")...)
	if err != nil {
		s.problem("%v", err)
		return
	}
	defer admin.Close()
	s.c = &cluster.Cluster{Client: admin, Options: s.client("clients")}
	ctx := context.Background()
	if err := s.prepare(ctx); err != nil {
		s.problem("%v", err)
		return
	}
	watching, end := context.WithCancel(ctx)
	w := newWatcher(s)
	var watchers sync.WaitGroup
	watchers.Go(func() { w.brokers(watching) })
	watchers.Go(func() { w.zookeeper(watching) })
	s.suffer(ctx, rand.New(rand.NewPCG(s.seed, 1)), lasts)
	v := s.settle(ctx)
	end()
	watchers.Wait()
	if v != nil {
		s.compare(v)
	}
}

// client are the options of clients; each has a machine of its own.
func (s *sim) client(name string) []kgo.Opt {
	var seeds []string
	for _, n := range s.nodes {
		seeds = append(seeds, n.name+":9092")
	}
	host := s.net.Host(name)
	return append(cluster.ClientOptions(), kgo.SeedBrokers(seeds...), kgo.Dialer(func(ctx context.Context, network, addr string) (net.Conn, error) {
		ctx, cancel := context.WithTimeout(ctx, 2*time.Second) // a dialer that is given bounds itself
		defer cancel()
		return host.Dial(ctx, network, addr)
	}))
}

// prepare makes the topic and starts the load.
func (s *sim) prepare(ctx context.Context) error {
	limit, cancel := context.WithTimeout(ctx, time.Minute)
	defer cancel()
	err := s.c.Wait(limit, "all brokers known", func(v *cluster.View) error {
		if len(v.Brokers) != machines {
			return fmt.Errorf("brokers %v", v.Brokers)
		}
		return nil
	})
	if err != nil {
		return err
	}
	if s.bank {
		return s.openBank(ctx, limit)
	}
	if err := s.c.CreateTopic(limit, topic, spread(partitions), nil); err != nil {
		return err
	}
	small := kgo.ProducerBatchMaxBytes(10_000) // a segment holds a few
	s.load, err = cluster.StartLoad(ctx, append(s.client("clients"), small), topic, partitions, cluster.LoadOptions{Producers: 2, Readers: 1, PerSecond: 40,
		Codecs: []kgo.CompressionCodec{kgo.NoCompression(), kgo.Lz4Compression()}})
	return err
}

// openBank has money transferred between two partitions, each transfer a transaction; the topic of the faults is the same.
func (s *sim) openBank(ctx, limit context.Context) (err error) {
	if err := s.c.CreateTopic(limit, topic, spread(2), nil); err != nil {
		return err
	}
	s.load, err = s.c.StartBank(ctx, topic, cluster.BankOptions{Tellers: 3, PerSecond: 8, Seed: s.seed})
	return err
}

// spread puts each of n partitions on three machines.
func spread(n int) (all [][]int32) {
	for p := range n {
		var ids []int32
		for i := range replicas {
			ids = append(ids, int32((p+i)%machines+1))
		}
		all = append(all, ids)
	}
	return all
}

// recover waits until every replica is in sync, and complains when that takes too long.
func (s *sim) recover(ctx context.Context, limit time.Duration, when string) {
	ctx, cancel := context.WithTimeout(ctx, limit)
	defer cancel()
	err := s.c.Wait(ctx, "every replica in sync", func(v *cluster.View) error {
		if len(v.Brokers) < machines {
			return fmt.Errorf("only brokers %v", v.Brokers)
		}
		for _, p := range v.Partitions {
			if len(p.Replicas) != replicas {
				return fmt.Errorf("%v", p)
			}
			if err := s.agreed(p); err != nil { // a broker that died a moment ago counts as in sync until its session is over
				return err
			}
		}
		return cluster.InSync(v)
	}, topic)
	if err != nil {
		s.problem("%s: %v", when, err)
	}
}

// agreed says that all replicas of a partition are in the leader's epoch, and in sync as it knows.
func (s *sim) agreed(p cluster.Partition) error {
	for _, id := range p.Replicas {
		b := s.nodes[id-1].broker()
		if b == nil {
			return fmt.Errorf("broker %d is not there", id)
		}
		r, ok := b.Replica(p.Topic, p.ID)
		if !ok || r.LeaderEpoch != p.Epoch || r.Leading != (id == p.Leader) || r.Leading && len(r.ISR) < replicas {
			return fmt.Errorf("broker %d has %+v of %v", id, r, p)
		}
	}
	return nil
}

// settle looks at what is left when the trouble is over.
func (s *sim) settle(ctx context.Context) *cluster.View {
	for _, n := range s.nodes {
		n.start()
	}
	s.recover(ctx, time.Minute, "at the end")
	s.bury(ctx)
	limit, cancel := context.WithTimeout(ctx, 2*time.Minute)
	defer cancel()
	records, problems := s.load.Finish(limit)
	for _, p := range problems {
		s.problem("%s", p)
	}
	v, err := s.c.View(limit, 0, topic)
	if err != nil {
		s.problem("%v", err)
	}
	s.note("%d records are there", records)
	return v
}

// deleteTopics asks for that, and returns the first refusal.
func (s *sim) deleteTopics(ctx context.Context, names ...string) error {
	req := kmsg.NewPtrDeleteTopicsRequest()
	req.TimeoutMillis, req.TopicNames = 3000, names
	resp, err := req.RequestWith(ctx, s.c.Client)
	if err != nil {
		return err
	}
	for _, t := range resp.Topics {
		if err := kerr.ErrorForCode(t.ErrorCode); err != nil {
			return err
		}
	}
	return nil
}

// bury waits until the topics that were made in passing are gone, and asks for that again now and then.
func (s *sim) bury(ctx context.Context) {
	limit, cancel := context.WithTimeout(ctx, time.Minute)
	defer cancel()
	for {
		left := map[string]bool{}
		v, err := s.c.View(limit, 0)
		if err == nil {
			for _, p := range v.Partitions {
				if strings.HasPrefix(p.Topic, passingTopics) {
					left[p.Topic] = true
				}
			}
			if len(left) == 0 {
				return
			}
			err = s.deleteTopics(limit, slices.Sorted(maps.Keys(left))...)
		}
		if limit.Err() != nil {
			s.problem("topics %v are not deleted: %v", slices.Sorted(maps.Keys(left)), err)
			return
		}
		pause(limit, 2*time.Second)
	}
}

// compare stops all brokers and compares what they have.
func (s *sim) compare(v *cluster.View) {
	var stops sync.WaitGroup
	for _, n := range s.nodes {
		stops.Go(n.stop)
	}
	stops.Wait()
	bytes := 0
	for _, p := range v.Partitions {
		bytes += s.sameLogs(p)
	}
	for _, n := range s.nodes {
		entries, err := n.mem.ReadDir("/kafka")
		if err != nil {
			s.problem("%v", err)
		}
		for _, e := range entries {
			if strings.HasPrefix(e.Name(), passingTopics) && !strings.HasSuffix(e.Name(), "-delete") {
				s.problem("broker %d still has %s", n.id, e.Name())
			}
		}
	}
	s.note("%d bytes in each replica", bytes)
}

// sameLogs compares the replicas of a partition byte for byte. The brokers have stopped.
func (s *sim) sameLogs(p cluster.Partition) int {
	var first []byte
	for i, id := range p.Replicas {
		log, err := readLog(s.nodes[id-1].mem, path.Join("/kafka", fmt.Sprintf("%s-%d", p.Topic, p.ID)))
		if err != nil {
			s.problem("%v", err)
		}
		if i == 0 {
			first = log
		} else if !bytes.Equal(first, log) {
			at := 0
			for at < min(len(first), len(log)) && first[at] == log[at] {
				at++
			}
			s.problem("%s-%d: the logs of brokers %d (%d bytes) and %d (%d bytes) differ from byte %d on", p.Topic, p.ID, p.Replicas[0], len(first), id, len(log), at)
		}
	}
	return len(first)
}

func readLog(fsys vfs.FS, dir string) ([]byte, error) {
	entries, err := fsys.ReadDir(dir)
	if err != nil {
		return nil, err
	}
	var all []byte
	for _, e := range entries { // sorted
		if strings.HasSuffix(e.Name(), ".log") {
			b, err := vfs.ReadFile(fsys, path.Join(dir, e.Name()), 1<<30)
			if err != nil {
				return nil, err
			}
			all = append(all, b...)
		}
	}
	return all, nil
}

// leaders are the brokers that lead partitions of the topic, as a client sees it.
func (s *sim) victim(ctx context.Context, r *rand.Rand) (*node, string) {
	kind, any, p := r.IntN(3), s.nodes[r.IntN(machines)], r.IntN(s.partitions())
	ctx, cancel := context.WithTimeout(ctx, 2*time.Second)
	defer cancel()
	v, err := s.c.View(ctx, 0, topic)
	switch {
	case err != nil || kind == 0:
	case kind == 1 && v.Controller > 0:
		return s.nodes[v.Controller-1], "the controller"
	case kind == 2 && p < len(v.Partitions) && v.Partitions[p].Leader > 0:
		return s.nodes[v.Partitions[p].Leader-1], fmt.Sprintf("which leads partition %d", p)
	}
	return any, "any"
}

// partitions is how many the topic has.
func (s *sim) partitions() int {
	if s.bank {
		return 2
	}
	return partitions
}

func pause(ctx context.Context, d time.Duration) {
	t := time.NewTimer(d)
	defer t.Stop()
	select {
	case <-t.C:
	case <-ctx.Done():
	}
}

func names(fs []fault) string {
	var out []string
	for _, f := range fs {
		out = append(out, f.name)
	}
	slices.Sort(out)
	return strings.Join(out, " ")
}
