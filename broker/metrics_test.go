package broker_test

import (
	"bytes"
	"context"
	"flag"
	"fmt"
	"io"
	"net/http"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"testing"

	"github.com/twmb/franz-go/pkg/kadm"
	"github.com/twmb/franz-go/pkg/kgo"
	"github.com/twmb/franz-go/pkg/kmsg"

	"gregor/broker"
	"gregor/internal/vfs"
)

var rewrite = flag.Bool("rewrite", false, "write docs/metrics.md anew")

// shape is a series without its values: its name, its type and the names of its labels.
type shape struct{ name, kind, labels string }

var series = regexp.MustCompile(`^([a-zA-Z_:][a-zA-Z0-9_:]*)(?:\{(.*)\})? (\S+)$`)
var labelName = regexp.MustCompile(`([a-zA-Z_{}][a-zA-Z0-9_{}]*)="(?:[^"\\]|\\.)*"`)

func shapeOf(line, kind string) (shape, bool) {
	m := series.FindStringSubmatch(line)
	if m == nil {
		return shape{}, false
	}
	var labels []string
	for _, l := range labelName.FindAllStringSubmatch(m[2], -1) {
		labels = append(labels, l[1])
	}
	slices.Sort(labels)
	return shape{m[1], kind, strings.Join(labels, ",")}, true
}

// shapesOf lists what a scrape has.
func shapesOf(text string) map[shape]bool {
	out := map[shape]bool{}
	kinds := map[string]string{}
	for line := range strings.Lines(text) {
		line = strings.TrimRight(line, "\n")
		if rest, ok := strings.CutPrefix(line, "# TYPE "); ok {
			name, kind, _ := strings.Cut(rest, " ")
			kinds[name] = kind
			continue
		}
		if sh, ok := shapeOf(line, ""); ok {
			sh.kind = kinds[sh.name]
			out[sh] = true
		}
	}
	return out
}

// expected is a series that the exporter shows of Apache Kafka, and the MBean it is made of.
type expected struct {
	shape
	bean string
}

// recordedMetrics reads what the JMX exporter's rules make of Kafka's MBeans.
func recordedMetrics(t *testing.T) []expected {
	var out []expected
	for i, row := range rows(t, "testdata/metrics.tsv") {
		if i == 0 || row[4] == "-" {
			continue
		}
		for part := range strings.SplitSeq(row[4], "; ") {
			at := strings.LastIndexByte(part, ' ')
			sh, ok := shapeOf(part[:at]+" 0", part[at+1:])
			if !ok {
				t.Fatalf("cannot read %q", part)
			}
			out = append(out, expected{sh, row[0]})
		}
	}
	return out
}

func rows(t *testing.T, name string) [][]string {
	t.Helper()
	b, err := os.ReadFile(name)
	if err != nil {
		t.Fatal(err)
	}
	var out [][]string
	for line := range strings.Lines(string(b)) {
		out = append(out, strings.Split(strings.TrimRight(line, "\n"), "\t"))
	}
	return out
}

// reasonFor finds why a series is not there.
func reasonFor(absent [][]string, sh shape) string {
	for _, row := range absent[1:] {
		prefix, labels, _ := strings.Cut(row[0], "{")
		if labels = strings.TrimSuffix(labels, "}"); strings.HasPrefix(sh.name, prefix) && (labels == "" || labels == sh.labels) {
			return row[1]
		}
	}
	return ""
}

