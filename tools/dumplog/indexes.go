package dumplog

import (
	"encoding/binary"
	"errors"
	"fmt"
	"io/fs"
	"sort"

	"gregor/tools/internal/kclient"
	"gregor/wire/record"
)

const (
	offsetEntry = 8  // relative offset, position
	timeEntry   = 12 // timestamp, relative offset
	hotBytes    = 8192
)

// entries is an index file's content; a mapped one may end in zeros.
type entries struct {
	base int64
	size int
	b    []byte
}

func (e *entries) count() int { return len(e.b) / e.size }

// offset of an entry; of an offset index its position follows, of a time index its timestamp precedes.
func (e *entries) offset(i int) int64 {
	at := i * e.size
	if e.size == timeEntry {
		at += 8
	}
	return e.base + int64(int32(binary.BigEndian.Uint32(e.b[at:])))
}

func (e *entries) position(i int) int64 {
	return int64(int32(binary.BigEndian.Uint32(e.b[i*e.size+4:])))
}

func (e *entries) timestamp(i int) int64 { return int64(binary.BigEndian.Uint64(e.b[i*e.size:])) }

// lookup finds the position of the last entry at or below the offset; Kafka searches the end of an index first.
func (e *entries) lookup(offset int64) int64 {
	n := e.count()
	if n == 0 {
		return 0
	}
	from, to := 0, n
	if hot := max(0, n-1-hotBytes/e.size); e.offset(hot) < offset {
		from = hot
	} else if e.offset(0) > offset {
		return 0
	} else {
		to = hot + 1
	}
	i := from + sort.Search(to-from, func(i int) bool { return e.offset(from+i) > offset })
	if i == 0 {
		return 0
	}
	return e.position(i - 1)
}

func corruptIndex(format string, args ...any) error {
	return &kclient.APIError{Class: "kafka.log.CorruptIndexException", Message: fmt.Sprintf(format, args...)}
}

// plausible is the check that decides at start-up whether an index is rebuilt.
func (e *entries) plausible(name string) error {
	file := absolute(name)
	n := e.count()
	what, plain := "index", "Index"
	if e.size == timeEntry {
		what, plain = "time index", "Time index"
		if n > 0 && e.timestamp(n-1) < e.timestamp(0) {
			return corruptIndex("Corrupt time index found, time index file (%s) has non-zero size but the last timestamp is %d which is less than the first timestamp %d",
				file, e.timestamp(n-1), e.timestamp(0))
		}
	}
	if n > 0 && e.offset(n-1) < e.base {
		if e.size == timeEntry {
			return corruptIndex("Corrupt time index found, time index file (%s) has non-zero size but the last offset is %d which is less than the first offset %d", file, e.offset(n-1), e.base)
		}
		return corruptIndex("Corrupt %s found, %s file (%s) has non-zero size but the last offset is %d which is less than the base offset %d.", what, what, file, e.offset(n-1), e.base)
	}
	if len(e.b)%e.size != 0 {
		return corruptIndex("%s file %s is corrupt, found %d bytes which is neither positive nor a multiple of %d.", plain, file, len(e.b), e.size)
	}
	return nil
}

func (d *dumper) entries(name string, size int) (*entries, error) {
	base, err := baseOffset(name)
	if err != nil {
		return nil, err
	}
	b, err := d.readAll(name)
	if errors.Is(err, fs.ErrNotExist) {
		// Kafka makes an empty file first, and leaves it there.
		return nil, kclient.IllegalArgument("Invalid max index size: -1: there is no " + name)
	}
	return &entries{base: base, size: size, b: b}, err
}

func (d *dumper) offsetIndex(name string) error {
	if _, err := baseOffset(name); err != nil {
		return err
	}
	logName := sibling(name, ".log")
	f, size, err := d.open(logName)
	if err != nil {
		return err
	}
	defer f.Close()
	idx, err := d.entries(name, offsetEntry)
	if err != nil {
		return err
	}
	if d.sanity {
		if err := idx.plausible(name); err != nil {
			return err
		}
		fmt.Fprintf(d.out, "%s passed sanity check.\n", name)
		return nil
	}
	bad := finding{file: absolute(name)}
	s := &scanner{file: f, name: logName}
	for i := range idx.count() {
		offset, pos := idx.offset(i), idx.position(i)
		if offset == idx.base && i > 0 {
			break // the zeros that a crash left
		}
		if err := inside(pos, size, logName); err != nil {
			return err
		}
		if d.maxSize < 0 {
			return kclient.IllegalArgument(fmt.Sprintf("Invalid size: %d in read from %s", d.maxSize, logName))
		}
		s.pos, s.end = pos, min(size, pos+d.maxSize)
		ok, err := s.next()
		if err != nil {
			return err
		}
		if !ok {
			return &kclient.APIError{Class: "java.util.NoSuchElementException",
				Message: fmt.Sprintf("no whole batch within %d bytes at position %d of %s", d.maxSize, pos, logName)}
		}
		if last := s.head.LastOffset(); last != offset {
			bad.pairs = append(bad.pairs, [2]int64{offset, last})
		}
		if !d.verify {
			d.put(add(add(d.line[:0], "offset: ", offset), " position: ", pos))
		}
	}
	if bad.pairs != nil {
		d.mismatches = append(d.mismatches, bad)
	}
	return nil
}

