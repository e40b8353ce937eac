package scripts

import (
	"context"
	"fmt"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/twmb/franz-go/pkg/kadm"
	"github.com/twmb/franz-go/pkg/kgo"

	"gregor/integration/peer"
	"gregor/zkmeta"
)

// TestOldConsumersShareAGroup: the high-level consumer of Apache Kafka 0.8.2.2 and `kafka-console-consumer --zookeeper` are members of one
// group in ZooKeeper, on either broker: each reads its share, and all of it when the other has left.
func TestOldConsumersShareAGroup(t *testing.T) {
	if os.Getenv("GREGOR_INTEROP") != "1" {
		t.Skip("GREGOR_INTEROP=1 runs it: it needs Java")
	}
	jars, err := peer.Jars("kafka-0.8.2.2")
	if err != nil {
		t.Fatal(err)
	}
	bin, err := peer.GregorBinary()
	if err != nil {
		t.Fatal(err)
	}
	kinds := []peer.Kind{peer.Gregor}
	if os.Getenv("FULL") == "1" {
		kinds = append(kinds, peer.Kafka)
	}
	for _, kind := range kinds {
		t.Run(string(kind), func(t *testing.T) {
			ctx, cancel := context.WithTimeout(t.Context(), 5*time.Minute)
			defer cancel()
			dir := t.TempDir()
			o := peer.Options{Kind: kind, Dir: filepath.Join(dir, "broker")}
			zk, err := peer.StartZooKeeper(ctx, filepath.Join(dir, "zookeeper"))
			if err != nil {
				t.Fatal(err)
			}
			t.Cleanup(zk.Close)
			o.ZooKeeper = zk.Addr + "/a/chroot"
			b, err := peer.StartBroker(ctx, o)
			if err != nil {
				t.Fatal(err)
			}
			t.Cleanup(b.Close)
			g := &oldGroup{t: t, ctx: ctx, connect: o.ZooKeeper, addr: b.Addr, dir: dir, bin: bin,
				java: []string{"java", "-Xmx256m", "-XX:TieredStopAtLevel=1", "-cp", jars + "/*"}}
			g.play()
		})
	}
}

// oldGroup is one run.
type oldGroup struct {
	t             *testing.T
	ctx           context.Context
	connect, addr string
	dir, bin      string
	java          []string
	zk            *zkmeta.Client
}

const oldName, oldTopic = "old-group", "shared"

func (g *oldGroup) play() {
	t := g.t
	config := filepath.Join(g.dir, "old.properties")
	if err := os.WriteFile(config, []byte("group.id="+oldName+"\nzookeeper.sync.time.ms=200\nrebalance.max.retries=50\nauto.commit.interval.ms=500\n"+
		"zookeeper.session.timeout.ms=6000\nzookeeper.connection.timeout.ms=30000\n"), 0o644); err != nil {
		t.Fatal(err)
	}
	log4j := filepath.Join(g.dir, "log4j.properties")
	if err := os.WriteFile(log4j, []byte("log4j.rootLogger=WARN, stderr\nlog4j.appender.stderr=org.apache.log4j.ConsoleAppender\n"+
		"log4j.appender.stderr.layout=org.apache.log4j.SimpleLayout\nlog4j.appender.stderr.Target=System.err\n"), 0o644); err != nil {
		t.Fatal(err)
	}
	var err error
	if g.zk, err = zkmeta.Dial(g.ctx, zkmeta.Options{Connect: g.connect}); err != nil {
		t.Fatal(err)
	}
	defer g.zk.Close()
	client, err := kgo.NewClient(kgo.SeedBrokers(g.addr), kgo.DefaultProduceTopic(oldTopic), kgo.RecordPartitioner(kgo.RoundRobinPartitioner()))
	if err != nil {
		t.Fatal(err)
	}
	defer client.Close()
	if _, err := kadm.NewClient(client).CreateTopic(g.ctx, sharedPartitions, 1, nil, oldTopic); err != nil {
		t.Fatal(err)
	}
	args := []string{"--zookeeper", g.connect, "--topic", oldTopic, "--consumer.config", config}
	ours := append([]string{g.bin, "kafka-console-consumer"}, args...)
	theirs := append(append(slices.Clone(g.java), "-Dlog4j.configuration=file:"+log4j, "kafka.tools.ConsoleConsumer"), args...)
	read := make(chan [2]string, 1000)
	round := func(name string, want map[string]int) {
		t.Helper()
		for n := range sharedRecords {
			if err := client.ProduceSync(g.ctx, kgo.StringRecord(fmt.Sprint(name, n))).FirstErr(); err != nil {
				t.Fatal(err)
			}
		}
		got, seen := map[string]int{}, map[string]bool{}
		for len(seen) < sharedRecords {
			select {
			case r := <-read:
				if !strings.HasPrefix(r[1], name) || seen[r[1]] {
					t.Errorf("in round %q, %s reads %q once more", name, r[0], r[1])
				}
				seen[r[1]] = true
				got[r[0]]++
			case <-g.ctx.Done():
				t.Fatalf("round %q: %d records were read: %v", name, len(seen), got)
			}
		}
		for who, n := range want {
			if got[who] != n {
				t.Errorf("round %q: %v, want %v", name, got, want)
			}
		}
	}
	second := startReader(t, g.ctx, "theirs", append(slices.Clone(theirs), "--from-beginning"), read)
	g.owners(4)
	round("alone", map[string]int{"theirs": sharedRecords})
	first := startReader(t, g.ctx, "ours", ours, read)
	g.owners(2, 2)
	round("both", map[string]int{"ours": sharedRecords / 2, "theirs": sharedRecords / 2})
	g.looks()
	stopReader(t, second)
	g.owners(4)
	round("ours", map[string]int{"ours": sharedRecords})
	second = startReader(t, g.ctx, "theirs again", theirs, read)
	g.owners(2, 2)
	stopReader(t, first)
	g.owners(4)
	round("theirs", map[string]int{"theirs again": sharedRecords})
	stopReader(t, second)
	g.owners()
	for p := range int32(sharedPartitions) {
		if at, ok, err := g.zk.ConsumerOffset(g.ctx, oldName, oldTopic, p); err != nil || !ok || at != 4*sharedRecords/sharedPartitions {
			t.Errorf("offset of partition %d is %d, %t, %v", p, at, ok, err)
		}
	}
}