// Every series that the JMX exporter shows of Apache Kafka is there after a little use, with the same type and labels, or stands in
// testdata/metrics-absent.tsv with a reason; docs/metrics.md says so.
func TestMetricsHaveKafkasNames(t *testing.T) {
	var text string
	runWith(t, vfs.NewMem(), map[string]string{"metrics.listener": "127.0.0.1:0", "offsets.topic.replication.factor": "1",
		"offsets.topic.num.partitions": "1", "group.initial.rebalance.delay.ms": "0"}, func(ctx context.Context, b *broker.Broker) {
		use(ctx, t, b.Addr("PLAINTEXT").String())
		commit(ctx, t, b.Addr("PLAINTEXT").String(), "group")
		resp, err := http.Get("http://" + b.MetricsAddr().String() + "/metrics")
		if err != nil {
			t.Fatal(err)
		}
		defer resp.Body.Close()
		body, err := io.ReadAll(resp.Body)
		if err != nil {
			t.Fatal(err)
		}
		text = string(body)
		ready, err := http.Get("http://" + b.MetricsAddr().String() + "/readyz")
		if err != nil {
			t.Fatal(err)
		}
		ready.Body.Close()
		if ready.StatusCode != http.StatusOK {
			t.Errorf("a broker that serves is %s", ready.Status)
		}
	})
	have := shapesOf(text)
	absent := rows(t, "testdata/metrics-absent.tsv")
	var doc bytes.Buffer
	doc.WriteString(docHead)
	known := map[string]bool{}
	for _, want := range recordedMetrics(t) {
		known[want.name] = true
		reason := reasonFor(absent, want.shape)
		state := "yes"
		switch {
		case have[want.shape] && reason != "":
			t.Errorf("%v is there, and testdata/metrics-absent.tsv says %q", want.shape, reason)
		case have[want.shape]:
		case lazily[want.name] != "":
			state = lazily[want.name]
		case reason == "":
			t.Errorf("%v is not there: Apache Kafka has it as %s", want.shape, want.bean)
		default:
			state = "no: " + reason
		}
		fmt.Fprintf(&doc, "| `%s` | %s | %s | %s |\n", want.name, strings.ReplaceAll(want.labels, ",", ", "), want.kind, state)
	}
	doc.WriteString(docOwn)
	own := map[string]string{}
	for sh := range have {
		if !known[sh.name] && !strings.HasPrefix(sh.name, "go_") && !strings.HasPrefix(sh.name, "process_") {
			own[sh.name] = fmt.Sprintf("| `%s` | %s | %s |\n", sh.name, strings.ReplaceAll(sh.labels, ",", ", "), sh.kind)
		}
	}
	for _, name := range slices.Sorted(func(yield func(string) bool) {
		for name := range own {
			if !yield(name) {
				return
			}
		}
	}) {
		if !strings.HasPrefix(name, "gregor_") && !strings.HasPrefix(name, "kafka_consumergroup_") && name != "kafka_server_delayedproducemetrics_expires_total" {
			t.Errorf("%s is neither Kafka's, nor the usual one for groups, nor begins with gregor_", name)
		}
		doc.WriteString(own[name])
	}
	path := filepath.Join("..", "docs", "metrics.md")
	if *rewrite {
		if err := os.WriteFile(path, doc.Bytes(), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	if written, err := os.ReadFile(path); err != nil || !bytes.Equal(written, doc.Bytes()) {
		t.Errorf("%s is not what this broker shows (%v): go test ./broker -run TestMetricsHaveKafkasNames -rewrite", path, err)
	}
}

// lazily are series that appear only when what they count has happened.
var lazily = map[string]string{}

const docHead = `# Metrics

What ` + "`/metrics`" + ` shows, beside what the JMX exporter with its usual Kafka rules (kafka-2_0_0.yml) shows of Apache Kafka 2.7.2.
Written by a test; ` + "`go test ./broker -run TestMetricsHaveKafkasNames -rewrite`" + ` writes it anew. How to switch it on, and what differs
in meaning, is in [operations](operations.md#metrics).

| name | labels | type | here |
| --- | --- | --- | --- |
`

const docOwn = `
## Gregor's own

Beside these there are ` + "`go_*`" + ` and ` + "`process_*`" + `, which every Go program has in place of ` + "`jvm_*`" + `.
` + "`kafka_consumergroup_*`" + ` are what people run an exporter for, under its names: each group is shown by the broker that coordinates it, which asks
the leaders of partitions for their ends when it is scraped; a partition whose leader does not answer has no lag.

| name | labels | type |
| --- | --- | --- |
`

// use makes a topic, produces to it and fetches from it, and asks for more than there is.
func use(ctx context.Context, t *testing.T, addr string) {
	t.Helper()
	cl, err := kgo.NewClient(kgo.SeedBrokers(addr), kgo.DefaultProduceTopic("used"), kgo.ConsumeTopics("used"))
	if err != nil {
		t.Fatal(err)
	}
	defer cl.Close()
	create := kmsg.NewPtrCreateTopicsRequest()
	codec := "gzip" // another than the client's, so that what it sends is converted
	create.Topics = []kmsg.CreateTopicsRequestTopic{{Topic: "used", NumPartitions: 2, ReplicationFactor: 1,
		Configs: []kmsg.CreateTopicsRequestTopicConfig{{Name: "compression.type", Value: &codec}}}}
	create.TimeoutMillis = 10_000
	if resp, err := create.RequestWith(ctx, cl); err != nil || resp.Topics[0].ErrorCode != 0 {
		t.Fatalf("%+v %v", resp, err)
	}
	for range 10 {
		if err := cl.ProduceSync(ctx, kgo.StringRecord("value")).FirstErr(); err != nil {
			t.Fatal(err)
		}
	}
	for n := 0; n < 10; {
		fs := cl.PollFetches(ctx)
		if err := fs.Err(); err != nil {
			t.Fatal(err)
		}
		n += fs.NumRecords()
	}
}

// commit stores offsets of what use has made: two records before the end of all.
func commit(ctx context.Context, t *testing.T, addr, group string) {
	t.Helper()
	cl, err := kgo.NewClient(kgo.SeedBrokers(addr))
	if err != nil {
		t.Fatal(err)
	}
	defer cl.Close()
	adm := kadm.NewClient(cl)
	ends, err := adm.ListEndOffsets(ctx, "used")
	if err != nil {
		t.Fatal(err)
	}
	offsets := kadm.Offsets{}
	ends.Each(func(o kadm.ListedOffset) { offsets.AddOffset(o.Topic, o.Partition, max(o.Offset-2, 0), -1) })
	if err := adm.CommitAllOffsets(ctx, group, offsets); err != nil {
		t.Fatal(err)
	}
}

// What is committed and the lag make the end of the log, whatever the group's name is.
func TestLagIsWhatIsLeftToRead(t *testing.T) {
	settings := map[string]string{"metrics.listener": "127.0.0.1:0", "offsets.topic.replication.factor": "1", "offsets.topic.num.partitions": "1",
		"group.initial.rebalance.delay.ms": "0"}
	runWith(t, vfs.NewMem(), settings, func(ctx context.Context, b *broker.Broker) {
		use(ctx, t, b.Addr("PLAINTEXT").String())
		commit(ctx, t, b.Addr("PLAINTEXT").String(), `group "of" used`)
		resp, err := http.Get("http://" + b.MetricsAddr().String() + "/metrics")
		if err != nil {
			t.Fatal(err)
		}
		defer resp.Body.Close()
		body, err := io.ReadAll(resp.Body)
		if err != nil {
			t.Fatal(err)
		}
		sums := map[string]int{}
		for _, m := range regexp.MustCompile(`(?m)^kafka_consumergroup_(\w+)\{consumergroup="group \\"of\\" used"(?:,topic="used",partition="\d")?\} (\d+)$`).FindAllStringSubmatch(string(body), -1) {
			n, err := strconv.Atoi(m[2])
			if err != nil {
				t.Fatal(err)
			}
			sums[m[1]] += n
		}
		if sums["lag"] < 2 || sums["lag"]+sums["current_offset"] != 10 || sums["members"] != 0 {
			t.Errorf("%v", sums)
		}
	})
}
