package reassign

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"maps"
	"slices"
	"strconv"
	"strings"

	"gregor/internal/jvm"
	"gregor/internal/topicrules"
	"gregor/tools/internal/cli"
	"gregor/tools/internal/zkclient"
	"gregor/zkmeta"
)

// byZooKeeper reaches the cluster through its znodes, in the old way.
type byZooKeeper struct {
	*command
	zk *zkmeta.Client
}

func runByZooKeeper(ctx context.Context, o *cli.Options, a string, out *bufio.Writer, stderr io.Writer) error {
	zk, err := zkclient.Dial(ctx, o.String("zookeeper"), stderr)
	if err != nil {
		return err
	}
	defer zk.Close()
	z := &byZooKeeper{command: &command{out: out, opts: o}, zk: zk}
	text, err := z.file(a)
	if err != nil {
		return err
	}
	switch a {
	case "verify":
		return z.verify(ctx, text)
	case "generate":
		return z.generate(ctx, text)
	}
	return z.execute(ctx, text)
}

// assignments are those of all partitions of topics; a topic that is not there has none.
func (z *byZooKeeper) assignments(ctx context.Context, topics []string) (assignments, error) {
	out := assignments{}
	for _, topic := range topics {
		ids, err := z.zk.TopicAssignment(ctx, topic)
		if errors.Is(err, zkmeta.ErrUnknownTopic) {
			continue
		}
		if err != nil {
			return nil, err
		}
		for p, r := range ids {
			out[partition{Topic: topic, Partition: p}] = r
		}
	}
	return out, nil
}

func (p *plan) topics() []string {
	names := map[string]bool{}
	for _, t := range p.targets {
		names[t.Topic] = true
	}
	return slices.Sorted(maps.Keys(names))
}

const needsBrokers = "bootstrap-server needs to be provided when replica reassignments are present."

func (z *byZooKeeper) verify(ctx context.Context, text []byte) error {
	p, err := parsePlan(text)
	if err != nil {
		return err
	}
	if len(p.dirs) > 0 {
		return failed(needsBrokers)
	}
	fmt.Fprintln(z.out, "Warning: because you are using the deprecated --zookeeper option, the results may be incomplete.  "+
		"Use --bootstrap-server instead for more accurate results.")
	underWay, err := z.underWay(ctx)
	if err != nil {
		return err
	}
	current, err := z.assignments(ctx, p.topics())
	if err != nil {
		return err
	}
	states := map[partition]state{}
	for _, t := range p.targets {
		_, busy := underWay[zkmeta.TopicPartition(t.partition)]
		states[t.partition] = state{current[t.partition], t.replicas, !busy}
	}
	fmt.Fprintln(z.out, describeStates(states))
	if len(underWay) > 0 || z.opts.Has("preserve-throttles") {
		return nil
	}
	return z.clear(ctx, p)
}

// underWay are the moves that were asked for in the old way and go on.
func (z *byZooKeeper) underWay(ctx context.Context) (map[zkmeta.TopicPartition][]int32, error) {
	data, _, err := z.zk.Get(ctx, zkmeta.PathReassignPartitions)
	if errors.Is(err, zkmeta.ErrNoNode) {
		return nil, nil
	}
	if err != nil {
		return nil, err
	}
	return zkmeta.DecodeReassignment(data)
}

func (z *byZooKeeper) clear(ctx context.Context, p *plan) error {
	alive, err := z.zk.BrokerIDs(ctx)
	if err != nil {
		return err
	}
	brokers, topics := toClear(alive, p)
	fmt.Fprintln(z.out, clearingBrokers(brokers))
	for _, id := range brokers {
		if err := z.unset(ctx, zkmeta.EntityBrokers, strconv.Itoa(int(id)), brokerThrottles); err != nil {
			return err
		}
	}
	fmt.Fprintln(z.out, clearingTopics(topics))
	for _, topic := range topics {
		if err := z.unset(ctx, zkmeta.EntityTopics, topic, topicThrottles); err != nil {
			return err
		}
	}
	return nil
}

func (z *byZooKeeper) unset(ctx context.Context, kind, name string, settings []string) error {
	all, err := z.zk.EntityConfig(ctx, kind, name)
	if err != nil {
		return err
	}
	n := len(all)
	for _, s := range settings {
		delete(all, s)
	}
	if len(all) == n {
		return nil
	}
	return z.zk.SetEntityConfig(ctx, kind, name, all)
}

