package storage

import (
	"encoding/binary"
	"strconv"

	"gregor/wire/record"
)

// TopicPartition names a partition.
type TopicPartition struct {
	Topic     string
	Partition int32
}

// String is Kafka's TOPIC-N, which is also the name of the partition's directory.
func (tp TopicPartition) String() string {
	return tp.Topic + "-" + strconv.FormatInt(int64(tp.Partition), 10)
}

// Origin says who appends, which decides what is checked.
type Origin uint8

const (
	// FromClient is a produce request: everything is checked, sequences included.
	FromClient Origin = iota
	// FromCoordinator is an append by the group or transaction coordinator: no sequence checks, control batches allowed.
	FromCoordinator
	// FromReplication is a batch that a leader has checked already.
	FromReplication
)

// NoTimestamp is the timestamp of records that have none.
const NoTimestamp int64 = -1

// AppendInfo is what an append did.
type AppendInfo struct {
	FirstOffset          int64
	LastOffset           int64
	MaxTimestamp         int64
	OffsetOfMaxTimestamp int64
	LogAppendTime        int64 // NoTimestamp unless the topic sets it
	LogStartOffset       int64
	Duplicate            bool // the batch was in the log already: the offsets are those of the first append
	Bytes                int
	Records              int
	Converted            int // records that were encoded anew: for the log's message format, or its compression.type
}

// OffsetMetadata is an offset and where it lies.
type OffsetMetadata struct {
	Offset      int64
	SegmentBase int64
	Position    int32 // byte position in the segment's file
}

// Slice is a piece of a segment file that holds whole batches, except that the last may be cut (as in Kafka). The zero Slice is
// empty. Whoever gets a Slice with a File owes it one Release.
type Slice struct {
	File   *OpenFile
	Offset int64
	Length int
	// Start is the requested offset and where it was found.
	Start OffsetMetadata
	// FirstIncomplete says that maxBytes cut the very first batch.
	FirstIncomplete bool

	segs []*segment // from the one that holds the slice on
}

// Size is the number of bytes in the slice.
func (s *Slice) Size() int { return s.Length }

// HasNewer reports whether a batch in the slice has a newer message format than magic. One that the slice cuts does not count. The
// first one decides unless all are to be looked at.
func (s *Slice) HasNewer(magic int8, all bool) (bool, error) {
	bp := searchBuffers.Get().(*[4096]byte)
	defer searchBuffers.Put(bp)
	for pos := 0; pos < s.Length; {
		buf := bp[:min(len(bp), s.Length-pos)]
		if err := readFull(s.File, buf, s.Offset+int64(pos)); err != nil {
			return false, err
		}
		used := 0
		for len(buf)-used >= record.PrefixSize {
			size := record.LogOverhead + int(int32(binary.BigEndian.Uint32(buf[used+8:])))
			if size < record.PrefixSize || size > s.Length-pos-used {
				return false, nil
			}
			if int8(buf[used+recordMagic]) > magic {
				return true, nil
			}
			used += size
			if !all {
				return false, nil
			}
		}
		if used == 0 {
			return false, nil
		}
		pos += used
	}
	return false, nil
}

// Release gives back the file, if there is one. It may be called on an empty Slice, and twice.
func (s *Slice) Release() {
	if f := s.File; f != nil {
		s.File = nil
		f.Release()
	}
}

// AbortedTxn is an aborted transaction that overlaps a fetch.
type AbortedTxn struct {
	ProducerID  int64
	FirstOffset int64
}

// TimestampOffset is the answer to a search by time.
type TimestampOffset struct {
	Timestamp   int64
	Offset      int64
	LeaderEpoch int32 // -1 if unknown
}

// DirStatus describes a configured log directory.
type DirStatus struct {
	Path   string
	Online bool
	Err    error // why it is offline
	Full   bool  // records are refused, see Options.MinFreeBytes
	Logs   int   // current and future logs in it
}

// LogSize is one entry of DirLogSizes.
type LogSize struct {
	Partition TopicPartition
	Size      int64
	EndOffset int64
	Future    bool
}

// BrokerMetadata is the contents of meta.properties.
type BrokerMetadata struct {
	BrokerID  int32 // -1 if there is none yet
	ClusterID string
}

var _ interface {
	ReadAt([]byte, int64) (int, error)
	Fd() (uintptr, bool)
	Release()
} = (*OpenFile)(nil)
