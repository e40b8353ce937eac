package handlers

import (
	"context"
	"errors"
	"path/filepath"
	"slices"

	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kmsg"

	"gregor/broker/server"
	"gregor/replication"
	"gregor/storage"
	"gregor/wire"
)

// Who asks for the directories alone, as `gregor cluster status` does, is told which of them have little room left: less than a lowPart of
// what there is, or less than gregor.log.dir.min.free.bytes.
const lowPart = 20

func (a *Admin) describeLogDirs(_ context.Context, _ *server.Request, req *kmsg.DescribeLogDirsRequest) kmsg.Response {
	resp := kmsg.NewPtrDescribeLogDirsResponse()
	var wanted map[storage.TopicPartition]bool // nil: all
	if req.Topics != nil {
		wanted = make(map[storage.TopicPartition]bool)
		for _, t := range req.Topics {
			for _, p := range t.Partitions {
				wanted[storage.TopicPartition{Topic: t.Topic, Partition: p}] = true
			}
		}
	}
	for _, d := range a.Dirs.Dirs() {
		out := a.describeDir(d, wanted)
		if req.Topics != nil && len(req.Topics) == 0 && req.Version >= 2 && d.Online {
			if free, total, err := a.Dirs.DirSpace(d.Path); err == nil && (d.Full || free < total/lowPart) {
				wire.SetSpace(&out, free, total)
			}
		}
		resp.Dirs = append(resp.Dirs, out)
	}
	return resp
}

func (a *Admin) alterReplicaLogDirs(_ context.Context, _ *server.Request, req *kmsg.AlterReplicaLogDirsRequest) kmsg.Response {
	var moves []replication.Move
	at := map[storage.TopicPartition]int{}
	for _, d := range req.Dirs {
		for _, t := range d.Topics {
			for _, p := range t.Partitions {
				mv := replication.Move{TopicPartition: storage.TopicPartition{Topic: t.Topic, Partition: p}, Dir: d.Dir}
				if i, ok := at[mv.TopicPartition]; ok {
					moves[i] = mv // the last mention counts
					continue
				}
				at[mv.TopicPartition] = len(moves)
				moves = append(moves, mv)
			}
		}
	}
	a.Moves.AlterLogDirs(moves)
	resp := kmsg.NewPtrAlterReplicaLogDirsResponse()
	topics := map[string]int{}
	for _, mv := range moves {
		i, ok := topics[mv.Topic]
		if !ok {
			i = len(resp.Topics)
			topics[mv.Topic] = i
			resp.Topics = append(resp.Topics, kmsg.AlterReplicaLogDirsResponseTopic{Topic: mv.Topic})
		}
		resp.Topics[i].Partitions = append(resp.Topics[i].Partitions,
			kmsg.AlterReplicaLogDirsResponseTopicPartition{Partition: mv.Partition, ErrorCode: moveCode(mv.Err)})
	}
	return resp
}

func moveCode(err error) int16 {
	switch {
	case errors.Is(err, storage.ErrUnknownDir):
		return kerr.LogDirNotFound.Code
	case errors.Is(err, storage.ErrNameTooLong):
		return kerr.InvalidTopicException.Code
	case errors.Is(err, replication.ErrNotLeader):
		return kerr.ReplicaNotAvailable.Code // as Kafka keeps it for this request
	}
	return errorCode(err)
}

// describeDir lists a directory's partitions by topic. As in Kafka every topic that has a partition in the directory is listed, with those
// of its partitions that were asked for.
func (a *Admin) describeDir(d storage.DirStatus, wanted map[storage.TopicPartition]bool) kmsg.DescribeLogDirsResponseDir {
	out := kmsg.NewDescribeLogDirsResponseDir()
	out.Dir = d.Path
	if abs, err := filepath.Abs(d.Path); err == nil {
		out.Dir = abs
	}
	sizes, err := a.Dirs.DirLogSizes(d.Path)
	if !d.Online || err != nil {
		a.Log.WithError(err).Warnf("Unable to describe replica dirs for %s", out.Dir)
		out.ErrorCode = kerr.KafkaStorageError.Code
		return out
	}
	slices.SortFunc(sizes, func(x, y storage.LogSize) int {
		switch {
		case x.Partition.Topic < y.Partition.Topic:
			return -1
		case x.Partition.Topic > y.Partition.Topic:
			return 1
		}
		return int(x.Partition.Partition) - int(y.Partition.Partition)
	})
	for _, s := range sizes {
		if n := len(out.Topics); n == 0 || out.Topics[n-1].Topic != s.Partition.Topic {
			t := kmsg.NewDescribeLogDirsResponseDirTopic()
			t.Topic = s.Partition.Topic
			out.Topics = append(out.Topics, t)
		}
		if wanted != nil && !wanted[s.Partition] {
			continue
		}
		p := kmsg.NewDescribeLogDirsResponseDirTopicPartition()
		p.Partition, p.Size, p.OffsetLag, p.IsFuture = s.Partition.Partition, s.Size, a.offsetLag(&s), s.Future
		t := &out.Topics[len(out.Topics)-1]
		t.Partitions = append(t.Partitions, p)
	}
	return out
}

// offsetLag is how far a log's end is behind the high watermark, or behind the current log if it is a future one; -1 while the broker
// has no role in the partition.
func (a *Admin) offsetLag(s *storage.LogSize) int64 {
	end, hw, ok := a.Hosted(s.Partition)
	switch {
	case !ok:
		return -1
	case s.Future:
		return end - s.EndOffset
	}
	return max(hw-s.EndOffset, 0)
}