// inside refuses a position that an index has and the log does not.
func inside(pos, size int64, logName string) error {
	switch {
	case pos < 0:
		return kclient.IllegalArgument(fmt.Sprintf("Invalid position: %d in read from %s", pos, logName))
	case pos > size:
		return kclient.IllegalArgument(fmt.Sprintf("Slice from position %d exceeds end position of FileRecords(size=%d, file=%s, start=0, end=%d)",
			pos, size, logName, int64(1<<31-1)))
	}
	return nil
}

// timeFindings are what does not fit in one time index.
type timeFindings struct {
	file       string
	mismatch   [][2]int64
	disordered [][2]int64
	missing    [][2]int64
}

func (d *dumper) timeIndex(name string) error {
	if _, err := baseOffset(name); err != nil {
		return err
	}
	logName := sibling(name, ".log")
	f, size, err := d.open(logName)
	if err != nil {
		return err
	}
	defer f.Close()
	offsets, err := d.entries(sibling(name, ".index"), offsetEntry)
	if err != nil {
		return err
	}
	idx, err := d.entries(name, timeEntry)
	if err != nil {
		return err
	}
	if d.sanity {
		if err := idx.plausible(name); err != nil {
			return err
		}
		fmt.Fprintf(d.out, "%s passed sanity check.\n", name)
		return nil
	}
	found := &timeFindings{file: absolute(name)}
	d.timeErrors = append(d.timeErrors, found)
	s := &scanner{file: f, name: logName, end: size}
	previous := int64(-1)
	for i := range idx.count() {
		ts, offset := idx.timestamp(i), idx.offset(i)
		if offset == idx.base && i > 0 {
			break // the zeros that a crash left
		}
		s.pos = offsets.lookup(offset)
		if err := inside(s.pos, size, logName); err != nil {
			return err
		}
		if err := d.checkTime(s, found, ts, offset, previous); err != nil {
			return err
		}
		if !d.verify {
			d.put(add(add(d.line[:0], "timestamp: ", ts), " offset: ", offset))
		}
		previous = ts
	}
	return nil
}

// checkTime compares one entry with the batch that it is about.
func (d *dumper) checkTime(s *scanner, found *timeFindings, ts, offset, previous int64) error {
	for {
		ok, err := s.next()
		if err != nil {
			return err
		}
		if !ok {
			found.missing = append(found.missing, [2]int64{offset, -1})
			return nil
		}
		if s.head.LastOffset() >= offset {
			break
		}
	}
	if last := s.head.LastOffset(); last != offset {
		found.missing = append(found.missing, [2]int64{offset, last})
		return nil
	}
	newest := int64(-1)
	it := record.NewIter(s.bytes, maxInflated)
	defer it.Close()
	for it.Next() {
		newest = max(newest, it.Record.Timestamp)
	}
	if err := it.Err(); err != nil {
		return fmt.Errorf("records of the batch at position %d of %s: %w", s.at, s.name, err)
	}
	if newest != ts {
		found.mismatch = append(found.mismatch, [2]int64{ts, newest})
	}
	if previous >= ts {
		found.disordered = append(found.disordered, [2]int64{ts, previous})
	}
	return nil
}

func (d *dumper) timeFindings() {
	show := func(title string, pick func(*timeFindings) [][2]int64, format string, named bool) {
		for _, t := range d.timeErrors {
			pairs := pick(t)
			if len(pairs) == 0 {
				continue
			}
			if named {
				fmt.Fprintln(d.stderr, title+t.file)
			} else {
				fmt.Fprintln(d.stderr, title)
			}
			for _, p := range pairs {
				fmt.Fprintf(d.stderr, format, p[0], p[1])
			}
		}
	}
	show("Found timestamp mismatch in :", func(t *timeFindings) [][2]int64 { return t.mismatch }, "  Index timestamp: %d, log timestamp: %d\n", true)
	show("Found out of order timestamp in :", func(t *timeFindings) [][2]int64 { return t.disordered }, "  Index timestamp: %d, Previously indexed timestamp: %d\n", true)
	show("The following indexed offsets are not found in the log.", func(t *timeFindings) [][2]int64 { return t.missing }, "Indexed offset: %d, found log offset: %d\n", false)
}
