package reassign

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"maps"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kmsg"

	"gregor/internal/topicrules"
	"gregor/tools/internal/cli"
	"gregor/tools/internal/kclient"
)

// command reaches the cluster through its brokers.
type command struct {
	client *kclient.Admin
	out    *bufio.Writer
	opts   *cli.Options
}

// requestTimeoutMillis is how long a broker may take to carry out a request.
const requestTimeoutMillis = 60000

// underWay asks for the moves under way, of all partitions where none are named.
func (c *command) underWay(ctx context.Context, only []partition) (map[partition]moving, error) {
	req := kmsg.NewPtrListPartitionReassignmentsRequest()
	req.TimeoutMillis = requestTimeoutMillis
	if only != nil {
		req.Topics = []kmsg.ListPartitionReassignmentsRequestTopic{}
	}
	for _, tp := range sorted(slices.Clone(only)) {
		if n := len(req.Topics); n == 0 || req.Topics[n-1].Topic != tp.Topic {
			t := kmsg.NewListPartitionReassignmentsRequestTopic()
			t.Topic = tp.Topic
			req.Topics = append(req.Topics, t)
		}
		t := &req.Topics[len(req.Topics)-1]
		t.Partitions = append(t.Partitions, tp.Partition)
	}
	resp, err := kclient.Ask[*kmsg.ListPartitionReassignmentsResponse](ctx, c.client, req, "listPartitionReassignments")
	if err == nil {
		err = kclient.Error(resp.ErrorCode, resp.ErrorMessage)
	}
	if err != nil {
		return nil, kclient.Executed(err)
	}
	out := map[partition]moving{}
	for i := range resp.Topics {
		for j := range resp.Topics[i].Partitions {
			p := &resp.Topics[i].Partitions[j]
			out[partition{Topic: resp.Topics[i].Topic, Partition: p.Partition}] = moving{p.Replicas, p.AddingReplicas, p.RemovingReplicas}
		}
	}
	return out, nil
}

// topic is what brokers tell of one.
type topic struct {
	partitions [][]int32 // the replicas, in the order of the partitions' numbers
	numbers    []int32
	err        error
}

func (c *command) describe(ctx context.Context, names []string) (map[string]topic, error) {
	out := map[string]topic{}
	req := kmsg.NewPtrMetadataRequest()
	for _, name := range names {
		if name == "" {
			out[name] = topic{err: &kclient.APIError{Code: kerr.InvalidTopicException.Code, Class: "org.apache.kafka.common.errors.InvalidTopicException",
				Message: "The given topic name '' cannot be represented in a request."}}
			continue
		}
		t := kmsg.NewMetadataRequestTopic()
		t.Topic = kmsg.StringPtr(name)
		req.Topics = append(req.Topics, t)
	}
	if len(req.Topics) == 0 {
		return out, nil
	}
	resp, err := kclient.Ask[*kmsg.MetadataResponse](ctx, c.client, req, "describeTopics")
	if err != nil {
		return nil, kclient.Executed(err)
	}
	for i := range resp.Topics {
		t := &resp.Topics[i]
		d := topic{err: kclient.Error(t.ErrorCode, nil)}
		slices.SortFunc(t.Partitions, func(a, b kmsg.MetadataResponseTopicPartition) int { return int(a.Partition) - int(b.Partition) })
		for j := range t.Partitions {
			d.numbers = append(d.numbers, t.Partitions[j].Partition)
			d.partitions = append(d.partitions, t.Partitions[j].Replicas)
		}
		out[*t.Topic] = d
	}
	return out, nil
}

// assignments are those of all partitions of topics, all of which have to be there.
func (c *command) assignments(ctx context.Context, names []string) (assignments, error) {
	found, err := c.describe(ctx, names)
	if err != nil {
		return nil, err
	}
	out := assignments{}
	for _, name := range names {
		t := found[name]
		if t.err != nil {
			return nil, kclient.Executed(t.err)
		}
		for i, p := range t.numbers {
			out[partition{Topic: name, Partition: p}] = t.partitions[i]
		}
	}
	return out, nil
}

func (c *command) brokers(ctx context.Context) ([]topicrules.Broker, error) {
	resp, err := c.client.Cluster(ctx)
	if err != nil {
		return nil, kclient.Executed(err)
	}
	out := make([]topicrules.Broker, len(resp.Brokers))
	for i := range resp.Brokers {
		out[i] = topicrules.Broker{ID: resp.Brokers[i].NodeID, Rack: resp.Brokers[i].Rack}
	}
	slices.SortFunc(out, func(a, b topicrules.Broker) int { return int(a.ID) - int(b.ID) })
	return out, nil
}

