package led

import (
	"errors"

	"gregor/wire/record"
)

const (
	// maxUnpacked bounds what one batch may decompress to while it is loaded.
	maxUnpacked = 1 << 30
	// maxSkipsLogged keeps a log full of strange records from filling the broker's.
	maxSkipsLogged = 100
)

// Loader takes a partition's records one by one. What cannot be understood is left out, and what was there before under its key stays. It is
// for one goroutine and one log.
type Loader struct {
	// Buffer is how much is read at a time, in bytes.
	Buffer int
	// Over says that nobody wants the rest.
	Over func() bool
	// Marker takes the marker of a transaction's end; nil passes over them.
	Marker func(m record.EndTxnMarker, h *record.Header)
	// Record takes a record, which is good until it returns.
	Record func(r *record.Record, h *record.Header) error
	// Skip is told of what is left out, of the first hundred.
	Skip func(offset int64, err error)

	it      record.Iter
	skipped int
}

// Load reads until the end as it is now, and returns the offset up to which it came.
func (l *Loader) Load(log Log) (upTo int64, err error) {
	defer l.it.Close()
	return ReadAll(log, l.Buffer, l.Over, l.batch)
}

func (l *Loader) batch(b []byte, h *record.Header) {
	if h.IsControl() {
		l.marker(b, h)
		return
	}
	if h.Magic >= 2 && !record.Batch(b).ValidCRC() {
		l.skip(h.BaseOffset, errors.New("the batch does not match its checksum"))
		return
	}
	l.it.Reset(b, maxUnpacked)
	for l.it.Next() {
		r := &l.it.Record
		if err := l.Record(r, h); err != nil {
			l.skip(r.Offset, err)
		}
	}
	if err := l.it.Err(); err != nil {
		l.skip(h.BaseOffset, err)
	}
}

func (l *Loader) marker(b []byte, h *record.Header) {
	if l.Marker == nil {
		return
	}
	m, ok, err := record.ParseEndTxnMarker(b)
	if err != nil {
		l.skip(h.BaseOffset, err)
	} else if ok {
		l.Marker(m, h)
	}
}

func (l *Loader) skip(offset int64, err error) {
	if l.skipped++; l.skipped <= maxSkipsLogged {
		l.Skip(offset, err)
	}
}
