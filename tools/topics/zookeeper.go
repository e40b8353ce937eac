package topics

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"slices"
	"strings"

	"gregor/internal/topicrules"
	"gregor/tools/internal/kclient"
	"gregor/tools/internal/zkclient"
	"gregor/zkmeta"
)

// zookeeper reaches the cluster through its znodes: the controller does what is written there.
type zookeeper struct {
	client *zkmeta.Client
	out    *bufio.Writer
}

func newZooKeeper(connect string, out *bufio.Writer, stderr io.Writer) (service, error) {
	c, err := zkclient.Dial(context.Background(), connect, stderr)
	if err != nil {
		return nil, err
	}
	return &zookeeper{client: c, out: out}, nil
}

func (z *zookeeper) close() { z.client.Close() }

func kafkaError(class, format string, args ...any) error {
	return &kclient.APIError{Class: "org.apache.kafka.common.errors." + class, Message: fmt.Sprintf(format, args...)}
}

func adminError(format string, args ...any) error {
	return &kclient.APIError{Class: "kafka.admin.AdminOperationException", Message: fmt.Sprintf(format, args...)}
}

func (z *zookeeper) topics(ctx context.Context, c *command) ([]string, error) {
	all, err := z.client.Topics(ctx)
	if err != nil {
		return nil, err
	}
	return c.filter(all)
}

func (z *zookeeper) existing(ctx context.Context, c *command) ([]string, error) {
	names, err := z.topics(ctx, c)
	if err != nil {
		return nil, err
	}
	return names, c.mustExist(names)
}

func (z *zookeeper) list(ctx context.Context, c *command) error {
	names, err := z.topics(ctx, c)
	if err != nil {
		return err
	}
	marked, err := z.client.TopicsMarkedForDeletion(ctx)
	if err != nil {
		return err
	}
	for _, name := range names {
		if slices.Contains(marked, name) {
			name += " - marked for deletion"
		}
		fmt.Fprintln(z.out, name)
	}
	return nil
}

func (z *zookeeper) brokers(ctx context.Context, c *command) ([]topicrules.Broker, error) {
	infos, err := z.client.Brokers(ctx)
	if err != nil {
		return nil, err
	}
	racked := 0
	out := make([]topicrules.Broker, len(infos))
	for i := range infos {
		out[i].ID = infos[i].ID
		if infos[i].Rack != nil && !c.has("disable-rack-aware") {
			out[i].Rack = infos[i].Rack
			racked++
		}
	}
	if racked > 0 && racked < len(out) {
		return nil, adminError("Not all brokers have rack information. Add --disable-rack-aware in command line" +
			" to make replica assignment without rack information.")
	}
	return out, nil
}

func assign(brokers []topicrules.Broker, partitions, replication int, first int32, start int) (map[int32][]int32, error) {
	m, err := topicrules.Assign(brokers, partitions, replication, first, start)
	var ae *topicrules.AssignError
	if !errors.As(err, &ae) {
		return m, err
	}
	switch ae.Kind {
	case topicrules.BadPartitions:
		return nil, kafkaError("InvalidPartitionsException", "%s", ae.Text)
	case topicrules.BadReplicationFactor:
		return nil, kafkaError("InvalidReplicationFactorException", "%s", ae.Text)
	case topicrules.MixedRacks:
	}
	return nil, adminError("%s", ae.Text)
}

func (z *zookeeper) create(ctx context.Context, c *command, cfg []setting) error {
	assignment := map[int32][]int32{}
	for i, replicas := range c.assignment {
		assignment[int32(i)] = replicas
	}
	if c.assignment == nil {
		brokers, err := z.brokers(ctx, c)
		if err != nil {
			return err
		}
		if assignment, err = assign(brokers, int(c.partitions), int(c.replication), 0, topicrules.Random); err != nil {
			return err
		}
	}
	err := z.checkName(ctx, c.topic)
	if err == nil {
		err = topicrules.CheckReplicas(assignment)
		var bad topicrules.ReplicaError
		if errors.As(err, &bad) {
			return kafkaError("InvalidReplicaAssignmentException", "%s", bad)
		}
	}
	if err == nil {
		err = z.client.CreateTopic(ctx, c.topic, assignment, asMap(cfg))
	}
	var exists *kclient.APIError
	switch {
	case errors.Is(err, zkmeta.ErrTopicExists), errors.Is(err, zkmeta.ErrTopicMarkedForDeletion):
		err = alreadyExists(c.topic)
		fallthrough
	case errors.As(err, &exists) && strings.HasSuffix(exists.Class, topicExists):
		if c.has("if-not-exists") {
			return nil
		}
		return err
	case err != nil:
		return err
	}
	fmt.Fprintf(z.out, "Created topic %s.\n", c.topic)
	return nil
}