func ids(brokers []topicrules.Broker) []int32 {
	out := make([]int32, len(brokers))
	for i := range brokers {
		out[i] = brokers[i].ID
	}
	return out
}

func (c *command) list(ctx context.Context) error {
	all, err := c.underWay(ctx, nil)
	if err != nil {
		return err
	}
	if len(all) == 0 {
		fmt.Fprintln(c.out, "No partition reassignments found.")
		return nil
	}
	fmt.Fprintln(c.out, "Current partition reassignments:")
	for _, tp := range keys(all) {
		m := all[tp]
		fmt.Fprintf(c.out, "%s: replicas: %s.", tp, numbers(m.replicas, ","))
		if len(m.adding) > 0 {
			fmt.Fprintf(c.out, " adding: %s.", numbers(m.adding, ","))
		}
		if len(m.removing) > 0 {
			fmt.Fprintf(c.out, " removing: %s.", numbers(m.removing, ","))
		}
		fmt.Fprintln(c.out)
	}
	return nil
}

func (c *command) generate(ctx context.Context, text []byte) error {
	list, topics, err := parseGeneration(text, c.opts.String("broker-list"))
	if err != nil {
		return err
	}
	current, err := c.assignments(ctx, topics)
	if err != nil {
		return err
	}
	all, err := c.brokers(ctx)
	if err != nil {
		return err
	}
	brokers, err := chosen(all, list, !c.opts.Has("disable-rack-aware"))
	if err != nil {
		return err
	}
	shown, err := proposal(current, brokers)
	fmt.Fprint(c.out, shown)
	return err
}

func (c *command) verify(ctx context.Context, text []byte) error {
	p, err := parsePlan(text)
	if err != nil {
		return err
	}
	all, err := c.underWay(ctx, nil)
	if err != nil {
		return err
	}
	states, err := c.states(ctx, p, all)
	if err != nil {
		return err
	}
	fmt.Fprintln(c.out, describeStates(states))
	found, err := c.directories(ctx, p.dirs)
	if err != nil {
		return err
	}
	fmt.Fprintln(c.out, describeMoves(found, p.dirs))
	for _, d := range found {
		if !d.done() {
			return nil
		}
	}
	if len(all) > 0 || c.opts.Has("preserve-throttles") {
		return nil
	}
	return c.clear(ctx, p)
}

func (c *command) states(ctx context.Context, p *plan, all map[partition]moving) (map[partition]state, error) {
	out := map[partition]state{}
	var still []target
	names := map[string]bool{}
	for _, t := range p.targets {
		if m, ok := all[t.partition]; ok {
			out[t.partition] = state{m.replicas, t.replicas, false}
		} else {
			still = append(still, t)
			names[t.Topic] = true
		}
	}
	found, err := c.describe(ctx, slices.Sorted(maps.Keys(names)))
	if err != nil {
		return nil, err
	}
	for _, t := range still {
		s := state{nil, t.replicas, true}
		d := found[t.Topic]
		var api *kclient.APIError
		switch n := len(d.partitions); {
		case errors.As(d.err, &api) && api.Code == kerr.UnknownTopicOrPartition.Code:
		case d.err != nil:
			return nil, kclient.Executed(d.err)
		case int(t.Partition) == n || t.Partition < 0: // as Kafka's command says it
			return nil, &kclient.APIError{Class: "java.lang.IndexOutOfBoundsException", Message: fmt.Sprintf("Index %d out of bounds for length %d", t.Partition, n)}
		case int(t.Partition) < n:
			s.current = d.partitions[t.Partition]
		}
		out[t.partition] = s
	}
	return out, nil
}

// clear removes all throttles that moves of the plan may have set.
func (c *command) clear(ctx context.Context, p *plan) error {
	alive, err := c.brokers(ctx)
	if err != nil {
		return err
	}
	brokers, topics := toClear(ids(alive), p)
	fmt.Fprintln(c.out, clearingBrokers(brokers))
	var changes []change
	for _, id := range brokers {
		changes = append(changes, change{broker: id, remove: brokerThrottles})
	}
	if err := c.alter(ctx, changes); err != nil {
		return err
	}
	fmt.Fprintln(c.out, clearingTopics(topics))
	changes = nil
	for _, t := range topics {
		changes = append(changes, change{topic: t, remove: topicThrottles})
	}
	return c.alter(ctx, changes)
}

