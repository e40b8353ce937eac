package storage

import (
	"context"
	"errors"
	"iter"
	"time"

	"github.com/sirupsen/logrus"

	"gregor/internal/vfs"
)

var errNotYet = errors.New("not implemented yet")

// OpenFile is a reference-counted open file.
type OpenFile struct{}

// ReadAt reads from the file.
func (f *OpenFile) ReadAt(p []byte, off int64) (int, error) { return 0, errNotYet }

// Fd is the descriptor for sendfile.
func (f *OpenFile) Fd() (uintptr, bool) { return 0, false }

// Release gives the reference back.
func (f *OpenFile) Release() {}

// Options configures a Manager.
type Options struct {
	FS       vfs.FS
	Dirs     []string
	BrokerID int32 // -1: not known yet
	Defaults Config
	// TopicConfig returns the settings of a topic found on disk; nil means Defaults for all.
	TopicConfig           func(topic string) Config
	RecoveryThreadsPerDir int
	MaxOpenFiles          int
	RetentionInterval     time.Duration // log.retention.check.interval.ms
	FlushInterval         time.Duration // log.flush.scheduler.interval.ms
	RecoveryPointInterval time.Duration // log.flush.offset.checkpoint.interval.ms
	StartOffsetInterval   time.Duration // log.flush.start.offset.checkpoint.interval.ms
	ProducerIDExpiration  time.Duration // transactional.id.expiration.ms
	Log                   logrus.FieldLogger
	// OnDirFailure is called once for each directory that fails, from a goroutine of the Manager's own.
	OnDirFailure func(dir string, err error)
	// Progress is called while logs are loaded.
	Progress func(done, total int)
}

// Manager owns the log directories and all logs in them.
type Manager struct{}

// Open locks the directories and loads every log.
func Open(ctx context.Context, o Options) (*Manager, error) { return nil, errNotYet }

// Close flushes and closes every log and marks the shutdown as clean.
func (m *Manager) Close(ctx context.Context) error { return errNotYet }

// Get returns the current log of a partition.
func (m *Manager) Get(tp TopicPartition) (*Log, bool) { return nil, false }

// GetOrCreate returns the log of a partition, creating it in the live directory with the fewest logs. Unless isNew, it refuses to
// create one while a directory is offline, because the log may be there.
func (m *Manager) GetOrCreate(tp TopicPartition, cfg Config, isNew bool) (*Log, error) {
	return nil, errNotYet
}

// Delete takes the log away at once and removes its files after file.delete.delay.ms.
func (m *Manager) Delete(tp TopicPartition) error { return errNotYet }

// All walks over the current logs.
func (m *Manager) All() iter.Seq2[TopicPartition, *Log] {
	return func(func(TopicPartition, *Log) bool) {}
}

// UpdateConfig swaps the settings of all logs of a topic.
func (m *Manager) UpdateConfig(topic string, cfg Config) {}

// Dirs describes the configured directories, in their order.
func (m *Manager) Dirs() []DirStatus { return nil }

// DirLogSizes lists the logs of a directory.
func (m *Manager) DirLogSizes(dir string) ([]LogSize, error) { return nil, errNotYet }

// FailDir takes a directory offline as if it had failed.
func (m *Manager) FailDir(dir string, err error) {}

// BrokerMetadata returns what meta.properties said when the directories were opened.
func (m *Manager) BrokerMetadata() BrokerMetadata { return BrokerMetadata{} }

// WriteBrokerMetadata writes meta.properties into each live directory where it differs.
func (m *Manager) WriteBrokerMetadata(md BrokerMetadata) error { return errNotYet }

// CheckpointHighWatermarks writes the high watermark of every log into replication-offset-checkpoint. Open reads them back.
func (m *Manager) CheckpointHighWatermarks() error { return errNotYet }

// Log is one partition's log.
type Log struct{}

// Partition returns the partition's name.
func (l *Log) Partition() TopicPartition { return TopicPartition{} }

// Dir returns the configured log directory that holds the log.
func (l *Log) Dir() string { return "" }

// Config returns the present settings.
func (l *Log) Config() *Config { return nil }

// AppendAsLeader assigns offsets and the leader epoch to the batches where they lie and writes them.
func (l *Log) AppendAsLeader(records []byte, leaderEpoch int32, origin Origin, now time.Time) (AppendInfo, error) {
	return AppendInfo{}, errNotYet
}

// AppendAsFollower writes batches that carry their offsets.
func (l *Log) AppendAsFollower(records []byte) (AppendInfo, error) { return AppendInfo{}, errNotYet }

// LogEndOffset is the next offset to be written (LEO).
func (l *Log) LogEndOffset() int64 { return 0 }

// LogStartOffset is the first offset that may be read.
func (l *Log) LogStartOffset() int64 { return 0 }

// HighWatermark is the exclusive bound of what is replicated (HW).
func (l *Log) HighWatermark() int64 { return 0 }

// SetHighWatermark publishes a new high watermark, bounded by the log's start and end; it returns what was set.
func (l *Log) SetHighWatermark(hw int64) int64 { return 0 }

// LastStableOffset is the first offset of the first undecided transaction, or the high watermark (LSO).
func (l *Log) LastStableOffset() int64 { return 0 }

// Read returns batches from the one that holds offset, at most maxBytes, unless minOne and the first is larger; nothing at or past
// upTo (exclusive). At the end of what may be read the slice is empty.
func (l *Log) Read(offset int64, maxBytes int, minOne bool, upTo int64) (Slice, error) {
	return Slice{}, errNotYet
}

// AbortedTxns lists the aborted transactions that overlap a slice read with upTo = LastStableOffset.
func (l *Log) AbortedTxns(s *Slice) ([]AbortedTxn, error) { return nil, errNotYet }

// OffsetByTimestamp finds the first record with a timestamp of at least ts.
func (l *Log) OffsetByTimestamp(ts int64) (TimestampOffset, bool, error) {
	return TimestampOffset{}, false, errNotYet
}

// LatestEpoch returns the last leader epoch the log knows.
func (l *Log) LatestEpoch() (int32, bool) { return 0, false }

// EarliestEpoch returns the epoch at the log start offset, for a search for the earliest offset.
func (l *Log) EarliestEpoch() (int32, bool) { return 0, false }

// EndOffsetForEpoch returns the largest epoch not above epoch, and where it ended; ok is false if the log cannot tell.
func (l *Log) EndOffsetForEpoch(epoch int32) (found int32, end int64, ok bool) { return -1, -1, false }

// AssignEpoch notes that a leader epoch starts at offset, before anything is written in it.
func (l *Log) AssignEpoch(epoch int32, start int64) error { return errNotYet }

// DeleteRecords raises the log start offset; it may not pass the high watermark.
func (l *Log) DeleteRecords(upTo int64) error { return errNotYet }

// TruncateTo removes everything at and past offset.
func (l *Log) TruncateTo(offset int64) error { return errNotYet }

// TruncateFullyAndStartAt empties the log and lets it start at offset.
func (l *Log) TruncateFullyAndStartAt(offset int64) error { return errNotYet }

// Flush makes everything appended so far durable.
func (l *Log) Flush() error { return errNotYet }

// Size is the number of bytes in all segments.
func (l *Log) Size() int64 { return 0 }

// Segments is the number of segments.
func (l *Log) Segments() int { return 0 }

// RecoveryPoint is the first offset that may not have been flushed.
func (l *Log) RecoveryPoint() int64 { return 0 }

// OffsetsBefore answers ListOffsets version 0.
func (l *Log) OffsetsBefore(ts int64, max int, now time.Time) []int64 { return nil }
