package integration

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kgo"
	"github.com/twmb/franz-go/pkg/kmsg"
	"golang.org/x/sys/unix"

	"gregor/integration/clients"
	"gregor/integration/peer"
	"gregor/wire/record"
)

// oracle writes numbered records to t-0 and knows which of them were acknowledged.
type oracle struct {
	cl     *kgo.Client
	cancel context.CancelFunc
	wg     sync.WaitGroup

	mu    sync.Mutex
	acked []int
}

func startOracle(t *testing.T, ctx context.Context, b *peer.Broker) *oracle {
	t.Helper()
	cl, err := kgo.NewClient(kgo.SeedBrokers(b.Addr), kgo.DefaultProduceTopic("t"), kgo.RecordRetries(1000), kgo.UnknownTopicRetries(1000), kgo.MaxBufferedRecords(2000))
	if err != nil {
		t.Fatal(err)
	}
	o := &oracle{cl: cl}
	run, cancel := context.WithCancel(ctx)
	o.cancel = cancel
	o.wg.Go(func() {
		for i := 0; run.Err() == nil; i++ {
			cl.Produce(ctx, kgo.StringRecord(strconv.Itoa(i)+strings.Repeat(".", 200)), func(_ *kgo.Record, err error) {
				if err == nil {
					o.mu.Lock()
					o.acked = append(o.acked, i)
					o.mu.Unlock()
				}
			})
		}
	})
	t.Cleanup(func() { cancel(); o.wg.Wait(); cl.Close() })
	return o
}

func (o *oracle) count() int {
	o.mu.Lock()
	defer o.mu.Unlock()
	return len(o.acked)
}

// more waits until so many more records are acknowledged.
func (o *oracle) more(t *testing.T, ctx context.Context, n int) {
	t.Helper()
	from := o.count()
	eventually(t, ctx, time.Minute, "records acknowledged", func() error {
		if got := o.count() - from; got < n {
			return fmt.Errorf("%d of %d", got, n)
		}
		return nil
	})
}

// check ends the producer, and finds each acknowledged record once, in order.
func (o *oracle) check(t *testing.T, ctx context.Context, b *peer.Broker) {
	t.Helper()
	o.cancel()
	o.wg.Wait()
	if err := o.cl.Flush(ctx); err != nil {
		t.Fatal(err)
	}
	last, read := -1, map[int]bool{}
	for _, v := range values(t, ctx, b, "t") {
		n, err := strconv.Atoi(string(bytes.TrimRight(v, ".")))
		if err != nil {
			t.Fatalf("a record that nobody wrote: %q", v)
		}
		if n <= last {
			t.Fatalf("record %d follows record %d", n, last)
		}
		last, read[n] = n, true
	}
	for _, n := range o.acked {
		if !read[n] {
			t.Fatalf("record %d was acknowledged and is lost", n)
		}
	}
	t.Logf("%d records acknowledged, %d there, each once and in order", len(o.acked), len(read))
}

func restart(t *testing.T, ctx context.Context, b *peer.Broker) *peer.Broker {
	t.Helper()
	n, err := b.Restart(ctx)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(n.Close)
	return n
}

// exits waits for the end of a broker and returns its code.
func exits(t *testing.T, b *peer.Broker, limit time.Duration) int {
	t.Helper()
	select {
	case <-b.Done():
		return b.ExitCode()
	case <-time.After(limit):
		t.Fatalf("the broker still runs after %v", limit)
		return 0
	}
}

// TestKilledManyTimes: kill -9 again and again under load, with a torn or garbled file now and then.
func TestKilledManyTimes(t *testing.T) {
	ctx := trouble(t, 5*time.Minute)
	b := troubled(t, ctx, peer.Options{Config: map[string]string{"log.segment.bytes": "4194304"}})
	o := startOracle(t, ctx, b)
	var slowest time.Duration
	for range 12 {
		o.more(t, ctx, 5000)
		b.Kill()
		b = restart(t, ctx, b)
		slowest = max(slowest, b.Started)
	}
	o.check(t, ctx, b)
	t.Logf("killed 12 times; the slowest start took %v", slowest.Round(time.Millisecond))
	if slowest > time.Second {
		t.Errorf("a start took %v", slowest)
	}
}

