package gregortest_test

import (
	"context"
	"fmt"
	"os"
	"runtime"
	"testing"
	"time"

	"github.com/twmb/franz-go/pkg/kadm"
	"github.com/twmb/franz-go/pkg/kgo"

	"gregor/gregortest"
)

func Example() {
	ctx := context.Background()
	b, err := gregortest.New(ctx, nil, gregortest.Topic("orders", 1)) // in a test: gregortest.Start(t, gregortest.Topic("orders", 1))
	if err != nil {
		fmt.Println(err)
		return
	}
	defer b.Close()
	client, err := kgo.NewClient(kgo.SeedBrokers(b.Addr()), kgo.ConsumeTopics("orders"))
	if err != nil {
		fmt.Println(err)
		return
	}
	defer client.Close()
	r := &kgo.Record{Topic: "orders", Value: []byte("two coffees")}
	if err := client.ProduceSync(ctx, r).FirstErr(); err != nil {
		fmt.Println(err)
		return
	}
	client.PollFetches(ctx).EachRecord(func(r *kgo.Record) { fmt.Println(r.Topic, r.Offset, string(r.Value)) })
	// Output: orders 0 two coffees
}

func roundTrip(t *testing.T, b *gregortest.Broker, topic string, records, size int) {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), 30*time.Second)
	defer cancel()
	client, err := kgo.NewClient(kgo.SeedBrokers(b.Addr()), kgo.ConsumeTopics(topic), kgo.DefaultProduceTopic(topic))
	if err != nil {
		t.Fatal(err)
	}
	defer client.Close()
	want := map[string]bool{}
	var batch []*kgo.Record
	for i := range records {
		v := make([]byte, size)
		copy(v, fmt.Sprint(i, "."))
		want[string(v)] = true
		batch = append(batch, &kgo.Record{Value: v})
	}
	if err := client.ProduceSync(ctx, batch...).FirstErr(); err != nil {
		t.Fatal(err)
	}
	for len(want) > 0 {
		fs := client.PollFetches(ctx)
		if err := fs.Err0(); err != nil {
			t.Fatalf("%d records missing: %v", len(want), err)
		}
		fs.EachRecord(func(r *kgo.Record) {
			if !want[string(r.Value)] {
				t.Errorf("a record that nobody wrote, or twice: %.20q", r.Value)
			}
			delete(want, string(r.Value))
		})
	}
}

// Segments in memory have no descriptor: ranges large and small leave by write.
func TestRecordsGoThroughABrokerInMemory(t *testing.T) {
	t.Parallel()
	b := gregortest.Start(t, gregortest.Topic("small", 3), gregortest.Topic("large", 1, "max.message.bytes=4000000"), gregortest.Verbose())
	roundTrip(t, b, "small", 1000, 50)
	roundTrip(t, b, "large", 20, 300_000)
}

func TestBrokersOfParallelTestsShareNothing(t *testing.T) {
	for i := range 5 {
		t.Run(fmt.Sprint(i), func(t *testing.T) {
			t.Parallel()
			b := gregortest.Start(t, gregortest.Topic("t", 1), gregortest.Config("broker.id", fmt.Sprint(i)))
			roundTrip(t, b, "t", 100+i, 10)
			client, err := kgo.NewClient(kgo.SeedBrokers(b.Addr()))
			if err != nil {
				t.Fatal(err)
			}
			defer client.Close()
			list, err := kadm.NewClient(client).ListBrokers(t.Context())
			if err != nil || len(list) != 1 || list[0].NodeID != int32(i) {
				t.Errorf("brokers %v, %v", list, err)
			}
			ends, err := kadm.NewClient(client).ListEndOffsets(t.Context(), "t")
			if o, _ := ends.Lookup("t", 0); err != nil || o.Offset != int64(100+i) {
				t.Errorf("end offset %d, %v", o.Offset, err)
			}
		})
	}
}

func TestADirectoryIsFoundAgain(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	for life := range 2 {
		b, err := gregortest.New(t.Context(), nil, gregortest.Dir(dir), gregortest.Topic("kept", 1, "retention.ms=-1"))
		if err != nil {
			t.Fatal(err)
		}
		client, err := kgo.NewClient(kgo.SeedBrokers(b.Addr()), kgo.DefaultProduceTopic("kept"))
		if err != nil {
			t.Fatal(err)
		}
		if err := client.ProduceSync(t.Context(), kgo.StringRecord("x")).FirstErr(); err != nil {
			t.Error(err)
		}
		ends, err := kadm.NewClient(client).ListEndOffsets(t.Context(), "kept")
		if o, _ := ends.Lookup("kept", 0); err != nil || o.Offset != int64(life+1) {
			t.Errorf("life %d: end offset %d, %v", life, o.Offset, err)
		}
		client.Close()
		if err := b.Close(); err != nil {
			t.Error(err)
		}
	}
}

