package zkgroup

import (
	"context"
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/twmb/franz-go/pkg/kgo"

	"gregor/gregortest"
	"gregor/tools/internal/kclient"
	"gregor/zkmeta"
)

func TestMembersReadAsTheHighLevelConsumerWritesThem(t *testing.T) {
	m := member{id: "g_host-1-0a0b0c0d", pattern: WhiteList, subscription: map[string]int{`a"b`: 1}}
	const want = `{"version":1,"subscription":{"a\"b":1},"pattern":"white_list","timestamp":"1700000000000"}`
	data := m.encode(1700000000000)
	if string(data) != want {
		t.Errorf("%s, want %s", data, want)
	}
	back, err := decode(m.id, data)
	if err != nil || fmt.Sprint(*back) != fmt.Sprint(m) {
		t.Errorf("%v, %v", back, err)
	}
	for data, want := range map[string]string{
		`{"version":1,"pattern":"static","subscription":{"t":2},"timestamp":"1"}`:             "",
		`{"version":1,"pattern":"static","subscription":{"t":2},"timestamp":1436,"more":[1]}`: "",
		`{"version":1,"pattern":"white_list","subscription":{"t":2,"u":1},"timestamp":"1"}`:   "subscribes to 2 patterns",
		`{"version":1,"pattern":"round","subscription":{"t":2},"timestamp":"1"}`:              "unknown pattern",
		`{"version":1,"pattern":"static","subscription":{"t":2000000000},"timestamp":"1"}`:    "2000000000 streams",
		`{"version":1,"pattern":"static","subscription":{"t":-1}}`:                            "-1 streams",
		`nothing`: "holds",
	} {
		if _, err := decode("m", []byte(data)); want == "" && err != nil || want != "" && (err == nil || !strings.Contains(err.Error(), want)) {
			t.Errorf("%s: %v, want %q", data, err, want)
		}
	}
}

func TestPatternsMeanWhatTheyMeant(t *testing.T) {
	all := []string{"a", "b", "ab", "__consumer_offsets"}
	for _, c := range []struct {
		pattern, filter string
		internal        bool
		want            string
	}{
		{WhiteList, "a", false, "[a]"}, {WhiteList, " a , b ", false, "[a b]"}, {WhiteList, `"a.*"`, false, "[a ab]"}, {WhiteList, ".*", false, "[a ab b]"},
		{WhiteList, ".*", true, "[__consumer_offsets a ab b]"}, {BlackList, "a", false, "[ab b]"}, {BlackList, "a|b", true, "[__consumer_offsets ab]"},
		{Static, "b", false, "[b]"}, {WhiteList, "(", false, "[]"},
	} {
		m := member{id: "m", pattern: c.pattern, subscription: map[string]int{c.filter: 1}}
		found, err := m.topics(all, c.internal)
		var names []string
		for name := range found {
			names = append(names, name)
		}
		slices.Sort(names)
		if got := fmt.Sprint(names); got != c.want || (err != nil) != (c.filter == "(") {
			t.Errorf("%+v: %s, %v", c, got, err)
		}
	}
}

// Every partition has one owner, whatever the numbers.
func TestRangesCoverAllPartitionsOnce(t *testing.T) {
	for partitions := range int32(12) {
		for n := 1; n < 8; n++ {
			var threads []string
			for i := range n {
				threads = append(threads, thread("m", i))
			}
			var ps, got []int32
			for p := range partitions {
				ps = append(ps, partitions-1-p)
			}
			for _, th := range threads {
				got = append(got, share(ps, threads, th)...)
			}
			slices.Sort(ps)
			if !slices.Equal(got, ps) {
				t.Errorf("%d partitions, %d threads: %v", partitions, n, got)
			}
		}
	}
	if got := share([]int32{0, 1, 2, 3, 4}, []string{"a-0", "b-0"}, "b-0"); fmt.Sprint(got) != "[3 4]" {
		t.Error(got)
	}
	if got := share([]int32{0}, []string{"a-0"}, "x-0"); got != nil {
		t.Error(got)
	}
	a, b := &member{id: "g_b", pattern: Static, subscription: map[string]int{"t": 2}}, &member{id: "g_a", pattern: WhiteList, subscription: map[string]int{"t": 1}}
	if got, err := threadsOf([]*member{a, b}, "t", []string{"t"}, false); err != nil || fmt.Sprint(got) != "[g_a-0 g_b-0 g_b-1]" {
		t.Error(got, err)
	}
}

func FuzzMembers(f *testing.F) {
	f.Add([]byte(`{"version":1,"subscription":{"a":1},"pattern":"white_list","timestamp":"1"}`))
	f.Fuzz(func(t *testing.T, data []byte) {
		m, err := decode("m", data)
		if err != nil {
			return
		}
		if again, err := decode("m", m.encode(1)); err != nil || again.pattern != m.pattern || len(again.subscription) != len(m.subscription) {
			t.Errorf("%q became %q: %v", data, m.encode(1), err)
		}
	})
}

