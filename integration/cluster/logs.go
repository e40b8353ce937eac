package cluster

import (
	"bytes"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strconv"
)

// Log is the content of a replica's segments, one after the other.
func (n *Node) Log(topic string, partition int32) ([]byte, error) {
	dir := filepath.Join(n.LogDir(), topic+"-"+strconv.Itoa(int(partition)))
	segments, err := filepath.Glob(filepath.Join(dir, "*.log"))
	if err != nil || len(segments) == 0 {
		return nil, fmt.Errorf("no segments in %s: %w", dir, err)
	}
	slices.Sort(segments)
	var all []byte
	for _, s := range segments {
		b, err := os.ReadFile(s)
		if err != nil {
			return nil, err
		}
		all = append(all, b...)
	}
	return all, nil
}

// SameLogs compares the replicas of partitions byte for byte, and returns how many bytes one of each has. The brokers must have stopped.
func (c *Cluster) SameLogs(partitions []Partition) (bytesEach int64, err error) {
	for _, p := range partitions {
		first, err := c.Node(p.Replicas[0]).Log(p.Topic, p.ID)
		if err != nil {
			return 0, err
		}
		bytesEach += int64(len(first))
		for _, id := range p.Replicas[1:] {
			other, err := c.Node(id).Log(p.Topic, p.ID)
			if err != nil {
				return 0, err
			}
			if !bytes.Equal(first, other) {
				at := 0
				for at < min(len(first), len(other)) && first[at] == other[at] {
					at++
				}
				return 0, fmt.Errorf("%s-%d: the logs of brokers %d (%d bytes) and %d (%d bytes) differ from byte %d on", p.Topic, p.ID, p.Replicas[0], len(first), id, len(other), at)
			}
		}
	}
	return bytesEach, nil
}
