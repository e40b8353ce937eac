package storage

import (
	"fmt"
	"strconv"
	"strings"
)

// Suffixes of the files and directories of a log directory.
const (
	suffixLog       = ".log"
	suffixIndex     = ".index"
	suffixTimeIndex = ".timeindex"
	suffixTxnIndex  = ".txnindex"
	suffixSnapshot  = ".snapshot"

	suffixDeleted = ".deleted" // to be removed after file.delete.delay.ms
	suffixCleaned = ".cleaned" // the cleaner's unfinished work
	suffixSwap    = ".swap"    // the cleaner's finished work on its way in

	dirSuffixDelete = "-delete"
	dirSuffixFuture = "-future"

	lockFile = ".lock"
)

var segmentSuffixes = [...]string{suffixLog, suffixIndex, suffixTimeIndex, suffixTxnIndex}

// offsetName is an offset as file names have it, in 20 digits.
func offsetName(offset int64) string {
	var b [20]byte
	for i := len(b) - 1; i >= 0; i-- {
		b[i] = byte('0' + offset%10)
		offset /= 10
	}
	return string(b[:])
}

// parseOffsetName splits "00000000000000000042.log.deleted" into 42 and ".log.deleted".
func parseOffsetName(name string) (offset int64, rest string, ok bool) {
	i := strings.IndexByte(name, '.')
	if i <= 0 {
		return 0, "", false
	}
	offset, err := strconv.ParseInt(name[:i], 10, 64)
	if err != nil || offset < 0 {
		return 0, "", false
	}
	return offset, name[i:], true
}

type dirKind uint8

const (
	dirCurrent dirKind = iota
	dirDeleted
	dirFuture
)

// parseDirName reads the name of a partition's directory: TOPIC-N, TOPIC-N.UNIQUE-delete or TOPIC-N.UNIQUE-future. The topic of one
// that is to be deleted may have been cut to fit.
func parseDirName(name string) (tp TopicPartition, kind dirKind, err error) {
	base := name
	switch {
	case strings.HasSuffix(name, dirSuffixDelete):
		kind = dirDeleted
	case strings.HasSuffix(name, dirSuffixFuture):
		kind = dirFuture
	}
	if kind != dirCurrent {
		dot := strings.LastIndexByte(name, '.')
		if dot <= 0 || dot+1 >= len(name)-len(dirSuffixDelete) {
			return tp, kind, badDirName(name)
		}
		base = name[:dot]
	}
	dash := strings.LastIndexByte(base, '-')
	if dash <= 0 {
		return tp, kind, badDirName(name)
	}
	n, err := strconv.ParseInt(base[dash+1:], 10, 32)
	if err != nil || n < 0 {
		return tp, kind, badDirName(name)
	}
	return TopicPartition{base[:dash], int32(n)}, kind, nil
}

func badDirName(name string) error {
	return fmt.Errorf("directory %q is not named TOPIC-PARTITION (or TOPIC-PARTITION.ID-delete): only topic data belongs in a log directory; move it elsewhere", name)
}

// deleteDirName is the name a partition's directory gets when it is to be deleted, of at most 255 characters.
func deleteDirName(tp TopicPartition, unique string) string {
	suffix := "-" + strconv.FormatInt(int64(tp.Partition), 10) + "." + unique + dirSuffixDelete
	return tp.Topic[:min(len(tp.Topic), 255-len(suffix))] + suffix
}
