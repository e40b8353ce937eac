package dumplog

import (
	"encoding/binary"
	"errors"
	"fmt"
	"strconv"
	"strings"

	"gregor/tools/internal/kclient"
	"gregor/wire/compress"
	"gregor/wire/record"
)

// maxInflated bounds what one batch may decompress to.
const maxInflated = 1 << 30

func (d *dumper) log(name string) error {
	base, err := baseOffset(name)
	if err != nil {
		return err
	}
	fmt.Fprintf(d.out, "Starting offset: %d\n", base)
	f, size, err := d.open(name)
	if err != nil {
		return err
	}
	defer f.Close()
	s := &scanner{file: f, name: name, end: size}
	gaps := finding{file: absolute(name)}
	last := int64(-1)
	it := &record.Iter{}
	defer it.Close()
	for {
		ok, err := s.next()
		if err != nil {
			return err
		}
		if !ok {
			break
		}
		if err := d.batch(s); err != nil {
			return err
		}
		if !d.deep {
			continue
		}
		if err := d.records(s, it, &last, &gaps); err != nil {
			return err
		}
	}
	if gaps.pairs != nil {
		d.gaps = append(d.gaps, gaps)
	}
	if rest := size - s.pos; rest > 0 {
		fmt.Fprintf(d.out, "Found %d invalid bytes at the end of %s\n", rest, name[strings.LastIndexByte(name, '/')+1:])
	}
	return nil
}

func timestampType(h *record.Header) string {
	if h.Magic == 0 {
		return "NoTimestampType"
	}
	return h.TimestampType().String()
}

func (d *dumper) batch(s *scanner) error {
	h := &s.head
	b := d.line[:0]
	if h.Magic >= 2 {
		b = add(b, "baseOffset: ", h.BaseOffset)
		b = add(b, " lastOffset: ", h.LastOffset())
		b = add(b, " count: ", int64(h.Count))
		b = add(b, " baseSequence: ", int64(h.BaseSequence))
		b = add(b, " lastSequence: ", int64(h.LastSequence()))
		b = add(b, " producerId: ", h.ProducerID)
		b = add(b, " producerEpoch: ", int64(h.ProducerEpoch))
		b = add(b, " partitionLeaderEpoch: ", int64(h.LeaderEpoch))
		b = strconv.AppendBool(append(b, " isTransactional: "...), h.IsTransactional())
		b = strconv.AppendBool(append(b, " isControl: "...), h.IsControl())
	} else {
		b = add(b, "offset: ", h.LastOffset())
	}
	if err := readable(h); err != nil {
		d.out.Write(b) //nolint:errcheck // kept by the writer
		return err
	}
	b = add(b, " position: ", s.at)
	b = append(append(b, ' '), timestampType(h)...)
	b = add(b, ": ", h.MaxTimestamp)
	b = add(b, " size: ", int64(len(s.bytes)))
	b = add(b, " magic: ", int64(h.Magic))
	b = append(append(b, " compresscodec: "...), strings.ToUpper(h.Codec().String())...)
	b = add(b, " crc: ", int64(h.CRC))
	b = strconv.AppendBool(append(b, " isvalid: "...), s.valid())
	d.put(b)
	return nil
}

// readable refuses what Kafka's classes have no name for: it stops in the middle of the line.
func readable(h *record.Header) error {
	if h.Magic < 0 {
		return kclient.IllegalArgument(fmt.Sprintf("Invalid magic byte %d", h.Magic))
	}
	if c := h.Codec(); c > compress.Zstd {
		return kclient.IllegalArgument(fmt.Sprintf("Unknown compression type id: %d", c))
	}
	return nil
}

func add(b []byte, label string, n int64) []byte {
	return strconv.AppendInt(append(b, label...), n, 10)
}

func (d *dumper) put(b []byte) {
	d.line = append(b, '\n')
	d.out.Write(d.line) //nolint:errcheck // kept by the writer
}

