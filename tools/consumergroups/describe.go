package consumergroups

import (
	"cmp"
	"context"
	"fmt"
	"slices"
	"strconv"
	"strings"

	"gregor/tools/internal/kclient"
)

func (c *command) describe(ctx context.Context) error {
	names, err := c.groups(ctx)
	if err != nil {
		return err
	}
	groups := make([]*kclient.Group, len(names))
	for i, name := range names {
		if groups[i], err = c.admin.DescribeGroup(ctx, name); err != nil {
			return kclient.Executed(err)
		}
	}
	var tables [][]row
	if !c.o.Has("members") && !c.o.Has("state") {
		if tables, err = c.tables(ctx, groups); err != nil {
			return executed(err)
		}
	}
	order := make([]int, len(groups))
	for i := range order {
		order[i] = i
	}
	slices.SortFunc(order, func(a, b int) int { return cmp.Compare(groups[a].Name, groups[b].Name) })
	for _, i := range order {
		switch {
		case c.o.Has("members"):
			err = c.members(groups[i])
		case c.o.Has("state"):
			err = c.state(groups[i])
		default:
			err = c.offsets(groups[i], tables[i])
		}
		if err != nil {
			return err
		}
	}
	return nil
}

// shown tells about the group's state, and says whether rows are to be printed.
func (c *command) shown(g *kclient.Group, rows int) (bool, error) {
	switch g.State {
	case "Dead":
		c.fail("Consumer group '%s' does not exist.", g.Name)
		return false, nil
	case "Empty":
		c.warn("\nConsumer group '%s' has no active members.", g.Name)
	case "PreparingRebalance", "CompletingRebalance":
		c.warn("\nWarning: Consumer group '%s' is rebalancing.", g.Name)
	case "Stable":
	default:
		return false, &kclient.APIError{Class: "org.apache.kafka.common.KafkaException", Message: "Expected a valid consumer group state, but found '" + g.State + "'."}
	}
	return rows > 0, nil
}

type row struct {
	topic, partition, offset, end, lag, member, host, client string
}

const missing = "-"

// tables asks for the offsets of all groups, and then once for the ends of all their partitions.
func (c *command) tables(ctx context.Context, groups []*kclient.Group) ([][]row, error) {
	stored := make([][]kclient.Committed, len(groups))
	seen := map[kclient.TopicPartition]bool{}
	var tps []kclient.TopicPartition
	add := func(tp kclient.TopicPartition) {
		if !seen[tp] {
			seen[tp] = true
			tps = append(tps, tp)
		}
	}
	for i, g := range groups {
		var err error
		if stored[i], err = c.admin.Committed(ctx, g.Name); err != nil {
			return nil, err
		}
		for _, o := range stored[i] {
			add(o.TopicPartition)
		}
		for j := range g.Members {
			for _, tp := range g.Members[j].Partitions {
				add(tp)
			}
		}
	}
	ends, err := c.admin.ListOffsets(ctx, tps, kclient.Latest)
	if err != nil {
		return nil, err
	}
	out := make([][]row, len(groups))
	for i, g := range groups {
		out[i] = table(g, stored[i], ends)
	}
	return out, nil
}

// table lists the partitions of members, those with the most first, and then what no member has; in the order of Scala's maps.
func table(g *kclient.Group, stored []kclient.Committed, ends map[kclient.TopicPartition]int64) []row {
	at := offsetsOf(stored)
	var rows []row
	line := func(tp kclient.TopicPartition, member, host, client string) {
		r := row{tp.Topic, strconv.Itoa(int(tp.Partition)), missing, strconv.FormatInt(ends[tp], 10), missing, member, host, client}
		if offset, ok := at[tp]; ok {
			r.offset, r.lag = strconv.FormatInt(offset, 10), strconv.FormatInt(ends[tp]-offset, 10)
		}
		rows = append(rows, r)
	}
	members := slices.Clone(g.Members)
	slices.SortStableFunc(members, func(a, b kclient.Member) int { return len(b.Partitions) - len(a.Partitions) })
	taken := map[kclient.TopicPartition]bool{}
	for i := range members {
		tps := slices.Clone(members[i].Partitions)
		slices.SortStableFunc(tps, func(a, b kclient.TopicPartition) int { return int(a.Partition) - int(b.Partition) })
		for _, tp := range kclient.ScalaSet(tps) {
			taken[tp] = true
			line(tp, members[i].ID, members[i].Host, members[i].ClientID)
		}
	}
	var rest []kclient.TopicPartition
	for _, o := range stored {
		if !taken[o.TopicPartition] {
			rest = append(rest, o.TopicPartition)
		}
	}
	kclient.ScalaOrder(rest)
	for _, tp := range rest {
		line(tp, missing, missing, missing)
	}
	return rows
}