// owners waits until the partitions are shared out like this: how many each owner has.
func (g *oldGroup) owners(want ...int) {
	g.t.Helper()
	var got []int
	for {
		count := map[string]int{}
		for p := range int32(sharedPartitions) {
			if data, _, err := g.zk.Get(g.ctx, zkmeta.PathConsumerOwner(oldName, oldTopic, p)); err == nil {
				count[string(data)]++
			}
		}
		got = nil
		for _, n := range count {
			got = append(got, n)
		}
		slices.Sort(got)
		if slices.Equal(got, want) {
			return
		}
		select {
		case <-time.After(50 * time.Millisecond):
		case <-g.ctx.Done():
			g.t.Fatalf("owners have %v partitions, want %v", got, want)
		}
	}
}

var idForm = regexp.MustCompile(`^` + oldName + `_[A-Za-z0-9._-]+-\d{13}-[0-9a-f]{8}$`)

// looks holds what both members wrote side by side: the form of every znode has to be the same.
func (g *oldGroup) looks() {
	t := g.t
	ids, _, err := g.zk.Children(g.ctx, zkmeta.PathConsumerIDs(oldName))
	if err != nil || len(ids) != 2 {
		t.Fatalf("members %v, %v", ids, err)
	}
	number := regexp.MustCompile(`\d{13}`)
	var forms []string
	for _, id := range ids {
		if !idForm.MatchString(id) {
			t.Errorf("the id %q has another form", id)
		}
		data, st, err := g.zk.Get(g.ctx, zkmeta.PathConsumerIDs(oldName)+"/"+id)
		if err != nil || st.EphemeralOwner == 0 {
			t.Errorf("member %s: %v, owner %d", id, err, st.EphemeralOwner)
		}
		forms = append(forms, number.ReplaceAllString(string(data), "T"))
	}
	if forms[0] != forms[1] {
		t.Errorf("members write\n%s\n%s", forms[0], forms[1])
	}
	for p := range int32(sharedPartitions) {
		data, st, err := g.zk.Get(g.ctx, zkmeta.PathConsumerOwner(oldName, oldTopic, p))
		if err != nil || st.EphemeralOwner == 0 || !slices.Contains(ids, strings.TrimSuffix(string(data), "-0")) {
			t.Errorf("partition %d belongs to %q of members %v: %v", p, data, ids, err)
		}
	}
	if os.Getenv("FULL") != "1" {
		return
	}
	r, err := command(g.ctx, nil, g.java[0], append(slices.Clone(g.java[1:]), "kafka.tools.ConsumerOffsetChecker", "--zookeeper", g.connect, "--group", oldName, "--topic", oldTopic)...)
	if err != nil || strings.Count(r.out, ids[0]+"-0") != 2 || strings.Count(r.out, ids[1]+"-0") != 2 {
		t.Errorf("ConsumerOffsetChecker: %v, %+v", err, r)
	}
}
