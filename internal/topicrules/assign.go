package topicrules

import (
	"fmt"
	"math/rand/v2"
	"slices"
)

// Broker is a broker that replicas may be placed on.
type Broker struct {
	ID   int32
	Rack *string
}

// AssignError is an assignment that cannot be made. Its text is Kafka's.
type AssignError struct {
	Kind AssignErrorKind
	Text string
}

func (e *AssignError) Error() string { return e.Text }

// AssignErrorKind says which of Kafka's error codes fits.
type AssignErrorKind uint8

const (
	BadPartitions AssignErrorKind = iota
	BadReplicationFactor
	// MixedRacks: some brokers have a rack and some have none.
	MixedRacks
)

// Random is how Assign begins: at a random broker, with a random shift between the first and the second replica.
const Random = -1

// Assign places partitions first, first+1, ... on brokers: first replicas round robin, the others after them with a shift that grows with
// each round; with racks, each rack gets a replica before one gets two. start is Random, or the index of the broker to begin with.
func Assign(brokers []Broker, partitions, replicationFactor int, first int32, start int) (map[int32][]int32, error) {
	switch {
	case partitions <= 0:
		return nil, &AssignError{BadPartitions, "Number of partitions must be larger than 0."}
	case replicationFactor <= 0:
		return nil, &AssignError{BadReplicationFactor, "Replication factor must be larger than 0."}
	case replicationFactor > len(brokers):
		return nil, &AssignError{BadReplicationFactor, fmt.Sprintf("Replication factor: %d larger than available brokers: %d.", replicationFactor, len(brokers))}
	}
	racked := 0
	for _, b := range brokers {
		if b.Rack != nil {
			racked++
		}
	}
	if racked > 0 && racked < len(brokers) {
		return nil, &AssignError{MixedRacks, "Not all brokers have rack information for replica rack aware assignment."}
	}
	p := placer{rack: make(map[int32]string, racked), racks: 1}
	if racked == 0 {
		for _, b := range brokers {
			p.order = append(p.order, b.ID)
		}
	} else {
		p.alternate(brokers)
	}
	shift := start
	if start < 0 {
		start, shift = rand.IntN(len(p.order)), rand.IntN(len(p.order))
	}
	out := make(map[int32][]int32, partitions)
	for i := range partitions {
		id := int(first) + i
		if id > 0 && id%len(p.order) == 0 {
			shift++
		}
		out[int32(id)] = p.place((id+start)%len(p.order), shift, replicationFactor)
	}
	return out, nil
}

type placer struct {
	order []int32
	rack  map[int32]string
	racks int
}

// alternate orders the brokers so that neighbours are in different racks: the first of each rack, then the second of each, and so on.
func (p *placer) alternate(brokers []Broker) {
	byRack := make(map[string][]int32)
	for _, b := range brokers {
		byRack[*b.Rack] = append(byRack[*b.Rack], b.ID)
		p.rack[b.ID] = *b.Rack
	}
	names := make([]string, 0, len(byRack))
	for n, ids := range byRack {
		slices.Sort(ids)
		names = append(names, n)
	}
	slices.Sort(names)
	p.racks = len(names)
	for i := 0; len(p.order) < len(brokers); i++ {
		for _, n := range names {
			if i < len(byRack[n]) {
				p.order = append(p.order, byRack[n][i])
			}
		}
	}
}

func (p *placer) place(first, shift, replicas int) []int32 {
	n := len(p.order)
	leader := p.order[first]
	out := append(make([]int32, 0, replicas), leader)
	usedRacks := map[string]bool{p.rack[leader]: true}
	step := shift
	if len(p.rack) > 0 {
		step *= p.racks
	}
	for k := 0; len(out) < replicas; k++ {
		// The distance from the first replica is 1..n-1, so that n-1 steps visit every other broker.
		b := p.order[(first+1+(step+k)%(n-1))%n]
		if len(p.rack) > 0 {
			if usedRacks[p.rack[b]] && len(usedRacks) < p.racks || slices.Contains(out, b) && len(out) < n {
				continue
			}
			usedRacks[p.rack[b]] = true
		}
		out = append(out, b)
	}
	return out
}

// ReplicaError is a manual assignment that is not allowed. Its text is Kafka's.
type ReplicaError string

func (e ReplicaError) Error() string { return string(e) }

// CheckNewReplicas checks the manual assignment of partitions that are added to a topic, in the order of their numbers.
func CheckNewReplicas(added [][]int32, first int32, replicationFactor int) error {
	var partitions, factors []int32
	for i, replicas := range added {
		id := first + int32(i)
		if len(replicas) == 0 {
			return ReplicaError(fmt.Sprintf("Cannot have replication factor of 0 for partition id %d.", id))
		}
		if hasDuplicates(replicas) {
			return ReplicaError(fmt.Sprintf("Duplicate brokers not allowed in replica assignment: %s for partition id %d.", join(replicas, ", "), id))
		}
		if len(replicas) != replicationFactor {
			partitions, factors = append(partitions, id), append(factors, int32(len(replicas)))
		}
	}
	if len(partitions) > 0 {
		return ReplicaError(fmt.Sprintf("Inconsistent replication factor between partitions, partition 0 has %d while partitions [%s] have "+
			"replication factors [%s], respectively.", replicationFactor, join(partitions, ", "), join(factors, ", ")))
	}
	return nil
}

// CheckReplicas checks the manual assignment of a new topic.
func CheckReplicas(assignment map[int32][]int32) error {
	sizes := make(map[int]bool)
	for _, r := range assignment {
		sizes[len(r)] = true
	}
	if len(sizes) != 1 {
		return ReplicaError("All partitions should have the same number of replicas")
	}
	for p := int32(0); p < int32(len(assignment)); p++ {
		if _, ok := assignment[p]; !ok {
			return ReplicaError("partitions should be a consecutive 0-based integer sequence")
		}
	}
	for p := range int32(len(assignment)) {
		if hasDuplicates(assignment[p]) {
			return ReplicaError("Duplicate replica assignment found: " + scalaMap(assignment))
		}
	}
	return nil
}

// scalaMap writes an assignment as Kafka's message has it.
func scalaMap(assignment map[int32][]int32) string {
	s := ""
	for p := range int32(len(assignment)) {
		if s != "" {
			s += ", "
		}
		s += fmt.Sprintf("%d -> ArrayBuffer(%s)", p, join(assignment[p], ", "))
	}
	return "HashMap(" + s + ")"
}

func hasDuplicates(ids []int32) bool {
	s := slices.Clone(ids)
	slices.Sort(s)
	return len(slices.Compact(s)) != len(ids)
}
