package reassign

import (
	"cmp"
	"errors"
	"fmt"
	"maps"
	"slices"
	"strconv"
	"strings"

	"gregor/internal/jvm"
	"gregor/internal/topicrules"
	"gregor/tools/internal/kclient"
	"gregor/tools/internal/scalajson"
)

type partition = kclient.TopicPartition

// assignments are the replicas of partitions.
type assignments map[partition][]int32

// replica is one broker's copy of a partition.
type replica struct {
	partition
	broker int32
}

func (r replica) String() string { return r.partition.String() + "-" + strconv.Itoa(int(r.broker)) }

// target is where a partition is to lie.
type target struct {
	partition
	replicas []int32
}

// plan is what a reassignment file says.
type plan struct {
	targets []target
	dirs    map[replica]string // only those that the file names
}

func (p *plan) assignments() assignments {
	m := make(assignments, len(p.targets))
	for _, t := range p.targets {
		m[t.partition] = t.replicas
	}
	return m
}

func (p *plan) partitions() []partition {
	out := make([]partition, len(p.targets))
	for i, t := range p.targets {
		out[i] = t.partition
	}
	return out
}

func sorted(tps []partition) []partition {
	slices.SortFunc(tps, comparePartitions)
	return tps
}

func comparePartitions(a, b partition) int {
	return cmp.Or(cmp.Compare(a.Topic, b.Topic), cmp.Compare(a.Partition, b.Partition))
}

func keys[V any](m map[partition]V) []partition { return sorted(slices.Collect(maps.Keys(m))) }

func replicas[V any](m map[replica]V) []replica {
	return slices.SortedFunc(maps.Keys(m), func(a, b replica) int {
		return cmp.Or(cmp.Compare(a.broker, b.broker), comparePartitions(a.partition, b.partition))
	})
}

func numbers(ids []int32, sep string) string {
	words := make([]string, len(ids))
	for i, id := range ids {
		words[i] = strconv.Itoa(int(id))
	}
	return strings.Join(words, sep)
}

func intHash(n int32) int32 { return n }

// plural is the ending for n things.
func plural(n int) string {
	if n == 1 {
		return ""
	}
	return "s"
}

func failed(format string, args ...any) error {
	return &kclient.APIError{Class: "kafka.common.AdminCommandFailedException", Message: fmt.Sprintf(format, args...)}
}

func refused(format string, args ...any) error {
	return &kclient.APIError{Class: "kafka.admin.AdminOperationException", Message: fmt.Sprintf(format, args...)}
}

// document is a file of version 1.
func document(text []byte) (scalajson.Object, error) {
	doc, ok := scalajson.Parse(text)
	if !ok {
		return nil, refused("The input string is not a valid JSON")
	}
	top, err := doc.Object()
	if err != nil {
		return nil, err
	}
	if v, ok := top["version"]; ok {
		n, err := v.Int()
		if err != nil {
			return nil, err
		}
		if n != 1 {
			return nil, refused("Not supported version field value %d", n)
		}
	}
	return top, nil
}

// objects are the elements of a list of objects; none where the field is not there.
func objects(top scalajson.Object, field string) ([]scalajson.Value, error) {
	v, ok := top[field]
	if !ok {
		return nil, nil
	}
	return v.Array()
}

func parsePlan(text []byte) (*plan, error) {
	top, err := document(text)
	if err != nil {
		return nil, err
	}
	list, err := objects(top, "partitions")
	if err != nil {
		return nil, err
	}
	p := &plan{dirs: map[replica]string{}}
	for _, v := range list {
		if err := p.add(v); err != nil {
			return nil, err
		}
	}
	return p, nil
}

func (p *plan) add(v scalajson.Value) error {
	o, err := v.Object()
	if err != nil {
		return err
	}
	t := target{}
	if t.partition, err = scalajson.Partition(o); err != nil {
		return err
	}
	field, err := o.Field("replicas")
	if err != nil {
		return err
	}
	if t.replicas, err = each(field, scalajson.Value.Int); err != nil {
		return err
	}
	if field, ok := o["log_dirs"]; ok {
		dirs, err := each(field, scalajson.Value.Text)
		if err != nil {
			return err
		}
		if len(dirs) != len(t.replicas) {
			return failed("Size of replicas list List(%s) is different from size of log dirs list List(%s) for partition %s",
				numbers(t.replicas, ", "), strings.Join(dirs, ", "), t.partition)
		}
		for i, dir := range dirs {
			if dir != anyDir {
				p.dirs[replica{t.partition, t.replicas[i]}] = dir
			}
		}
	}
	p.targets = append(p.targets, t)
	return nil
}