// TestDamagedFiles: what a crash, or a bad disk, may leave of the small files: the broker starts, and has every record; or it says
// which file it cannot read.
func TestDamagedFiles(t *testing.T) {
	ctx := trouble(t, 5*time.Minute)
	b := troubled(t, ctx, peer.Options{})
	o := startOracle(t, ctx, b)
	o.more(t, ctx, 20_000)
	o.cancel()
	o.wg.Wait()
	if err := o.cl.Flush(ctx); err != nil {
		t.Fatal(err)
	}
	whole := t // restarted brokers outlive their subtest
	cut := func(p []byte) []byte { return p[:len(p)-min(len(p), 7)] }
	garble := func(p []byte) []byte { return append(p[:len(p)-min(len(p), 7)], "\xff\xfegarbage"...) }
	for _, c := range []struct {
		name, pattern string
		clean         bool
		damage        func([]byte) []byte
	}{
		{"index cut", "t-0/*.index", false, cut},
		{"index garbled", "t-0/*.index", false, garble},
		{"time index garbled after a clean stop", "t-0/*.timeindex", true, garble},
		{"snapshot garbled", "t-0/*.snapshot", true, garble},
		{"leader epochs garbled", "t-0/leader-epoch-checkpoint", true, garble},
		{"recovery points garbled", "recovery-point-offset-checkpoint", true, garble},
		{"high watermarks empty", "replication-offset-checkpoint", true, func([]byte) []byte { return nil }},
		{"log starts garbled", "log-start-offset-checkpoint", true, garble},
		{"garbage behind the log", "t-0/*.log", false, func(p []byte) []byte { return append(p, "not a batch, but a torn write"...) }},
		{"zeros behind the log", "t-0/*.log", false, func(p []byte) []byte { return append(p, make([]byte, 5000)...) }},
	} {
		t.Run(c.name, func(t *testing.T) {
			if c.clean {
				stop(t, b)
			} else {
				b.Kill()
			}
			name := fileOf(t, b, c.pattern)
			data, err := os.ReadFile(name)
			if err != nil {
				t.Fatal(err)
			}
			if err := os.WriteFile(name, c.damage(data), 0o644); err != nil {
				t.Fatal(err)
			}
			b = restart(whole, ctx, b)
			o.check(t, ctx, b)
		})
	}
	t.Run("meta.properties garbled", func(t *testing.T) {
		stop(t, b)
		name := fileOf(t, b, "meta.properties")
		if err := os.WriteFile(name, []byte("\xff\xfe"), 0o644); err != nil {
			t.Fatal(err)
		}
		log := logFrom(b)
		if _, err := b.Restart(ctx); err == nil {
			t.Fatal("it starts")
		}
		if len(log.lines("meta.properties")) == 0 {
			t.Error("its log does not name meta.properties")
		}
	})
}

// TestStoppedUnderLoad: SIGTERM while clients write and poll: a clean stop in no time, nothing acknowledged lost.
func TestStoppedUnderLoad(t *testing.T) {
	ctx := trouble(t, 3*time.Minute)
	b := troubled(t, ctx, peer.Options{})
	createTopic(t, ctx, b, "quiet", 1, nil)
	o := startOracle(t, ctx, b)
	for range 3 {
		o.more(t, ctx, 5000)
		// A consumer that waits for a minute, if it may.
		poll := fetchRequest("quiet", 0, 0)
		poll.MaxWaitMillis = 60_000
		waiting := dialBroker(t, ctx, b)
		if _, err := waiting.Write(waiting.Frame(poll)); err != nil {
			t.Fatal(err)
		}
		began := time.Now()
		stop(t, b)
		took := time.Since(began)
		t.Logf("stopped in %v, code %d", took.Round(time.Millisecond), b.ExitCode())
		if took > 3*time.Second || b.ExitCode() != 143 {
			t.Errorf("the stop took %v, code %d", took, b.ExitCode())
		}
		fileOf(t, b, ".kafka_cleanshutdown")
		b = restart(t, ctx, b)
	}
	o.check(t, ctx, b)
}