// change is what is set and removed in the configuration of a broker, or of a topic where one is named.
type change struct {
	broker int32
	topic  string
	set    map[string]string
	remove []string
}

func (ch *change) resource() kmsg.IncrementalAlterConfigsRequestResource {
	r := kmsg.NewIncrementalAlterConfigsRequestResource()
	r.ResourceType, r.ResourceName = kmsg.ConfigResourceTypeBroker, strconv.Itoa(int(ch.broker))
	if ch.topic != "" {
		r.ResourceType, r.ResourceName = kmsg.ConfigResourceTypeTopic, ch.topic
	}
	for _, k := range slices.Sorted(maps.Keys(ch.set)) {
		v := ch.set[k]
		r.Configs = append(r.Configs, kmsg.IncrementalAlterConfigsRequestResourceConfig{Name: k, Op: kmsg.IncrementalAlterConfigOpSet, Value: &v})
	}
	for _, k := range ch.remove {
		r.Configs = append(r.Configs, kmsg.IncrementalAlterConfigsRequestResourceConfig{Name: k, Op: kmsg.IncrementalAlterConfigOpDelete})
	}
	return r
}

// alter makes the changes: those of a broker at that broker, those of topics in one request. All are tried; the first error counts.
func (c *command) alter(ctx context.Context, changes []change) error {
	topics := kmsg.NewPtrIncrementalAlterConfigsRequest()
	var first error
	send := func(req *kmsg.IncrementalAlterConfigsRequest, broker int32) {
		var resp *kmsg.IncrementalAlterConfigsResponse
		var err error
		if broker >= 0 {
			resp, err = kclient.AskBroker[*kmsg.IncrementalAlterConfigsResponse](ctx, c.client, broker, req, "incrementalAlterConfigs")
		} else {
			resp, err = kclient.Ask[*kmsg.IncrementalAlterConfigsResponse](ctx, c.client, req, "incrementalAlterConfigs")
		}
		if err == nil {
			for i := range resp.Resources {
				err = errors.Join(err, kclient.Error(resp.Resources[i].ErrorCode, resp.Resources[i].ErrorMessage))
			}
		}
		var api *kclient.APIError
		if errors.As(err, &api) && first == nil {
			first = kclient.Executed(api)
		}
	}
	for i := range changes {
		if changes[i].topic != "" {
			topics.Resources = append(topics.Resources, changes[i].resource())
			continue
		}
		req := kmsg.NewPtrIncrementalAlterConfigsRequest()
		req.Resources = append(req.Resources, changes[i].resource())
		send(req, changes[i].broker)
	}
	if len(topics.Resources) > 0 {
		send(topics, -1)
	}
	return first
}

func (c *command) execute(ctx context.Context, text []byte) error {
	p, err := parseExecution(text)
	if err != nil {
		return err
	}
	all, err := c.underWay(ctx, nil)
	if err != nil {
		return err
	}
	if len(all) > 0 && !c.opts.Has("additional") {
		return terse(existing)
	}
	alive, err := c.brokers(ctx)
	if err != nil {
		return err
	}
	if strange := p.strangers(ids(alive)); len(strange) > 0 {
		return failed("Unknown broker id %d", strange[0])
	}
	current, err := c.assignments(ctx, p.topics())
	if err != nil {
		return err
	}
	fmt.Fprintln(c.out, rollback(p, current))
	if err := c.throttle(ctx, p, all, current); err != nil {
		return err
	}
	wanted := p.assignments()
	refusals, err := c.reassign(ctx, wanted)
	if err != nil {
		return err
	}
	if len(refusals) > 0 {
		return terse("Error reassigning partition(s):\n" + describeRefusals(refusals))
	}
	fmt.Fprintln(c.out, started(p))
	if len(p.dirs) > 0 {
		return c.moveDirectories(ctx, p.dirs)
	}
	return nil
}

