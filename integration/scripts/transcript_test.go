// Package scripts compares Gregor's command-line tools with Apache Kafka 2.7.2's classes: the same command, given to both, against the
// same broker (an Apache Kafka and a Gregor in turn), has to print the same and exit the same.
//
// What is evened out: times, the topic's name (each side has its own topic, so that both start from the same state), stack traces, the
// descriptions of options, and warnings of Java's client about things that its own way of asking brings up.
package scripts

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
	"time"

	"gregor/integration/peer"
)

// step is one command. {b} stands for the broker, {z} for its ZooKeeper, {t} for the topic, {dir} for a directory with the files.
type step struct {
	name  string // of the command
	class string // the same in Java
	args  string
	stdin string
}

const (
	topicCommand = "kafka.admin.TopicCommand"
	producer     = "kafka.tools.ConsoleProducer"
	consumer     = "kafka.tools.ConsoleConsumer"
	offsets      = "kafka.tools.GetOffsetShell"
)

func topics(args string) step { return step{name: "kafka-topics", class: topicCommand, args: args} }
func shell(args string) step  { return step{name: "kafka-get-offsets", class: offsets, args: args} }
func consume(args string) step {
	return step{name: "kafka-console-consumer", class: consumer, args: args}
}
func produce(args, in string) step {
	return step{name: "kafka-console-producer", class: producer, args: args, stdin: in}
}