// TestSecondBroker: on the same directory, or with the same id on another, it is refused; the first goes on.
func TestSecondBroker(t *testing.T) {
	ctx := trouble(t, 2*time.Minute)
	zk, err := peer.StartGregorZooKeeper(ctx, t.TempDir())
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(zk.Close)
	b := troubled(t, ctx, peer.Options{ZooKeeper: zk.Addr, ID: 3})
	by := startBystander(t, ctx, b, "bystander")
	second := func(o peer.Options, words ...string) {
		t.Helper()
		o.Kind, o.Dir, o.ZooKeeper = peer.Gregor, t.TempDir(), zk.Addr
		began := time.Now()
		n, err := peer.StartBroker(ctx, o)
		if err == nil {
			n.Close()
			t.Fatal("a second broker starts")
		}
		for _, w := range append(words, "code 1 ") {
			if !strings.Contains(err.Error(), w) {
				t.Errorf("its refusal does not say %q: %v", w, err)
			}
		}
		t.Logf("refused after %v", time.Since(began).Round(time.Millisecond))
	}
	second(peer.Options{ID: 3, Config: map[string]string{"log.dirs": b.LogDir()}}, b.LogDir(), "in use")
	second(peer.Options{ID: 4, Config: map[string]string{"log.dirs": b.LogDir()}}, b.LogDir(), "in use")
	second(peer.Options{ID: 3}, "/brokers/ids/3")
	by.unharmed(t, 2*time.Second)
	for range 3 {
		b.Kill()
		b = restart(t, ctx, b)
		if b.Started > time.Second {
			t.Errorf("a start after kill -9 took %v", b.Started)
		}
		t.Logf("up %v after kill -9", b.Started.Round(time.Millisecond))
	}
}

// TestZooKeeperLost: paused beyond the session's timeout, and killed: data goes on being served, and everything heals.
func TestZooKeeperLost(t *testing.T) {
	ctx := trouble(t, 5*time.Minute)
	for name, start := range map[string]func(context.Context, string) (*peer.ZooKeeper, error){
		"embedded server": peer.StartGregorZooKeeper, "Apache ZooKeeper": peer.StartZooKeeper} {
		t.Run(name, func(t *testing.T) {
			zk, err := start(ctx, t.TempDir())
			if err != nil {
				t.Fatal(err)
			}
			t.Cleanup(zk.Close)
			b := troubled(t, ctx, peer.Options{ZooKeeper: zk.Addr, Config: map[string]string{"zookeeper.session.timeout.ms": "4000"}})
			by := startBystander(t, ctx, b, "bystander")
			log := logFrom(b)
			zk.Pause()
			<-time.After(10 * time.Second)
			zk.Resume()
			resumed := time.Now()
			createHealed(t, ctx, b, "after")
			t.Logf("paused for 10 s: a topic could be made %v after that", time.Since(resumed).Round(time.Millisecond))
			for _, l := range log.lines("expired") {
				t.Log(l)
			}
			by.unharmed(t, 2*time.Second)
			t.Run("stop without it", func(t *testing.T) {
				zk.Kill()
				began := time.Now()
				stop(t, b)
				t.Logf("stopped in %v", time.Since(began).Round(time.Millisecond))
				if took := time.Since(began); took > 10*time.Second {
					t.Errorf("it took %v", took)
				}
			})
		})
	}
}

// createHealed makes a topic, again and again until it works, and writes to it.
func createHealed(t *testing.T, ctx context.Context, b *peer.Broker, topic string) {
	t.Helper()
	eventually(t, ctx, time.Minute, "a new topic", func() error {
		try, cancel := context.WithTimeout(ctx, 10*time.Second)
		defer cancel()
		return clients.CreateTopic(try, b.Addr, topic, 1, nil)
	})
	conn := dialBroker(t, ctx, b)
	if code, _ := produceCode(t, ctx, conn, topic, batch(t, record.NewBuilder(), []byte("x"))); code != 0 {
		t.Errorf("writing to it: %s", kafkaError(code))
	}
}

// tmpfs mounts a small file system for the test.
func tmpfs(t *testing.T, size string) string {
	t.Helper()
	dir := t.TempDir()
	if err := unix.Mount("tmpfs", dir, "tmpfs", 0, "size="+size); err != nil {
		t.Skip("mounting a tmpfs needs root:", err)
	}
	t.Cleanup(func() { _ = unix.Unmount(dir, unix.MNT_DETACH) })
	return dir
}

