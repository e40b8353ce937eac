package clients

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"os/exec"
	"path/filepath"
	"strconv"
	"time"

	"github.com/twmb/franz-go/pkg/kgo"
)

// A Copier consumes a topic as a member of a group and writes each record, key, value and partition as they are, to another topic, in
// transactions that commit the group's offsets too (consume, transform, produce).
type Copier struct {
	Name string

	copy func(ctx context.Context, j CopyJob) error
}

// CopyJob is what a copier is to do.
type CopyJob struct {
	Addr          string
	From, To      string
	Group         string
	Transactional string // the transactional id, or what those of several producers begin with
	// Total is how many records it commits before it ends; 0: it goes on until its context ends, by SIGKILL if it is a process.
	Total int
	// Size is how many records a transaction has at most. Each AbortEvery-th is aborted first and its records are copied anew.
	Size, AbortEvery int
}

// Copy ends when the job is done.
func (c Copier) Copy(ctx context.Context, j CopyJob) error {
	if err := c.copy(ctx, j); err != nil {
		return fmt.Errorf("%s copying %s to %s: %w", c.Name, j.From, j.To, err)
	}
	return nil
}

func (j CopyJob) args() []string {
	return []string{j.Addr, j.From, j.To, j.Group, j.Transactional, strconv.Itoa(j.Total), strconv.Itoa(j.Size), strconv.Itoa(j.AbortEvery)}
}

// Copiers are all there are.
func (t *Tools) Copiers() []Copier {
	python := func(program string) []string {
		return []string{t.cache("python", "bin", "python"), filepath.Join(t.root, "integration", "clients", "python", program)}
	}
	return []Copier{
		{"franz-go", franzCopy},
		{"java-2.7.2", ran(t.java("kafka-2.7.2", "Transactions", "copy"))},
		{"java-4", ran(t.java("clients-4", "Transactions", "copy"))},
		{"librdkafka", ran(python("copy_confluent.py"))},
		{"kafka-python", ran(python("copy_kafka_python.py"))},
		{"sarama", ran([]string{t.cache("bin", "sarama-pairs"), "copy"})},
	}
}

// ran runs a program with the job as its arguments.
func ran(program []string) func(context.Context, CopyJob) error {
	return func(ctx context.Context, j CopyJob) error {
		return run(ctx, append(program[:len(program):len(program)], j.args()...)...)
	}
}

// run runs a program to its end. One that the context ended has not failed.
func run(ctx context.Context, argv ...string) error {
	cmd := exec.CommandContext(ctx, argv[0], argv[1:]...)
	var out bytes.Buffer
	cmd.Stdout, cmd.Stderr = &out, &out
	if err := cmd.Run(); err != nil && ctx.Err() == nil {
		return fmt.Errorf("%s: %w\n%s", short(argv), err, clip(out.String()))
	}
	return nil
}

// MessageCopier runs Apache's TransactionalMessageCopier on one partition, up to its present end, with random aborts if asked for, or, as a
// member of its group (generation and member id go with the offsets: KIP-447), on all that it is given.
func (t *Tools) MessageCopier(ctx context.Context, j CopyJob, partition int, groupMode, aborts bool) error {
	argv := t.java("kafka-2.7.2", "org.apache.kafka.tools.TransactionalMessageCopier", "--broker-list", j.Addr, "--input-topic", j.From,
		"--output-topic", j.To, "--input-partition", strconv.Itoa(partition), "--consumer-group", j.Group, "--transactional-id", j.Transactional,
		"--transaction-size", strconv.Itoa(j.Size), "--transaction-timeout", "30000")
	if j.Total > 0 {
		argv = append(argv, "--max-messages", strconv.Itoa(j.Total))
	}
	if groupMode {
		argv = append(argv, "--group-mode", "--use-group-metadata")
	}
	if aborts {
		argv = append(argv, "--enable-random-aborts")
	}
	return run(ctx, argv...)
}

// ProducerPerf runs Apache's ProducerPerformance, or Gregor's script in its place, with transactions of so many milliseconds.
func (t *Tools) ProducerPerf(ctx context.Context, gregor bool, addr, topic, transactional string, records int) error {
	program := t.java("kafka-2.7.2", "org.apache.kafka.tools.ProducerPerformance")
	if gregor {
		program = t.gregor("kafka-producer-perf-test")
	}
	return run(ctx, append(program, "--topic", topic, "--num-records", strconv.Itoa(records), "--record-size", "100", "--throughput", "-1",
		"--transactional-id", transactional, "--transaction-duration-ms", "20", "--producer-props", "bootstrap.servers="+addr)...)
}

// Fence has two producers of a Java client take the same transactional id: the first, in the middle of a transaction, must find that it was
// fenced, and the second writes "second" in one that it commits.
func (t *Tools) Fence(ctx context.Context, set, addr, topic, transactional string) error {
	return run(ctx, t.java(set, "Transactions", "fence", addr, topic, transactional)...)
}

func franzCopy(ctx context.Context, j CopyJob) error {
	s, err := kgo.NewGroupTransactSession(kgo.SeedBrokers(j.Addr), kgo.TransactionalID(j.Transactional), kgo.TransactionTimeout(30*time.Second),
		kgo.FetchIsolationLevel(kgo.ReadCommitted()), kgo.ConsumerGroup(j.Group), kgo.ConsumeTopics(j.From), kgo.RequireStableFetchOffsets(),
		kgo.ConsumeResetOffset(kgo.NewOffset().AtStart()), kgo.RecordPartitioner(kgo.ManualPartitioner()), kgo.FetchMaxWait(500*time.Millisecond))
	if err != nil {
		return err
	}
	defer s.Close()
	done := 0
	for n := 1; j.Total == 0 || done < j.Total; {
		fs := s.PollRecords(ctx, j.Size)
		if ctx.Err() != nil {
			if j.Total == 0 {
				return nil
			}
			return fmt.Errorf("%d of %d records are copied: %w", done, j.Total, ctx.Err())
		}
		if err := fs.Err(); err != nil {
			return err
		}
		if fs.NumRecords() == 0 {
			continue
		}
		if err := s.Begin(); err != nil {
			return err
		}
		var failed []error
		promise := kgo.AbortingFirstErrPromise(s.Client())
		fs.EachRecord(func(r *kgo.Record) {
			s.Produce(ctx, &kgo.Record{Topic: j.To, Partition: r.Partition, Key: r.Key, Value: r.Value}, promise.Promise())
		})
		// What failed, because the group has rebalanced or on purpose, comes again.
		if err := promise.Err(); err != nil && !errors.Is(err, kgo.ErrAborting) {
			failed = append(failed, err)
		}
		commit := kgo.TransactionEndTry(len(failed) == 0 && (j.AbortEvery == 0 || n%j.AbortEvery != 0))
		committed, err := s.End(ctx, commit)
		if err := errors.Join(append(failed, err)...); err != nil && ctx.Err() == nil {
			return err
		}
		n++
		if committed {
			done += fs.NumRecords()
		}
	}
	return nil
}