// anyDir stands for the directory that the broker chooses.
const anyDir = "any"

func each[T any](v scalajson.Value, read func(scalajson.Value) (T, error)) ([]T, error) {
	list, err := v.Array()
	if err != nil {
		return nil, err
	}
	out := make([]T, len(list))
	for i, e := range list {
		if out[i], err = read(e); err != nil {
			return nil, err
		}
	}
	return out, nil
}

// parseExecution is parsePlan, for a plan that is carried out.
func parseExecution(text []byte) (*plan, error) {
	p, err := parsePlan(text)
	if err != nil {
		return nil, err
	}
	if len(p.targets) == 0 {
		return nil, failed("Partition reassignment list cannot be empty")
	}
	if slices.ContainsFunc(p.targets, func(t target) bool { return len(t.replicas) == 0 }) {
		return nil, failed("Partition replica list cannot be empty")
	}
	if twice := kclient.ScalaDuplicates(p.partitions()); twice != nil {
		return nil, failed("Partition reassignment contains duplicate topic partitions: %s", kclient.JoinPartitions(twice, ","))
	}
	var bad []string
	for _, t := range p.targets {
		if twice := jvm.ScalaDuplicates(t.replicas, intHash); twice != nil {
			bad = append(bad, fmt.Sprintf("%s contains multiple entries for %s", t.partition, numbers(twice, ",")))
		}
	}
	if bad != nil {
		return nil, failed("Partition replica lists may not contain duplicate entries: %s", strings.Join(bad, ". "))
	}
	return p, nil
}

// parseGeneration reads what --generate is to place where.
func parseGeneration(text []byte, brokerList string) (brokers []int32, topics []string, err error) {
	words := strings.Split(brokerList, ",")
	for len(words) > 1 && words[len(words)-1] == "" {
		words = words[:len(words)-1]
	}
	for _, w := range words {
		n, err := strconv.ParseInt(w, 10, 32)
		if err != nil {
			return nil, nil, kclient.NumberFormat(w)
		}
		brokers = append(brokers, int32(n))
	}
	if twice := jvm.ScalaDuplicates(brokers, intHash); twice != nil {
		return nil, nil, failed("Broker list contains duplicate entries: %s", numbers(twice, ","))
	}
	top, err := document(text)
	if err != nil {
		return nil, nil, err
	}
	list, err := objects(top, "topics")
	if err != nil {
		return nil, nil, err
	}
	for _, v := range list {
		o, err := v.Object()
		if err == nil {
			v, err = o.Field("topic")
		}
		var name string
		if err == nil {
			name, err = v.Text()
		}
		if err != nil {
			return nil, nil, err
		}
		topics = append(topics, name)
	}
	if twice := jvm.ScalaDuplicates(topics, jvm.StringHash); twice != nil {
		return nil, nil, failed("List of topics to reassign contains duplicate entries: %s", strings.Join(twice, ","))
	}
	return brokers, topics, nil
}

const mixedRacks = "Not all brokers have rack information. Add --disable-rack-aware in command line to make replica assignment without rack information."

// chosen are the brokers of the list that are there.
func chosen(all []topicrules.Broker, list []int32, racks bool) ([]topicrules.Broker, error) {
	var out []topicrules.Broker
	without := 0
	for _, b := range all {
		if !slices.Contains(list, b.ID) {
			continue
		}
		if !racks {
			b.Rack = nil
		}
		if b.Rack == nil {
			without++
		}
		out = append(out, b)
	}
	if racks && without != 0 && without != len(out) {
		return nil, refused(mixedRacks)
	}
	return out, nil
}