// TestFullDisk: one of two directories fills up and goes offline, the other serves on; when it fills up too, the broker ends.
func TestFullDisk(t *testing.T) {
	ctx := trouble(t, 3*time.Minute)
	small, large := tmpfs(t, "6m"), tmpfs(t, "40m")
	b := startBroker(t, ctx, peer.Options{Kind: peer.Gregor, Config: map[string]string{"log.dirs": small + "," + large}})
	createTopic(t, ctx, b, "t", 2, nil) // one partition in each
	log := logFrom(b)
	conn := dialBroker(t, ctx, b)
	value := bytes.Repeat([]byte("v"), 500_000)
	fill := func() (codes [2]map[int16]int) {
		codes = [2]map[int16]int{{}, {}}
		for range 20 {
			for p := range int32(2) {
				resp, err := conn.Request(ctx, produceTo("t", p, 8, 1, batch(t, record.NewBuilder(), value)))
				if err != nil {
					return codes
				}
				codes[p][resp.(*kmsg.ProduceResponse).Topics[0].Partitions[0].ErrorCode]++
			}
		}
		return codes
	}
	codes := fill()
	t.Logf("answers by partition: %v", codes)
	line := log.wait(t, ctx, "ERROR", small)
	t.Log(line)
	if b.Exited() {
		t.Fatal("the broker ended although a directory is left")
	}
	createTopic(t, ctx, b, "new", 1, nil)
	for range 10 {
		if b.Exited() {
			break
		}
		fill()
	}
	if code := exits(t, b, 20*time.Second); code != 1 {
		t.Errorf("code %d", code)
	}
	if len(log.lines("ERROR", "log dirs")) == 0 {
		t.Errorf("no reason given: %q", log.lines("ERROR"))
	}
}

// TestZooKeepersDiskIsFull: the embedded server cannot write any more: the process says so and ends, and starts when there is room.
func TestZooKeepersDiskIsFull(t *testing.T) {
	ctx := trouble(t, 2*time.Minute)
	disk := tmpfs(t, "32m")
	b := troubled(t, ctx, peer.Options{Config: map[string]string{"gregor.zookeeper.data.dir": disk}})
	log := logFrom(b)
	ballast := filepath.Join(disk, "ballast")
	f, err := os.Create(ballast)
	if err != nil {
		t.Fatal(err)
	}
	for err == nil {
		_, err = f.Write(make([]byte, 4096))
	}
	f.Close()
	if !errors.Is(err, syscall.ENOSPC) {
		t.Fatal(err)
	}
	for i := 0; i < 400 && !b.Exited(); i++ {
		try, cancel := context.WithTimeout(ctx, 5*time.Second)
		err := clients.CreateTopic(try, b.Addr, fmt.Sprintf("topic-%d", i), 50, nil)
		cancel()
		if err != nil {
			t.Logf("topic %d: %v", i, err)
			break
		}
	}
	if code := exits(t, b, 20*time.Second); code != 1 {
		t.Errorf("code %d", code)
	}
	t.Log(log.wait(t, ctx, "ERROR", "ZooKeeper"))
	if err := os.Remove(ballast); err != nil {
		t.Fatal(err)
	}
	b = restart(t, ctx, b)
	createHealed(t, ctx, b, "after")
}

// TestTenThousandConnections: idle, they cost at most 200 MB.
func TestTenThousandConnections(t *testing.T) {
	ctx := trouble(t, 3*time.Minute)
	var limit unix.Rlimit
	if err := unix.Getrlimit(unix.RLIMIT_NOFILE, &limit); err != nil || limit.Cur < 10_200 {
		t.Skipf("only %d files may be open", limit.Cur)
	}
	b := troubled(t, ctx, peer.Options{})
	by := startBystander(t, ctx, b, "bystander")
	before := rss(t, b)
	const n = 10_000
	for range n {
		conn := dialBroker(t, ctx, b)
		if code := fetchCode(t, ctx, conn, "t", 0, 0); code != 0 {
			t.Fatal(kafkaError(code))
		}
	}
	after := rss(t, b)
	t.Logf("%d connections, each used once: memory %s before, %s after", n, mb(before), mb(after))
	if after > 200<<20 {
		t.Errorf("memory is %s", mb(after))
	}
	by.unharmed(t, 2*time.Second)
}

// TestSlowClients: one sends a byte at a time, many never read what they ask for: nobody else notices, and memory stays bounded.
func TestSlowClients(t *testing.T) {
	ctx := trouble(t, 3*time.Minute)
	b := troubled(t, ctx, peer.Options{})
	conn := dialBroker(t, ctx, b)
	for range 40 {
		if code, _ := produceCode(t, ctx, conn, "t", batch(t, record.NewBuilder(), bytes.Repeat([]byte("v"), 500_000))); code != 0 {
			t.Fatal(kafkaError(code))
		}
	}
	by := startBystander(t, ctx, b, "bystander")
	rise := peakOf(t, b, func() {
		for range 50 {
			deaf := dialBroker(t, ctx, b)
			// Each asks for 20 MB, 500 times, and reads nothing of it.
			deaf.SetWriteDeadline(time.Now().Add(300 * time.Millisecond))
			for range 500 {
				if _, err := deaf.Write(deaf.Frame(fetchRequest("t", 0, 0))); err != nil {
					break
				}
			}
		}
		slow := dialBroker(t, ctx, b)
		frame := slow.Frame(fetchRequest("t", 0, 0))
		tick := time.NewTicker(50 * time.Millisecond)
		defer tick.Stop()
		for _, c := range frame {
			<-tick.C
			if _, err := slow.Write([]byte{c}); err != nil {
				t.Fatal(err)
			}
		}
		one := make([]byte, 1)
		for range 40 {
			<-tick.C
			if _, err := slow.Read(one); err != nil {
				t.Fatal(err)
			}
		}
	})
	t.Logf("50 clients that never read, one that is slow: memory rose by %s", mb(rise))
	if rise > 100<<20 {
		t.Errorf("memory rose by %s", mb(rise))
	}
	by.unharmed(t, 2*time.Second)
}

