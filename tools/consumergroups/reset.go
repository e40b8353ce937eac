package consumergroups

import (
	"context"
	"fmt"
	"maps"
	"slices"
	"strconv"
	"strings"
	"time"

	"gregor/tools/internal/cli"
	"gregor/tools/internal/javatime"
	"gregor/tools/internal/kclient"
)

// resetting is what a group's offsets are to become.
type resetting struct {
	group   string
	offsets []kclient.Committed
}

// reset shows, and with --execute sets, where groups shall go on.
func (c *command) reset(ctx context.Context) error {
	names, err := c.groups(ctx)
	if err != nil {
		return err
	}
	described := map[string]*kclient.Group{}
	for _, name := range names {
		if described[name], err = c.admin.DescribeGroup(ctx, name); err != nil {
			return kclient.Executed(err)
		}
	}
	var all []resetting
	for _, name := range names {
		if state := described[name].State; state != "Empty" && state != "Dead" {
			c.fail("Assignments can only be reset if the group '%s' is inactive, but the current state is %s.", name, state)
			all = append(all, resetting{group: name})
			continue
		}
		plan, err := c.plan(ctx, name)
		if err != nil {
			return err
		}
		if c.o.Has("execute") && !c.o.Has("dry-run") {
			if err := c.admin.Commit(ctx, name, plan); err != nil {
				return kclient.Executed(err)
			}
		}
		all = append(all, resetting{name, plan})
	}
	c.show(all)
	return nil
}

// show prints what was planned, in the order of the maps that Kafka keeps it in.
func (c *command) show(all []resetting) {
	byName := map[string]resetting{}
	names := make([]string, len(all))
	for i, r := range all {
		names[i] = r.group
		byName[r.group] = r
	}
	names = kclient.ScalaSetStrings(names)
	if c.o.Has("export") {
		for _, name := range names {
			for _, o := range byName[name].offsets {
				fields := []string{name, o.Topic, strconv.Itoa(int(o.Partition)), strconv.FormatInt(o.Offset, 10)}
				if c.singleGroup() {
					fields = fields[1:]
				}
				c.out.WriteString(csvLine(fields)) //nolint:errcheck // flushed at the end
			}
		}
		fmt.Fprintln(c.out)
		return
	}
	if len(names) > 0 {
		fmt.Fprintf(c.out, "\n%-30s %-30s %-10s %-15s\n", "GROUP", "TOPIC", "PARTITION", "NEW-OFFSET")
	}
	for _, name := range names {
		for _, o := range byName[name].offsets {
			fmt.Fprintf(c.out, "%-30s %-30s %-10d %-15d\n", name, o.Topic, o.Partition, o.Offset)
		}
	}
}

// singleGroup says that exactly one --group was given, which leaves the group out of CSV.
func (c *command) singleGroup() bool { return len(c.o.Values("group")) == 1 }

// scope is which partitions of a group are reset.
func (c *command) scope(ctx context.Context, group string) ([]kclient.TopicPartition, error) {
	switch {
	case c.o.Has("all-topics"):
		committed, err := c.admin.Committed(ctx, group)
		if err != nil {
			return nil, kclient.Executed(err)
		}
		return partitionsOf(committed), nil
	case c.o.Has("topic"):
		var tps []kclient.TopicPartition
		for _, word := range c.o.Values("topic") {
			more, err := c.partitions(ctx, word)
			if err != nil {
				return nil, err
			}
			tps = append(tps, more...)
		}
		return tps, nil
	case c.o.Has("from-file"):
		return nil, nil
	}
	return nil, &cli.UsageError{Message: "One of the reset scopes should be defined: --all-topics, --topic."}
}

func partitionsOf(offsets []kclient.Committed) []kclient.TopicPartition {
	tps := make([]kclient.TopicPartition, len(offsets))
	for i := range offsets {
		tps[i] = offsets[i].TopicPartition
	}
	return tps
}

// partitions are those that a --topic names.
func (c *command) partitions(ctx context.Context, word string) ([]kclient.TopicPartition, error) {
	if strings.Contains(word, ":") {
		return namedPartitions(word)
	}
	t, err := c.admin.DescribeTopic(ctx, word)
	if err != nil {
		return nil, kclient.Executed(err)
	}
	tps := make([]kclient.TopicPartition, len(t.Partitions))
	for i, p := range t.Partitions {
		tps[i] = kclient.TopicPartition{Topic: word, Partition: p}
	}
	return tps, nil
}

// namedPartitions reads topic:0,1.
func namedPartitions(word string) ([]kclient.TopicPartition, error) {
	topic, ids, _ := strings.Cut(word, ":")
	ids, _, _ = strings.Cut(ids, ":")
	if ids == "" {
		return nil, &kclient.APIError{Class: "java.lang.ArrayIndexOutOfBoundsException", Message: "Index 1 out of bounds for length 1"}
	}
	var tps []kclient.TopicPartition
	for id := range strings.SplitSeq(strings.TrimRight(ids, ","), ",") {
		p, err := strconv.ParseInt(id, 10, 32)
		if err != nil {
			return nil, &cli.UsageError{Message: fmt.Sprintf("For input string: %q", id)}
		}
		tps = append(tps, kclient.TopicPartition{Topic: topic, Partition: int32(p)})
	}
	return tps, nil
}

