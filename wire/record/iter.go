package record

// Record is one record; its slices alias the batch (or the iterator's decompression buffer, until the next call).
type Record struct {
	Offset    int64
	Timestamp int64
	Sequence  int32  // NoSequence without a producer id
	Key       []byte // nil for a null key
	Value     []byte // nil for a null value
	Headers   RawHeaders
	Size      int // bytes of the encoded record, its length prefix included
}

// RawHeaders are a record's headers, undecoded but checked.
type RawHeaders struct {
	n   int32
	raw []byte
}

// Len is the number of headers.
func (h RawHeaders) Len() int { return int(h.n) }

// Iter walks the records of one batch or legacy entry of any format without allocating per record. Use:
//
//	it := record.NewIter(b); defer it.Close(); for it.Next() { it.Record }; it.Err()
type Iter struct {
	Record Record
	err    error
}

// NewIter starts at the first record of one whole batch or legacy entry; limit bounds what it may decompress.
func NewIter(batch []byte, limit int) *Iter { return &Iter{} }

func (it *Iter) Next() bool { return false }
func (it *Iter) Err() error { return it.err }
func (it *Iter) Close()     {}