// reader polls until it is told to end, and counts.
type reader struct {
	c    *Consumer
	stop context.CancelFunc
	done chan struct{}
}

func read(t *testing.T, opt Options, values chan<- string) *reader {
	t.Helper()
	c, err := Open(t.Context(), opt)
	if err != nil {
		t.Fatal(err)
	}
	ctx, stop := context.WithCancel(context.Background())
	r := &reader{c, stop, make(chan struct{})}
	go func() {
		defer close(r.done)
		for ctx.Err() == nil {
			fetches, err := c.Poll(ctx, nil)
			if err != nil {
				t.Error(err)
				return
			}
			fetches.EachRecord(func(rec *kgo.Record) {
				values <- c.member.id + " " + string(rec.Value)
				c.Read(rec)
			})
		}
	}()
	return r
}

func (r *reader) close() {
	r.stop()
	<-r.done
	r.c.Close()
}

// Two members share four partitions, one takes over when the other leaves, and what one has stored the next one goes on from.
func TestMembersShareWhatThereIs(t *testing.T) {
	b := gregortest.Start(t, gregortest.Topic("t", 4))
	producer, err := kgo.NewClient(kgo.SeedBrokers(b.Addr()), kgo.DefaultProduceTopic("t"), kgo.RecordPartitioner(kgo.RoundRobinPartitioner()))
	if err != nil {
		t.Fatal(err)
	}
	defer producer.Close()
	zk, err := zkmeta.Dial(t.Context(), zkmeta.Options{Connect: b.ZooKeeper()})
	if err != nil {
		t.Fatal(err)
	}
	defer zk.Close()
	opt := Options{ZooKeeper: b.ZooKeeper(), Group: "g", Filter: "t", Pattern: WhiteList, Reset: kclient.Earliest, AutoCommit: true, CommitInterval: time.Hour,
		SessionTimeout: 6 * time.Second, ConnectTimeout: 10 * time.Second, Backoff: 20 * time.Millisecond, Retries: 100, Client: kclient.Config{ClientID: "c"}}
	values := make(chan string, 1000)
	seen := map[string]bool{}
	round := func(name string) map[string]int {
		t.Helper()
		for i := range 40 {
			if err := producer.ProduceSync(t.Context(), kgo.StringRecord(fmt.Sprint(name, i))).FirstErr(); err != nil {
				t.Fatal(err)
			}
		}
		count := map[string]int{}
		for range 40 {
			select {
			case v := <-values:
				who, value, _ := strings.Cut(v, " ")
				if seen[value] {
					t.Errorf("%s was read twice", value)
				}
				seen[value] = true
				count[who]++
			case <-time.After(30 * time.Second):
				t.Fatalf("%s: %v", name, count)
			}
		}
		return count
	}
	opt.ID = "a"
	first := read(t, opt, values)
	if got := round("alone"); got["g_a"] != 40 {
		t.Error(got)
	}
	opt.ID = "b"
	second := read(t, opt, values)
	waitOwners(t, zk, "g_a-0 g_a-0 g_b-0 g_b-0")
	if got := round("both"); got["g_a"] != 20 || got["g_b"] != 20 {
		t.Error(got)
	}
	first.close()
	waitOwners(t, zk, "g_b-0 g_b-0 g_b-0 g_b-0")
	if got := round("other"); got["g_b"] != 40 {
		t.Error(got)
	}
	second.close()
	for p := range int32(4) {
		if at, ok, err := zk.ConsumerOffset(t.Context(), "g", "t", p); err != nil || !ok || at != 30 {
			t.Errorf("offset of partition %d: %d %t %v", p, at, ok, err)
		}
	}
	waitOwners(t, zk, "")
	if ids, _, err := zk.Children(t.Context(), zkmeta.PathConsumerIDs("g")); err != nil || len(ids) != 0 {
		t.Errorf("members left: %v, %v", ids, err)
	}
	opt.ID = ""
	third := read(t, opt, values)
	if got := round("third"); len(got) != 1 {
		t.Error(got)
	}
	third.close()
}

// waitOwners waits until the partitions have these owners, in their order.
func waitOwners(t *testing.T, zk *zkmeta.Client, want string) {
	t.Helper()
	tick := time.NewTicker(10 * time.Millisecond)
	defer tick.Stop()
	got := ""
	for end := time.Now().Add(30 * time.Second); time.Now().Before(end); <-tick.C {
		var owners []string
		for p := range int32(4) {
			if data, _, err := zk.Get(t.Context(), zkmeta.PathConsumerOwner("g", "t", p)); err == nil {
				owners = append(owners, string(data))
			}
		}
		if got = strings.Join(owners, " "); got == want {
			return
		}
	}
	t.Fatalf("owners %q, want %q", got, want)
}