func (c *command) offsets(g *kclient.Group, rows []row) error {
	if show, err := c.shown(g, len(rows)); !show {
		return err
	}
	group, topic, member, host := max(15, len(g.Name)), 15, 15, 15
	for i := range rows {
		topic, member, host = max(topic, len(rows[i].topic)), max(member, len(rows[i].member)), max(host, len(rows[i].host))
	}
	print := func(name string, r *row) {
		fmt.Fprintf(c.out, "%-*s %-*s %-10s %-15s %-15s %-15s %-*s %-*s %s\n", group, name, topic, r.topic, r.partition, r.offset, r.end, r.lag,
			member, r.member, host, r.host, r.client)
	}
	fmt.Fprintln(c.out)
	print("GROUP", &row{"TOPIC", "PARTITION", "CURRENT-OFFSET", "LOG-END-OFFSET", "LAG", "CONSUMER-ID", "HOST", "CLIENT-ID"})
	for i := range rows {
		print(g.Name, &rows[i])
	}
	return nil
}

func (c *command) members(g *kclient.Group) error {
	if show, err := c.shown(g, len(g.Members)); !show {
		return err
	}
	group, id, instance, host, client, static := max(15, len(g.Name)), 15, 17, 15, 15, false
	for i := range g.Members {
		m := &g.Members[i]
		id, host, client = max(id, len(m.ID)), max(host, len(m.Host)), max(client, len(m.ClientID))
		instance, static = max(instance, len(m.Instance)), static || m.Instance != ""
	}
	print := func(name, member, inst, at, clientID, count, parts string) {
		fmt.Fprintf(c.out, "%-*s %-*s ", group, name, id, member)
		if static {
			fmt.Fprintf(c.out, "%-*s ", instance, inst)
		}
		fmt.Fprintf(c.out, "%-*s %-*s %-15s ", host, at, client, clientID, count)
		if c.o.Has("verbose") {
			fmt.Fprint(c.out, parts)
		}
		fmt.Fprintln(c.out)
	}
	fmt.Fprintln(c.out)
	print("GROUP", "CONSUMER-ID", "GROUP-INSTANCE-ID", "HOST", "CLIENT-ID", "#PARTITIONS", "ASSIGNMENT")
	for i := range g.Members {
		m := &g.Members[i]
		print(g.Name, m.ID, m.Instance, m.Host, m.ClientID, strconv.Itoa(len(m.Partitions)), byTopic(m.Partitions))
	}
	return nil
}

// byTopic writes partitions as topic(0,1), in order.
func byTopic(tps []kclient.TopicPartition) string {
	if len(tps) == 0 {
		return missing
	}
	tps = slices.Clone(tps)
	slices.SortFunc(tps, func(a, b kclient.TopicPartition) int {
		return cmp.Or(cmp.Compare(a.Topic, b.Topic), cmp.Compare(a.Partition, b.Partition))
	})
	var parts []string
	for i := 0; i < len(tps); {
		var ids []string
		from := i
		for ; i < len(tps) && tps[i].Topic == tps[from].Topic; i++ {
			ids = append(ids, strconv.Itoa(int(tps[i].Partition)))
		}
		parts = append(parts, tps[from].Topic+"("+strings.Join(ids, ",")+")")
	}
	slices.Sort(parts)
	return strings.Join(parts, ", ")
}

func (c *command) state(g *kclient.Group) error {
	if show, err := c.shown(g, 1); !show {
		return err
	}
	at := fmt.Sprintf("%s:%d (%d)", g.Host, g.Port, g.NodeID)
	width := max(25, len(at))
	fmt.Fprintf(c.out, "\n%-*s %-25s %-20s %-15s %s", width, "GROUP", "COORDINATOR (ID)", "ASSIGNMENT-STRATEGY", "STATE", "#MEMBERS")
	fmt.Fprintf(c.out, "\n%-*s %-25s %-20s %-15s %d\n", width, g.Name, at, g.Assignor, g.State, len(g.Members))
	return nil
}