// TestBadConfiguration: a value that cannot be stops the start with code 1 and names key, value and what is allowed.
func TestBadConfiguration(t *testing.T) {
	trouble(t, time.Minute)
	bin, err := peer.GregorBinary()
	if err != nil {
		t.Fatal(err)
	}
	file := filepath.Join(t.TempDir(), "server.properties")
	if err := os.WriteFile(file, []byte("zookeeper.connect=127.0.0.1:1\n"), 0o644); err != nil {
		t.Fatal(err)
	}
	for _, c := range []struct{ key, value, allowed string }{
		{"num.partitions", "0", "1"}, {"log.segment.bytes", "12", "14"}, {"log.segment.bytes", "1e9", ""}, {"compression.type", "brotli", "zstd"},
		{"log.retention.ms", "soon", ""}, {"auto.create.topics.enable", "maybe", "true"}, {"log.cleanup.policy", "keep", "compact"},
		{"listeners", "PLAINTEXT", ""}, {"authorizer.class.name", "kafka.security.authorizer.AclAuthorizer", ""},
		{"socket.request.max.bytes", "0", "1"}, {"broker.id", "-2", ""}, {"log.message.timestamp.type", "never", "CreateTime"},
	} {
		out, err := exec.Command(bin, "kafka-server-start", file, "--override", c.key+"="+c.value).CombinedOutput()
		var exit *exec.ExitError
		if !errors.As(err, &exit) || exit.ExitCode() != 1 {
			t.Errorf("%s=%s: %v\n%s", c.key, c.value, err, out)
			continue
		}
		for _, w := range []string{c.key, c.value, c.allowed} {
			if !strings.Contains(string(out), w) {
				t.Errorf("%s=%s: %q is not in:\n%s", c.key, c.value, w, out)
			}
		}
	}
}

// TestDirectoryGone: one of two directories is replaced by a file: it goes offline, with whatever is asked of it, and the other serves on.
func TestDirectoryGone(t *testing.T) {
	ctx := trouble(t, time.Minute)
	good, bad := t.TempDir(), filepath.Join(t.TempDir(), "bad")
	b := startBroker(t, ctx, peer.Options{Kind: peer.Gregor, Config: map[string]string{"log.dirs": good + "," + bad,
		"replica.high.watermark.checkpoint.interval.ms": "300"}})
	conn := dialBroker(t, ctx, b)
	for _, topic := range []string{"first", "second"} { // one in each
		createTopic(t, ctx, b, topic, 1, nil)
		if code, _ := produceCode(t, ctx, conn, topic, batch(t, record.NewBuilder(), []byte("x"))); code != 0 {
			t.Fatal(kafkaError(code))
		}
	}
	if err := os.Rename(bad, bad+"-away"); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(bad, nil, 0o644); err != nil {
		t.Fatal(err)
	}
	req := kmsg.NewPtrDescribeLogDirsRequest()
	req.Version = 1
	eventually(t, ctx, 10*time.Second, "the failure to be noticed", func() error {
		for _, d := range ask[*kmsg.DescribeLogDirsResponse](t, ctx, conn, req).Dirs {
			if d.ErrorCode == kerr.KafkaStorageError.Code {
				return nil
			}
		}
		return errors.New("no directory has failed")
	})
	if code, _ := produceCode(t, ctx, conn, "second", batch(t, record.NewBuilder(), []byte("x"))); code != kerr.KafkaStorageError.Code {
		t.Errorf("writing to the failed directory: %s", kafkaError(code))
	}
	if code, _ := produceCode(t, ctx, conn, "first", batch(t, record.NewBuilder(), []byte("x"))); code != 0 {
		t.Errorf("writing to the other: %s", kafkaError(code))
	}
	stop(t, b)
}