var steps = []step{
	topics(""), topics("--version"), topics("--bootstrap-server {b} --list --create"), topics("--bootstrap-server {b} --foo"),
	topics("--list"), topics("--bootstrap-server {b} --create"),
	topics("--bootstrap-server {b} --create --topic {t} --partitions 3 --replication-factor 1 --config retention.ms=86400000 --config max.message.bytes=2000000 --config segment.bytes=1000000"),
	topics("--bootstrap-server {b} --create --topic {t}"), topics("--bootstrap-server {b} --create --topic {t} --if-not-exists"),
	topics("--bootstrap-server {b} --create --topic b@d"), topics("--bootstrap-server {b} --create --topic new --replication-factor 7"),
	topics("--bootstrap-server {b} --create --topic new --partitions 0"), topics("--bootstrap-server {b} --create --topic new --config foo=1"),
	topics("--bootstrap-server {b} --create --topic new --config retention.ms=x"), topics("--bootstrap-server {b} --create --topic new --config cleanup.policy=burn"),
	topics("--bootstrap-server {b} --create --topic new --replica-assignment 0:0"),
	topics("--bootstrap-server {b} --list --topic {t}"), topics("--bootstrap-server {b} --list --topic ["), topics("--bootstrap-server {b} --list --exclude-internal"),
	topics("--bootstrap-server {b} --describe --topic {t}"), topics("--bootstrap-server {b} --describe"),
	topics("--bootstrap-server {b} --describe --topics-with-overrides --topic {t}"), topics("--bootstrap-server {b} --describe --under-replicated-partitions"),
	topics("--bootstrap-server {b} --describe --unavailable-partitions"), topics("--bootstrap-server {b} --describe --at-min-isr-partitions --topic {t}"),
	topics("--bootstrap-server {b} --describe --under-min-isr-partitions"),
	topics("--bootstrap-server {b} --describe --topic nope"), topics("--bootstrap-server {b} --describe --topic nope --if-exists"),
	topics("--bootstrap-server {b} --alter --topic {t} --partitions 2"), topics("--bootstrap-server {b} --alter --topic {t} --partitions 4"),
	topics("--bootstrap-server {b} --alter --topic {t} --config a=b"), topics("--bootstrap-server {b} --alter --topic nope --partitions 2"),
	topics("--bootstrap-server {b} --describe --topic {t}"),
	topics("--zookeeper {z} --list --topic {t}"), topics("--zookeeper {z} --describe --topic {t}"), topics("--zookeeper {z} --describe --topics-with-overrides --topic {t}"),
	topics("--zookeeper {z} --create --topic {t} --partitions 1 --replication-factor 1"), topics("--zookeeper {z} --create --topic new --partitions 1 --replication-factor 9"),
	topics("--zookeeper {z} --create --topic b@d --partitions 1 --replication-factor 1"), topics("--zookeeper {z} --create --topic new --partitions 1"),
	topics("--zookeeper {z} --alter --topic {t} --config segment.ms=3600000 --delete-config retention.ms"), topics("--zookeeper {z} --alter --topic {t} --delete-config foo"),
	topics("--zookeeper {z} --alter --topic {t} --partitions 4"), topics("--zookeeper {z} --alter --topic {t} --partitions 5"),
	topics("--zookeeper {z} --describe --topic nope"), topics("--zookeeper {z} --describe --topic {t} --at-min-isr-partitions"),

	produce("--bootstrap-server {b} --topic {t} --property parse.key=true --property key.separator=:", "a:1\nb:2\nc:3\nd:4\ne:5\na:6\n:empty\nx:\n"),
	produce("--broker-list {b} --topic {t} --compression-codec --property parse.key=true", "k\tgzip\nl\tgzip\r\nm\tlast"),
	produce("--broker-list {b} --topic {t} --compression-codec zstd --request-required-acks all --sync --property parse.key=true", "z\tzstd\n"),
	produce("--broker-list {b} --topic {t} --compression-codec zip", "x\n"),
	produce("--broker-list {b} --topic {t} --property parse.key=true", "none\n"),
	produce("--broker-list {b} --topic {t} --property parse.key=true --property ignore.error=true --producer-property enable.idempotence=true --request-required-acks all", ""),
	produce("--broker-list {b} --topic {t} --producer-property enable.idempotence=true", "x\n"),
	produce("--topic {t}", ""), produce("--broker-list {b}", ""), produce("--broker-list nonsense --topic {t}", ""), produce("--version", ""), produce("", ""),
	shell("--broker-list {b} --topic {t}"), shell("--broker-list {b} --topic {t} --time -2"), shell("--broker-list {b} --topic {t} --time 0 --partitions 0,2,9"),
	shell("--broker-list {b} --topic {t} --time 9999999999999"), shell("--broker-list {b} --topic nope"), shell("--broker-list {b} --topic {t} --partitions 99"),
	shell("--broker-list {b} --topic {t} --partitions x"), shell("--broker-list {b} --topic {t} --time x"), shell("--broker-list {b}"), shell(""),
	consume("--bootstrap-server {b} --topic {t} --partition 0 --from-beginning --timeout-ms 3000 --property print.key=true --property print.partition=true --property print.offset=true --property print.headers=true"),
	consume("--bootstrap-server {b} --topic {t} --partition 1 --offset earliest --timeout-ms 3000 --property print.key=true --property key.separator=| --property null.literal=-"),
	consume("--bootstrap-server {b} --topic {t} --partition 2 --offset 0 --timeout-ms 3000 --isolation-level read_committed"),
	consume("--bootstrap-server {b} --topic {t} --partition 3 --offset 1 --timeout-ms 3000 --value-deserializer org.apache.kafka.common.serialization.StringDeserializer"),
	consume("--bootstrap-server {b} --topic {t} --partition 0 --offset latest --timeout-ms 1000"),
	consume("--bootstrap-server {b} --topic {t} --partition 0 --from-beginning --max-messages 1 --formatter kafka.tools.NoOpMessageFormatter"),
	consume("--bootstrap-server {b} --topic {t} --partition 0 --offset x"), consume("--bootstrap-server {b}"), consume("--topic {t}"), consume("--version"), consume(""),
	consume("--bootstrap-server {b} --topic {t} --formatter no.Such"), consume("--bootstrap-server {b} --topic {t} --max-messages x"),
	topics("--bootstrap-server {b} --delete --topic nope"), topics("--bootstrap-server {b} --delete --topic nope --if-exists"),
	topics("--bootstrap-server {b} --delete --topic {t}"),
	topics("--zookeeper {z} --delete --topic nope"),
}

func TestToolsAnswerAsApachesClasses(t *testing.T) {
	if os.Getenv("GREGOR_INTEROP") != "1" {
		t.Skip("run by make interop")
	}
	for _, kind := range []peer.Kind{peer.Kafka, peer.Gregor} {
		t.Run("against "+string(kind), func(t *testing.T) { transcript(t, kind) })
	}
}