const topicExists = "TopicExistsException"

func alreadyExists(topic string) error {
	return kafkaError(topicExists, "Topic '%s' already exists.", topic)
}

func (z *zookeeper) checkName(ctx context.Context, topic string) error {
	if err := topicrules.ValidateName(topic); err != nil {
		return kafkaError("InvalidTopicException", "%s", err)
	}
	all, err := z.client.Topics(ctx)
	if err != nil {
		return err
	}
	if slices.Contains(all, topic) {
		return alreadyExists(topic)
	}
	var colliding []string
	for _, t := range all {
		if collisionForm(t) == collisionForm(topic) {
			colliding = append(colliding, t)
		}
	}
	if colliding != nil {
		return kafkaError("InvalidTopicException", "Topic '%s' collides with existing topics: %s", topic, strings.Join(colliding, ", "))
	}
	return nil
}

// collisionForm is what a name becomes in metrics.
func collisionForm(topic string) string { return strings.ReplaceAll(topic, ".", "_") }

func asMap(cfg []setting) map[string]string {
	m := make(map[string]string, len(cfg))
	for _, s := range cfg {
		m[s.name] = s.value
	}
	return m
}

func (z *zookeeper) alter(ctx context.Context, c *command, cfg []setting) error {
	names, err := z.topics(ctx, c)
	if err != nil {
		return err
	}
	for _, name := range c.deleteConfig {
		if err := (setting{name: strings.TrimSpace(name)}).known(); err != nil {
			return err
		}
	}
	if err := c.mustExist(names); err != nil {
		return err
	}
	for _, topic := range names {
		if c.has("config") || c.has("delete-config") {
			if err := z.alterConfig(ctx, topic, cfg, c.deleteConfig); err != nil {
				return err
			}
		}
		if c.has("partitions") {
			if err := z.addPartitions(ctx, c, topic); err != nil {
				return err
			}
		}
	}
	return nil
}

func (z *zookeeper) alterConfig(ctx context.Context, topic string, cfg []setting, remove []string) error {
	fmt.Fprintln(z.out, "WARNING: Altering topic configuration from this script has been deprecated and may be removed in future releases.")
	fmt.Fprintln(z.out, "         Going forward, please use kafka-configs.sh for this functionality")
	all, err := z.client.TopicConfig(ctx, topic)
	if err != nil {
		return err
	}
	for _, s := range cfg {
		all[s.name] = s.value
	}
	for _, name := range remove {
		delete(all, strings.TrimSpace(name))
	}
	if err := z.client.SetTopicConfig(ctx, topic, all); err != nil {
		return err
	}
	fmt.Fprintf(z.out, "Updated config for topic %s.\n", topic)
	return nil
}

func (z *zookeeper) addPartitions(ctx context.Context, c *command, topic string) error {
	if isInternal(topic) {
		return kclient.IllegalArgument(fmt.Sprintf("The number of partitions for the internal topic %s cannot be changed.", topic))
	}
	fmt.Fprintln(z.out, "WARNING: If partitions are increased for a topic that has a key, the partition logic or ordering of the messages will be affected")
	full, err := z.client.TopicAssignment(ctx, topic)
	if errors.Is(err, zkmeta.ErrUnknownTopic) {
		return kafkaError("InvalidTopicException", "The topic %s does not exist", topic)
	}
	if err != nil {
		return err
	}
	brokers, err := z.brokers(ctx, c)
	if err != nil {
		return err
	}
	have := len(full)
	zero, ok := full[0]
	if !ok || len(zero) == 0 {
		return adminError("Unexpected existing replica assignment for topic '%s', partition id 0 is missing.", topic)
	}
	if int(c.partitions) <= have {
		return kafkaError("InvalidPartitionsException", "The number of partitions for a topic can only be increased. "+
			"Topic %s currently has %d partitions, %d would not be an increase.", topic, have, c.partitions)
	}
	added, err := newReplicas(c, brokers, zero, have)
	if err != nil {
		return err
	}
	for p, replicas := range added {
		full[p] = replicas
	}
	if err := z.client.AddPartitions(ctx, topic, full); err != nil {
		return err
	}
	fmt.Fprintln(z.out, "Adding partitions succeeded!")
	return nil
}

