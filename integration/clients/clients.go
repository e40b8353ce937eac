package clients

import (
	"context"
	"fmt"
	"path/filepath"
	"strconv"

	"gregor/integration/peer"
)

// Codecs are the compression types of 2.7.
var Codecs = []string{"none", "gzip", "snappy", "lz4", "zstd"}

// A Producer sends records to a topic and returns once all are acknowledged.
type Producer struct {
	Name string
	// Text: it takes lines of text, so that carriage returns and invalid UTF-8 do not survive it.
	Text bool
	// Idempotent: it can, and does where the test says so.
	Idempotent bool

	produce func(ctx context.Context, j Job, records Records) error
}

// A Consumer gives out what a topic holds, from its beginning to its present end.
type Consumer struct {
	Name string

	consume func(ctx context.Context, j Job, add func(key, value []byte)) error
}

// Job is what a client is to work on.
type Job struct {
	Addr  string
	Topic string
	Codec string
	// Idempotent producers go on through a broker's restart.
	Idempotent bool
	// Isolation of a consumer, read_committed or read_uncommitted, of a topic that transactions write to, and how many Records it will find.
	Isolation string
	Records   int
	// ZooKeeper is the broker's, for clients that go there.
	ZooKeeper string
}

// Produce sends the records.
func (p Producer) Produce(ctx context.Context, j Job, records Records) error {
	if err := p.produce(ctx, j, records); err != nil {
		return fmt.Errorf("producing by %s: %w", p.Name, err)
	}
	return nil
}

// Consume calls add with each record, those of one partition in order. add must not keep the slices.
func (c Consumer) Consume(ctx context.Context, j Job, add func(key, value []byte)) error {
	if err := c.consume(ctx, j, add); err != nil {
		return fmt.Errorf("consuming by %s: %w", c.Name, err)
	}
	return nil
}

// Tools says whose console tools to use.
type Tools struct {
	root   string
	binary string // Gregor's; empty where there is none
}

// New finds the programs that scripts/dev/interop-setup.sh installed.
func New() (*Tools, error) {
	root, err := peer.Root()
	if err != nil {
		return nil, err
	}
	for _, set := range []string{"kafka-2.7.2", "clients-4"} {
		if _, err := peer.Jars(set); err != nil {
			return nil, err
		}
	}
	t := &Tools{root: root}
	if bin, err := peer.GregorBinary(); err == nil {
		t.binary = bin
	}
	return t, nil
}

func (t *Tools) cache(elem ...string) string {
	return filepath.Join(append([]string{t.root, ".cache"}, elem...)...)
}

func (t *Tools) java(set string, argv ...string) []string {
	cp := t.cache("classes", set) + ":" + t.cache("jars", set) + "/*:" + t.cache("classes")
	return append([]string{"java", "-Xmx256m", "-XX:+UseSerialGC", "-XX:TieredStopAtLevel=4", "-cp", cp}, argv...)
}

func (t *Tools) gregor(argv ...string) []string {
	return append([]string{t.binary}, argv...)
}

// Producers are all there are, with Gregor's own console producer where its binary is.
func (t *Tools) Producers() []Producer {
	all := []Producer{
		{Name: "kcat", produce: t.kcatProduce}, // it ends when all brokers are down
		{Name: "console", produce: t.consoleProduce(t.java("kafka-2.7.2", "kafka.tools.ConsoleProducer")), Text: true},
		{Name: "java-2.7.2", produce: t.javaProduce("kafka-2.7.2"), Idempotent: true},
		{Name: "java-4", produce: t.javaProduce("clients-4"), Idempotent: true},
		{Name: "franz-go", produce: franzProduce, Idempotent: true},
	}
	if t.binary != "" {
		all = append(all, Producer{Name: "gregor-console", produce: t.consoleProduce(t.gregor("kafka-console-producer")), Text: true})
	}
	return all
}

// Consumers are all there are, with Gregor's own console consumer where its binary is.
func (t *Tools) Consumers() []Consumer {
	all := []Consumer{
		{"kcat", t.kcatConsume},
		{"console", t.consoleConsume},
		{"java-2.7.2", t.javaConsume("kafka-2.7.2")},
		{"java-4", t.javaConsume("clients-4")},
		{"franz-go", franzConsume},
		{"kafka-python", t.pythonConsume},
		{"sarama", t.saramaConsume},
	}
	if t.binary != "" {
		all = append(all, Consumer{"gregor-console", t.gregorConsume})
	}
	return all
}

