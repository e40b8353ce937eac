package clients

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"

	"github.com/twmb/franz-go/pkg/kgo"
)

// A Member is a client that joins a group, reads so many records, commits where it is and leaves.
type Member struct {
	Name string

	read func(ctx context.Context, addr, topic, group string, n int) ([]string, error)
}

// Read returns the values that it read.
func (m Member) Read(ctx context.Context, addr, topic, group string, n int) ([]string, error) {
	values, err := m.read(ctx, addr, topic, group, n)
	if err != nil {
		return nil, fmt.Errorf("%s as a member of %s: %w", m.Name, group, err)
	}
	return values, nil
}

// Members are all there are.
func (t *Tools) Members() []Member {
	n := strconv.Itoa
	console := func(program []string) func(addr, topic, group string, count int) []string {
		return func(addr, topic, group string, count int) []string {
			return append(program[:len(program):len(program)], "--bootstrap-server", addr, "--topic", topic, "--group", group, "--max-messages", n(count),
				"--consumer-property", "auto.offset.reset=earliest")
		}
	}
	javaMember := func(set string) func(addr, topic, group string, count int) []string {
		return func(addr, topic, group string, count int) []string {
			return t.java(set, "Transactions", "member", addr, topic, group, n(count))
		}
	}
	all := []Member{
		{"kcat", printed(func(addr, topic, group string, count int) []string {
			return []string{"kcat", "-q", "-b", addr, "-G", group, "-X", "auto.offset.reset=earliest", "-c", n(count), "-f", "%s\n", topic}
		})},
		{"console", printed(console(t.java("kafka-2.7.2", "kafka.tools.ConsoleConsumer")))},
		{"java-2.7.2", printed(javaMember("kafka-2.7.2"))},
		{"java-4", printed(javaMember("clients-4"))},
		{"verifiable", verifiable(t.java("kafka-2.7.2", "org.apache.kafka.tools.VerifiableConsumer"))},
		{"franz-go", franzMember},
		{"kafka-python", printed(func(addr, topic, group string, count int) []string {
			return []string{t.cache("python", "bin", "python"), filepath.Join(t.root, "integration", "clients", "python", "member.py"), addr, topic, group, n(count)}
		})},
		{"sarama", printed(func(addr, topic, group string, count int) []string {
			return []string{t.cache("bin", "sarama-pairs"), addr, topic, group, n(count)}
		})},
	}
	if t.binary != "" {
		all = append(all, Member{"gregor-console", printed(console(t.gregor("kafka-console-consumer")))},
			Member{"gregor-verifiable", verifiable(t.gregor("kafka-verifiable-consumer"))})
	}
	return all
}

// verifiable runs a verifiable consumer, which prints events as JSON, with its records among them.
func verifiable(program []string) func(context.Context, string, string, string, int) ([]string, error) {
	return func(ctx context.Context, addr, topic, group string, n int) ([]string, error) {
		argv := append(program[:len(program):len(program)], "--bootstrap-server", addr, "--topic", topic, "--group-id", group,
			"--max-messages", strconv.Itoa(n), "--reset-policy", "earliest", "--verbose")
		cmd := exec.CommandContext(ctx, argv[0], argv[1:]...)
		var errs bytes.Buffer
		cmd.Stderr = &errs
		out, err := cmd.Output()
		if err != nil {
			return nil, fmt.Errorf("%s: %w: %s", short(argv), err, clip(errs.String()))
		}
		var values []string
		for line := range bytes.Lines(out) {
			var event struct{ Name, Value string }
			if json.Unmarshal(line, &event) == nil && event.Name == "record_data" {
				values = append(values, event.Value)
			}
		}
		return values, nil
	}
}

// printed runs a program that prints a value on each line.
func printed(argv func(addr, topic, group string, n int) []string) func(context.Context, string, string, string, int) ([]string, error) {
	return func(ctx context.Context, addr, topic, group string, n int) ([]string, error) {
		args := argv(addr, topic, group, n)
		cmd := exec.CommandContext(ctx, args[0], args[1:]...)
		var errs bytes.Buffer
		cmd.Stderr = &errs
		out, err := cmd.Output()
		if err != nil {
			return nil, fmt.Errorf("%s: %w: %s", short(args), err, clip(errs.String()))
		}
		return strings.Fields(string(out)), nil
	}
}

func franzMember(ctx context.Context, addr, topic, group string, n int) ([]string, error) {
	c, err := kgo.NewClient(kgo.SeedBrokers(addr), kgo.ConsumerGroup(group), kgo.ConsumeTopics(topic), kgo.DisableAutoCommit(),
		kgo.ConsumeResetOffset(kgo.NewOffset().AtStart()))
	if err != nil {
		return nil, err
	}
	defer c.Close()
	var values []string
	for len(values) < n {
		f := c.PollRecords(ctx, n-len(values))
		if err := ctx.Err(); err != nil {
			return nil, err
		}
		var records []*kgo.Record
		f.EachRecord(func(r *kgo.Record) {
			values = append(values, string(r.Value))
			records = append(records, r)
		})
		if err := c.CommitRecords(ctx, records...); err != nil {
			return nil, err
		}
	}
	return values, nil
}
