package handlers

import (
	"encoding/binary"

	"gregor/broker/server"
)

// fetchEncoder writes a Fetch response of any version.
type fetchEncoder struct {
	v int16
	p *server.Response
}

func (e *fetchEncoder) flex() bool { return e.v >= 12 }

// response writes everything. Partitions of one topic that follow each other share an entry.
func (e *fetchEncoder) response(code int16, session int32, parts []*fetchPart) {
	if e.v >= 1 {
		e.p.AppendThrottle()
	}
	if e.v >= 7 {
		e.p.B = binary.BigEndian.AppendUint16(e.p.B, uint16(code))
		e.p.B = binary.BigEndian.AppendUint32(e.p.B, uint32(session))
	}
	topics := 0
	for i := range parts {
		if i == 0 || parts[i].topic != parts[i-1].topic {
			topics++
		}
	}
	e.count(topics)
	for from := 0; from < len(parts); {
		to := from + 1
		for to < len(parts) && parts[to].topic == parts[from].topic {
			to++
		}
		e.topic(parts[from].topic, parts[from:to])
		from = to
	}
	if e.flex() {
		e.p.B = append(e.p.B, 0)
	}
}

func (e *fetchEncoder) count(n int) {
	if e.flex() {
		e.p.B = binary.AppendUvarint(e.p.B, uint64(n)+1)
	} else {
		e.p.B = binary.BigEndian.AppendUint32(e.p.B, uint32(n))
	}
}

func (e *fetchEncoder) topic(name string, parts []*fetchPart) {
	if e.flex() {
		e.p.B = binary.AppendUvarint(e.p.B, uint64(len(name))+1)
		e.p.B = append(e.p.B, name...)
	} else {
		e.p.B = appendString(e.p.B, name)
	}
	e.count(len(parts))
	for _, f := range parts {
		e.part(f)
	}
	if e.flex() {
		e.p.B = append(e.p.B, 0)
	}
}

// part writes one partition; the response takes over the reference to its file.
func (e *fetchEncoder) part(f *fetchPart) {
	hw, lso, start := f.res.HighWatermark, f.res.LastStable, f.res.LogStart
	if f.code != 0 {
		hw, lso, start = -1, -1, -1
	}
	b := binary.BigEndian.AppendUint32(e.p.B, uint32(f.partition))
	b = binary.BigEndian.AppendUint16(b, uint16(f.code))
	b = binary.BigEndian.AppendUint64(b, uint64(hw))
	if e.v >= 4 {
		b = binary.BigEndian.AppendUint64(b, uint64(lso))
	}
	if e.v >= 5 {
		b = binary.BigEndian.AppendUint64(b, uint64(start))
	}
	if e.v >= 4 {
		b = e.aborted(b, f)
	}
	if e.v >= 11 {
		b = binary.BigEndian.AppendUint32(b, uint32(f.preferred))
	}
	n := f.bytes()
	if e.flex() {
		b = binary.AppendUvarint(b, uint64(n)+1)
	} else {
		b = binary.BigEndian.AppendUint32(b, uint32(n))
	}
	e.p.B = b
	switch {
	case f.converted != nil:
		e.p.AddSource(f.converted, n)
		f.converted = nil
	case n > 0:
		e.p.AddFile(f.res.Slice.File, f.res.Slice.Offset, n)
		f.res.Slice.File = nil
		f.res.Slice.Length = 0
	default:
		f.release()
	}
	if e.flex() {
		e.tags(f)
	}
}

// aborted is null unless the reader asked for committed records only.
func (e *fetchEncoder) aborted(b []byte, f *fetchPart) []byte {
	if f.res.Aborted == nil {
		if e.flex() {
			return append(b, 0)
		}
		return append(b, 0xff, 0xff, 0xff, 0xff)
	}
	if e.flex() {
		b = binary.AppendUvarint(b, uint64(len(f.res.Aborted))+1)
	} else {
		b = binary.BigEndian.AppendUint32(b, uint32(len(f.res.Aborted)))
	}
	for _, a := range f.res.Aborted {
		b = binary.BigEndian.AppendUint64(b, uint64(a.ProducerID))
		b = binary.BigEndian.AppendUint64(b, uint64(a.FirstOffset))
		if e.flex() {
			b = append(b, 0)
		}
	}
	return b
}

// tags of a partition: number 0 is the diverging epoch, with its end offset.
func (e *fetchEncoder) tags(f *fetchPart) {
	if !f.res.Diverging {
		e.p.B = append(e.p.B, 0)
		return
	}
	b := append(e.p.B, 1, 0, 13)
	b = binary.BigEndian.AppendUint32(b, uint32(f.res.DivergingEpoch))
	b = binary.BigEndian.AppendUint64(b, uint64(f.res.DivergingEnd))
	e.p.B = append(b, 0)
}