func transcript(t *testing.T, kind peer.Kind) {
	ctx, cancel := context.WithTimeout(t.Context(), 20*time.Minute)
	defer cancel()
	dir := t.TempDir()
	o := peer.Options{Kind: kind, Dir: filepath.Join(dir, "broker")}
	zk, err := peer.StartZooKeeper(ctx, filepath.Join(dir, "zookeeper"))
	if err != nil {
		t.Fatal(err)
	}
	defer zk.Close()
	o.ZooKeeper = zk.Addr
	b, err := peer.StartBroker(ctx, o)
	if err != nil {
		t.Fatal(err)
	}
	defer b.Close()
	r := newRunner(t, b.Addr, zk.Addr)
	for i, s := range steps {
		t.Run(fmt.Sprintf("%02d %s %s", i, s.name, s.args), func(t *testing.T) {
			want := r.apache(ctx, t, s)
			got := r.gregor(ctx, t, s)
			if got != want {
				t.Errorf("%s %s\ngot:\n%s\nwant:\n%s", s.name, s.args, got, want)
			}
		})
	}
}

type runner struct {
	bin, classpath, log4j string
	broker, zookeeper     string
}

const log4j = `log4j.rootLogger=WARN, stderr
log4j.appender.stderr=org.apache.log4j.ConsoleAppender
log4j.appender.stderr.layout=org.apache.log4j.PatternLayout
log4j.appender.stderr.layout.ConversionPattern=[%d] %p %m (%c)%n
log4j.appender.stderr.Target=System.err
`

func newRunner(t *testing.T, broker, zookeeper string) *runner {
	t.Helper()
	root, err := peer.Root()
	if err != nil {
		t.Fatal(err)
	}
	cp, err := peer.Classpath("kafka-2.7.2")
	if err != nil {
		t.Fatal(err)
	}
	r := &runner{bin: filepath.Join(root, "bin", "gregor"), classpath: cp, broker: broker, zookeeper: zookeeper,
		log4j: filepath.Join(t.TempDir(), "tools-log4j.properties")}
	if err := os.WriteFile(r.log4j, []byte(log4j), 0o644); err != nil {
		t.Fatal(err)
	}
	return r
}

func (r *runner) words(s step, topic string) []string {
	w := strings.NewReplacer("{b}", r.broker, "{z}", r.zookeeper, "{t}", topic)
	var out []string
	for word := range strings.FieldsSeq(s.args) {
		out = append(out, w.Replace(word))
	}
	return out
}

func (r *runner) apache(ctx context.Context, t *testing.T, s step) string {
	args := append([]string{"-Xmx256m", "-XX:TieredStopAtLevel=1", "-Dlog4j.configuration=file:" + r.log4j, "-cp", r.classpath, s.class}, r.words(s, "apache-t")...)
	return r.run(t, exec.CommandContext(ctx, "java", args...), s, "apache-t")
}

func (r *runner) gregor(ctx context.Context, t *testing.T, s step) string {
	return r.run(t, exec.CommandContext(ctx, r.bin, append([]string{s.name}, r.words(s, "gregor-t")...)...), s, "gregor-t")
}

func (r *runner) run(t *testing.T, cmd *exec.Cmd, s step, topic string) string {
	t.Helper()
	var out, errs bytes.Buffer
	cmd.Stdin, cmd.Stdout, cmd.Stderr = strings.NewReader(s.stdin), &out, &errs
	err := cmd.Run()
	var exit *exec.ExitError
	if err != nil && !errors.As(err, &exit) {
		t.Fatal(err)
	}
	return fmt.Sprintf("exit %d\n-- stdout\n%s\n-- stderr\n%s", cmd.ProcessState.ExitCode(),
		even(out.String(), topic), even(errs.String(), topic))
}

var (
	logTime = regexp.MustCompile(`(?m)^\[\d{4}-\d\d-\d\d \d\d:\d\d:\d\d,\d{3}\]`)
	noise   = regexp.MustCompile(`(?m)^(\tat .*|\t\.\.\. .*|Caused by: .*|\[T\] WARN .*)\n`)
	options = regexp.MustCompile(`(?ms)^Option {2,}Description.*`)
	other   = regexp.MustCompile(`(?m)^(\t?Topic: )?(apache-t|gregor-t)\b.*\n`)
)

// even removes what may differ: lines about the other side's topic, the name of this side's, times, stacks, descriptions of options.
func even(s, topic string) string {
	s = logTime.ReplaceAllString(s, "[T]")
	s = other.ReplaceAllStringFunc(s, func(line string) string {
		if strings.Contains(line, topic) {
			return line
		}
		return ""
	})
	s = strings.ReplaceAll(s, topic, "TOPIC")
	s = noise.ReplaceAllString(s, "")
	return options.ReplaceAllString(s, "(help)\n")
}