func (c *command) throttle(ctx context.Context, p *plan, all map[partition]moving, current assignments) error {
	between, within := c.opts.Int("throttle"), c.opts.Int("replica-alter-log-dirs-throttle")
	if between < 0 && within < 0 {
		return nil
	}
	fmt.Fprintln(c.out, runVerify)
	if between >= 0 {
		m := moves(all, p.assignments(), current)
		from, to := leaders(m), followers(m)
		var changes []change
		for _, topic := range slices.Sorted(maps.Keys(from)) {
			changes = append(changes, change{topic: topic, set: map[string]string{leaderReplicas: from[topic], followerReplicas: to[topic]}})
		}
		if err := c.alter(ctx, changes); err != nil {
			return err
		}
		limit := strconv.FormatInt(between, 10)
		changes = nil
		for _, id := range brokersOf(m) {
			changes = append(changes, change{broker: id, set: map[string]string{leaderRate: limit, followerRate: limit}})
		}
		if err := c.alter(ctx, changes); err != nil {
			return err
		}
		fmt.Fprint(c.out, limitSet(between))
	}
	if within < 0 {
		return nil
	}
	moved := idSet{}
	for r := range p.dirs {
		moved[r.broker] = true
	}
	var changes []change
	for _, id := range slices.Sorted(maps.Keys(moved)) {
		changes = append(changes, change{broker: id, set: map[string]string{directoryRate: strconv.FormatInt(within, 10)}})
	}
	if err := c.alter(ctx, changes); err != nil {
		return err
	}
	fmt.Fprintf(c.out, "The replica-alter-dir throttle limit was set to %d B/s\n", within)
	return nil
}

// reassign asks for new replicas, or with nil for the end of a move, and returns what was refused.
func (c *command) reassign(ctx context.Context, wanted assignments) (map[partition]error, error) {
	refusals := map[partition]error{}
	req := kmsg.NewPtrAlterPartitionAssignmentsRequest()
	req.TimeoutMillis = requestTimeoutMillis
	for _, tp := range keys(wanted) {
		if tp.Topic == "" || tp.Partition < 0 {
			text := fmt.Sprintf("The given partition index %d is not valid.", tp.Partition)
			if tp.Topic == "" {
				text = "The given topic name '' cannot be represented in a request."
			}
			refusals[tp] = errors.New(text)
			continue
		}
		if n := len(req.Topics); n == 0 || req.Topics[n-1].Topic != tp.Topic {
			t := kmsg.NewAlterPartitionAssignmentsRequestTopic()
			t.Topic = tp.Topic
			req.Topics = append(req.Topics, t)
		}
		p := kmsg.NewAlterPartitionAssignmentsRequestTopicPartition()
		p.Partition, p.Replicas = tp.Partition, wanted[tp]
		t := &req.Topics[len(req.Topics)-1]
		t.Partitions = append(t.Partitions, p)
	}
	if len(req.Topics) == 0 {
		return refusals, nil
	}
	resp, err := kclient.Ask[*kmsg.AlterPartitionAssignmentsResponse](ctx, c.client, req, "alterPartitionReassignments")
	if err == nil {
		err = kclient.Error(resp.ErrorCode, resp.ErrorMessage)
	}
	if err != nil {
		for tp := range wanted {
			refusals[tp] = err
		}
		return refusals, nil
	}
	for i := range resp.Topics {
		for j := range resp.Topics[i].Partitions {
			p := &resp.Topics[i].Partitions[j]
			if err := kclient.Error(p.ErrorCode, p.ErrorMessage); err != nil {
				refusals[partition{Topic: resp.Topics[i].Topic, Partition: p.Partition}] = err
			}
		}
	}
	return refusals, nil
}

func describeRefusals(m map[partition]error) string {
	var lines []string
	for _, tp := range keys(m) {
		lines = append(lines, fmt.Sprintf("%s: %v", tp, m[tp]))
	}
	return strings.Join(lines, "\n")
}

func (c *command) cancel(ctx context.Context, text []byte) error {
	p, err := parsePlan(text)
	if err != nil {
		return err
	}
	only := p.partitions()
	all, err := c.underWay(ctx, only)
	if err != nil {
		return err
	}
	ends := assignments{}
	for tp, m := range all {
		if len(m.adding) > 0 || len(m.removing) > 0 {
			ends[tp] = nil
		}
	}
	if len(ends) == 0 {
		fmt.Fprintln(c.out, "None of the specified partition reassignments are active.")
	} else {
		refusals, err := c.reassign(ctx, ends)
		if err != nil {
			return err
		}
		if len(refusals) > 0 {
			return terse(fmt.Sprintf("Error cancelling partition reassignment%s for:\n%s", plural(len(refusals)), describeRefusals(refusals)))
		}
		fmt.Fprintf(c.out, "Successfully cancelled partition reassignment%s for: %s\n", plural(len(ends)), kclient.JoinPartitions(keys(ends), ","))
	}
	if err := c.cancelMoves(ctx, p.dirs); err != nil {
		return err
	}
	if c.opts.Has("preserve-throttles") {
		return nil
	}
	return c.clear(ctx, p)
}

// pollPause lies between two tries to move a replica that its broker does not have yet.
const pollPause = 100 * time.Millisecond
