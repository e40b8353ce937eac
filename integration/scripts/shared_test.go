package scripts

import (
	"bufio"
	"context"
	"encoding/json"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/twmb/franz-go/pkg/kadm"
	"github.com/twmb/franz-go/pkg/kgo"

	"gregor/integration/peer"
)

const sharedPartitions, sharedRecords = 4, 40

// TestScriptsShareAGroup: Apache's consumer and Gregor's are members of one group on either broker. Each reads its share, and
// all of it when the other has left; nothing twice, nothing left out.
func TestScriptsShareAGroup(t *testing.T) {
	if os.Getenv("GREGOR_INTEROP") != "1" {
		t.Skip("GREGOR_INTEROP=1 runs it: it needs Java")
	}
	ctx, cancel := context.WithTimeout(t.Context(), 10*time.Minute)
	defer cancel()
	dir := t.TempDir()
	zk, err := peer.StartZooKeeper(ctx, filepath.Join(dir, "zookeeper"))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(zk.Close)
	j, err := newJava(t.TempDir(), "kafka-2.7.2")
	if err != nil {
		t.Fatal(err)
	}
	bin, err := peer.GregorBinary()
	if err != nil {
		t.Fatal(err)
	}
	const assignor = "org.apache.kafka.clients.consumer."
	kinds := []struct {
		name, script string
		args         []string
		full         bool
	}{
		{"verifiable", "kafka-verifiable-consumer", nil, false},
		{"cooperative", "kafka-verifiable-consumer", []string{"--assignment-strategy", assignor + "CooperativeStickyAssignor"}, true},
		{"round robin", "kafka-verifiable-consumer", []string{"--assignment-strategy", assignor + "RoundRobinAssignor", "--enable-autocommit"}, true},
		{"sticky", "kafka-verifiable-consumer", []string{"--assignment-strategy", assignor + "StickyAssignor"}, true},
		{"console", "kafka-console-consumer", []string{"--from-beginning"}, true},
	}
	for _, kind := range []peer.Kind{peer.Kafka, peer.Gregor} {
		o := peer.Options{Kind: kind, Dir: filepath.Join(dir, string(kind))}
		if kind == peer.Kafka {
			o.ZooKeeper = zk.Addr + "/shared"
		}
		b, err := peer.StartBroker(ctx, o)
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(b.Close)
		for i, k := range kinds {
			if k.full && os.Getenv("FULL") != "1" {
				continue
			}
			t.Run(fmt.Sprintf("%s on %s", k.name, kind), func(t *testing.T) {
				topic := fmt.Sprint("shared-", i)
				group := "group-" + topic
				args := []string{"--bootstrap-server", b.Addr, "--topic", topic, "--group", group}
				if k.script == "kafka-verifiable-consumer" {
					args[4] = "--group-id"
					args = append(args, "--verbose")
				}
				args = append(args, k.args...)
				shareGroup(t, ctx, b.Addr, topic, group,
					append([]string{bin, k.script}, args...),
					append(append(append([]string{"java"}, j.options()...), classes[k.script]), args...))
			})
		}
	}
}

// shareGroup starts both commands, lets them read, stops the first, and lets the second read.
func shareGroup(t *testing.T, ctx context.Context, addr, topic, group string, ours, theirs []string) {
	client, err := kgo.NewClient(kgo.SeedBrokers(addr), kgo.DefaultProduceTopic(topic), kgo.RecordPartitioner(kgo.RoundRobinPartitioner()))
	if err != nil {
		t.Fatal(err)
	}
	defer client.Close()
	adm := kadm.NewClient(client)
	if _, err := adm.CreateTopic(ctx, sharedPartitions, 1, nil, topic); err != nil {
		t.Fatal(err)
	}
	read := make(chan [2]string, 1000) // who, value
	second := startReader(t, ctx, "theirs", theirs, read)
	first := startReader(t, ctx, "ours", ours, read)
	stable := func(members int) {
		t.Helper()
		for {
			d, err := adm.DescribeGroups(ctx, group)
			if g := d[group]; err == nil && g.State == "Stable" && len(g.Members) == members {
				shares := map[int]int{}
				for _, m := range g.Members {
					if a, ok := m.Assigned.AsConsumer(); ok {
						n := 0
						for _, t := range a.Topics {
							n += len(t.Partitions)
						}
						shares[n]++
					}
				}
				if shares[sharedPartitions/members] == members {
					return
				}
			}
			select {
			case <-time.After(100 * time.Millisecond):
			case <-ctx.Done():
				t.Fatalf("waiting for %d members with %d partitions each: %v", members, sharedPartitions/members, ctx.Err())
			}
		}
	}
	seen := map[string]string{}
	round := func(from int) map[string]int {
		t.Helper()
		for n := range sharedRecords {
			if err := client.ProduceSync(ctx, kgo.StringRecord(fmt.Sprint("v", from+n))).FirstErr(); err != nil {
				t.Fatal(err)
			}
		}
		count := map[string]int{}
		for range sharedRecords {
			select {
			case r := <-read:
				if who, twice := seen[r[1]]; twice {
					t.Errorf("%s was read by %s and by %s", r[1], who, r[0])
				}
				seen[r[1]] = r[0]
				count[r[0]]++
			case <-ctx.Done():
				t.Fatalf("%d records of %d were read: %v", len(seen), from+sharedRecords, ctx.Err())
			}
		}
		return count
	}
	stable(2)
	if got := round(0); got["ours"] != sharedRecords/2 || got["theirs"] != sharedRecords/2 {
		t.Errorf("read in the first round: %v", got)
	}
	stopReader(t, first)
	stable(1)
	if got := round(sharedRecords); got["theirs"] != sharedRecords {
		t.Errorf("read in the second round: %v", got)
	}
	first = startReader(t, ctx, "ours again", ours, read)
	stable(2)
	stopReader(t, second)
	stable(1)
	if got := round(2 * sharedRecords); got["ours again"] != sharedRecords {
		t.Errorf("read in the third round: %v", got)
	}
	stopReader(t, first)
}

// startReader runs a command and passes on what it reads: lines, or the values in events.
func startReader(t *testing.T, ctx context.Context, who string, argv []string, read chan<- [2]string) *exec.Cmd {
	t.Helper()
	cmd := exec.CommandContext(ctx, argv[0], argv[1:]...)
	var errs strings.Builder
	cmd.Stderr = &errs
	out, err := cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	ended := make(chan struct{})
	t.Cleanup(func() {
		_ = cmd.Process.Kill() // unless it has ended
		<-ended
		if t.Failed() {
			t.Logf("%s: %s", who, &errs)
		}
	})
	go func() {
		defer close(ended)
		lines := bufio.NewScanner(out)
		for lines.Scan() {
			value := lines.Text()
			if strings.HasPrefix(value, "{") {
				var e struct{ Name, Value string }
				if json.Unmarshal(lines.Bytes(), &e) != nil || e.Name != "record_data" {
					continue
				}
				value = e.Value
			}
			read <- [2]string{who, value}
		}
		_ = cmd.Wait() // killed, or ended by a signal
	}()
	return cmd
}

func stopReader(t *testing.T, cmd *exec.Cmd) {
	t.Helper()
	if err := cmd.Process.Signal(syscall.SIGTERM); err != nil {
		t.Fatal(err)
	}
}