func (t *Tools) kcatProduce(ctx context.Context, j Job, records Records) error {
	return feed(ctx, lines, records, "kcat", "-P", "-b", j.Addr, "-t", j.Topic, "-K", "\\t", "-D", "\\n", "-z", j.Codec)
}

func (t *Tools) kcatConsume(ctx context.Context, j Job, add func(key, value []byte)) error {
	argv := []string{"kcat", "-C", "-q", "-e", "-o", "beginning", "-b", j.Addr, "-t", j.Topic, "-f", "%K %S\\n%k%s"}
	if j.Isolation != "" {
		argv = append(argv, "-X", "isolation.level="+j.Isolation)
	}
	return drain(ctx, kcatFormat, add, argv...)
}

func (t *Tools) consoleProduce(program []string) func(context.Context, Job, Records) error {
	return func(ctx context.Context, j Job, records Records) error {
		argv := append(program[:len(program):len(program)], "--bootstrap-server", j.Addr, "--topic", j.Topic,
			"--property", "parse.key=true", "--property", "key.separator=\t", "--compression-codec", j.Codec)
		return feed(ctx, lines, records, argv...)
	}
}

// consoleConsume reads partition by partition, as it must without a group.
func (t *Tools) consoleConsume(ctx context.Context, j Job, add func(key, value []byte)) error {
	ends, err := EndOffsets(ctx, j.Addr, j.Topic)
	if err != nil {
		return err
	}
	for p, n := range ends {
		if n == 0 {
			continue
		}
		if j.Isolation != "" { // offsets are more than records
			n = int64(j.Records)
		}
		argv := t.java("kafka-2.7.2", "kafka.tools.ConsoleConsumer", "--bootstrap-server", j.Addr, "--topic", j.Topic,
			"--partition", strconv.Itoa(int(p)), "--offset", "earliest", "--max-messages", strconv.FormatInt(n, 10),
			"--property", "print.key=true", "--property", "key.separator=\t")
		if j.Isolation != "" {
			argv = append(argv, "--isolation-level", j.Isolation)
		}
		if err := drain(ctx, lines, add, argv...); err != nil {
			return err
		}
	}
	return nil
}

func (t *Tools) gregorConsume(ctx context.Context, j Job, add func(key, value []byte)) error {
	ends, err := EndOffsets(ctx, j.Addr, j.Topic)
	if err != nil {
		return err
	}
	var all int64
	for _, n := range ends {
		all += n
	}
	if j.Isolation != "" {
		all = int64(j.Records)
	}
	argv := t.gregor("kafka-console-consumer", "--bootstrap-server", j.Addr, "--topic", j.Topic,
		"--from-beginning", "--max-messages", strconv.FormatInt(all, 10), "--property", "print.key=true", "--property", "key.separator=\t")
	if j.Isolation != "" {
		argv = append(argv, "--isolation-level", j.Isolation)
	}
	return drain(ctx, lines, add, argv...)
}

func (t *Tools) javaProduce(set string) func(context.Context, Job, Records) error {
	return func(ctx context.Context, j Job, records Records) error {
		argv := t.java(set, "Pairs", "produce", j.Addr, j.Topic, "compression.type="+j.Codec)
		if j.Idempotent {
			argv = append(argv, "enable.idempotence=true", "acks=all", "retries=2147483647", "delivery.timeout.ms=600000")
		}
		return feed(ctx, pairs, records, argv...)
	}
}

func (t *Tools) javaConsume(set string) func(context.Context, Job, func(key, value []byte)) error {
	return func(ctx context.Context, j Job, add func(key, value []byte)) error {
		argv := t.java(set, "Pairs", "consume", j.Addr, j.Topic)
		if j.Isolation != "" {
			argv = append(argv, "isolation.level="+j.Isolation)
		}
		return drain(ctx, pairs, add, argv...)
	}
}

func (t *Tools) pythonConsume(ctx context.Context, j Job, add func(key, value []byte)) error {
	argv := []string{j.Addr, j.Topic}
	if j.Isolation != "" {
		argv = append(argv, j.Isolation)
	}
	return drain(ctx, pairs, add, t.python("pairs.py", argv...)...)
}

func (t *Tools) saramaConsume(ctx context.Context, j Job, add func(key, value []byte)) error {
	argv := []string{t.cache("bin", "sarama-pairs"), j.Addr, j.Topic}
	if j.Isolation != "" {
		argv = []string{argv[0], "read", j.Addr, j.Topic, j.Isolation, strconv.Itoa(j.Records)}
	}
	return drain(ctx, pairs, add, argv...)
}