func (d *dumper) records(s *scanner, it *record.Iter, last *int64, gaps *finding) error {
	inner, err := innerEntries(s)
	if err != nil {
		return fmt.Errorf("records of the batch at position %d of %s: %w", s.at, s.name, err)
	}
	it.Reset(s.bytes, maxInflated)
	for i := 0; it.Next(); i++ {
		r := &it.Record
		if *last != -1 && r.Offset != *last+1 {
			gaps.pairs = append(gaps.pairs, [2]int64{*last, r.Offset})
		}
		*last = r.Offset
		b := add(d.line[:0], "| offset: ", r.Offset)
		b = append(append(b, ' '), timestampType(&s.head)...)
		b = add(b, ": ", r.Timestamp)
		b = add(b, " keysize: ", int64(size(r.Key)))
		b = add(b, " valuesize: ", int64(size(r.Value)))
		if s.head.Magic >= 2 {
			b = add(b, " sequence: ", int64(r.Sequence))
			b = append(b, " headerKeys: ["...)
			for n, hs := r.Headers.Len(), r.Headers; n > 0; n-- {
				key, _ := hs.Next()
				if b = append(b, key...); n > 1 {
					b = append(b, ',')
				}
			}
			b = append(b, ']')
		} else if i < len(inner) {
			b = add(b, " crc: ", int64(binary.BigEndian.Uint32(inner[i][record.LogOverhead:])))
			b = strconv.AppendBool(append(b, " isvalid: "...), record.ValidLegacyCRC(inner[i]))
		}
		if s.head.IsControl() {
			b, err = control(b, r)
		} else if d.print {
			b, err = d.decode(b, r)
		}
		if err != nil {
			d.out.Write(b) //nolint:errcheck // kept by the writer
			return err
		}
		d.put(b)
	}
	if err := it.Err(); err != nil {
		return fmt.Errorf("records of the batch at position %d of %s: %w", s.at, s.name, err)
	}
	return nil
}

func size(b []byte) int {
	if b == nil {
		return -1
	}
	return len(b)
}

// innerEntries are the messages of a legacy entry, with their own checksums; nil for a v2 batch.
func innerEntries(s *scanner) ([][]byte, error) {
	if s.head.Magic >= 2 {
		return nil, nil
	}
	if s.head.Codec() == compress.None {
		return [][]byte{s.bytes}, nil
	}
	p := record.LogOverhead + 6 // crc, magic, attributes
	if s.head.Magic == 1 {
		p += 8
	}
	if keyLen := int32(binary.BigEndian.Uint32(s.bytes[p:])); keyLen > 0 {
		p += int(keyLen)
	}
	if p+8 > len(s.bytes) {
		return nil, record.ErrShort
	}
	codec := s.head.Codec()
	if codec == compress.LZ4 && s.head.Magic == 0 {
		codec = compress.LZ4V0
	}
	rest, err := compress.Decompress(nil, codec, s.bytes[p+8:], maxInflated)
	if err != nil {
		return nil, err
	}
	var out [][]byte
	for len(rest) > 0 {
		var entry []byte
		if entry, rest, err = record.Next(rest); errors.Is(err, record.ErrShort) {
			break // what is cut is not there
		} else if err != nil {
			return nil, err
		}
		out = append(out, entry)
	}
	return out, nil
}

// control prints the content of a control record.
func control(b []byte, r *record.Record) ([]byte, error) {
	t, err := record.ParseControlType(r.Key)
	if err != nil {
		return b, err
	}
	switch t {
	case record.ControlAbort, record.ControlCommit:
		if len(r.Value) < 6 {
			return b, fmt.Errorf("end transaction marker at offset %d has %d bytes, at least 6 are needed", r.Offset, len(r.Value))
		}
		name := "COMMIT"
		if t == record.ControlAbort {
			name = "ABORT"
		}
		b = append(append(b, " endTxnMarker: "...), name...)
		return add(b, " coordinatorEpoch: ", int64(int32(binary.BigEndian.Uint32(r.Value[2:])))), nil
	case record.ControlUnknown:
	}
	id := int64(int16(binary.BigEndian.Uint16(r.Key[2:])))
	return append(add(append(b, " controlType: UNKNOWN"...), "(", id), ')'), nil
}