// newReplicas places the partitions that are added: by hand where the command says so, else beginning at partition 0's first broker.
func newReplicas(c *command, brokers []topicrules.Broker, zero []int32, have int) (map[int32][]int32, error) {
	if len(c.assignment) <= have {
		start := max(0, slices.IndexFunc(brokers, func(b topicrules.Broker) bool { return b.ID >= zero[0] }))
		return assign(brokers, int(c.partitions)-have, len(zero), int32(have), start)
	}
	by := c.assignment[have:]
	var live []int32
	for _, b := range brokers {
		live = append(live, b.ID)
	}
	out := map[int32][]int32{}
	for i, replicas := range by {
		for _, id := range replicas {
			if !slices.Contains(live, id) {
				return nil, kafkaError("BrokerNotAvailableException",
					"Some brokers specified for partition id %d are not available. Specified brokers: %s, available brokers: %s.",
					have+i, spaced(replicas), spaced(live))
			}
		}
		out[int32(have+i)] = replicas
	}
	if err := topicrules.CheckNewReplicas(by, int32(have), len(zero)); err != nil {
		return nil, kafkaError("InvalidReplicaAssignmentException", "%s", err)
	}
	return out, nil
}

func spaced(ids []int32) string { return strings.ReplaceAll(join(ids), ",", ", ") }

func (z *zookeeper) describe(ctx context.Context, c *command) error {
	names, err := z.existing(ctx, c)
	if err != nil || len(names) == 0 {
		return err
	}
	ids, err := z.client.BrokerIDs(ctx)
	if err != nil {
		return err
	}
	live := map[int32]bool{}
	for _, id := range ids {
		live[id] = true
	}
	marked, err := z.client.TopicsMarkedForDeletion(ctx)
	if err != nil {
		return err
	}
	configs, err := z.client.TopicConfigs(ctx, names)
	if err != nil {
		return err
	}
	r := newReport(c, live)
	for _, name := range names {
		if err := z.describeTopic(ctx, r, name, configs[name], slices.Contains(marked, name)); err != nil {
			return err
		}
	}
	return nil
}

func (z *zookeeper) describeTopic(ctx context.Context, r *report, name string, cfg map[string]string, marked bool) error {
	assignment, err := z.client.TopicAssignment(ctx, name)
	if errors.Is(err, zkmeta.ErrUnknownTopic) {
		fmt.Fprintf(z.out, "Topic %s doesn't exist!\n", name)
		return nil
	}
	if err != nil {
		return err
	}
	ids := make([]int32, 0, len(assignment))
	for id := range assignment {
		ids = append(ids, id)
	}
	slices.Sort(ids)
	if r.all && len(ids) > 0 && (!r.overrides || len(cfg) > 0) {
		var settings []setting
		for k, v := range cfg {
			settings = append(settings, setting{k, v})
		}
		slices.SortFunc(settings, func(a, b setting) int { return strings.Compare(a.name, b.name) })
		printTopic(z.out, name, len(ids), len(assignment[ids[0]]), inJavaOrder(settings), marked)
	}
	if r.overrides {
		return nil
	}
	tps := make([]zkmeta.TopicPartition, len(ids))
	for i, id := range ids {
		tps[i] = zkmeta.TopicPartition{Topic: name, Partition: id}
	}
	states, err := z.client.PartitionStates(ctx, tps)
	if err != nil {
		return err
	}
	for _, tp := range tps {
		p := partition{id: tp.Partition, leader: -1, replicas: assignment[tp.Partition]}
		if st, ok := states[tp]; ok {
			p.leader, p.isr = st.Leader, st.ISR
		}
		if r.shows(&p, -1) {
			printPartition(z.out, name, &p, marked)
		}
	}
	return nil
}

func (z *zookeeper) remove(ctx context.Context, c *command) error {
	names, err := z.existing(ctx, c)
	if err != nil {
		return err
	}
	for _, name := range names {
		if isInternal(name) {
			return adminError("Topic %s is a kafka internal topic and is not allowed to be marked for deletion.", name)
		}
		switch err := z.client.DeleteTopic(ctx, name); {
		case errors.Is(err, zkmeta.ErrTopicMarkedForDeletion):
			fmt.Fprintf(z.out, "Topic %s is already marked for deletion.\n", name)
		case err != nil:
			return adminError("Error while deleting topic %s: %v", name, err)
		default:
			fmt.Fprintf(z.out, "Topic %s is marked for deletion.\nNote: This will have no impact if delete.topic.enable is not set to true.\n", name)
		}
	}
	return nil
}
