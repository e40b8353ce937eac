package zkmeta

import (
	"errors"
	"fmt"
	"sort"
)

// EncodeReassignment writes /admin/reassign_partitions.
func EncodeReassignment(assignment map[TopicPartition][]int32) []byte {
	return object{{"version", jsonInt(1)}, {"partitions", encodePartitions(assignment)}}.encode()
}

func encodePartitions(assignment map[TopicPartition][]int32) []byte {
	tps := make([]TopicPartition, 0, len(assignment))
	for tp := range assignment {
		tps = append(tps, tp)
	}
	sort.Slice(tps, func(i, j int) bool {
		if tps[i].Topic != tps[j].Topic {
			return tps[i].Topic < tps[j].Topic
		}
		return tps[i].Partition < tps[j].Partition
	})
	b := []byte{'['}
	for i, tp := range tps {
		if i > 0 {
			b = append(b, ',')
		}
		o := object{{"topic", jsonString(tp.Topic)}, {"partition", jsonInt(int64(tp.Partition))}}
		if r := assignment[tp]; r != nil {
			o = append(o, field{"replicas", jsonInts(r)})
		}
		b = append(b, o.encode()...)
	}
	return append(b, ']')
}

type partitionJSON struct {
	Topic     string  `json:"topic"`
	Partition int32   `json:"partition"`
	Replicas  []int32 `json:"replicas"`
}

// DecodeReassignment reads /admin/reassign_partitions.
func DecodeReassignment(data []byte) (map[TopicPartition][]int32, error) {
	ps, err := decodePartitions(data)
	if err != nil {
		return nil, fmt.Errorf("%s holds %.200q: %w", PathReassignPartitions, data, err)
	}
	out := make(map[TopicPartition][]int32, len(ps))
	for _, p := range ps {
		out[TopicPartition{p.Topic, p.Partition}] = p.Replicas
	}
	return out, nil
}

// EncodePreferredElection writes /admin/preferred_replica_election.
func EncodePreferredElection(partitions []TopicPartition) []byte {
	m := make(map[TopicPartition][]int32, len(partitions))
	for _, tp := range partitions {
		m[tp] = nil
	}
	return object{{"version", jsonInt(1)}, {"partitions", encodePartitions(m)}}.encode()
}

// DecodePreferredElection reads /admin/preferred_replica_election.
func DecodePreferredElection(data []byte) ([]TopicPartition, error) {
	ps, err := decodePartitions(data)
	if err != nil {
		return nil, fmt.Errorf("%s holds %.200q: %w", PathPreferredReplicaElect, data, err)
	}
	out := make([]TopicPartition, len(ps))
	for i, p := range ps {
		out[i] = TopicPartition{p.Topic, p.Partition}
	}
	return out, nil
}

func decodePartitions(data []byte) ([]partitionJSON, error) {
	o, err := parseObject(data)
	if err != nil {
		return nil, err
	}
	var ps []partitionJSON
	if err := o.optional("partitions", &ps); err != nil {
		return nil, err
	}
	for _, p := range ps {
		if p.Topic == "" || p.Partition < 0 {
			return nil, errors.New("a partition lacks its topic, or its number is negative")
		}
	}
	return ps, nil
}