func TestABadConfigurationIsAnErrorAndLeavesNothing(t *testing.T) {
	t.Parallel()
	for _, o := range []gregortest.Option{gregortest.Config("num.partitions", "x"), gregortest.Config("listeners", "SSL://127.0.0.1:0"),
		gregortest.Config("zookeeper.connect", "256.0.0.1:1"), gregortest.Topic("b@d", 1), gregortest.Topic("t", 1, "retention.ms=x")} {
		b, err := gregortest.New(t.Context(), nil, o)
		if err == nil || b != nil {
			t.Errorf("a broker %v, error %v", b, err)
		}
	}
}

func descriptors(t *testing.T) int {
	t.Helper()
	list, err := os.ReadDir("/proc/self/fd")
	if err != nil {
		t.Skip(err)
	}
	return len(list)
}

// A hundred brokers one after the other leave no goroutine, no descriptor and no memory behind.
func TestBrokersInARowLeaveNothing(t *testing.T) {
	once := func() {
		b, err := gregortest.New(t.Context(), nil, gregortest.Topic("t", 2))
		if err != nil {
			t.Fatal(err)
		}
		if err := b.Close(); err != nil {
			t.Fatal(err)
		}
	}
	for range 3 {
		once()
	}
	goroutines, fds, heap := settle(), descriptors(t), heapNow()
	n := 100
	if testing.Short() {
		n = 10
	}
	begun := time.Now()
	for range n {
		once()
	}
	took := time.Since(begun) / time.Duration(n)
	g, f, h := settle(), descriptors(t), heapNow()
	t.Logf("start and stop %v; goroutines %d, then %d; descriptors %d, then %d; heap %d KB, then %d KB", took, goroutines, g, fds, f, heap>>10, h>>10)
	if g > goroutines || f > fds {
		t.Errorf("goroutines grew from %d to %d, descriptors from %d to %d", goroutines, g, fds, f)
	}
	if h > heap+4<<20 {
		t.Errorf("the heap grew from %d KB to %d KB", heap>>10, h>>10)
	}
}

// settle waits for goroutines that are on their way out.
func settle() int {
	n := runtime.NumGoroutine()
	for range 200 {
		runtime.Gosched()
		runtime.GC()
		if now := runtime.NumGoroutine(); now < n {
			n = now
		} else if n <= 3 {
			break
		}
	}
	return n
}

func heapNow() uint64 {
	var m runtime.MemStats
	runtime.GC()
	runtime.GC()
	runtime.ReadMemStats(&m)
	return m.HeapAlloc
}

func BenchmarkStartAndStop(b *testing.B) {
	for b.Loop() {
		br, err := gregortest.New(b.Context(), nil, gregortest.Topic("t", 1))
		if err != nil {
			b.Fatal(err)
		}
		if err := br.Close(); err != nil {
			b.Fatal(err)
		}
	}
}

// A consumer that waits for records does not hold up a stop.
func TestAStopDoesNotWaitForClients(t *testing.T) {
	t.Parallel()
	b, err := gregortest.New(t.Context(), nil, gregortest.Topic("t", 1))
	if err != nil {
		t.Fatal(err)
	}
	roundTrip(t, b, "t", 1, 10)
	client, err := kgo.NewClient(kgo.SeedBrokers(b.Addr()), kgo.ConsumeTopics("t"), kgo.FetchMaxWait(time.Minute))
	if err != nil {
		t.Fatal(err)
	}
	defer client.Close()
	client.PollFetches(t.Context()) // one record; the next fetch is under way and waits
	begun := time.Now()
	if err := b.Close(); err != nil {
		t.Error(err)
	}
	if took := time.Since(begun); took > 5*time.Second {
		t.Errorf("the stop took %v", took)
	} else {
		t.Logf("stopped in %v", took)
	}
}

func TestManyBrokersAtOnce(t *testing.T) {
	n := 50
	if testing.Short() {
		n = 5
	}
	before := heapNow()
	var all []*gregortest.Broker
	for range n {
		b, err := gregortest.New(t.Context(), nil, gregortest.Topic("t", 1))
		if err != nil {
			t.Fatal(err)
		}
		all = append(all, b)
	}
	t.Logf("%d brokers: heap %d KB and %d goroutines each", n, (heapNow()-before)>>10/uint64(n), runtime.NumGoroutine()/n)
	seen := map[string]bool{}
	for _, b := range all {
		seen[b.Addr()], seen[b.ZooKeeper()] = true, true
		roundTrip(t, b, "t", 3, 10)
	}
	if len(seen) != 2*n {
		t.Errorf("%d addresses of %d brokers", len(seen), n)
	}
	for _, b := range all {
		if err := b.Close(); err != nil {
			t.Error(err)
		}
	}
}

// What a test does between Start and its own first request is all that it waits for.
func BenchmarkStart(b *testing.B) {
	for b.Loop() {
		br, err := gregortest.New(b.Context(), nil)
		if err != nil {
			b.Fatal(err)
		}
		b.StopTimer()
		if err := br.Close(); err != nil {
			b.Fatal(err)
		}
		b.StartTimer()
	}
}
