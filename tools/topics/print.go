package topics

import (
	"bufio"
	"fmt"
	"slices"
	"strconv"
	"strings"

	"gregor/tools/internal/kclient"
)

// partition is what describe knows of one partition.
type partition struct {
	id       int32
	leader   int32 // -1: none
	replicas []int32
	isr      []int32
	adding   []int32
	removing []int32
	moving   bool
}

// replicationFactor leaves out replicas that a running reassignment adds.
func (p *partition) replicationFactor() int {
	if !p.moving {
		return len(p.replicas)
	}
	changing := slices.Concat(p.removing, p.adding)
	if !slices.ContainsFunc(p.replicas, func(id int32) bool { return slices.Contains(changing, id) }) {
		return len(p.replicas)
	}
	n := 0
	for _, id := range p.replicas {
		if !slices.Contains(p.adding, id) {
			n++
		}
	}
	return n
}

// report says which partitions describe shows.
type report struct {
	all         bool
	underRepl   bool
	unavailable bool
	underMinISR bool
	atMinISR    bool
	overrides   bool
	live        map[int32]bool
}

func newReport(c *command, live map[int32]bool) *report {
	r := &report{live: live, underRepl: c.has("under-replicated-partitions"), unavailable: c.has("unavailable-partitions"),
		underMinISR: c.has("under-min-isr-partitions"), atMinISR: c.has("at-min-isr-partitions"), overrides: c.has("topics-with-overrides")}
	r.all = !r.underRepl && !r.unavailable && !r.underMinISR && !r.atMinISR
	return r
}

// shows decides on one partition; minISR is -1 where it is not known.
func (r *report) shows(p *partition, minISR int) bool {
	return r.all ||
		r.underRepl && p.replicationFactor() > len(p.isr) ||
		r.unavailable && (p.leader < 0 || !r.live[p.leader]) ||
		r.underMinISR && (p.leader < 0 || minISR >= 0 && len(p.isr) < minISR) ||
		r.atMinISR && minISR >= 0 && len(p.isr) == minISR
}

func printTopic(out *bufio.Writer, topic string, partitions, replication int, cfg []setting, marked bool) {
	names := make([]string, len(cfg))
	byName := make(map[string]string, len(cfg))
	for i, s := range cfg {
		names[i] = s.name
		byName[s.name] = s.value
	}
	fmt.Fprintf(out, "Topic: %s\tPartitionCount: %d\tReplicationFactor: %d\tConfigs: ", topic, partitions, replication)
	for i, name := range names {
		if i > 0 {
			out.WriteByte(',') //nolint:errcheck // kept by the writer
		}
		out.WriteString(name + "=" + byName[name]) //nolint:errcheck // kept by the writer
	}
	endLine(out, marked)
}

func printPartition(out *bufio.Writer, topic string, p *partition, marked bool) {
	leader := "none"
	if p.leader >= 0 {
		leader = strconv.Itoa(int(p.leader))
	}
	fmt.Fprintf(out, "\tTopic: %s\tPartition: %d\tLeader: %s\tReplicas: %s\tIsr: %s", topic, p.id, leader, join(p.replicas), join(p.isr))
	if p.moving {
		fmt.Fprintf(out, "\tAdding Replicas: %s\tRemoving Replicas: %s", join(p.adding), join(p.removing))
	}
	endLine(out, marked)
}

func endLine(out *bufio.Writer, marked bool) {
	if marked {
		out.WriteString("\tMarkedForDeletion: true") //nolint:errcheck // kept by the writer
	}
	out.WriteByte('\n') //nolint:errcheck // kept by the writer
}

// inJavaOrder sorts settings as the hash map in which Apache's tool keeps them does.
func inJavaOrder(cfg []setting) []setting {
	names := make([]string, len(cfg))
	byName := make(map[string]setting, len(cfg))
	for i, s := range cfg {
		names[i] = s.name
		byName[s.name] = s
	}
	out := make([]setting, 0, len(cfg))
	for _, n := range kclient.HashOrder(names, 0) {
		out = append(out, byName[n])
	}
	return out
}

func printNames(out *bufio.Writer, names []string) {
	out.WriteString(strings.Join(names, "\n") + "\n") //nolint:errcheck // kept by the writer
}
