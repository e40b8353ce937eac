package consumergroups

import (
	"context"
	"fmt"
	"slices"
	"strconv"
	"strings"

	"github.com/twmb/franz-go/pkg/kadm"

	"gregor/tools/internal/kclient"
)

func (c *command) describe(ctx context.Context) error {
	names, err := c.groups(ctx)
	if err != nil {
		return err
	}
	described, err := c.adm.DescribeGroups(ctx, names...)
	if err != nil {
		return err
	}
	for _, g := range described.Sorted() {
		if g.Err != nil {
			return g.Err
		}
		switch {
		case c.o.Has("members"):
			c.members(g)
		case c.o.Has("state") && !c.o.Has("offsets"):
			c.state(g)
		default:
			if err := c.offsets(ctx, g); err != nil {
				return err
			}
		}
	}
	return nil
}

// shown tells about the group's state, and says whether rows are to be printed.
func (c *command) shown(g kadm.DescribedGroup, rows int) bool {
	switch g.State {
	case "Dead":
		c.fail("Consumer group '%s' does not exist.", g.Group)
		return false
	case "Empty":
		c.warn("\nConsumer group '%s' has no active members.", g.Group)
	case "PreparingRebalance", "CompletingRebalance":
		c.warn("\nWarning: Consumer group '%s' is rebalancing.", g.Group)
	}
	return rows > 0
}

type row struct {
	topic, partition, offset, end, lag, member, host, client string
}

const missing = "-"

func assigned(m *kadm.DescribedGroupMember) (tps []kclient.TopicPartition) {
	a, ok := m.Assigned.AsConsumer()
	if !ok {
		return nil
	}
	for _, t := range a.Topics {
		for _, p := range t.Partitions {
			tps = append(tps, kclient.TopicPartition{Topic: t.Topic, Partition: p})
		}
	}
	sortPartitions(tps)
	return tps
}

func (c *command) offsets(ctx context.Context, g kadm.DescribedGroup) error {
	committed, err := c.adm.FetchOffsets(ctx, g.Group)
	if err != nil {
		return err
	}
	ends, err := c.ends(ctx, g, committed)
	if err != nil {
		return err
	}
	var rows []row
	taken := map[kclient.TopicPartition]bool{}
	line := func(tp kclient.TopicPartition, member, host, client string) {
		r := row{tp.Topic, strconv.Itoa(int(tp.Partition)), missing, missing, missing, member, host, client}
		end, known := ends.Lookup(tp.Topic, tp.Partition)
		if known && end.Err == nil {
			r.end = strconv.FormatInt(end.Offset, 10)
		}
		if o, ok := committed.Lookup(tp.Topic, tp.Partition); ok && o.At >= 0 {
			r.offset = strconv.FormatInt(o.At, 10)
			if known && end.Err == nil {
				r.lag = strconv.FormatInt(end.Offset-o.At, 10)
			}
		}
		rows = append(rows, r)
	}
	members := slices.Clone(g.Members)
	slices.SortStableFunc(members, func(a, b kadm.DescribedGroupMember) int { return len(assigned(&b)) - len(assigned(&a)) })
	for i := range members {
		for _, tp := range assigned(&members[i]) {
			taken[tp] = true
			line(tp, members[i].MemberID, members[i].ClientHost, members[i].ClientID)
		}
	}
	var rest []kclient.TopicPartition
	committed.Each(func(o kadm.OffsetResponse) {
		if tp := (kclient.TopicPartition{Topic: o.Topic, Partition: o.Partition}); !taken[tp] && o.At >= 0 {
			rest = append(rest, tp)
		}
	})
	sortPartitions(rest)
	for _, tp := range rest {
		line(tp, missing, missing, missing)
	}
	if !c.shown(g, len(rows)) {
		return nil
	}
	group, topic, member, host := max(15, len(g.Group)), 15, 15, 15
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
		print(g.Group, &rows[i])
	}
	return nil
}

// ends are the log ends of what the group reads or has offsets of.
func (c *command) ends(ctx context.Context, g kadm.DescribedGroup, committed kadm.OffsetResponses) (kadm.ListedOffsets, error) {
	set := map[string]bool{}
	committed.Each(func(o kadm.OffsetResponse) { set[o.Topic] = true })
	for i := range g.Members {
		for _, tp := range assigned(&g.Members[i]) {
			set[tp.Topic] = true
		}
	}
	if len(set) == 0 {
		return nil, nil
	}
	var topics []string
	for t := range set {
		topics = append(topics, t)
	}
	return c.adm.ListEndOffsets(ctx, topics...)
}

func (c *command) members(g kadm.DescribedGroup) {
	if !c.shown(g, len(g.Members)) {
		return
	}
	group, id, instance, host, client, static := max(15, len(g.Group)), 15, 17, 15, 15, false
	for _, m := range g.Members {
		id, host, client = max(id, len(m.MemberID)), max(host, len(m.ClientHost)), max(client, len(m.ClientID))
		if m.InstanceID != nil && *m.InstanceID != "" {
			instance, static = max(instance, len(*m.InstanceID)), true
		}
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
		inst := ""
		if m.InstanceID != nil {
			inst = *m.InstanceID
		}
		tps := assigned(m)
		print(g.Group, m.MemberID, inst, m.ClientHost, m.ClientID, strconv.Itoa(len(tps)), byTopic(tps))
	}
}

func byTopic(tps []kclient.TopicPartition) string {
	if len(tps) == 0 {
		return missing
	}
	var parts []string
	for i := 0; i < len(tps); {
		var ids []string
		from := i
		for ; i < len(tps) && tps[i].Topic == tps[from].Topic; i++ {
			ids = append(ids, strconv.Itoa(int(tps[i].Partition)))
		}
		parts = append(parts, tps[from].Topic+"("+strings.Join(ids, ",")+")")
	}
	return strings.Join(parts, ", ")
}

func (c *command) state(g kadm.DescribedGroup) {
	if !c.shown(g, 1) {
		return
	}
	at := fmt.Sprintf("%s:%d (%d)", g.Coordinator.Host, g.Coordinator.Port, g.Coordinator.NodeID)
	width := max(25, len(at))
	fmt.Fprintf(c.out, "\n%-*s %-25s %-20s %-15s %s", width, "GROUP", "COORDINATOR (ID)", "ASSIGNMENT-STRATEGY", "STATE", "#MEMBERS")
	fmt.Fprintf(c.out, "\n%-*s %-25s %-20s %-15s %d\n", width, g.Group, at, g.Protocol, g.State, len(g.Members))
}