// plan is where a group is to go on, in the order of an immutable map of Scala's.
func (c *command) plan(ctx context.Context, group string) ([]kclient.Committed, error) {
	tps, err := c.scope(ctx, group)
	if err != nil {
		return nil, err
	}
	to := map[kclient.TopicPartition]int64{}
	switch {
	case c.o.Has("to-offset"):
		for _, tp := range tps {
			to[tp] = c.o.Int("to-offset")
		}
		tps = kclient.ScalaSet(tps)
		err = c.clamp(ctx, tps, to)
	case c.o.Has("to-earliest"):
		to, err = c.admin.ListOffsets(ctx, tps, kclient.Earliest)
	case c.o.Has("to-latest"):
		to, err = c.admin.ListOffsets(ctx, tps, kclient.Latest)
	case c.o.Has("shift-by"):
		tps, err = c.shifted(ctx, group, tps, to)
	case c.o.Has("to-datetime"), c.o.Has("by-duration"):
		to, err = c.atTime(ctx, tps)
	case c.o.Has("from-file"):
		tps, err = c.fromFile(ctx, group, to)
	case c.o.Has("to-current"):
		tps, err = c.current(ctx, group, tps, to)
	default:
		return nil, noScenario()
	}
	if err != nil {
		return nil, executed(err)
	}
	var plan []kclient.Committed
	for _, tp := range kclient.ScalaSet(tps) {
		plan = append(plan, kclient.Committed{TopicPartition: tp, Offset: to[tp]})
	}
	return plan, nil
}

// executed is the failure of a request as those get it who wait for it; what failed before a request stays as it is.
func executed(err error) error {
	if api, ok := err.(*kclient.APIError); ok && strings.HasPrefix(api.Class, "org.apache.kafka") { //nolint:errorlint // only what is not wrapped yet
		return kclient.Executed(err)
	}
	return err
}

// clamp keeps offsets within what the logs hold.
func (c *command) clamp(ctx context.Context, tps []kclient.TopicPartition, to map[kclient.TopicPartition]int64) error {
	starts, err := c.admin.ListOffsets(ctx, tps, kclient.Earliest)
	if err != nil {
		return err
	}
	ends, err := c.admin.ListOffsets(ctx, tps, kclient.Latest)
	if err != nil {
		return err
	}
	for _, tp := range tps {
		switch at := to[tp]; {
		case at > ends[tp]:
			c.logWarn("New offset (%d) is higher than latest offset for topic partition %s. Value will be set to %d", at, tp, ends[tp])
			to[tp] = ends[tp]
		case at < starts[tp]:
			c.logWarn("New offset (%d) is lower than earliest offset for topic partition %s. Value will be set to %d", at, tp, starts[tp])
			to[tp] = starts[tp]
		}
	}
	return nil
}

func (c *command) logWarn(format string, args ...any) {
	c.out.Flush() //nolint:errcheck // nobody is left to tell
	cli.Log(c.stderr, "WARN", "kafka.admin.ConsumerGroupCommand$", fmt.Sprintf(format, args...))
}

func (c *command) shifted(ctx context.Context, group string, tps []kclient.TopicPartition, to map[kclient.TopicPartition]int64) ([]kclient.TopicPartition, error) {
	committed, err := c.admin.Committed(ctx, group)
	if err != nil {
		return nil, err
	}
	at := offsetsOf(committed)
	for _, tp := range tps {
		offset, ok := at[tp]
		if !ok {
			return nil, &cli.UsageError{Message: "Cannot shift offset for partition " + tp.String() + " since there is no current committed offset"}
		}
		to[tp] = offset + c.o.Int("shift-by")
	}
	tps = kclient.ScalaSet(tps)
	return tps, c.clamp(ctx, tps, to)
}

func offsetsOf(committed []kclient.Committed) map[kclient.TopicPartition]int64 {
	at := map[kclient.TopicPartition]int64{}
	for _, o := range committed {
		at[o.TopicPartition] = o.Offset
	}
	return at
}

// atTime finds the first records of a time; partitions without one go to their end.
func (c *command) atTime(ctx context.Context, tps []kclient.TopicPartition) (map[kclient.TopicPartition]int64, error) {
	var ms int64
	var err error
	if c.o.Has("to-datetime") {
		ms, err = javatime.DateTime(c.o.String("to-datetime"))
	} else if ms, err = javatime.Duration(c.o.String("by-duration")); err == nil {
		ms = time.Now().UnixMilli() - ms
	}
	if err != nil {
		return nil, err
	}
	to, err := c.admin.ListOffsets(ctx, tps, ms)
	if err != nil {
		return nil, err
	}
	var later []kclient.TopicPartition
	for _, tp := range tps {
		if to[tp] < 0 {
			later = append(later, tp)
		}
	}
	ends, err := c.admin.ListOffsets(ctx, later, kclient.Latest)
	if err != nil {
		return nil, err
	}
	maps.Copy(to, ends)
	return to, nil
}

// current keeps the offsets that the group has; the partitions without one come after the others, at their end.
func (c *command) current(ctx context.Context, group string, tps []kclient.TopicPartition, to map[kclient.TopicPartition]int64) ([]kclient.TopicPartition, error) {
	committed, err := c.admin.Committed(ctx, group)
	if err != nil {
		return nil, err
	}
	at := offsetsOf(committed)
	var has, lacks []kclient.TopicPartition
	for _, tp := range tps {
		if offset, ok := at[tp]; ok {
			to[tp] = offset
			has = append(has, tp)
		} else {
			lacks = append(lacks, tp)
		}
	}
	ends, err := c.admin.ListOffsets(ctx, lacks, kclient.Latest)
	if err != nil {
		return nil, err
	}
	maps.Copy(to, ends)
	return slices.Concat(kclient.ScalaSet(has), kclient.ScalaSet(lacks)), nil
}