// propose places each topic's partitions anew.
func propose(current assignments, brokers []topicrules.Broker) (assignments, error) {
	byTopic := map[string][]partition{}
	for _, tp := range keys(current) {
		byTopic[tp.Topic] = append(byTopic[tp.Topic], tp)
	}
	out := assignments{}
	for topic, tps := range byTopic {
		placed, err := topicrules.Assign(brokers, len(tps), len(current[tps[0]]), 0, topicrules.Random)
		var ae *topicrules.AssignError
		if errors.As(err, &ae) {
			class := "InvalidReplicationFactorException"
			if ae.Kind == topicrules.BadPartitions {
				class = "InvalidPartitionsException"
			}
			return nil, &kclient.APIError{Class: "org.apache.kafka.common.errors." + class, Message: ae.Text}
		}
		if err != nil {
			return nil, err
		}
		for p, ids := range placed {
			out[partition{Topic: topic, Partition: p}] = ids
		}
	}
	return out, nil
}

// encode writes assignments as a reassignment file.
func (a assignments) encode() string {
	b := []byte(`{"version":1,"partitions":[`)
	for i, tp := range keys(a) {
		if i > 0 {
			b = append(b, ',')
		}
		b = append(b, `{"topic":`...)
		b = jvm.AppendJSON(b, tp.Topic)
		dirs := strings.TrimSuffix(strings.Repeat(`"`+anyDir+`",`, len(a[tp])), ",")
		b = fmt.Appendf(b, `,"partition":%d,"replicas":[%s],"log_dirs":[%s]}`, tp.Partition, numbers(a[tp], ","), dirs)
	}
	return string(append(b, "]}"...))
}

// proposal is what --generate prints.
func proposal(current assignments, brokers []topicrules.Broker) (string, error) {
	proposed, err := propose(current, brokers)
	if err != nil {
		return "", err
	}
	return fmt.Sprintf("Current partition replica assignment\n%s\n\nProposed partition reassignment configuration\n%s\n",
		current.encode(), proposed.encode()), nil
}

// rollback is what --execute prints first: how to go back.
func rollback(p *plan, current assignments) string {
	wanted := p.assignments()
	old := assignments{}
	for tp, ids := range current {
		if _, ok := wanted[tp]; ok {
			old[tp] = ids
		}
	}
	return "Current partition replica assignment\n\n" + old.encode() + "\n\nSave this to use as the --reassignment-json-file option during rollback"
}

func started(p *plan) string {
	return fmt.Sprintf("Successfully started partition reassignment%s for %s", plural(len(p.targets)),
		kclient.JoinPartitions(sorted(p.partitions()), ","))
}

// state is how far a partition's move is.
type state struct {
	current, target []int32
	done            bool
}

func describeStates(states map[partition]state) string {
	lines := []string{"Status of partition reassignment:"}
	for _, tp := range keys(states) {
		switch s := states[tp]; {
		case !s.done:
			lines = append(lines, fmt.Sprintf("Reassignment of partition %s is still in progress.", tp))
		case slices.Equal(s.current, s.target):
			lines = append(lines, fmt.Sprintf("Reassignment of partition %s is complete.", tp))
		default:
			lines = append(lines, fmt.Sprintf("There is no active reassignment of partition %s, but replica set is %s rather than %s.",
				tp, numbers(s.current, ","), numbers(s.target, ",")))
		}
	}
	return strings.Join(lines, "\n")
}

// scalaOrder are the plan's partitions as Kafka's command goes through them.
func (p *plan) scalaOrder() []partition { return kclient.ScalaSet(p.partitions()) }

// toClear are the brokers and topics whose throttles a finished plan removes: those it may have set are not known any more.
func toClear(alive []int32, p *plan) (brokers []int32, topics []string) {
	brokers = slices.Clone(alive)
	for _, t := range p.targets {
		brokers = append(brokers, t.replicas...)
		topics = append(topics, t.Topic)
	}
	return jvm.ScalaSet(brokers, intHash), jvm.ScalaSet(topics, jvm.StringHash)
}

func clearingBrokers(ids []int32) string {
	return fmt.Sprintf("Clearing broker-level throttles on broker%s %s", plural(len(ids)), numbers(ids, ","))
}

func clearingTopics(names []string) string {
	return fmt.Sprintf("Clearing topic-level throttles on topic%s %s", plural(len(names)), strings.Join(names, ","))
}
