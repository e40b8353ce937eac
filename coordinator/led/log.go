package led

import (
	"errors"
	"fmt"
	"time"
	"unicode/utf16"

	"gregor/wire/record"
)

// Log is a led partition of a coordinator's topic.
type Log interface {
	// Append adds a batch as the partition's leader, and returns the offsets of its first and last record. It may change the batch, and does
	// not keep it.
	Append(batch []byte, acks int16, now time.Time) (first, last int64, err error)
	// WhenCommitted calls done once: when all before offset is committed, or when that will not be known here any more. It may call it
	// at once, and then returns nil; otherwise a function that takes the wait back, false if it is too late for that.
	WhenCommitted(offset int64, done func(error)) (cancel func() bool)
	// Committed says whether all before offset is committed already, and with what result. It may be called with a coordinator's lock held.
	Committed(offset int64) (bool, error)
	// Bounds are the first offset and the end.
	Bounds() (start, end int64, err error)
	// Read fills buf, grown if need be, with batches from the one that holds offset on; the last may be cut.
	Read(offset int64, buf []byte) ([]byte, error)
}

// maxFirstBuffer is what a load begins with at most, whatever its configuration says: it grows if a batch is larger.
const maxFirstBuffer = 8 << 20

// ReadAll calls batch with each batch of a log in order, until the end as it is then, or until over says that nobody wants the rest. It
// returns the offset up to which it came. What batch gets is good until it returns.
func ReadAll(log Log, buffer int, over func() bool, batch func(b []byte, h *record.Header)) (upTo int64, err error) {
	at, _, err := log.Bounds()
	if err != nil {
		return at, err
	}
	var buf []byte
	for {
		_, end, err := log.Bounds()
		if err != nil || at >= end || over() {
			return at, err
		}
		if buf == nil {
			buf = make([]byte, 0, min(buffer, maxFirstBuffer))
		}
		if buf, err = log.Read(at, buf[:0]); err != nil {
			return at, fmt.Errorf("reading at offset %d: %w", at, err)
		}
		next := at
		for rest := buf; ; {
			var b []byte
			var h record.Header
			if b, rest, err = record.Next(rest); err != nil {
				break
			}
			if h, err = record.ParseHeader(b); err != nil {
				break
			}
			if h.LastOffset() >= at {
				batch(b, &h)
				next = h.NextOffset()
			}
		}
		if err != nil && !errors.Is(err, record.ErrShort) {
			return next, fmt.Errorf("reading at offset %d: %w", next, err)
		}
		if next == at {
			return at, nil // nothing more is there
		}
		at = next
	}
}

// PartitionFor is the partition, of so many, that keeps what belongs to a name.
func PartitionFor(name string, partitions int32) int32 {
	if partitions <= 0 {
		return 0
	}
	return javaAbs(javaHash(name)) % partitions
}

// javaHash is String.hashCode.
func javaHash(s string) int32 {
	h := int32(0)
	for _, r := range s {
		if r >= 0x10000 {
			hi, lo := utf16.EncodeRune(r)
			h = (h*31+hi)*31 + lo
			continue
		}
		h = h*31 + r
	}
	return h
}

// javaAbs is Kafka's Utils.abs: the smallest number becomes 0.
func javaAbs(h int32) int32 {
	switch {
	case h == -1<<31:
		return 0
	case h < 0:
		return -h
	}
	return h
}