func (z *byZooKeeper) set(ctx context.Context, kind, name string, settings map[string]string) error {
	all, err := z.zk.EntityConfig(ctx, kind, name)
	if err != nil {
		return err
	}
	maps.Copy(all, settings)
	return z.zk.SetEntityConfig(ctx, kind, name, all)
}

func (z *byZooKeeper) generate(ctx context.Context, text []byte) error {
	list, topics, err := parseGeneration(text, z.opts.String("broker-list"))
	if err != nil {
		return err
	}
	current, err := z.assignments(ctx, topics)
	if err != nil {
		return err
	}
	infos, err := z.zk.Brokers(ctx)
	if err != nil {
		return err
	}
	all := make([]topicrules.Broker, len(infos))
	for i := range infos {
		all[i] = topicrules.Broker{ID: infos[i].ID, Rack: infos[i].Rack}
	}
	brokers, err := chosen(all, list, !z.opts.Has("disable-rack-aware"))
	if err != nil {
		return err
	}
	shown, err := proposal(current, brokers)
	fmt.Fprint(z.out, shown)
	return err
}

func (z *byZooKeeper) execute(ctx context.Context, text []byte) error {
	p, err := parseExecution(text)
	if err != nil {
		return err
	}
	if len(p.dirs) > 0 {
		return failed(needsBrokers)
	}
	current, err := z.assignments(ctx, p.topics())
	if err != nil {
		return err
	}
	if err := z.known(ctx, p, current); err != nil {
		return err
	}
	busy, _, err := z.zk.Exists(ctx, zkmeta.PathReassignPartitions)
	if err != nil {
		return err
	}
	if busy {
		return terse(existing)
	}
	fmt.Fprintln(z.out, rollback(p, current))
	if rate := z.opts.Int("throttle"); rate >= 0 {
		fmt.Fprintln(z.out, runVerify)
		if err := z.throttle(ctx, moves(nil, p.assignments(), current), rate); err != nil {
			return err
		}
	}
	wanted := make(map[zkmeta.TopicPartition][]int32, len(p.targets))
	for _, t := range p.targets {
		wanted[zkmeta.TopicPartition(t.partition)] = t.replicas
	}
	if err := z.zk.Create(ctx, zkmeta.PathReassignPartitions, zkmeta.EncodeReassignment(wanted)); err != nil {
		return err
	}
	fmt.Fprintln(z.out, started(p))
	return nil
}

// known refuses partitions and brokers that are not there.
func (z *byZooKeeper) known(ctx context.Context, p *plan, current assignments) error {
	var missing []string
	for _, tp := range p.scalaOrder() {
		if _, ok := current[tp]; !ok {
			missing = append(missing, tp.String())
		}
	}
	if missing != nil {
		return failed("The proposed assignment contains non-existent partitions: List(%s)", strings.Join(missing, ", "))
	}
	alive, err := z.zk.BrokerIDs(ctx)
	if err != nil {
		return err
	}
	if strange := p.strangers(alive); len(strange) > 0 {
		return failed("The proposed assignment contains non-existent brokerIDs: %s", numbers(strange, ","))
	}
	return nil
}

// strangers are the brokers that the plan names and that are not there.
func (p *plan) strangers(alive []int32) []int32 {
	var out []int32
	wanted := p.assignments()
	for _, tp := range p.scalaOrder() {
		for _, id := range wanted[tp] {
			if !slices.Contains(alive, id) {
				out = append(out, id)
			}
		}
	}
	return jvm.ScalaSet(out, intHash)
}

func (z *byZooKeeper) throttle(ctx context.Context, all map[partition]move, rate int64) error {
	from, to := leaders(all), followers(all)
	for _, topic := range slices.Sorted(maps.Keys(from)) {
		if err := z.set(ctx, zkmeta.EntityTopics, topic, map[string]string{leaderReplicas: from[topic], followerReplicas: to[topic]}); err != nil {
			return err
		}
	}
	limit := strconv.FormatInt(rate, 10)
	for _, id := range brokersOf(all) {
		if err := z.set(ctx, zkmeta.EntityBrokers, strconv.Itoa(int(id)), map[string]string{leaderRate: limit, followerRate: limit}); err != nil {
			return err
		}
	}
	fmt.Fprint(z.out, limitSet(rate))
	return nil
}
