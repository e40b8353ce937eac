package consumergroups

import (
	"context"
	"fmt"
	"strconv"
	"strings"

	"github.com/twmb/franz-go/pkg/kadm"

	"gregor/tools/internal/cli"
	"gregor/tools/internal/kclient"
)

// partitions are those that --topic names, or --all-topics means.
func (c *command) partitions(ctx context.Context, committed kadm.OffsetResponses) ([]kclient.TopicPartition, error) {
	var tps []kclient.TopicPartition
	if c.o.Has("all-topics") {
		committed.Each(func(o kadm.OffsetResponse) {
			if o.At >= 0 {
				tps = append(tps, kclient.TopicPartition{Topic: o.Topic, Partition: o.Partition})
			}
		})
		sortPartitions(tps)
		return tps, nil
	}
	for _, word := range c.o.Values("topic") {
		topic, ids, some := strings.Cut(word, ":")
		if !some {
			details, err := c.adm.ListTopics(ctx, topic)
			if err != nil {
				return nil, err
			}
			if err := details[topic].Err; err != nil {
				return nil, kclient.Wrap(err, "describe topic "+topic)
			}
			for _, p := range details[topic].Partitions.Numbers() {
				tps = append(tps, kclient.TopicPartition{Topic: topic, Partition: p})
			}
			continue
		}
		for _, id := range strings.Split(ids, ",") {
			p, err := strconv.ParseInt(id, 10, 32)
			if err != nil {
				return nil, &cli.UsageError{Message: "For input string: \"" + id + "\""}
			}
			tps = append(tps, kclient.TopicPartition{Topic: topic, Partition: int32(p)})
		}
	}
	sortPartitions(tps)
	return tps, nil
}

// reset shows, and with --execute sets, where groups shall go on.
func (c *command) reset(ctx context.Context) error {
	if !c.o.Has("execute") && !c.o.Has("dry-run") {
		c.warn("WARN: No action will be performed as the --execute option is missing." +
			"In a future major release, the default behavior of this command will be to prompt the user before executing the reset rather than doing a dry run. " +
			"You should add the --dry-run option explicitly if you are scripting this command and want to keep the current default behavior without prompting.")
	}
	names, err := c.groups(ctx)
	if err != nil {
		return err
	}
	described, err := c.adm.DescribeGroups(ctx, names...)
	if err != nil {
		return err
	}
	header := false
	for _, g := range described.Sorted() {
		if g.Err != nil {
			return g.Err
		}
		if g.State != "Empty" && g.State != "Dead" {
			c.fail("Assignments can only be reset if the group '%s' is inactive, but the current state is %s.", g.Group, g.State)
			continue
		}
		plan, err := c.plan(ctx, g.Group)
		if err != nil {
			return err
		}
		if c.o.Has("execute") {
			offsets := kadm.Offsets{}
			for _, o := range plan {
				offsets.Add(o)
			}
			if err := c.adm.CommitAllOffsets(ctx, g.Group, offsets); err != nil {
				return kclient.Wrap(err, "commit offsets of group "+g.Group)
			}
		}
		for _, o := range plan {
			if !header {
				fmt.Fprintf(c.out, "\n%-30s %-30s %-10s %-15s\n", "GROUP", "TOPIC", "PARTITION", "NEW-OFFSET")
				header = true
			}
			fmt.Fprintf(c.out, "%-30s %-30s %-10d %-15d\n", g.Group, o.Topic, o.Partition, o.At)
		}
	}
	return nil
}

func (c *command) plan(ctx context.Context, group string) ([]kadm.Offset, error) {
	committed, err := c.adm.FetchOffsets(ctx, group)
	if err != nil {
		return nil, err
	}
	tps, err := c.partitions(ctx, committed)
	if err != nil || len(tps) == 0 {
		return nil, err
	}
	set := map[string]bool{}
	for _, tp := range tps {
		set[tp.Topic] = true
	}
	var topics []string
	for t := range set {
		topics = append(topics, t)
	}
	starts, err := c.adm.ListStartOffsets(ctx, topics...)
	if err != nil {
		return nil, err
	}
	ends, err := c.adm.ListEndOffsets(ctx, topics...)
	if err != nil {
		return nil, err
	}
	var plan []kadm.Offset
	for _, tp := range tps {
		start, _ := starts.Lookup(tp.Topic, tp.Partition)
		end, _ := ends.Lookup(tp.Topic, tp.Partition)
		at, has := committed.Lookup(tp.Topic, tp.Partition)
		to, err := c.target(tp, start.Offset, end.Offset, at.At, has && at.At >= 0)
		if err != nil {
			return nil, err
		}
		plan = append(plan, kadm.Offset{Topic: tp.Topic, Partition: tp.Partition, At: to, LeaderEpoch: -1})
	}
	return plan, nil
}

// target is where a partition is reset to.
func (c *command) target(tp kclient.TopicPartition, start, end, at int64, has bool) (int64, error) {
	clamp := func(to int64) int64 {
		switch {
		case to > end:
			c.logWarn("New offset (%d) is higher than latest offset for topic partition %s. Value will be set to %d", to, tp, end)
			return end
		case to < start:
			c.logWarn("New offset (%d) is lower than earliest offset for topic partition %s. Value will be set to %d", to, tp, start)
			return start
		}
		return to
	}
	switch {
	case c.o.Has("to-earliest"):
		return start, nil
	case c.o.Has("to-latest"):
		return end, nil
	case c.o.Has("to-offset"):
		return clamp(c.o.Int("to-offset")), nil
	case c.o.Has("shift-by"):
		if !has {
			return 0, &cli.UsageError{Message: "Cannot shift offset for partition " + tp.String() + " since there is no current committed offset"}
		}
		return clamp(at + c.o.Int("shift-by")), nil
	case c.o.Has("to-current"):
		if !has {
			return end, nil
		}
		return at, nil
	}
	return 0, &cli.UsageError{Message: "Option '[reset-offsets]' requires one of --to-earliest, --to-latest, --to-current, --to-offset, --shift-by"}
}

func (c *command) logWarn(format string, args ...any) {
	c.out.Flush() //nolint:errcheck // nobody is left to tell
	cli.Log(c.stderr, "WARN", "kafka.admin.ConsumerGroupCommand$", fmt.Sprintf(format, args...))
}
